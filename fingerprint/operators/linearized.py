"""Any affine function as an operator, by automatic differentiation.

What has no structure that a null space could use: sums of different layers, a layer on top of
another, a transposed convolution. Both products are derivatives at zero, exact because the
function is affine; it is not storable.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import jvp, vjp, vmap

from fingerprint.operators.base import LinearOperator

__all__ = ["Linearized", "slope"]

_BATCH_ENTRIES = 2**23
"""How many entries one batch of products may hold (64 MiB in float64)."""


def slope(
    function: Callable[..., Tensor], at: tuple[Tensor, ...], along: tuple[Tensor, ...]
) -> Tensor:
    """Returns the derivative of a function of several tensors along a direction."""
    with warnings.catch_warnings():
        # Torch compiles some of its derivatives by a way of its own that it warns of.
        warnings.filterwarnings("ignore", ".*torch.jit", FutureWarning)
        found: Tensor = jvp(function, at, along)[1]
    return found


class Linearized(LinearOperator):
    """The linear part of an affine function of one unbatched tensor.

    Attributes:
        function: Takes ``in_shape``, returns ``out_shape``; affine, made of operations of torch.
        name: What to call it.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        in_shape: tuple[int, ...],
        *,
        name: str = "function",
        device: torch.device | str = "cpu",
    ) -> None:
        """Takes the function; differentiates it once, at zero, in float64."""
        self._zero = torch.zeros(in_shape, dtype=torch.float64, device=device)
        with torch.enable_grad():
            found: tuple[Any, ...] = vjp(function, self._zero)
        value, self._pull = found
        super().__init__(in_shape, tuple(value.shape), device=device)
        self.function = function
        self.name = name

    def _forward(self, x: Tensor) -> Tensor:
        def pushed(direction: Tensor) -> Tensor:
            return slope(self.function, (self._zero,), (direction,))

        return self._each(pushed, x, self.out_shape)

    def _transpose(self, y: Tensor) -> Tensor:
        return self._each(lambda cotangent: self._pull(cotangent)[0], y, self.in_shape)

    def _each(
        self, product: Callable[[Tensor], Tensor], rows: Tensor, shape: tuple[int, ...]
    ) -> Tensor:
        if not len(rows):
            return rows.new_zeros(0, *shape)
        chunk = max(1, _BATCH_ENTRIES // max(self.n, self.m, 1))
        with torch.no_grad():
            found: Tensor = vmap(product, chunk_size=chunk)(rows)
        return found

    def __repr__(self) -> str:
        return f"Linearized[{self.name}]({self.in_shape} -> {self.out_shape})"
