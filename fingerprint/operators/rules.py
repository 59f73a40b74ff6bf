"""Which elementary operations are affine, and the linear part of each.

A rule takes one call and the tensor that varies in it, and returns the linear map from that
tensor to the result, or None where the operation is not affine after all (an average over a
variable number of entries, a BatchNorm in training mode). Operations without a rule count as
not affine: whatever keeps their inputs keeps their outputs, so nothing false can follow.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.call import Call
from fingerprint.operators.mixing_rules import (
    averaged,
    by_calling,
    convolved,
    multiplied_by_matrix,
    reduced,
    resized,
)
from fingerprint.operators.moving_rules import (
    added,
    batch_normed,
    concatenated,
    divided,
    moved,
    multiplied,
    negated,
    padded,
    permute,
    reshape,
    sliced,
    subtracted,
)

__all__ = ["JOINT", "RULES", "SILENT", "linear_part"]

Rule = Callable[[Call], LinearOperator | None]


def linear_part(call: Call) -> LinearOperator | None:
    """Returns the linear map from a call's variable to its result, or None if not affine."""
    rule = RULES.get(call.name)
    if rule is None or not call.variable.meta["val"].is_floating_point():
        return None
    try:
        operator = rule(call)
        if operator is None or operator.out_shape != call.out_shape or not _agrees(call, operator):
            return None
    except (UsageError, RuntimeError, KeyError, TypeError, ValueError):
        # A form of the operation the rule was not written for: not affine is always safe.
        return None
    return operator


def _agrees(call: Call, operator: LinearOperator) -> bool:
    """Whether the operation itself, run on noise, gives what the operator gives.

    An operator that is wrong would make harmful perturbations pass for harmless, so no rule is
    taken at its word: not on forms of an operation that a later torch may add, either.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(call.in_shape, generator=generator, dtype=torch.float64)
    noise = noise.to(call.device, call.dtype)
    with torch.no_grad():
        answer = call.evaluate(noise)
        expected = (answer - call.evaluate(torch.zeros_like(noise))).to(call.dtype)
    size = float(answer.abs().max()) + 1.0
    tolerance = 1e3 * max(torch.finfo(answer.dtype).eps, torch.finfo(call.dtype).eps) * size
    return float((operator.matvec(noise) - expected).abs().max()) <= min(tolerance, 0.1 * size)


def _table(rule: Rule, names: str) -> dict[str, Rule]:
    return {f"aten.{name}": rule for name in names.split()}


_MOVES = _table(
    moved,
    "channel_shuffle diagonal_copy flip gather im2col index index_put index_select "
    "masked_fill narrow_copy pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d "
    "reflection_pad3d repeat replication_pad1d replication_pad2d replication_pad3d roll scatter "
    "select select_scatter slice_scatter split split_with_sizes stack tril triu unbind unfold "
    "where copy",
)
_RESHAPES = _table(
    reshape,
    "_reshape_alias _to_copy _unsafe_view alias clone contiguous detach expand flatten "
    "lift_fresh lift_fresh_copy reshape squeeze unsqueeze view view_copy",
)
_PERMUTATIONS = _table(permute, "permute t transpose")

RULES: dict[str, Rule] = {
    **_MOVES,
    **_RESHAPES,
    **_PERMUTATIONS,
    **_table(padded, "constant_pad_nd"),
    **_table(sliced, "slice"),
    **_table(concatenated, "cat"),
    **_table(added, "add"),
    **_table(subtracted, "sub rsub"),
    **_table(multiplied, "mul"),
    **_table(divided, "div"),
    **_table(negated, "neg"),
    **_table(
        batch_normed,
        "_native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm "
        "miopen_batch_norm native_batch_norm",
    ),
    **_table(convolved, "convolution"),
    **_table(multiplied_by_matrix, "addmm bmm linear mm"),
    **_table(reduced, "mean sum"),
    **_table(
        averaged,
        "_adaptive_avg_pool2d _adaptive_avg_pool3d avg_pool1d avg_pool2d avg_pool3d",
    ),
    **_table(
        resized,
        "_upsample_bicubic2d_aa _upsample_bilinear2d_aa upsample_bicubic2d upsample_bilinear2d "
        "upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d "
        "upsample_trilinear3d",
    ),
    **_table(by_calling, "col2im cumsum mv"),
}
"""Rule of each affine operation, by its name without overload."""

JOINT = frozenset(
    _table(
        moved,
        "add cat copy index_put scatter select_scatter slice_scatter stack sub rsub where",
    )
)
"""Operations that are affine in all their tensors together, not only in each of them."""

SILENT = frozenset(
    {
        *_MOVES,
        *_RESHAPES,
        *_PERMUTATIONS,
        *_table(moved, "add cat rsub slice sub"),
        "getitem",
    }
)
"""Operations that are not worth naming when a segment is described."""
