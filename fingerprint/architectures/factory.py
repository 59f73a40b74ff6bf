"""Builds a network with a function of the user's own code: ``--arch package.module:factory``.

Naming a factory is the user's own decision to run that code; nothing in a weights file can.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from fingerprint.architectures.architecture import Architecture, key_difference
from fingerprint.errors import UsageError, ends_by_signal, lacks_memory
from fingerprint.text import first_line

__all__ = ["build_with_factory"]

_CLASSES = ("num_classes", "n_classes", "nb_classes", "classes", "num_labels", "num_outputs",
            "n_class", "nclass", "num_class", "out_features", "output_dim")  # fmt: skip


def build_with_factory(architecture: Architecture, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Calls the factory, with the number of classes the weights have if it takes one.

    Args:
        architecture: Where the factory is, and options for it.
        tensors: Weights; where only the head differs, it decides ``num_classes``.

    Raises:
        UsageError: The factory cannot be imported, fails, or returns no module.
        MemoryError: There is no memory for what it makes.
    """
    factory = _import(architecture)
    options = dict(architecture.options)
    name, required = _classes_parameter(factory)
    if name is None or name in options:
        return _call(factory, options, architecture)
    if required:
        module = _call(factory, options | {name: _last_width(tensors)}, architecture)
    else:
        module = _call(factory, options, architecture)
    classes = _other_head(module, tensors)
    if classes is None:
        return module
    try:
        return _call(factory, options | {name: classes}, architecture)
    except UsageError:
        if name in inspect.signature(factory).parameters:
            raise
        return module  # what it takes besides its parameters did not include this one


@contextmanager
def _working_directory_first() -> Iterator[None]:
    """Lets modules in the working directory be imported, as ``python -m`` does."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


@contextmanager
def _no_quiet_end(architecture: Architecture) -> Iterator[None]:
    """Refuses code that ends the program, see :func:`fingerprint.network.model.run_module`."""
    try:
        yield
    except SystemExit as error:
        if ends_by_signal(error):
            raise
        raise UsageError(
            f"arch: {architecture.text}: expected code that returns, got one that exits"
        ) from error


def _no_memory(error: Exception, architecture: Architecture) -> None:
    """Tells a lack of memory from a mistake of whoever named the factory."""
    if lacks_memory(error):
        raise MemoryError(f"arch: {architecture.text}: {first_line(error)}") from error


def _import(architecture: Architecture) -> Callable[..., Any]:
    try:
        with _working_directory_first(), _no_quiet_end(architecture):
            module = importlib.import_module(architecture.source)
    except UsageError:
        raise
    except Exception as error:
        # User code runs here: whatever it raises, the option is what has to change.
        _no_memory(error, architecture)
        raise UsageError(
            f"arch: cannot import '{architecture.source}': {first_line(error)}; "
            "run from the folder that holds it, or install it"
        ) from error
    factory = getattr(module, architecture.name, None)
    if not callable(factory):
        raise UsageError(f"arch: '{architecture.source}' has no factory '{architecture.name}'")
    return factory  # type: ignore[no-any-return]


def _call(
    factory: Callable[..., Any], options: Mapping[str, Any], architecture: Architecture
) -> nn.Module:
    try:
        with _working_directory_first(), _no_quiet_end(architecture):
            module = factory(**options)
    except UsageError:
        raise
    except Exception as error:
        _no_memory(error, architecture)
        raise UsageError(f"arch: {architecture.text} failed: {first_line(error)}") from error
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"arch: {architecture.text}: expected a torch module, got {type(module).__name__}"
        )
    if any(map(is_lazy, (*module.parameters(), *module.buffers()))):
        raise UsageError(
            f"arch: {architecture.text}: expected layers of known sizes, got lazy ones; run the "
            "network on one input before it is returned"
        )
    return module


def _classes_parameter(factory: Callable[..., Any]) -> tuple[str | None, bool]:
    """Returns what the factory calls the number of classes, and whether it must be told.

    Factories that pass on whatever they are given, as torchvision's do, are tried with the
    commonest name.
    """
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return None, False
    for name in _CLASSES:
        if name in parameters:
            return name, parameters[name].default is inspect.Parameter.empty
    passes_on = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return (_CLASSES[0] if passes_on else None), False


def _other_head(module: nn.Module, tensors: Mapping[str, Tensor]) -> int | None:
    """Returns the weights' class count if only one leading dimension differs throughout."""
    shapes = key_difference(module, tensors).shapes
    pairs = {(got[0], want[0]) for _, got, want in shapes if got and want and got[1:] == want[1:]}
    if len(pairs) != 1 or any(got[1:] != want[1:] for _, got, want in shapes):
        return None
    return next(iter(pairs))[0]


def _last_width(tensors: Mapping[str, Tensor]) -> int:
    """Returns the height of the last matrix, which is the head in every common network."""
    matrices = [tensor for tensor in tensors.values() if tensor.ndim == 2]
    return int(matrices[-1].shape[0]) if matrices else 1000
