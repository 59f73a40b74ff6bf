"""Layers that act on each entry by itself: which other values they answer alike.

An entry may move within the *near* interval of values around it that the function takes to one
answer; where that interval is a single point, the entry cannot move. A function that is not
monotone has in addition a *far* interval, or an isolated far point, with the same answer: no
path of harmless perturbations leads there, but a jump does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from fingerprint.spaces.rank import membership_tolerance
from fingerprint.theory.harmless_set import HarmlessSet

__all__ = ["Elementwise", "Interval", "constant_on", "other_preimage"]

Interval = tuple[Tensor, Tensor]
"""Smallest and largest value of each entry, inclusive, of the shape of z."""


class Elementwise(HarmlessSet):
    """Harmless perturbations of a function of each entry (Lemmas 1.1 and 1.2).

    ``free`` and ``dimension`` count the entries whose near interval is more than a point.
    """

    def __init__(
        self,
        z: Tensor,
        near: Interval,
        far: Callable[[], Interval] | None = None,
        *,
        note: str = "",
    ) -> None:
        """Takes the values, not the perturbations, that each entry may have.

        Args:
            z: The features.
            near: Interval around each entry of z; both ends are z where it cannot move.
            far: Makes the other interval of each entry, NaN where there is none; called when
                membership or a sample is asked for.
            note: What to know of the set.
        """
        super().__init__(z, note=note)
        self.low, self.high = near
        self._make_far = far

    @property
    def dimension(self) -> int:
        """The same as ``free``: entries do not depend on each other."""
        return self.free

    def piece(self) -> tuple[Tensor, Tensor]:
        """Returns bounds of δ: the near intervals."""
        held = self.high == self.low
        low, high = (torch.where(held, self.z, end) - self.z for end in (self.low, self.high))
        return low, high

    def holds(self, delta: Tensor, slack: Tensor | None) -> Tensor:
        """Decides each of ``(B, *shape)`` by where it takes every entry."""
        value = self.z + delta
        room = torch.zeros_like(value) if slack is None else slack
        # A held entry is judged by δ itself: z + δ rounds to z for every δ that is small enough.
        inside = torch.where(
            self.high == self.low,
            delta.abs() <= room,
            (value >= self.low - room) & (value <= self.high + room),
        )
        if self._far is not None:
            if slack is None:
                rounding = membership_tolerance(1, self.z.dtype, self.z.dtype)
                room = rounding * torch.maximum(self.z.abs(), value.abs())
            inside |= (value >= self._far[0] - room) & (value <= self._far[1] + room)
        return inside.flatten(1).all(dim=1)

    def draw(self, count: int, generator: torch.Generator, size: float) -> Tensor:
        """Draws ``(count, *shape)``: jumps to the far interval for half of those that have one."""
        low, high = self.low.expand(count, *self.shape), self.high.expand(count, *self.shape)
        if self._far is not None:
            jump = (self._uniform(count, generator) < 0.5) & ~torch.isnan(self._far[0])
            low, high = torch.where(jump, self._far[0], low), torch.where(jump, self._far[1], high)
        step, share = size * self.normal(count, generator), self._uniform(count, generator)
        below, above = torch.isfinite(low), torch.isfinite(high)
        value = torch.where(below, low + step.abs(), torch.where(above, high - step.abs(), step))
        width = torch.where(below & above, high - low, 0.0)
        value = torch.where(below & above, low + share * width, value)
        return torch.where((low == high) & (low == self.z), 0.0, value - self.z)

    @cached_property
    def _far(self) -> Interval | None:
        return None if self._make_far is None else self._make_far()

    def _uniform(self, count: int, generator: torch.Generator) -> Tensor:
        noise = torch.rand(count, *self.shape, generator=generator, dtype=torch.float64)
        return noise.to(self.z)


def constant_on(
    z: Tensor,
    *flats: tuple[float, float],
    far: Callable[[], Interval] | None = None,
    note: str = "",
) -> Elementwise:
    """Returns the set of a function that is constant on each interval and strict elsewhere."""
    low = high = z
    for start, end in flats:
        flat = (z >= start) & (z <= end)
        low, high = torch.where(flat, start, low), torch.where(flat, end, high)
    return Elementwise(z, (low, high), far, note=note)


_FLOOR = -1000.0
"""GELU, SiLU and Mish are zero in float64 before this."""

_HALVINGS = 80
"""From an interval of 1000 to the last digit of a number near 1e-10."""


def other_preimage(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Finds the other place where a function takes the value it has at each z, by bisection.

    Args:
        function: Falls from 0 at -∞ to one minimum above -5, and rises through 0 at 0; accurate
            far on the left too, where ``1 + erf`` and ``1 + tanh`` have lost all digits.
        z: Any shape.

    Returns:
        That place to rounding error, in the dtype of z; NaN where there is none: at the
        minimum, from 0 upwards, and where the value underflows to 0.
    """

    def rises(x: Tensor) -> Tensor:
        leaf = x.clone().requires_grad_(True)
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(function(leaf).sum(), leaf)
        return slope >= 0

    wide = z.to(torch.float64)
    value = function(wide)
    turn = _crossing(rises, wide.new_tensor(-5.0), wide.new_tensor(0.0))
    falling = wide < turn
    # On the other branch the value lies between that at the minimum and 0, so it is crossed. The
    # branch right of the minimum rises, the one left of it falls.
    found = _crossing(
        lambda x: (function(x) > value) == falling,
        torch.where(falling, turn, _FLOOR),
        torch.where(falling, 0.0, turn),
    )
    return torch.where((value < 0) & (wide != turn), found, torch.nan).to(z.dtype)


def _crossing(passed: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Halves intervals to where a condition that holds at their upper ends begins to."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        beyond = passed(middle)
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    return (low + high) / 2
