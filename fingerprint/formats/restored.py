"""Computes weights that a file holds in parts: masked, reparametrised, or integers with scales.

    plain, notes = restored(tensors)

What torch's pruning, weight norm and spectral norm save, and what quantisers save as plain
tensors, is plain arithmetic on plain tensors::

    weight_orig, weight_mask                      weight = orig * mask
    weight, weight_mask (of zeros and ones)       weight = weight * mask
    weight_g, weight_v                            weight = g * v / |v|
    weight_orig, weight_u[, weight_v]             weight = orig / sigma
    parametrizations.weight.original0, original1  weight norm
    parametrizations.weight.original, .0._u, ._v  spectral norm
    weight (int8), weight_scale[, zero_point]     weight = (integers - zero_point) * scale
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from fingerprint.errors import IncompatibleModel
from fingerprint.text import clean, listed

__all__ = ["restored", "scaled", "unmasked"]

_PACKED = re.compile(
    r"(^|\.)(qweight|qzeros|weight\.(absmax|quant_map|quant_state\b.*)|.*_packed)$"
)
_PARAMETRISED = re.compile(r"(?P<owner>(?:.*\.)?)parametrizations\.(?P<leaf>[^.]+)\.(?P<part>.+)")
_INTEGER_LEAVES = {"qweight", "q_weight", "int_weight", "quantized_weight", "quant_weight"}
"""What integers are called in the place of ``weight``."""

_INTEGERS = ("_int8", "_int", "_q", "_quant", "_quantized", "._data", ".int_data", ".data",
             ".int_repr", ".q", "")  # fmt: skip
_SCALES = ("{name}_scale", "{name}_scales", "{name}.scale", "{name}.scales", "{name}._scale",
           "{name}_scale_inv", "{name}.q_scale", "{name}_quant_scale", "{owner}scale",
           "{owner}scales", "{owner}weight_scale")  # fmt: skip
_ZEROS = ("{name}_zero_point", "{name}_zero_points", "{name}_zero", "{name}_zeros", "{name}_zp",
          "{name}.zero_point", "{name}._zero_point", "{name}.q_zero_point", "{name}.zeros",
          "{owner}zero_point", "{owner}zero_points", "{owner}zeros")  # fmt: skip
_ROW_MAXIMA = "{owner}SCB"  # bitsandbytes: the row's largest magnitude, which 127 stands for
_SMALL = (torch.int8, torch.uint8, torch.int16, torch.int32)
_DEQUANTISED = "integers with scales (dequantised)"


def restored(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Returns tensors with every weight computed that is there in parts, and a note of each kind.

    Args:
        tensors: Tensors by name, as :func:`fingerprint.formats.tensors.admit` returns them.

    Returns:
        Tensors by the names that the plain network has, and one line for each kind of
        computation; no lines where there was nothing to compute.

    Raises:
        IncompatibleModel: A parametrisation or packing that plain arithmetic does not undo.
    """
    left = dict(tensors)
    notes: list[str] = []
    for kind, compute in (
        ("pruned by masks", _masked),
        ("parametrised by torch", _parametrised),
        ("under weight norm", _weight_norms),
        ("under spectral norm", _spectral_norms),
        (_DEQUANTISED, lambda left: _dequantised(left, _SMALL)),
    ):
        found = compute(left)
        if found:
            notes.append(f"{len(found)} tensors were {kind}, and computed: {listed(found)}")
    return left, tuple(notes)


def unmasked(tensors: Mapping[str, Tensor]) -> bool:
    """Whether a weight lies beside a mask that hides some of what it holds."""
    for key in [key for key in tensors if key.endswith("_mask")]:
        weight, mask = tensors.get(key.removesuffix("_mask")), tensors[key]
        if weight is None or weight.shape != mask.shape or not _is_mask(mask):
            continue
        if bool((weight * mask != weight).any()):
            return True
    return False


def scaled(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Returns tensors with 8-bit floats multiplied by the scales that lie beside them.

    An 8-bit float without its scale is another number, so this comes before any conversion.

    Args:
        tensors: Tensors by name, of any dtype.

    Returns:
        Tensors, and one line if any was computed.
    """
    left = dict(tensors)
    small = {tensor.dtype for tensor in left.values() if _is_small_float(tensor)}
    found = _dequantised(left, tuple(small)) if small else []
    line = f"{len(found)} 8-bit tensors with scales were dequantised: {listed(found)}"
    return left, (line,) if found else ()


def _is_small_float(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.element_size() == 1


def _masked(left: dict[str, Tensor]) -> list[str]:
    found = []
    for name in [key.removesuffix("_mask") for key in left if key.endswith("_mask")]:
        original, mask = left.get(f"{name}_orig"), left[f"{name}_mask"]
        if original is None and _is_mask(mask):
            original = left.get(name)
        if original is not None and mask.shape == original.shape:
            _replace(left, name, original * mask, f"{name}_orig", f"{name}_mask")
            found.append(name)
    return found


def _is_mask(mask: Tensor) -> bool:
    return bool(((mask == 0) | (mask == 1)).all())


def _weight_norms(left: dict[str, Tensor]) -> list[str]:
    found = []
    for name in [key.removesuffix("_g") for key in left if key.endswith("_g")]:
        magnitude, direction = left.get(f"{name}_g"), left.get(f"{name}_v")
        if magnitude is not None and direction is not None:
            weight = _weight_norm(magnitude, direction)
            if weight is not None:
                _replace(left, name, weight, f"{name}_g", f"{name}_v")
                found.append(name)
    return found


def _spectral_norms(left: dict[str, Tensor]) -> list[str]:
    found = []
    for name in [key.removesuffix("_u") for key in left if key.endswith("_u")]:
        original, u = left.get(f"{name}_orig"), left.get(f"{name}_u")
        if original is not None and u is not None:
            weight = _spectral_norm(original, u, left.get(f"{name}_v"))
            if weight is not None:
                _replace(left, name, weight, *(f"{name}_{part}" for part in ("orig", "u", "v")))
                found.append(name)
    return found


def _parametrised(left: dict[str, Tensor]) -> list[str]:
    """Undoes ``torch.nn.utils.parametrize``, whose names say what the tensors are."""
    groups: dict[str, dict[str, str]] = {}
    for key in left:
        match = _PARAMETRISED.fullmatch(key)
        if match:
            groups.setdefault(match["owner"] + match["leaf"], {})[match["part"]] = key
    for name, keys in groups.items():
        parts = {part: left[key] for part, key in keys.items()}
        weight = _of_parts(parts)
        if weight is None:
            raise IncompatibleModel(
                f"tensor '{clean(name)}' has a parametrisation that is not undone here "
                f"({listed(parts)}); call torch.nn.utils.parametrize.remove_parametrizations("
                f"module, '{clean(name.rpartition('.')[2])}') and save the state_dict again"
            )
        _replace(left, name, weight, *keys.values())
    return list(groups)


def _of_parts(parts: Mapping[str, Tensor]) -> Tensor | None:
    kinds: tuple[tuple[set[str], Callable[[], Tensor | None]], ...] = (
        ({"original0", "original1"}, lambda: _weight_norm(parts["original0"], parts["original1"])),
        ({"original", "0._u", "0._v"},
         lambda: _spectral_norm(parts["original"], parts["0._u"], parts["0._v"])),
        ({"original", "0.mask"}, lambda: _product(parts["original"], parts["0.mask"])),
        ({"original"}, lambda: _normalised(parts["original"])),
    )  # fmt: skip
    return next((compute() for names, compute in kinds if parts.keys() == names), None)


def _product(original: Tensor, mask: Tensor) -> Tensor | None:
    return original * mask if original.shape == mask.shape else None


def _normalised(original: Tensor) -> Tensor | None:
    """Spectral norm of a vector keeps no buffers: it is the vector at length one."""
    if original.ndim != 1 or not original.is_floating_point():
        return None
    normalised: Tensor = torch.nn.functional.normalize(original, dim=0)
    return normalised


def _weight_norm(magnitude: Tensor, direction: Tensor) -> Tensor | None:
    """Returns ``g * v / |v|``, the norm taken over the axes along which ``g`` has size 1."""
    if not (magnitude.is_floating_point() and direction.is_floating_point()):
        return None
    if magnitude.numel() == 1:
        whole: Tensor = magnitude.reshape(()) * direction / torch.linalg.vector_norm(direction)
        return whole
    if magnitude.ndim != direction.ndim:
        return None
    pairs = list(zip(magnitude.shape, direction.shape, strict=True))
    if any(own not in (1, size) for own, size in pairs):
        return None
    axes = [axis for axis, (own, _) in enumerate(pairs) if own == 1]
    if not axes:
        return magnitude * direction.sign()
    norm: Tensor = torch.linalg.vector_norm(direction, dim=axes, keepdim=True)
    return magnitude * direction / norm


def _spectral_norm(original: Tensor, u: Tensor, v: Tensor | None) -> Tensor | None:
    """Divides by the largest singular value, as the stored vectors estimate it."""
    axis = next((axis for axis, size in enumerate(original.shape) if size == u.numel()), None)
    real = all(part is None or part.is_floating_point() for part in (original, u, v))
    if axis is None or not real or u.ndim != 1 or original.ndim < 2:
        return None
    matrix = original.movedim(axis, 0).flatten(1)  # (len(u), others)
    if v is None:
        v = torch.nn.functional.normalize(matrix.T @ u, dim=0)
    if v.shape != matrix.shape[1:]:
        return None
    return original / torch.dot(u, matrix @ v)


def _dequantised(left: dict[str, Tensor], kinds: tuple[torch.dtype, ...]) -> list[str]:
    packed = next((key for key in left if _PACKED.search(key) and not _one_each(key, left)), None)
    if packed is not None:
        raise IncompatibleModel(
            f"tensor '{clean(packed)}' holds several quantised weights in one number, which is "
            "not unpacked here; save the state_dict of the dequantised network"
        )
    found = []
    for key in [key for key, tensor in left.items() if tensor.ndim and tensor.dtype in kinds]:
        for name in _names_of(key):
            parts = _scale_of(name, left) if key in left else None
            if parts is None or key in parts:
                continue
            weight = _scaled(left, key, *parts)
            if weight is not None:
                _replace(left, name, weight, key, *(part for part in parts if part))
                found.append(name)
                break
    return found


def _one_each(key: str, left: Mapping[str, Tensor]) -> bool:
    """Whether integers that are called as packed ones are hold one weight each."""
    owner, _, leaf = key.rpartition(".")
    unpacked = left[key].dtype in (torch.int8, torch.uint8)
    return leaf == "qweight" and unpacked and f"{owner}.qzeros".lstrip(".") not in left


def _names_of(key: str) -> Iterator[str]:
    """Yields what a weight may be called whose integers are called ``key``."""
    owner, dot, leaf = key.rpartition(".")
    if leaf in _INTEGER_LEAVES:
        yield f"{owner}{dot}weight"
    yield from (key.removesuffix(suffix) for suffix in _INTEGERS if key.endswith(suffix))


def _scale_of(name: str, left: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """Returns the names of a weight's scale and zero point, the latter empty if there is none."""
    owner = name.rpartition(".")[0]
    words = {"name": name, "owner": f"{owner}." if owner else ""}
    known = [text.format(**words) for text in (*_SCALES, _ROW_MAXIMA)]
    scale = next((text for text in known if text in left), None)
    if scale is None or not left[scale].is_floating_point():
        return None
    zeros = (text.format(**words) for text in _ZEROS)
    return scale, next((text for text in zeros if text in left), "")


def _scaled(left: Mapping[str, Tensor], key: str, scale: str, zero: str) -> Tensor | None:
    values = left[key].float()
    factor = _spread(left[scale].float(), values)
    if factor is None:
        return None
    if scale.endswith("SCB"):
        factor = factor / 127
    if not zero and left[key].dtype == torch.uint8:
        return None  # without a sign, these are shifted by what the file does not say
    if zero:
        shift = _spread(left[zero].float(), values)
        if shift is None:
            return None
        values = values - shift
    return values * factor


def _spread(parts: Tensor, values: Tensor) -> Tensor | None:
    """Repeats one number, one a channel or one a block until there is one for each value."""
    if parts.numel() == 1:
        return parts.reshape(())
    if parts.ndim == 1 and values.ndim > 1:
        axis = next((axis for axis, size in enumerate(values.shape) if size == len(parts)), None)
        if axis is None:
            return None
        parts = parts.reshape([len(parts) if at == axis else 1 for at in range(values.ndim)])
    while parts.ndim > values.ndim and parts.shape[-1] == 1:
        parts = parts.squeeze(-1)
    rows = values.shape[:1] + (1,) * (parts.ndim - 1)
    if parts.ndim < values.ndim and parts.shape in (values.shape[: parts.ndim], rows):
        parts = parts.reshape(*parts.shape, *[1] * (values.ndim - parts.ndim))
    if parts.ndim != values.ndim:
        return None
    for axis, size in enumerate(values.shape):
        blocks = parts.shape[axis]
        if blocks not in (1, size):
            if not blocks or size % blocks:
                return None
            parts = parts.repeat_interleave(size // blocks, dim=axis)
    return parts


def _replace(left: dict[str, Tensor], name: str, weight: Tensor, *parts: str) -> None:
    """Puts a computed weight in the place of its parts."""
    for part in parts:
        left.pop(part, None)
    left[name] = weight
