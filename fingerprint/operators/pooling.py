"""Average pooling: a small matrix along each axis.

Every average over windows, adaptive or not, padded or not, is separable: its matrix is the
Kronecker product of one small matrix per axis, and so is its null space's complement.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.batching import flatten_batch
from fingerprint.operators.convolution import per_axis

__all__ = ["Pooling", "adaptive_average_pooling", "average_pooling", "global_mean"]


class Pooling(LinearOperator):
    """One matrix along each of the last axes, the leading ones left alone.

    Attributes:
        factors: One matrix ``(o_i, n_i)`` for each of the last axes; they set dtype and device.
    """

    def __init__(self, factors: Sequence[Tensor], in_shape: tuple[int, ...]) -> None:
        """Takes the matrices and the shape of one input, such as ``(C, *sizes)``.

        Raises:
            UsageError: There is no matrix, or one does not fit its axis.
        """
        sizes = tuple(in_shape[len(in_shape) - len(factors) :])
        fits = 0 < len(factors) <= len(in_shape) and all(
            factor.ndim == 2 and factor.shape[1] == size and factor.shape[0] > 0
            for factor, size in zip(factors, sizes, strict=True)
        )
        if not fits:
            shapes = [tuple(factor.shape) for factor in factors]
            raise UsageError(f"pooling: expected a matrix per axis of {sizes}, got shapes {shapes}")
        lead = tuple(in_shape[: len(in_shape) - len(factors)])
        super().__init__(
            in_shape,
            (*lead, *(factor.shape[0] for factor in factors)),
            dtype=factors[0].dtype,
            device=factors[0].device,
        )
        self.factors = tuple(factor.detach() for factor in factors)

    def matvec(self, x: Tensor) -> Tensor:
        """Pools: ``(..., *in_shape)`` -> ``(..., *out_shape)``."""
        flat, batch = flatten_batch(x, self.in_shape)
        return self._along_axes(flat, self.factors).reshape(*batch, *self.out_shape)

    def rmatvec(self, y: Tensor) -> Tensor:
        """Applies the transposed matrices."""
        flat, batch = flatten_batch(y, self.out_shape)
        transposed = [factor.T for factor in self.factors]
        return self._along_axes(flat, transposed).reshape(*batch, *self.in_shape)

    @staticmethod
    def _along_axes(x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        for place, matrix in enumerate(reversed(matrices), start=1):
            x = (x.movedim(-place, -1) @ matrix.T).movedim(-1, -place)
        return x


def average_pooling(
    in_shape: tuple[int, ...],
    kernel: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    *,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Pooling:
    """Returns average pooling of ``(C, *sizes)`` with the meanings of ``torch.nn.AvgPool2d``.

    Raises:
        UsageError: A setting is out of range, or the kernel is larger than the padded input.
    """
    axes = len(in_shape) - 1
    kernels = per_axis("pooling kernel", kernel, axes, least=1)
    strides = per_axis("pooling stride", kernel if stride is None else stride, axes, least=1)
    paddings = per_axis("pooling padding", padding, axes, least=0)
    factors = []
    for size, k, s, p in zip(in_shape[1:], kernels, strides, paddings, strict=True):
        if 2 * p > k or size + 2 * p < k:
            raise UsageError(
                f"pooling: expected padding of at most half the kernel and a kernel no larger "
                f"than the padded input, got kernel {k}, padding {p}, size {size}"
            )
        factors.append(
            _window_means(size, k, s, p, ceil_mode=ceil_mode, count_pad=count_include_pad)
        )
    if divisor_override is not None:
        if divisor_override == 0:
            raise UsageError("pooling divisor: expected a non-zero number, got 0")
        factors = [(factor > 0).to(dtype) for factor in factors]
        factors[0] = factors[0] / divisor_override
    return Pooling([factor.to(device, dtype) for factor in factors], in_shape)


def adaptive_average_pooling(
    in_shape: tuple[int, ...],
    out_sizes: int | Sequence[int | None],
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Pooling:
    """Returns adaptive average pooling of ``(C, *sizes)``; a None keeps that axis.

    Raises:
        UsageError: Another number of sizes than axes, or one that is not positive.
    """
    sizes = in_shape[1:]
    wanted = (out_sizes,) * len(sizes) if isinstance(out_sizes, int) else tuple(out_sizes)
    if len(wanted) != len(sizes) or any(out is not None and out < 1 for out in wanted):
        raise UsageError(f"adaptive pooling: expected {len(sizes)} positive sizes, got {wanted}")
    factors = []
    for size, out in zip(sizes, wanted, strict=True):
        count = size if out is None else out
        factor = torch.zeros(count, size, dtype=dtype, device=device)
        for row in range(count):
            start, stop = row * size // count, -(-(row + 1) * size // count)
            factor[row, start:stop] = 1 / (stop - start)
        factors.append(factor)
    return Pooling(factors, in_shape)


def global_mean(
    in_shape: tuple[int, ...],
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Pooling:
    """Returns the mean over all axes but the first, each kept with size 1."""
    return adaptive_average_pooling(in_shape, 1, dtype=dtype, device=device)


def _window_means(
    size: int, kernel: int, stride: int, padding: int, *, ceil_mode: bool, count_pad: bool
) -> Tensor:
    """Returns the averaging matrix of one axis, shape ``(windows, size)``."""
    reach = size + 2 * padding - kernel
    windows = (-(-reach // stride) if ceil_mode else reach // stride) + 1
    if ceil_mode and (windows - 1) * stride >= size + padding:
        windows -= 1  # a last window that would start in the padding behind is dropped
    matrix = torch.zeros(windows, size, dtype=torch.float64)
    for row in range(windows):
        start = row * stride - padding
        stop = min(start + kernel, size + padding)
        first, last = max(start, 0), min(stop, size)
        count = (stop - start) if count_pad else (last - first)
        matrix[row, first:last] = 1 / count
    return matrix
