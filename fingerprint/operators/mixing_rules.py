"""Rules for operations that mix entries: convolutions, matrices, averages, interpolation.

See :mod:`fingerprint.operators.rules` for what a rule is.
"""

from __future__ import annotations

import math

import torch

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.call import Call
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.moving_rules import broadcast
from fingerprint.operators.pooling import Pooling, adaptive_average_pooling, average_pooling
from fingerprint.operators.reshape import Permute
from fingerprint.operators.rule_shapes import lead_dropped, repeated, shaped
from fingerprint.operators.simplify import compose
from fingerprint.operators.traced import Traced

__all__ = ["averaged", "by_calling", "convolved", "multiplied_by_matrix", "reduced", "resized"]


def convolved(call: Call) -> LinearOperator | None:
    """Convolution with a constant kernel; a transposed one is kept as a function."""
    if call.place[0] != "input":
        return None
    if call.number("transposed"):
        return by_calling(call)
    weight = call.number("weight")
    return lead_dropped(
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


def multiplied_by_matrix(call: Call) -> LinearOperator | None:
    """Products with a constant matrix on either side; batches only if all share one matrix."""
    if call.place[0] == "self" and call.name == "aten.addmm":
        return broadcast(call, float(call.number("beta", 1)))
    left, right = {
        "aten.addmm": ("mat1", "mat2"),
        "aten.bmm": ("self", "mat2"),
        "aten.linear": ("input", "weight"),
        "aten.mm": ("self", "mat2"),
    }[call.name]
    from_left = call.place[0] == left
    if not from_left and call.name == "aten.linear":
        return None
    constant = call.number(right if from_left else left) * float(call.number("alpha", 1))
    if constant.ndim == 3:
        if not bool((constant == constant[:1]).all()):
            return by_calling(call)
        constant = constant[0]
    if from_left:
        rows = constant if call.name == "aten.linear" else constant.T
        return repeated(call, Dense(rows), call.in_shape[:-1])
    rank = len(call.in_shape)
    swap = (*range(rank - 2), rank - 1, rank - 2)
    turned = Permute(call.in_shape, swap, dtype=call.dtype, device=call.device)
    mixed = repeated(call, Dense(constant), turned.out_shape[:-1])
    back = Permute(mixed.out_shape, swap, dtype=call.dtype, device=call.device)
    return compose(back, mixed, turned)


def reduced(call: Call) -> LinearOperator | None:
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
    flat = shaped(call, pooled.out_shape, call.out_shape)
    in_order = (*kept, *axes) == tuple(range(len(call.in_shape)))
    return compose(flat, pooled) if in_order else compose(flat, pooled, turned)


def averaged(call: Call) -> LinearOperator | None:
    """Average pooling, adaptive or not."""
    dtype, device = call.dtype, call.device
    if "adaptive" in call.name:
        sizes = list(call.number("output_size"))
        return lead_dropped(
            call,
            lambda shape: adaptive_average_pooling(shape, sizes, dtype=dtype, device=device),
        )
    kernel = list(call.number("kernel_size"))
    return lead_dropped(
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


def resized(call: Call) -> LinearOperator | None:
    """Interpolation, read off one axis at a time where it acts on each axis by itself."""
    sizes = call.in_shape[2:]
    if max(sizes) * math.prod(sizes) > _LARGEST_PROBE:
        return by_calling(call)
    factors = []
    for axis, size in enumerate(sizes):
        # The weights of every other axis sum to one, so a ramp of ones there changes nothing.
        shape = [1, size, *(size if place == axis else 1 for place in range(len(sizes)))]
        lines = torch.eye(size, dtype=call.dtype, device=call.device).reshape(shape)
        lines = lines.expand(1, size, *sizes).contiguous()
        answer = call.evaluate(lines).movedim(2 + axis, 2).flatten(3)
        factors.append(answer[0, :, :, 0].T.contiguous())
    pooled = lead_dropped(call, lambda shape: Pooling(factors, shape))
    # Anti-aliasing and cubic weights are separable; whatever else is not is found out here.
    generator = torch.Generator().manual_seed(0)
    test = torch.randn(call.in_shape, generator=generator, dtype=call.dtype).to(call.device)
    close = torch.allclose(pooled.matvec(test), call.evaluate(test), rtol=1e-4, atol=1e-6)
    return pooled if close else by_calling(call)


_LARGEST_PROBE = 2**24
"""Most entries of a tensor that is made to read an interpolation off."""


def by_calling(call: Call) -> LinearOperator | None:
    """Keeps the operation itself, for those that are linear but have no class of their own."""
    return Traced(
        call.evaluate, call.in_shape, name=call.name, dtype=call.dtype, device=call.device
    )
