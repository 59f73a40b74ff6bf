"""Functions that fall to one minimum and rise from it: the other place with the same value."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["other_preimage", "turning_point"]

_FLOOR = -1000.0
"""GELU, SiLU and Mish are zero in float64 before this."""

_HALVINGS = 80
"""From an interval of 1000 to the last digit of a number near 1e-10."""


def turning_point(function: Callable[[Tensor], Tensor]) -> float:
    """Finds where the derivative of a function changes sign between -5 and 0, by bisection."""
    low, high = -5.0, 0.0
    for _ in range(_HALVINGS):
        middle = torch.tensor((low + high) / 2, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(function(middle), middle)
        if float(slope) < 0:
            low = float(middle.detach())
        else:
            high = float(middle.detach())
    return (low + high) / 2


def other_preimage(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Finds the other place where a function takes the value it has at each z.

    Args:
        function: Falls from 0 at -∞ to one minimum, and rises through 0 at 0; accurate far on
            the left too, where ``1 + erf`` and ``1 + tanh`` have lost all digits.
        z: Any shape.

    Returns:
        That place to rounding error, in the dtype of z; NaN where there is none: at the
        minimum, from 0 upwards, and where the value underflows to 0.
    """
    turn = turning_point(function)
    wide = z.to(torch.float64)
    value = function(wide)
    falling = wide < turn
    # On the other branch the value lies between that at the minimum and 0, so it is crossed.
    low = torch.where(falling, torch.full_like(wide, turn), _FLOOR)
    high = torch.where(falling, torch.zeros_like(wide), turn)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = function(middle) > value
        # The branch right of the minimum rises, the one left of it falls.
        to_the_left = above == falling
        high = torch.where(to_the_left, middle, high)
        low = torch.where(to_the_left, low, middle)
    found = (low + high) / 2
    exists = (value < 0) & (wide != turn)
    return torch.where(exists, found, torch.nan).to(z.dtype)
