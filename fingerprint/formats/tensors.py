"""Admits tensors as weights: dense, real, and no larger than what holds them.

Half-precision values become float32, with a warning; sparse, complex and quantised tensors are
refused by name. A view that repeats its storage (stride 0) is refused before anything copies it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fingerprint.errors import IncompatibleModel, UnsafeFile
from fingerprint.formats.restored import scaled
from fingerprint.text import clean

__all__ = ["admit", "non_finite"]

_MAX_SHARING = 8  # tied weights share a storage a few times, not thousands
_WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def admit(tensors: Mapping[str, Tensor], path: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Returns the tensors as dense float32 (or integers, as they were), and warnings.

    Args:
        tensors: Tensors by name, any storage.
        path: The file's name, for messages.

    Raises:
        UnsafeFile: A tensor has more elements than its storage holds.
        IncompatibleModel: A tensor is sparse, complex, quantised or of an unknown dtype.
    """
    for name, tensor in tensors.items():
        _check(name, tensor, path)
    _check_total(tensors, path)
    tensors, computed = scaled(tensors)
    admitted: dict[str, Tensor] = {}
    converted: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            converted.setdefault(_short(tensor.dtype), []).append(name)
            admitted[name] = _to_float32(name, tensor, path)
        else:
            admitted[name] = tensor.detach()
    warnings = computed + tuple(
        f"{len(names)} tensors of dtype {dtype} were converted to float32"
        for dtype, names in sorted(converted.items())
    )
    return admitted, warnings


def non_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Returns the names of the tensors that hold NaN or infinity."""
    return [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]


def _check(name: str, tensor: Tensor, path: str) -> None:
    shown = f"{path}: tensor '{clean(name)}'"
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
        kind = "quantised" if tensor.is_quantized else _short(tensor.layout)
        kind = "complex" if tensor.is_complex() else kind
        way_out = "; save tensor.dequantize()" if tensor.is_quantized else ""
        raise IncompatibleModel(f"{shown}: expected a dense real tensor, got a {kind} one{way_out}")
    if tensor.is_meta:
        raise IncompatibleModel(f"{shown}: is on the meta device and holds no values")
    if not tensor.is_floating_point() and tensor.dtype not in _WHOLE:
        raise IncompatibleModel(f"{shown}: unsupported dtype {_short(tensor.dtype)}; save float32")
    held = tensor.untyped_storage().nbytes() // max(tensor.element_size(), 1)
    if tensor.numel() > held:
        raise UnsafeFile(
            f"{shown}: claims {tensor.numel()} elements, its storage holds {held} "
            "(an expanded view); save tensor.clone()"
        )


def _check_total(tensors: Mapping[str, Tensor], path: str) -> None:
    """Bounds what copies of all tensors would need, since many may view one storage."""
    blocks = [tensor.untyped_storage() for tensor in tensors.values()]
    storages = {block.data_ptr(): block.nbytes() for block in blocks}
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    held = sum(storages.values())
    if claimed > _MAX_SHARING * held + 2**20:
        raise UnsafeFile(
            f"{path}: its tensors claim {claimed:.4g} bytes over storages of {held:.4g} "
            "(views of each other); save each as tensor.clone()"
        )


def _to_float32(name: str, tensor: Tensor, path: str) -> Tensor:
    try:
        return tensor.detach().to(torch.float32)
    except (RuntimeError, NotImplementedError) as error:
        raise IncompatibleModel(
            f"{path}: tensor '{clean(name)}': dtype {_short(tensor.dtype)} has no conversion "
            "to float32; save float32"
        ) from error


def _short(value: object) -> str:
    return str(value).removeprefix("torch.")
