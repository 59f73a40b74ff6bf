"""Loads a network from a file, a folder or a live module: the one way in.

model = load_model("resnet18.safetensors")                       # recognised by its keys
model = load_model("net.pt", arch="my_networks:small", input_size=(3, 32, 32))
model = load_model(module, mean=(0.5,), std=(0.5,))              # a module in memory
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fingerprint.architectures.build import Built, build, fits
from fingerprint.architectures.choice import Choice, choose_architecture
from fingerprint.errors import (
    EnvironmentFailure,
    IncompatibleModel,
    InputRefused,
    UnknownArchitecture,
    UsageError,
)
from fingerprint.formats.file_bytes import FileFacts
from fingerprint.formats.naming import naming
from fingerprint.formats.tensors import non_finite
from fingerprint.formats.weights_file import WeightsFile, read_weights
from fingerprint.network.batches import check_batches, require_any_batch
from fingerprint.network.digest import weights_digest
from fingerprint.network.inputs import describe_input, sample_inputs
from fingerprint.network.model import Model, run_module
from fingerprint.network.outputs import SINGLE, describe_output, pick_output, take
from fingerprint.network.spec import InputSpec, OutputSpec
from fingerprint.text import clean, first_line, listed

__all__ = ["load_model"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Network:
    """A module with its weights, before its inputs and outputs are known."""

    module: nn.Module
    architecture: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    file: FileFacts | None = None
    fits: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def load_model(
    source: str | os.PathLike[str] | nn.Module,
    *,
    arch: str | None = None,
    input_size: Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    bounds: Sequence[float] | None = None,
    output: str | int | None = None,
    key: str | None = None,
    device: torch.device | str = "cpu",
    follow_symlinks: bool = False,
) -> Model:
    """Loads a network in evaluation mode, without running any code from its file.

    Weights that hold NaN or infinity, and networks that answer a constant, are loaded (with a
    warning): :func:`fingerprint.network.checks.check_informative` refuses them where that
    matters.

    Args:
        source: A weights file, a model folder, or a module in memory (which is copied).
        arch: ``timm:NAME``, ``transformers:CLASS`` or ``package.module:factory``, each with
            optional ``,key=value``; None to recognise a timm network from its keys and shapes,
            and one of transformers from the configuration beside it.
        input_size: Shape of one input, such as ``(3, 32, 32)``; None to find it.
        mean: Per-channel mean the network expects to be subtracted.
        std: Per-channel deviation the network expects to be divided by.
        bounds: Smallest and largest input value; given for inputs that are not 8-bit images.
        output: Field or index of the logits, for networks that return several things.
        key: Where in the file the weights lie, such as ``ema`` or ``state_dict.teacher``; None
            for the set that fits the network.
        device: Where to put the weights.
        follow_symlinks: Whether links may lead out of a model folder.

    Returns:
        The model; its warnings say what was assumed.

    Raises:
        UsageError: An option is wrong, or the file does not exist.
        InputRefused: The file or network is not accepted.
        AmbiguousArchitecture: Several architectures fit and compute different functions.
        EnvironmentFailure: The file may not be read, or the device does not work.
    """
    if isinstance(source, nn.Module):
        network = _live(source, arch, key)
    else:
        size = tuple(input_size) if input_size is not None else None
        weights = read_weights(_path_of(source), key=key, follow_symlinks=follow_symlinks)
        with naming(weights.file.path):
            network = _of_file(weights, arch, size)
    module = _prepare(network.module, device)
    with naming(network.file.path if network.file else None):
        spec, guesses = describe_input(
            module,
            settings=network.settings,
            input_size=input_size,
            mean=mean,
            std=std,
            bounds=bounds,
        )
        digest = weights_digest(module.state_dict())  # before its own code may change it
        answer, pick, doubts = _try(module, spec, output)
    return Model(
        module=module,
        input=spec,
        output=answer,
        architecture=network.architecture,
        digest=digest,
        file=network.file,
        pick=pick,
        key=key,
        warnings=(
            *network.warnings,
            *guesses,
            *_published_warnings(
                network.fits,
                spec,
                size_open=input_size is None,
                normalisation_open=mean is None and std is None,
            ),
            *_weight_warnings(module),
            *doubts,
        ),
    )


def _path_of(source: object) -> str:
    if not isinstance(source, (str, os.PathLike)):
        raise UsageError(f"expected a path or a torch module, got {type(source).__name__}")
    return os.fsdecode(source)


def _live(module: nn.Module, arch: str | None, key: str | None) -> _Network:
    if arch is not None or key is not None:
        option = "arch" if arch is not None else "key"
        raise UsageError(f"{option}: a module in memory already has one; leave the option out")
    warnings = []
    if module.training:
        warnings.append("the module was in training mode; evaluation mode was forced on a copy")
    try:
        with torch.no_grad():  # scripted modules copy by operations that would be recorded
            module = copy.deepcopy(module)
    except Exception as error:
        # Hooks and handles may refuse to be copied, each with its own error.
        raise IncompatibleModel(
            f"the module cannot be copied: {first_line(error)}; save its state_dict and load that"
        ) from error
    return _Network(
        module=module,
        architecture=f"live:{type(module).__qualname__}",
        settings=_settings_of(module),
        warnings=tuple(warnings),
    )


def _settings_of(module: nn.Module) -> Mapping[str, Any]:
    """Returns timm's preprocessing settings, which any network may carry; empty for none."""
    settings = getattr(module, "pretrained_cfg", None)
    return settings if isinstance(settings, Mapping) else {}


def _of_file(
    weights: WeightsFile, arch: str | None, input_size: tuple[int, ...] | None
) -> _Network:
    """Builds the architecture around the first set of weights in a file that fits it."""
    refusals: list[InputRefused] = []
    for index, entry in enumerate(weights.entries):
        try:
            choice = choose_architecture(entry.tensors, weights.config, arch)
            size = input_size or choice.settings.get("input_size")
            built = build(choice.architecture, entry.tensors, input_size=size)
        except (IncompatibleModel, UnknownArchitecture) as error:
            refusals.append(error)
            continue
        except UsageError as error:
            if arch is not None:
                raise
            # Nobody but the file's metadata named that architecture.
            raise IncompatibleModel(f"the model's metadata: {error}; or give --arch") from error
        others = [
            other.key or "the file itself"
            for other in weights.entries[index + 1 :]
            if fits(built.module, other.tensors)
        ]
        return _network(weights, index, choice, built, others)
    raise refusals[0]


def _network(
    weights: WeightsFile, index: int, choice: Choice, built: Built, others: Sequence[str]
) -> _Network:
    entry = weights.entries[index]
    warnings = [*weights.warnings, *entry.warnings, *choice.warnings, *built.notes]
    if others:
        warnings.append(
            f"several sets of weights in the file fit: {entry.key or 'the file itself'!r} was "
            f"taken, not {listed(map(repr, others))}; --key chooses"
        )
    return _Network(
        module=built.module,
        architecture=choice.architecture.text,
        settings={**_settings_of(built.module), **choice.settings},
        file=weights.file,
        fits=choice.fits,
        warnings=tuple(warnings),
    )


def _prepare(module: nn.Module, device: torch.device | str) -> nn.Module:
    module.eval()
    for weights in module.parameters():  # scripted modules have no requires_grad_ of their own
        weights.requires_grad_(False)
    try:
        place = torch.device(device)
        if place.type == "meta":
            raise EnvironmentFailure("device: 'meta' computes nothing; use cpu")
        return module.to(place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise EnvironmentFailure(
            f"device: '{clean(device)}' does not work here: {first_line(error)}; use cpu"
        ) from error


def _try(
    module: nn.Module, spec: InputSpec, output: str | int | None
) -> tuple[OutputSpec, str | int | None, tuple[str, ...]]:
    """Runs a few inputs through the network, before anything is built on it."""
    first = next(module.parameters(), torch.empty(0))
    inputs = sample_inputs(spec, 3, device=first.device)
    if first.is_floating_point():
        inputs = inputs.to(first.dtype)
    try:
        with torch.no_grad():
            answers: Any = run_module(module, spec.normalise(inputs[:2]))
    except Exception as error:
        # The network's own code runs here; whatever it raises, the input does not fit it.
        require_any_batch(module, spec.normalise(inputs[:1]))
        shape = ",".join(map(str, spec.shape))
        raise IncompatibleModel(
            f"the network does not take inputs of size {shape}: {first_line(error)}; "
            "set --input-size C,H,W"
        ) from error
    pick = pick_output(answers, output)
    picked = take(answers, pick)
    described = describe_output(picked, batch=2)
    warnings = check_batches(
        module, spec.normalise(inputs), picked, lambda answers: take(answers, pick)
    )
    if picked.numel() == len(picked):
        warnings = (*warnings, SINGLE)
    return described, pick, warnings


def _published_warnings(
    names: Sequence[str], spec: InputSpec, *, size_open: bool, normalisation_open: bool
) -> tuple[str, ...]:
    """Warns where weights of one function are published with several sizes or normalisations."""
    if not names:
        return ()
    from fingerprint.architectures.timm_models import normalisations, preprocessing

    warnings = []
    sizes = {preprocessing(name).get("input_size") for name in names}
    if size_open and len(sizes) > 1:
        size = ",".join(map(str, spec.shape))
        warnings.append(f"several input sizes fit: {size} was assumed; set --input-size if not")
    if normalisation_open and len(normalisations(names)) > 1:
        mean, std = (",".join(f"{value:g}" for value in v) for v in (spec.mean, spec.std))
        warnings.append(
            f"weights of this architecture are published with several normalisations: mean {mean} "
            f"and std {std} were assumed; set --mean and --std if yours differ"
        )
    return tuple(warnings)


def _weight_warnings(module: nn.Module) -> tuple[str, ...]:
    state: dict[str, Tensor] = module.state_dict()
    bad = non_finite(state)
    if not bad:
        return ()
    return (f"the weights hold NaN or infinity in {len(bad)} tensors, first '{clean(bad[0])}'",)
