"""What changed between two networks, tensor by tensor: how much, and how.

    for change in diff(ours, theirs).changes:
        change.name, change.kind, change.relative, change.note

Kinds, the first that fits: ``unchanged``; ``rounded`` (to half precision, bfloat16 or a grid of so
many bits); ``pruned`` (new zeros, the rest as it was); ``reordered`` (the same numbers at other
places) and ``rescaled`` (rows and channels multiplied); ``low rank`` (the difference has far
fewer dimensions than the weight, as LoRA leaves it); ``all``; ``not finite``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fingerprint.network.model import Model
from fingerprint.weights.comparison import Comparison, compare
from fingerprint.weights.matching import balanced
from fingerprint.weights.pairing import in_order

__all__ = ["KINDS", "Change", "Difference", "diff"]

KINDS = (
    "unchanged",
    "rounded",
    "pruned",
    "reordered",
    "rescaled",
    "low rank",
    "all",
    "not finite",
)
_BITS = range(2, 9)
_EXACT = 1e-4
_FEW = 16  # numbers that lie on a grid by chance
_ROUNDS = 60
_LOW = 4
"""A difference whose rank is below the full one by this factor is of low rank."""
_SIDE = 1024
"""Ranks are computed for as many rows and columns; of more, those of a part."""
_SEED = 12


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happened to one tensor.

    Attributes:
        name: Its name in our network.
        theirs: Its name in theirs.
        shape: Its shape.
        kind: One of :data:`KINDS`.
        relative: Norm of the difference by the norm of ours; None where one is not finite.
        note: How, in a few words; may be empty.
        zeros: Share of entries that became zero.
        rank: Of the difference as a matrix, where it was computed.
        full_rank: The most it could be.
        bits: Of the grid it was rounded to.
    """

    name: str
    theirs: str
    shape: tuple[int, ...]
    kind: str
    relative: float | None
    note: str = ""
    zeros: float = 0.0
    rank: int | None = None
    full_rank: int | None = None
    bits: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {**vars(self), "shape": list(self.shape)}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What changed between two networks.

    Attributes:
        changes: Paired tensors, in our order.
        only_ours: Names of tensors that theirs has no counterpart of.
        only_theirs: Names of tensors that ours has no counterpart of.
        weights: Whether they share weights at all.
    """

    changes: tuple[Change, ...]
    only_ours: tuple[str, ...]
    only_theirs: tuple[str, ...]
    weights: Comparison

    @property
    def counts(self) -> dict[str, int]:
        """How many tensors there are of each kind."""
        found = Counter(change.kind for change in self.changes)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        weights = self.weights
        return {
            "counts": self.counts,
            "changes": [change.to_dict() for change in self.changes],
            "only_ours": list(self.only_ours),
            "only_theirs": list(self.only_theirs),
            "weights": {
                "p_value": weights.p_value,
                "share": weights.share,
                "units": weights.units,
                "agree": weights.agree,
                "rotated": weights.rotated,
                "layers": [layer.to_dict() for layer in weights.layers],
            },
        }


def diff(ours: Model, theirs: Model) -> Difference:
    """Compares two networks tensor by tensor.

    Tensors are paired by name where shapes agree, else the first 4096 of them in order by shape.

    Args:
        ours: What was before.
        theirs: What it may have become.

    Raises:
        IncompatibleModel: One of them does not run.
    """
    one, other = _floats(ours), _floats(theirs)
    pairs = {name: name for name, t in one.items() if name in other and _fits(t, other[name])}
    left = [name for name in one if name not in pairs]
    right = [name for name in other if name not in pairs]
    found = in_order([one[n].shape for n in left], [other[n].shape for n in right])
    pairs |= {left[i]: right[j] for i, j in found}
    taken = set(pairs.values())
    return Difference(
        changes=tuple(_change(n, pairs[n], one[n], other[pairs[n]]) for n in one if n in pairs),
        only_ours=tuple(name for name in one if name not in pairs),
        only_theirs=tuple(name for name in other if name not in taken),
        weights=compare(ours, theirs),
    )


def _fits(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape


def _floats(model: Model) -> Mapping[str, Tensor]:
    return {
        name: tensor.detach().float().cpu()
        for name, tensor in model.module.state_dict().items()
        if tensor.is_floating_point() and tensor.numel()
    }


def _change(name: str, theirs: str, one: Tensor, other: Tensor) -> Change:
    moved = other - one
    finite = bool(torch.isfinite(moved).all())
    relative = _norm(moved) / max(_norm(one), 1e-30) if finite else None
    kind, more = _kind(one, other, moved) if finite else ("not finite", {})
    shape = tuple(one.shape)
    return Change(name=name, theirs=theirs, shape=shape, kind=kind, relative=relative, **more)


def _norm(tensor: Tensor) -> float:
    """Returns a norm whose squares are never infinite."""
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64))


def _kind(one: Tensor, other: Tensor, moved: Tensor) -> tuple[str, dict[str, Any]]:
    """Returns the first kind that fits, and what there is to say of it."""
    if torch.equal(one, other):
        return "unchanged", {}
    tests: Sequence[tuple[str, Callable[..., dict[str, Any] | None]]] = (
        ("rounded", _rounded),
        ("pruned", _pruned),
        ("reordered", _reordered),
        ("rescaled", _rescaled),
        ("low rank", _low_rank),
    )
    for kind, test in tests:
        found = test(one, other, moved)
        if found is not None:
            return kind, found
    zeros = _new_zeros(one, other)
    return "all", {"zeros": zeros, "note": f"{zeros:.0%} new zeros" if zeros >= 0.01 else ""}


def _new_zeros(one: Tensor, other: Tensor) -> float:
    return float(((other == 0) & (one != 0)).float().mean())


def _same_numbers(one: Tensor, other: Tensor) -> bool:
    ours, theirs = one.flatten().sort().values, other.flatten().sort().values
    return _norm(ours - theirs) <= _EXACT * _norm(ours)


def _reordered(one: Tensor, other: Tensor, moved: Tensor) -> dict[str, Any] | None:
    far = _norm(moved) > 10 * _EXACT * _norm(one)
    return {} if one.numel() > 1 and far and _same_numbers(one, other) else None


def _rescaled(one: Tensor, other: Tensor, moved: Tensor) -> dict[str, Any] | None:
    del moved
    if one.ndim < 2 or min(one.shape[:2]) < 2:
        return None
    ours, theirs = (
        torch.from_numpy(balanced(t.reshape(len(t), t.shape[1], -1).numpy(), _ROUNDS))
        for t in (one, other)
    )
    if _norm(ours - theirs) <= 10 * _EXACT * _norm(ours):
        return {}
    return {"note": "reordered too"} if _same_numbers(ours, theirs) else None


def _rounded(one: Tensor, other: Tensor, moved: Tensor) -> dict[str, Any] | None:
    for dtype, label in ((torch.float16, "float16"), (torch.bfloat16, "bfloat16")):
        if torch.equal(one.to(dtype).float(), other):
            return {"note": label, "bits": 16}
    for rows, where in ((one.flatten(1) if one.ndim > 1 else None, "row"), (one[None], "tensor")):
        if rows is None:
            continue
        values, change = (t.reshape(len(rows), -1) for t in (other, moved))
        for bits in _BITS:
            if values.numel() >= _FEW and _on_grid(values, change, bits):
                return {"note": f"{bits} bits, a step for each {where}", "bits": bits}
    return None


def _on_grid(values: Tensor, change: Tensor, bits: int) -> bool:
    """Whether rows lie on even steps that explain how far they moved."""
    largest, least = values.amax(1, keepdim=True), values.amin(1, keepdim=True)
    grids = (
        (values.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1), torch.zeros_like(least)),
        ((largest - least) / (2**bits - 1), least),
    )
    for step, start in grids:
        places = (values - start) / step.clamp_min(1e-30)
        even = ((places - places.round()).abs() < 1e-2).float().mean()
        near = (change.abs() <= 0.51 * step + 1e-12).float().mean()
        if even > 0.999 and near > 0.99:
            return True
    return False


def _pruned(one: Tensor, other: Tensor, moved: Tensor) -> dict[str, Any] | None:
    del moved
    gone = (other == 0) & (one != 0)
    if not bool(gone.any()) or not torch.equal(one[~gone], other[~gone]):
        return None
    share = float(gone.float().mean())
    return {"zeros": share, "note": f"{share:.0%} new zeros"}


def _low_rank(one: Tensor, other: Tensor, moved: Tensor) -> dict[str, Any] | None:
    del other
    if one.ndim < 2:
        return None
    matrix, scale = _part(moved.flatten(1)), float(one.abs().max())
    full = min(matrix.shape)
    values = torch.linalg.svdvals(matrix.double())
    # Adding the two in float32 leaves noise of this size in every direction.
    noise = torch.finfo(torch.float32).eps * scale * sum(math.sqrt(side) for side in matrix.shape)
    rank = int((values > max(2 * noise, _EXACT * float(values[0]))).sum())
    if rank == 0 or full < 2 * _LOW or _LOW * rank > full:
        return None
    return {"rank": rank, "full_rank": full, "note": f"rank {rank} of {full}"}


def _part(matrix: Tensor) -> Tensor:
    """Returns rows and columns drawn at random where there are too many of them."""
    generator = torch.Generator().manual_seed(_SEED)
    for axis, side in enumerate(matrix.shape):
        if side > _SIDE:
            chosen = torch.randperm(side, generator=generator)[:_SIDE]
            matrix = matrix.index_select(axis, chosen)
    return matrix
