"""What a registration may choose about a model's probes: one value, made and checked once.

    settings = ExtractionSettings(probes=48, start="uniform")

It is what a planned registration carries to where it is run. It needs no network, and it is
checked when it is made, so that a mistake is told before the hours are spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fingerprint.canonical import sha256_of
from fingerprint.errors import UsageError

__all__ = ["ExtractionSettings"]

_LEAST_PROBES = 6
_MOST_PROBES = 480
_MOST_SURROGATES = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtractionSettings:
    """What shapes a fingerprint, beside the model, the registry's seed and the other models.

    Attributes:
        probes: How many probes, from 6 to 480.
        start: Kind of start noise (see ``START_KINDS``), or ``auto`` to let the model choose by
            how well it separates simulated modifications from controls.
        images: Base inputs instead of plain colours, shape ``(N, *model.input.shape)``, uint8
            for pixels, else float32.
        surrogates: How many networks learn to imitate the model on noise, to bound its margin;
            only for networks of few outputs, where that takes seconds to minutes. 0 for none.

    Raises:
        UsageError: One of them is out of range.
    """

    probes: int = 24
    start: str = "auto"
    images: NDArray[Any] | None = None
    surrogates: int = 2

    def __post_init__(self) -> None:
        if not _LEAST_PROBES <= self.probes <= _MOST_PROBES:
            raise UsageError(
                f"probes: expected {_LEAST_PROBES} to {_MOST_PROBES}, got {self.probes}"
            )
        if not 0 <= self.surrogates <= _MOST_SURROGATES:
            raise UsageError(f"decoys: expected 0 to {_MOST_SURROGATES}, got {self.surrogates}")
        if self.start != "auto":
            # Solvers are imported with torch, which whoever only plans can do without.
            from fingerprint.solvers.noise import parse_start

            parse_start(self.start)

    @property
    def method(self) -> str:
        """What the probes are asked to be; surrogates bound a margin and change none of them."""
        bases = "colours" if self.images is None else sha256_of(self.images.tobytes())[:16]
        return f"probes={self.probes} start={self.start} bases={bases}"
