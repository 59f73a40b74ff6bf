"""Any affine function as an operator, for layers that have no class of their own.

Correct but slow, and not storable: the product is ``g(x) - g(0)``, the transpose comes from
automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.batching import flatten_batch

__all__ = ["Traced"]


class Traced(LinearOperator):
    """The linear part of an affine function of one unbatched tensor.

    Attributes:
        function: Takes ``in_shape``, returns ``out_shape``; must be affine and differentiable.
        name: What to call it.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        in_shape: tuple[int, ...],
        *,
        name: str = "function",
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        """Takes the function; calls it once, at zero, for its output shape."""
        with torch.no_grad():
            self._at_zero = function(torch.zeros(in_shape, dtype=dtype, device=device))
        super().__init__(in_shape, tuple(self._at_zero.shape), dtype=dtype, device=device)
        self.function = function
        self.name = name

    def matvec(self, x: Tensor) -> Tensor:
        """Calls the function on each sample: ``(..., *in_shape)`` -> ``(..., *out_shape)``."""
        flat, batch = flatten_batch(x, self.in_shape)
        parts = [self.function(sample) - self._at_zero for sample in flat]
        y = torch.stack(parts) if parts else flat.new_zeros(0, *self.out_shape)
        return y.reshape(*batch, *self.out_shape)

    def rmatvec(self, y: Tensor) -> Tensor:
        """Pulls each sample back: ``(..., *out_shape)`` -> ``(..., *in_shape)``."""
        flat, batch = flatten_batch(y, self.out_shape)
        x = flat.new_zeros(len(flat), *self.in_shape)
        if len(flat):
            with torch.enable_grad():
                zero = torch.zeros(
                    self.in_shape, dtype=self.dtype, device=self.device, requires_grad=True
                )
                value = self.function(zero)
            for place, cotangent in enumerate(flat):
                (x[place],) = torch.autograd.grad(value, zero, cotangent, retain_graph=True)
        return x.reshape(*batch, *self.in_shape)

    def __repr__(self) -> str:
        return f"Traced[{self.name}]({self.in_shape} -> {self.out_shape})"
