"""Builds transformers' image classifiers around given weights, and asks nobody for anything.

    architecture = architecture_of(parse_architecture("transformers:vit"), config)
    module, tensors = build_transformers(architecture, tensors)

A configuration is data that anybody may have written. Of its entries only those that the class
itself has are used, so none of them names code, a hub or a file; and the network is first laid
out without memory, no further than the weights go, to see whether they are its weights.

transformers takes seconds to import and need not be installed: it is imported inside functions.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fingerprint.architectures.alignment import align
from fingerprint.architectures.architecture import MAX_TEXT, Architecture, require_fit
from fingerprint.architectures.near_miss import TRANSFORMERS_CLASSES
from fingerprint.errors import IncompatibleModel, UnknownArchitecture, UsageError
from fingerprint.text import clean, first_line

__all__ = ["architecture_of", "build_transformers"]

_CLASSES = "num_labels"
_LARGEST = 2**16  # of the integers in a configuration: far above any width, far below harm
_LONGEST = 32  # of its lists, and of its words twice that
_DEEPEST = 3  # of lists in lists
_MOST_CONSTANTS = 2**26  # values of tables that a network computes itself


def architecture_of(asked: Architecture, config: Mapping[str, Any]) -> Architecture:
    """Returns one of transformers' networks with all that its configuration states.

    Args:
        asked: ``transformers:CLASS`` or ``transformers:MODEL_TYPE``; its options, if it has any,
            are all that is used.
        config: ``config.json``; empty if there is none.

    Returns:
        The class, and what differs from the defaults of its configuration.

    Raises:
        UsageError: No image classifier of transformers has that name.
        UnknownArchitecture: transformers is not installed, there is no such configuration, or it
            is of something else.
        IncompatibleModel: The configuration is out of bounds.
    """
    name, kind = _named(asked.name, config)
    if asked.options:
        return Architecture(source="transformers", name=name, options=asked.options)
    if config.get("model_type") != kind:
        raise UnknownArchitecture(
            f"transformers:{name}: the weights do not say everything, such as the number of heads; "
            f"give the folder that has their config.json, of model_type '{kind}'"
        )
    defaults = _defaults(kind)
    stated = {key: value for key, value in config.items() if key in defaults}
    labels = config.get("id2label")
    classes = len(labels) if isinstance(labels, Mapping) else config.get(_CLASSES, 2)
    _require_modest(stated | {_CLASSES: classes}, name)
    options = {
        key: value for key, value in stated.items() if _plain(value) != _plain(defaults[key])
    } | {_CLASSES: classes}
    found = Architecture(source="transformers", name=name, options=options)
    if len(found.text) > MAX_TEXT:
        raise IncompatibleModel(f"config.json: transformers:{name} needs too many options")
    return found


def build_transformers(
    architecture: Architecture, tensors: Mapping[str, Tensor]
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Creates a network with random weights, if the given weights are its weights.

    Args:
        architecture: What :func:`architecture_of` returned, or was recorded of it.
        tensors: Weights by name.

    Returns:
        The network, whose names are those that transformers writes to files whatever its
        version calls its parts, and the weights under such names.

    Raises:
        UsageError: transformers has no such class, or the class no such option.
        UnknownArchitecture: transformers is not installed.
        IncompatibleModel: The weights are others, or the options are out of bounds.
    """
    name, kind = _named(architecture.name, {})
    unknown = architecture.options.keys() - _defaults(kind).keys() - {_CLASSES}
    if unknown:
        raise UsageError(f"arch: transformers:{name} has no option '{clean(min(unknown))}'")
    _require_modest(architecture.options, name)
    with torch.device("meta"), _at_most(2 * len(tensors) + 64):
        outline = _construct(name, kind, architecture.options)
    constants = sum(buffer.numel() for buffer in outline.buffers())
    if constants > _MOST_CONSTANTS + sum(tensor.numel() for tensor in tensors.values()):
        raise IncompatibleModel(f"transformers:{name}: the tables it computes are too large")
    written = _names_in_files(outline)
    _rename(outline, written)
    tensors = {_in_files(key, written): tensor for key, tensor in tensors.items()}
    require_fit(outline, align(outline, tensors).tensors, f"transformers:{name}")
    module = _construct(name, kind, architecture.options)
    _rename(module, written)
    return module, tensors


def _named(name: str, config: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the class that is meant and its model type; of several, what the folder names."""
    try:
        from transformers.models.auto.modeling_auto import (
            MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as KINDS,
        )
    except ImportError as error:
        raise UnknownArchitecture(
            f"transformers:{clean(name)}: transformers cannot be imported ({first_line(error)}): "
            "pip install transformers"
        ) from error
    stated = config.get("architectures")
    wanted = [name, *(stated if isinstance(stated, list) else ())]
    for kind, classes in KINDS.items():
        known = [classes] if isinstance(classes, str) else list(classes)
        known = [one for one in known if one in TRANSFORMERS_CLASSES]
        if known and (name == kind or name in known):
            return next((one for one in wanted if one in known), known[0]), kind
    refusal = UnknownArchitecture if name == config.get("model_type") else UsageError
    raise refusal(
        f"arch: transformers has no image classifier '{clean(name)}' that is read here; give "
        "--arch package.module:factory"
    )


def _defaults(kind: str) -> dict[str, Any]:
    """Returns what a kind's configuration has beyond what all have, such as code and devices."""
    from transformers import AutoConfig, PretrainedConfig

    common = vars(PretrainedConfig())
    own = vars(AutoConfig.for_model(kind))
    return {key: one for key, one in own.items() if key not in common and key[0] != "_"}


def _construct(name: str, kind: str, options: Mapping[str, Any]) -> nn.Module:
    from transformers import AutoConfig, AutoModelForImageClassification

    try:
        config = AutoConfig.for_model(kind, **options)
        config.architectures = [name]
        module = AutoModelForImageClassification.from_config(config, attn_implementation="eager")
    except Exception as error:
        # Options out of a file reach the constructors of some thirty networks.
        raise IncompatibleModel(
            f"transformers:{name} cannot be built as config.json says: {first_line(error)}"
        ) from error
    assert isinstance(module, nn.Module)
    return module


@contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Ends the making of a network that has more parameters than weights are given."""
    here, made = threading.get_ident(), 0

    def counted(*_: object) -> None:
        nonlocal made
        made += threading.get_ident() == here
        if made > count:
            raise ValueError("it has more layers than the weights")

    handle = nn.modules.module.register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        handle.remove()


def _names_in_files(outline: nn.Module) -> dict[str, str]:
    """Returns under which name each tensor is written to a file, where that is another one."""
    state = outline.state_dict(keep_vars=True)
    try:
        from transformers.core_model_loading import revert_weight_conversion
    except ImportError:
        return {}  # before version 5, files had the names of the network's parts
    names = {id(tensor): key for key, tensor in revert_weight_conversion(outline, state).items()}
    return {key: names.get(id(tensor), key) for key, tensor in state.items()}


def _in_files(name: str, written: Mapping[str, str]) -> str:
    """Returns a name, under whatever prefix, as it is written to a file."""
    parts = name.split(".")
    for cut in range(len(parts)):
        inner = ".".join(parts[cut:])
        if inner in written:
            return name.removesuffix(inner) + written[inner]
    return name


def _rename(module: nn.Module, written: Mapping[str, str]) -> None:
    """Lets a network give and take its weights under the names they have in files."""
    own = {name: key for key, name in written.items()}

    def give(_: nn.Module, state: dict[str, Any], *__: object) -> None:
        _replace_keys(state, written)

    def take(_: nn.Module, state: dict[str, Any], *__: object) -> None:
        _replace_keys(state, own)

    module.register_state_dict_post_hook(give)
    module.register_load_state_dict_pre_hook(take)


def _replace_keys(state: dict[str, Any], names: Mapping[str, str]) -> None:
    renamed = {names.get(key, key): tensor for key, tensor in state.items()}
    state.clear()
    state.update(renamed)


def _require_modest(options: Mapping[str, Any], name: str) -> None:
    for key, value in options.items():
        if not _is_modest(value):
            raise IncompatibleModel(
                f"transformers:{name}: expected a number up to {_LARGEST}, a word or a short list "
                f"for {clean(key)}, got {clean(value, 40)}"
            )


def _is_modest(value: Any, depth: int = 0) -> bool:
    if isinstance(value, (list, tuple)):
        short = depth < _DEEPEST and len(value) <= _LONGEST
        if not short or not all(_is_modest(one, depth + 1) for one in value):
            return False
        # Networks add up the depths of their stages, and make as many numbers.
        return _is_modest(sum(one for one in value if isinstance(one, (int, float))))
    if isinstance(value, str):
        return len(value) <= 2 * _LONGEST
    if isinstance(value, (int, float)):
        return -_LARGEST <= value <= _LARGEST
    return value is None


def _plain(value: Any) -> str:
    """Returns a value as JSON says it: lists and tuples alike."""
    return json.dumps(value, default=str)
