"""Multiplication by fixed numbers: BatchNorm in evaluation mode, and input normalisation.

Subtracting a mean and adding a bias are affine, so the linear part is a diagonal.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.batching import flatten_batch

__all__ = ["Diagonal", "batch_norm"]


class Diagonal(LinearOperator):
    """Entry-wise multiplication, ``y = scale * x``.

    ``is_injective`` holds when no factor is zero, so a null space may drop it on the left.

    Attributes:
        scale: Broadcastable to the shape, such as ``(C, 1, 1)`` for channels, of any number of
            dimensions up to the shape's; sets dtype and device.
    """

    def __init__(self, scale: Tensor, in_shape: tuple[int, ...]) -> None:
        """Takes the factors and the shape of one input.

        Raises:
            UsageError: The factors do not broadcast to the shape.
        """
        padded = scale.detach().reshape(
            (1,) * max(0, len(in_shape) - scale.ndim) + tuple(scale.shape)
        )
        fits = padded.ndim == len(in_shape) and all(
            s in (1, size) for s, size in zip(padded.shape, in_shape, strict=True)
        )
        if not fits or not scale.is_floating_point():
            raise UsageError(
                f"scale: expected floating-point factors that broadcast to {tuple(in_shape)}, "
                f"got {tuple(scale.shape)} of {scale.dtype}"
            )
        super().__init__(in_shape, in_shape, dtype=scale.dtype, device=scale.device)
        self.scale = padded

    @property
    def is_injective(self) -> bool:
        """Whether no factor is zero."""
        return bool((self.scale != 0).all())

    @property
    def is_channelwise(self) -> bool:
        """Whether one factor serves each channel (the first axis)."""
        return all(size == 1 for size in self.scale.shape[1:])

    def matvec(self, x: Tensor) -> Tensor:
        """Multiplies: ``(..., *in_shape)`` -> the same shape."""
        flat, batch = flatten_batch(x, self.in_shape)
        return (flat * self.scale).reshape(*batch, *self.out_shape)

    def rmatvec(self, y: Tensor) -> Tensor:
        """Multiplies: a diagonal is its own transpose."""
        return self.matvec(y)


def batch_norm(
    shape: tuple[int, ...], running_var: Tensor, weight: Tensor | None = None, eps: float = 1e-5
) -> Diagonal:
    """Returns the linear part of BatchNorm in evaluation mode.

    Args:
        shape: Shape of one input, ``(C, *sizes)``.
        running_var: Shape ``(C,)``.
        weight: Shape ``(C,)``; ones if omitted.
        eps: Added to the variance.

    Raises:
        UsageError: The statistics have another number of channels.
    """
    scale = torch.rsqrt(running_var + eps)
    if weight is not None:
        scale = scale * weight
    if not shape or scale.shape != shape[:1]:
        raise UsageError(f"batch norm: expected {shape[:1]} channels, got {tuple(scale.shape)}")
    return Diagonal(scale.reshape(-1, *(1,) * (len(shape) - 1)), shape)
