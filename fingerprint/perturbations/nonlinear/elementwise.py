"""Layers that act on each entry by itself: which other values they answer alike.

An entry may move within the *near* interval of values around it that the function takes to one
answer; where that interval is a single point, the entry cannot move. A function that is not
monotone has in addition a *far* interval, or an isolated far point, with the same answer: no
path of harmless perturbations leads there, but a jump does.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fingerprint.perturbations.nonlinear.harmless_set import HarmlessSet
from fingerprint.spaces.rank import membership_tolerance

__all__ = ["Elementwise", "Interval"]

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
        self._far: Interval | None = None

    @property
    def free(self) -> int:
        """How many coordinates can move on their own."""
        return int((self.high > self.low).sum())

    @property
    def dimension(self) -> int:
        """The same number: entries do not depend on each other."""
        return self.free

    def piece(self) -> tuple[Tensor, Tensor]:
        """Returns bounds of δ: the near intervals."""
        held = self.high == self.low
        zero = torch.zeros_like(self.z)
        return (
            torch.where(held, zero, self.low - self.z),
            torch.where(held, zero, self.high - self.z),
        )

    def _contains(self, delta: Tensor, slack: Tensor | None) -> Tensor:
        value = self.z + delta
        room = torch.zeros_like(value) if slack is None else slack
        # A held entry is judged by δ itself: z + δ rounds to z for every δ that is small enough.
        inside = torch.where(
            self.high == self.low,
            delta.abs() <= room,
            (value >= self.low - room) & (value <= self.high + room),
        )
        far = self._far_interval()
        if far is not None:
            if slack is None:
                rounding = membership_tolerance(1, self.z.dtype, self.z.dtype)
                room = rounding * torch.maximum(self.z.abs(), value.abs())
            inside |= (value >= far[0] - room) & (value <= far[1] + room)
        return inside.flatten(1).all(dim=1)

    def _sample(self, count: int, generator: torch.Generator | None, size: float) -> Tensor:
        low, high = self.low.expand(count, *self.shape), self.high.expand(count, *self.shape)
        far = self._far_interval()
        if far is not None:
            jump = (self.uniform(count, generator) < 0.5) & ~torch.isnan(far[0])
            low, high = torch.where(jump, far[0], low), torch.where(jump, far[1], high)
        step, share = size * self.normal(count, generator), self.uniform(count, generator)
        below, above = torch.isfinite(low), torch.isfinite(high)
        value = torch.where(below, low + step.abs(), torch.where(above, high - step.abs(), step))
        width = torch.where(below & above, high - low, 0.0)
        value = torch.where(below & above, low + share * width, value)
        return torch.where((low == high) & (low == self.z), 0.0, value - self.z)

    def _far_interval(self) -> Interval | None:
        if self._far is None and self._make_far is not None:
            self._far = self._make_far()
        return self._far
