"""Leading batch dimensions: any number in front of an operator's own shape, none included."""

from __future__ import annotations

import math

from torch import Tensor

from fingerprint.errors import UsageError

__all__ = ["flatten_batch"]


def flatten_batch(x: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """Merges the leading batch dimensions into one.

    Args:
        x: Tensor of shape ``(*batch, *shape)``.
        shape: What one sample looks like.

    Returns:
        The tensor as ``(N, *shape)``, and ``batch`` to restore the result with.

    Raises:
        UsageError: ``x`` does not end in ``shape``.
    """
    split = x.ndim - len(shape)
    if split < 0 or tuple(x.shape[split:]) != shape:
        raise UsageError(
            f"operator input: expected shape (..., {', '.join(map(str, shape))}), "
            f"got {tuple(x.shape)}; reshape it first"
        )
    batch = tuple(x.shape[:split])
    return x.reshape(math.prod(batch), *shape), batch
