"""Reads what ``--arch`` says, and fits weights into the module it builds.

parse_architecture("timm:vit_tiny_patch16_224,img_size=96")
parse_architecture("my_networks.resnet:resnet20,width=2")
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.text import clean, listed

__all__ = [
    "MAX_TEXT",
    "Architecture",
    "KeyDifference",
    "fit",
    "key_difference",
    "parse_architecture",
    "require_fit",
    "shape_text",
]

MAX_TEXT = 1000
"""Longest text of an architecture."""

_WAY_OUT = (
    "use timm:NAME, transformers:CLASS or package.module:factory, each with optional ,key=value"
)
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A parsed ``--arch``.

    Attributes:
        source: ``timm``, ``transformers``, or the module that holds the factory.
        name: The timm name, transformers' class, or the factory's name.
        options: Keyword arguments, simple literals.
    """

    source: str
    name: str
    options: dict[str, Any]

    @property
    def text(self) -> str:
        """The canonical text; :func:`parse_architecture` reads it back."""
        options = "".join(f",{key}={value!r}" for key, value in sorted(self.options.items()))
        return f"{self.source}:{self.name}{options}"


def parse_architecture(text: str) -> Architecture:
    """Parses ``timm:NAME[,key=value...]`` or ``package.module:factory[,key=value...]``.

    Raises:
        UsageError: It is neither.
    """
    source, colon, rest = text.partition(":")
    name, _, options = rest.partition(",")
    is_timm = source == "timm"
    known = bool(name) and (is_timm or bool(_PATH.fullmatch(source) and name.isidentifier()))
    if not colon or not known or len(text) > MAX_TEXT:
        raise UsageError(f"arch: '{clean(text)}' is not an architecture; {_WAY_OUT}")
    return Architecture(source=source, name=name.strip(), options=_options(options, text))


def _options(options: str, text: str) -> dict[str, Any]:
    """Reads ``a=1,b=(2,3),c=avg``: literals, and bare words as strings."""
    if not options.strip():
        return {}
    try:
        call = ast.parse(f"f({options})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("positional")
        return {_key(keyword): _value(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(
            f"arch: '{clean(text)}': the options do not parse; "
            "write key=value with numbers, tuples, True, False, None or words"
        ) from error


def _key(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise ValueError("unpacking")
    return keyword.arg


def _value(node: ast.expr) -> Any:
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


@dataclass(frozen=True, kw_only=True)
class KeyDifference:
    """How the names and shapes of weights differ from what a module takes.

    Attributes:
        missing: The module has them, the weights do not.
        unexpected: The weights have them, the module does not.
        shapes: Name, shape in the weights, shape in the module.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.shapes)

    def __str__(self) -> str:
        """A few names of each kind and the counts, on one line."""
        parts = []
        if self.missing:
            parts.append(f"missing {listed(self.missing)}")
        if self.unexpected:
            parts.append(f"unexpected {listed(self.unexpected)}")
        if self.shapes:
            texts = (
                f"{name} {shape_text(got)} for {shape_text(want)}"
                for name, got, want in self.shapes
            )
            parts.append(f"other shape {listed(texts)}")
        return "; ".join(parts)


def key_difference(module: nn.Module, tensors: Mapping[str, Tensor]) -> KeyDifference:
    """Compares weights with what a module takes.

    Counters of seen batches may be missing (old checkpoints have none), and so may one name of
    two that share a tensor. Older files hold tables that networks now compute themselves; those
    may stay if they are equal.
    """
    own = module.state_dict(keep_vars=True)
    constants = dict(module.named_buffers())
    given = {id(own[name]) for name in tensors if name in own}
    missing = (
        name
        for name, tensor in own.items()
        if name not in tensors
        and name.rpartition(".")[2] != "num_batches_tracked"
        and id(tensor) not in given
    )
    shapes = (
        (name, tuple(tensor.shape), tuple(own[name].shape))
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    )
    return KeyDifference(
        missing=tuple(missing),
        unexpected=tuple(
            name
            for name, tensor in tensors.items()
            if name not in own and not _same_constant(constants.get(name), tensor)
        ),
        shapes=tuple(shapes),
    )


def fit(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Puts weights into a module.

    Args:
        module: Where they go; changed in place.
        tensors: Tensors by name.
        name: The architecture, for messages.

    Raises:
        IncompatibleModel: Names, shapes or kinds of number do not fit.
    """
    require_fit(module, tensors, name)
    own = module.state_dict()
    for key, tensor in tensors.items():
        if own[key].is_floating_point() and not tensor.is_floating_point():
            raise IncompatibleModel(
                f"tensor '{clean(key)}': expected real weights, got {_short(tensor.dtype)} without "
                "its scale or zero point (a quantised export?); save the dequantised state_dict"
            )
    try:
        module.load_state_dict(dict(tensors), strict=False)
    except (RuntimeError, TypeError, ValueError) as error:
        raise IncompatibleModel(
            f"the weights do not fit {clean(name)}: {clean(error, limit=200)}"
        ) from error


def require_fit(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Refuses weights whose names or shapes are not a module's, which may be without memory.

    Raises:
        IncompatibleModel: They differ.
    """
    difference = key_difference(module, tensors)
    if difference:
        raise IncompatibleModel(
            f"the weights do not fit {clean(name)}: {difference}; choose another --arch"
        )


def _same_constant(own: Tensor | None, given: Tensor) -> bool:
    """Whether the file repeats a table that the network computes itself."""
    return own is not None and not own.is_meta and torch.equal(own.cpu(), given.cpu().to(own.dtype))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def shape_text(shape: Sequence[int]) -> str:
    """Returns a shape as messages show it, such as ``64x3x7x7``."""
    return "x".join(map(str, shape)) or "scalar"
