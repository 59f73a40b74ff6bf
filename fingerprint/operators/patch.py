"""A convolution whose windows do not overlap: one small matrix, repeated over patches.

The patch embedding of a vision transformer is the usual case (kernel = stride). Its matrix is
block diagonal with one repeated block, so its null space is one small decomposition, repeated;
pixels that no window covers are in the null space outright.

    operator = as_patches(convolution)
    operator.block()            # (groups, C_out/groups, C_in/groups · k): the repeated block
    operator.gather(x)          # (..., *in_shape) -> (..., patches, groups, C_in/groups · k)
    operator.scatter(patches)   # back, with zeros where no window reaches
    operator.uncovered()        # in_shape, True where no window reaches

``matvec(x)`` equals ``block() @ gather(x)``, rearranged; ``scatter`` is the transpose of
``gather`` and ``gather(scatter(p)) == p``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.batching import flatten_batch
from fingerprint.operators.convolution import Convolution

__all__ = ["PatchConvolution", "as_patches"]


class PatchConvolution(Convolution):
    """A convolution with stride at least as large as the window, unpadded.

    Takes the arguments of :class:`Convolution`.

    Raises:
        UsageError: Windows overlap or the input is padded.
    """

    @property
    def patches(self) -> int:
        """Number of windows."""
        return math.prod(self.out_shape[1:])

    @property
    def block_width(self) -> int:
        """Input entries that one output channel reads in one window, ``C_in/groups · k``."""
        return math.prod(self.weight.shape[1:])

    def block(self) -> Tensor:
        """Returns the repeated block, shape ``(groups, C_out/groups, C_in/groups · k)``."""
        return self.weight.reshape(self.groups, -1, self.block_width)

    def gather(self, x: Tensor) -> Tensor:
        """Cuts windows out: ``(..., *in_shape)`` -> ``(..., patches, groups, block_width)``."""
        flat, batch = flatten_batch(x, self.in_shape)
        windows = self._windows(flat).movedim(1, 1 + len(self.kernel))
        # (N, *grid, C_in, *kernel): a channel's group is its position divided by C_in/groups
        return windows.reshape(*batch, self.patches, self.groups, self.block_width)

    def scatter(self, patches: Tensor) -> Tensor:
        """Puts windows back: ``(..., patches, groups, block_width)`` -> ``(..., *in_shape)``."""
        flat, batch = flatten_batch(patches, (self.patches, self.groups, self.block_width))
        x = flat.new_zeros(flat.shape[0], *self.in_shape)
        grid = self.out_shape[1:]
        values = flat.reshape(len(flat), *grid, self.in_shape[0], *self.kernel)
        self._windows(x).copy_(values.movedim(1 + len(grid), 1))
        return x.reshape(*batch, *self.in_shape)

    def uncovered(self) -> Tensor:
        """Returns a boolean mask of shape ``in_shape``, True where no window reaches."""
        ones = torch.ones(
            self.patches, self.groups, self.block_width, dtype=self.dtype, device=self.device
        )
        return self.scatter(ones) == 0

    def _windows(self, x: Tensor) -> Tensor:
        """Views ``(N, C, *sizes)`` as ``(N, C, *grid, *kernel)`` without copying."""
        for axis, (extent, stride) in enumerate(zip(self.extent, self.stride, strict=True)):
            x = x.unfold(2 + axis, extent, stride)
        every = [slice(None)] * (2 + len(self.kernel))
        return x[(*every, *(slice(None, None, step) for step in self.dilation))]

    def _out_size(self, axis: int, size: int) -> int:
        if not self.is_patchwise:
            raise UsageError(
                "patch convolution: expected no padding and a stride of at least the window "
                f"{self.extent}, got padding {self.padding} and stride {self.stride}; "
                "use Convolution"
            )
        return super()._out_size(axis, size)


def as_patches(operator: Convolution) -> Convolution:
    """Returns the same map as a :class:`PatchConvolution` where windows do not overlap.

    Args:
        operator: Any convolution.

    Returns:
        A patch convolution, or the operator itself where windows overlap.
    """
    if isinstance(operator, PatchConvolution) or not operator.is_patchwise:
        return operator
    return PatchConvolution(
        operator.weight,
        operator.in_shape,
        stride=operator.stride,
        dilation=operator.dilation,
        groups=operator.groups,
    )
