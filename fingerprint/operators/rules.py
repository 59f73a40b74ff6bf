"""Which elementary operations are affine, and the linear part of each.

A rule takes one call and the tensor that varies in it, and returns the linear map from that
tensor to the result, or None where the operation is not affine after all (an average over a
variable number of entries, a BatchNorm in training mode). Operations without a rule count as
not affine: whatever keeps their inputs keeps their outputs, so nothing false can follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.call import Call
from fingerprint.operators.composed import Repeated
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.normalization import Diagonal, batch_norm
from fingerprint.operators.pooling import Pooling, adaptive_average_pooling, average_pooling
from fingerprint.operators.reshape import Gather, Pad, Permute, Reshape, Select
from fingerprint.operators.simplify import compose
from fingerprint.operators.traced import Traced

__all__ = ["JOINT", "RULES", "SILENT", "linear_part"]

Rule = Callable[[Call], LinearOperator | None]


def linear_part(call: Call) -> LinearOperator | None:
    """Returns the linear map from a call's variable to its result, or None if not affine."""
    rule = RULES.get(call.name)
    if rule is None or not call.variable.meta["val"].is_floating_point():
        return None
    try:
        operator = rule(call)
    except (UsageError, RuntimeError, KeyError, TypeError, ValueError):
        # A form of the operation the rule was not written for: not affine is always safe.
        return None
    if operator is None or operator.out_shape != call.out_shape:
        return None
    return operator


# ---- entries moved ----


def _reshape(call: Call) -> LinearOperator | None:
    if "dtype" in call.arguments and call.name == "aten.view":
        return None  # reads the bits as another type
    if call.entries != math.prod(call.out_shape):
        return _moved(call)
    return Reshape(call.in_shape, call.out_shape, dtype=call.dtype, device=call.device)


def _permute(call: Call) -> LinearOperator | None:
    rank = len(call.in_shape)
    order = list(range(rank))
    if call.name == "aten.permute":
        order = list(call.axes("dims"))
    elif call.name == "aten.t":
        order.reverse()
    else:
        first, second = call.number("dim0") % rank, call.number("dim1") % rank
        order[first], order[second] = order[second], order[first]
    return Permute(call.in_shape, order, dtype=call.dtype, device=call.device)


def _moved(call: Call) -> LinearOperator | None:
    """Reads off where each entry comes from by moving the numbers 1, 2, 3, ..."""
    labels = torch.arange(1, call.entries + 1, dtype=torch.float64, device=call.device)
    labels = labels.reshape(call.in_shape)
    moved = call.evaluate(labels) - call.evaluate(torch.zeros_like(labels))
    index = moved.round().to(torch.int64) - 1
    if not torch.equal(moved, moved.round()) or int(index.min()) < -1:
        return None
    return Gather(call.in_shape, index, dtype=call.dtype)


def _padded(call: Call) -> LinearOperator | None:
    widths = list(call.number("pad"))
    if min(widths, default=0) < 0:
        return _moved(call)
    pairs = list(zip(widths[::2], widths[1::2], strict=True))[::-1]
    amounts = [(0, 0)] * (len(call.in_shape) - len(pairs)) + pairs
    return _lead_dropped(
        call, lambda shape: Pad(shape, amounts[-len(shape) :], dtype=call.dtype, device=call.device)
    )


def _sliced(call: Call) -> LinearOperator | None:
    axis = call.number("dim") % len(call.in_shape)
    cuts = [slice(None)] * len(call.in_shape)
    cuts[axis] = slice(call.number("start"), call.number("end"), call.number("step"))
    return Select(call.in_shape, cuts, dtype=call.dtype, device=call.device)


def _concatenated(call: Call) -> LinearOperator | None:
    axis = call.number("dim", 0) % len(call.out_shape)
    tensors = call.arguments["tensors"]
    place = call.place[1]
    assert place is not None
    before = sum(tensor.meta["val"].shape[axis] for tensor in tensors[:place])
    after = call.out_shape[axis] - before - call.in_shape[axis]
    amounts = [(0, 0)] * len(call.in_shape)
    amounts[axis] = (before, after)
    return Pad(call.in_shape, amounts, dtype=call.dtype, device=call.device)


# ---- entries scaled ----


def _broadcast(call: Call, factor: Tensor | float = 1.0) -> LinearOperator:
    """Multiplies the variable, spread to the result's shape, by a constant."""
    shape = call.out_shape
    steps: list[LinearOperator] = []
    if call.in_shape != shape:
        if call.entries == math.prod(shape):
            steps = [Reshape(call.in_shape, shape, dtype=call.dtype, device=call.device)]
        else:
            labels = torch.arange(call.entries, device=call.device).reshape(call.in_shape)
            steps = [Gather(call.in_shape, labels.expand(shape), dtype=call.dtype)]
    scale = torch.as_tensor(factor, dtype=call.dtype, device=call.device)
    if scale.numel() == 1 and float(scale) == 1.0:
        return steps[0] if steps else _identity(call)
    scale = scale.reshape((1,) * (len(shape) - scale.ndim) + tuple(scale.shape))
    if len(shape) > 1 and shape[0] == 1:
        inner = shape[1:]
        steps = [
            _shaped(call, inner, shape),
            Diagonal(scale[0], inner),
            _shaped(call, shape, inner),
            *steps,
        ]
    else:
        steps = [Diagonal(scale, shape), *steps]
    return compose(*steps)


def _added(call: Call) -> LinearOperator | None:
    factor = 1.0 if call.place[0] == "self" else float(call.number("alpha", 1))
    return _broadcast(call, factor)


def _subtracted(call: Call) -> LinearOperator | None:
    # rsub computes other - alpha * self, sub computes self - alpha * other
    scaled = "self" if call.name == "aten.rsub" else "other"
    factor = -float(call.number("alpha", 1)) if call.place[0] == scaled else 1.0
    return _broadcast(call, factor)


def _multiplied(call: Call) -> LinearOperator | None:
    return _broadcast(call, call.number("other" if call.place[0] == "self" else "self"))


def _divided(call: Call) -> LinearOperator | None:
    if call.place[0] != "self" or call.number("rounding_mode") is not None:
        return None
    other = call.number("other")
    return _broadcast(call, 1 / torch.as_tensor(other, dtype=call.dtype, device=call.device))


def _negated(call: Call) -> LinearOperator | None:
    return _broadcast(call, -1.0)


def _batch_normed(call: Call) -> LinearOperator | None:
    frozen = call.name == "aten._native_batch_norm_legit_no_training"
    if call.place[0] != "input" or call.item != 0 or call.number("training", not frozen):
        return None
    eps = call.number("eps", call.number("epsilon"))
    variance, weight = call.number("running_var"), call.number("weight")
    return _lead_dropped(call, lambda shape: batch_norm(shape, variance, weight, eps))


# ---- entries mixed ----


def _convolved(call: Call) -> LinearOperator | None:
    if call.place[0] != "input":
        return None
    if call.number("transposed"):
        return _by_calling(call)
    weight = call.number("weight")
    return _lead_dropped(
        call,
        lambda shape: Convolution(
            weight,
            shape,
            stride=list(call.number("stride")),
            padding=list(call.number("padding")),
            dilation=list(call.number("dilation")),
            groups=call.number("groups"),
        ),
    )


def _matrix(call: Call) -> LinearOperator | None:
    """Products with a constant matrix on either side; batches only if all share one matrix."""
    if call.place[0] == "self" and call.name == "aten.addmm":
        return _broadcast(call, float(call.number("beta", 1)))
    left, right = {
        "aten.addmm": ("mat1", "mat2"),
        "aten.bmm": ("self", "mat2"),
        "aten.linear": ("input", "weight"),
        "aten.mm": ("self", "mat2"),
    }[call.name]
    from_left = call.place[0] == left
    if not from_left and call.name == "aten.linear":
        return None
    matrix = call.number(right if from_left else left) * float(call.number("alpha", 1))
    if matrix.ndim == 3:
        if not bool((matrix == matrix[:1]).all()):
            return _by_calling(call)
        matrix = matrix[0]
    if from_left:
        matrix = matrix if call.name == "aten.linear" else matrix.T
        return _repeated(call, Dense(matrix), call.in_shape[:-1])
    rank = len(call.in_shape)
    swap = (*range(rank - 2), rank - 1, rank - 2)
    turned = Permute(call.in_shape, swap, dtype=call.dtype, device=call.device)
    mixed = _repeated(call, Dense(matrix), turned.out_shape[:-1])
    back = Permute(mixed.out_shape, swap, dtype=call.dtype, device=call.device)
    return compose(back, mixed, turned)


def _reduced(call: Call) -> LinearOperator | None:
    """Mean or sum over some axes."""
    axes = call.axes()
    kept = [axis for axis in range(len(call.in_shape)) if axis not in axes]
    turned = Permute(call.in_shape, (*kept, *axes), dtype=call.dtype, device=call.device)
    factors = []
    for axis in axes:
        size = call.in_shape[axis]
        entry = 1 / size if call.name == "aten.mean" else 1.0
        factors.append(torch.full((1, size), entry, dtype=call.dtype, device=call.device))
    pooled = Pooling(factors, turned.out_shape)
    shaped = _shaped(call, pooled.out_shape, call.out_shape)
    in_order = (*kept, *axes) == tuple(range(len(call.in_shape)))
    return compose(shaped, pooled) if in_order else compose(shaped, pooled, turned)


def _averaged(call: Call) -> LinearOperator | None:
    dtype, device = call.dtype, call.device
    if "adaptive" in call.name:
        sizes = list(call.number("output_size"))
        return _lead_dropped(
            call,
            lambda shape: adaptive_average_pooling(shape, sizes, dtype=dtype, device=device),
        )
    kernel = list(call.number("kernel_size"))
    return _lead_dropped(
        call,
        lambda shape: average_pooling(
            shape,
            kernel,
            list(call.number("stride") or kernel),
            list(call.number("padding", [0])),
            ceil_mode=bool(call.number("ceil_mode", False)),
            count_include_pad=bool(call.number("count_include_pad", True)),
            divisor_override=call.number("divisor_override"),
            dtype=dtype,
            device=device,
        ),
    )


def _by_calling(call: Call) -> LinearOperator | None:
    """Keeps the operation itself, for those that are linear but have no class of their own."""
    return Traced(
        call.evaluate, call.in_shape, name=call.name, dtype=call.dtype, device=call.device
    )


# ---- shapes ----


def _shaped(call: Call, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Reshape:
    return Reshape(in_shape, out_shape, dtype=call.dtype, device=call.device)


def _identity(call: Call) -> Reshape:
    return _shaped(call, call.in_shape, call.in_shape)


def _lead_dropped(call: Call, make: Callable[[tuple[int, ...]], LinearOperator]) -> LinearOperator:
    """Makes an operator for one sample and repeats it along the first axis."""
    return _repeated(call, make(call.in_shape[1:]), call.in_shape[:1])


def _repeated(call: Call, operator: LinearOperator, times: Sequence[int]) -> LinearOperator:
    """Repeats an operator along leading axes; along axes of size 1 it is only reshaped."""
    times = tuple(times)
    if math.prod(times) != 1:
        return Repeated(operator, times)
    out = _shaped(call, operator.out_shape, (*times, *operator.out_shape))
    return compose(out, operator, _shaped(call, (*times, *operator.in_shape), operator.in_shape))


def _table(rule: Rule, names: str) -> dict[str, Rule]:
    return {f"aten.{name}": rule for name in names.split()}


_MOVES = _table(
    _moved,
    "channel_shuffle diagonal_copy flip gather im2col index index_put index_select "
    "masked_fill narrow_copy pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d "
    "reflection_pad3d repeat replication_pad1d replication_pad2d replication_pad3d roll scatter "
    "select select_scatter slice_scatter split split_with_sizes stack tril triu unbind unfold "
    "where copy",
)
_RESHAPES = _table(
    _reshape,
    "_reshape_alias _to_copy _unsafe_view alias clone contiguous detach expand flatten "
    "lift_fresh lift_fresh_copy reshape squeeze unsqueeze view view_copy",
)
_PERMUTATIONS = _table(_permute, "permute t transpose")

RULES: dict[str, Rule] = {
    **_MOVES,
    **_RESHAPES,
    **_PERMUTATIONS,
    **_table(_padded, "constant_pad_nd"),
    **_table(_sliced, "slice"),
    **_table(_concatenated, "cat"),
    **_table(_added, "add"),
    **_table(_subtracted, "sub rsub"),
    **_table(_multiplied, "mul"),
    **_table(_divided, "div"),
    **_table(_negated, "neg"),
    **_table(
        _batch_normed,
        "_native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm "
        "miopen_batch_norm native_batch_norm",
    ),
    **_table(_convolved, "convolution"),
    **_table(_matrix, "addmm bmm linear mm"),
    **_table(_reduced, "mean sum"),
    **_table(
        _averaged,
        "_adaptive_avg_pool2d _adaptive_avg_pool3d avg_pool1d avg_pool2d avg_pool3d",
    ),
    **_table(
        _by_calling,
        "_upsample_bicubic2d_aa _upsample_bilinear2d_aa col2im cumsum mv upsample_bicubic2d "
        "upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d "
        "upsample_nearest3d upsample_trilinear3d",
    ),
}
"""Rule of each affine operation, by its name without overload."""

JOINT = frozenset(
    _table(
        _moved,
        "add cat copy index_put scatter select_scatter slice_scatter stack sub rsub where",
    )
)
"""Operations that are affine in all their tensors together, not only in each of them."""

SILENT = frozenset(
    {
        *_MOVES,
        *_RESHAPES,
        *_PERMUTATIONS,
        *_table(_moved, "add cat rsub slice sub"),
        "getitem",
    }
)
"""Operations that are not worth naming when a segment is described."""
