"""A convolution layer in one, two or three dimensions, never built as a matrix.

    operator = Convolution(weight, (3, 32, 32), stride=2, padding=1)
    operator.matvec(x)      # (..., 3, 32, 32) -> (..., C_out, 16, 16)

Zero padding is part of the operator; circular, reflecting and replicating padding are entries
moved in front of an unpadded convolution. Where windows do not overlap, as in the patch embedding
of a vision transformer, the matrix is block diagonal with one repeated block: the kernel.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator

__all__ = ["Convolution", "Padding", "per_axis"]

Padding = int | Sequence[int | tuple[int, int]]
"""One number, one per axis, or ``(before, after)`` per axis."""

_FORWARD = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


def per_axis(name: str, value: int | Sequence[int], axes: int, *, least: int) -> tuple[int, ...]:
    """Spreads one number over all axes and checks that each is at least ``least``.

    Raises:
        UsageError: Another number of values than axes, or one below ``least``.
    """
    values = (value,) * axes if isinstance(value, int) else tuple(int(v) for v in value)
    if len(values) == 1:
        values = values * axes
    if len(values) != axes or min(values) < least:
        raise UsageError(f"{name}: expected 1 or {axes} integers of at least {least}, got {value}")
    return values


class Convolution(LinearOperator):
    """Cross-correlation with zero padding, as torch's convolution layers compute it.

    Attributes:
        weight: Shape ``(C_out, C_in / groups, *kernel)``; sets dtype and device.
        stride: One per axis.
        padding: ``(before, after)`` per axis.
        dilation: One per axis.
        groups: How many groups of channels do not see each other.
    """

    def __init__(
        self,
        weight: Tensor,
        in_shape: tuple[int, ...],
        *,
        stride: int | Sequence[int] = 1,
        padding: Padding = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> None:
        """Takes the kernel and the shape of one input ``(C_in, *sizes)``.

        Raises:
            UsageError: A setting is out of range, the channels do not fit the kernel, or the
                kernel is larger than the padded input.
        """
        axes = weight.ndim - 2
        if axes not in _FORWARD or not weight.is_floating_point() or weight.numel() == 0:
            raise UsageError(
                "convolution weight: expected a non-empty floating-point tensor "
                f"(C_out, C_in/groups, 1-3 kernel sizes), got {tuple(weight.shape)} "
                f"of {weight.dtype}"
            )
        if groups < 1 or weight.shape[0] % groups or len(in_shape) != axes + 1:
            raise UsageError(
                f"convolution: expected input (C, {axes} sizes) and groups dividing "
                f"{weight.shape[0]} outputs, got {tuple(in_shape)} and {groups} groups"
            )
        if in_shape[0] != weight.shape[1] * groups:
            raise UsageError(
                f"convolution: expected {weight.shape[1] * groups} input channels, "
                f"got {in_shape[0]}"
            )
        self.weight = weight.detach()
        self.groups = groups
        self.stride = per_axis("stride", stride, axes, least=1)
        self.dilation = per_axis("dilation", dilation, axes, least=1)
        self.padding = self._pairs(padding, axes)
        sizes = [self._out_size(axis, in_shape[axis + 1]) for axis in range(axes)]
        super().__init__(
            in_shape, (weight.shape[0], *sizes), dtype=weight.dtype, device=weight.device
        )

    @property
    def kernel(self) -> tuple[int, ...]:
        """Number of taps per axis."""
        return tuple(self.weight.shape[2:])

    @property
    def extent(self) -> tuple[int, ...]:
        """Pixels from a window's first tap to its last, dilation included, per axis."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def is_patchwise(self) -> bool:
        """Whether windows do not overlap and nothing is padded."""
        unpadded = all(pair == (0, 0) for pair in self.padding)
        apart = all(s >= e for s, e in zip(self.stride, self.extent, strict=True))
        return unpadded and apart

    def _forward(self, x: Tensor) -> Tensor:
        if any(pair != (0, 0) for pair in self.padding):
            x = functional.pad(x, _last_axis_first(self.padding))
        y: Tensor = _FORWARD[len(self.kernel)](
            x, self.weight, None, self.stride, 0, self.dilation, self.groups
        )
        return y

    def _transpose(self, y: Tensor) -> Tensor:
        full = _TRANSPOSED[len(self.kernel)](
            y,
            self.weight,
            stride=self.stride,
            dilation=self.dilation,
            groups=self.groups,
        )
        # The full result starts at the first padded pixel and ends with the last window: fill up
        # to the last pixel, which windows within the padding do not reach, then cut to the input.
        filled = [
            (0, max(size + before - reached, 0))
            for (before, _), size, reached in zip(
                self.padding, self.in_shape[1:], full.shape[2:], strict=True
            )
        ]
        whole = functional.pad(full, _last_axis_first(filled))
        for axis, ((before, _), size) in enumerate(
            zip(self.padding, self.in_shape[1:], strict=True), start=2
        ):
            whole = whole.narrow(axis, before, size)
        return whole

    def _pairs(self, padding: Padding, axes: int) -> tuple[tuple[int, int], ...]:
        values = (padding,) if isinstance(padding, int) else tuple(padding)
        values = values * axes if len(values) == 1 else values
        pairs = [(v, v) if isinstance(v, int) else tuple(v) for v in values]
        amounts = list(itertools.chain(*pairs))
        if len(pairs) != axes or len(amounts) != 2 * axes or min(amounts) < 0:
            raise UsageError(f"padding: expected {axes} non-negative numbers, got {padding}")
        return tuple((int(before), int(after)) for before, after in pairs)

    def _out_size(self, axis: int, size: int) -> int:
        padded = size + sum(self.padding[axis])
        if size < 1 or padded < self.extent[axis]:
            raise UsageError(
                f"convolution: expected at least {self.extent[axis]} pixels on axis {axis} "
                f"after padding, got {padded}; the kernel is larger than the input"
            )
        return (padded - self.extent[axis]) // self.stride[axis] + 1


def _last_axis_first(pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Arranges ``(before, after)`` per axis as ``torch.nn.functional.pad`` takes it."""
    return [amount for pair in reversed(pairs) for amount in pair]
