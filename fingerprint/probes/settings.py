"""What a registration may choose about a model's probes: one value, made and checked once.

    settings = ExtractionSettings(probes=48)

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


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtractionSettings:
    """What shapes a fingerprint, beside the model, the registry's seed and the other models.

    Attributes:
        probes: How many probes, from 6 to 480.
        images: Base inputs instead of dead leaves, shape ``(N, *model.input.shape)``, uint8
            for pixels, else float32.
        answers_only: Whether the model is only asked the panel and nothing is solved, as of models
            that can be asked and not differentiated.

    Raises:
        UsageError: One of them is out of range.
    """

    probes: int = 24
    images: NDArray[Any] | None = None
    answers_only: bool = False

    def __post_init__(self) -> None:
        if not _LEAST_PROBES <= self.probes <= _MOST_PROBES:
            raise UsageError(
                f"probes: expected {_LEAST_PROBES} to {_MOST_PROBES}, got {self.probes}"
            )

    @property
    def method(self) -> str:
        """What the probes are asked to be, and by which method they are made."""
        if self.answers_only:
            return "answers only"
        bases = "leaves" if self.images is None else sha256_of(self.images.tobytes())[:16]
        return f"depths probes={self.probes} bases={bases}"
