"""A finding: what one test says of one candidate. And the contract that a test fulfils."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fingerprint.evidence.calibration import Calibration, Margin

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = ["Decides", "Finding", "Test", "finite", "interval_of", "number_of", "text_of"]

Decides = Literal["kin", "independent", "nothing"]
SpeaksFor = Literal["family", "individual"]

_DECIDES: dict[str, Decides] = {
    "kin": "kin",
    "independent": "independent",
    "nothing": "nothing",
}
_SPEAKS_FOR: dict[str | None, SpeaksFor | None] = {
    None: None,
    "family": "family",
    "individual": "individual",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one test says of one candidate.

    Attributes:
        test: The test, such as ``harm_ratio``.
        depth: What it speaks of where a test has several, such as ``network``; else None.
        speaks_for: Whether it tells a model's family or the individual; None where it cannot
            say which.
        statistic: What was measured; None without evidence.
        interval: Its confidence interval; None without evidence.
        p_value: Of this test alone, uncorrected; None where there is none.
        least_p: The least p-value that this many probes could have given.
        joint_p: The p-value corrected over the depths of this candidate, where they share one
            statistic; None where they do not.
        margin: What the statistic is held against; None where nothing is.
        decides: What the verdict takes from it.
        used: How many probes gave evidence.
        detail: More for the report, plain JSON values.
    """

    test: str
    depth: str | None = None
    speaks_for: SpeaksFor | None = None
    statistic: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    least_p: float | None = None
    joint_p: float | None = None
    margin: Margin | None = None
    decides: Decides = "nothing"
    used: int = 0
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """Why there is no evidence; empty when there is some."""
        return str(self.detail.get("missing", ""))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values, with the keys of the documented contract."""
        margin = self.margin
        return {
            "test": self.test,
            "depth": self.depth,
            "speaks_for": self.speaks_for,
            "statistic": finite(self.statistic),
            "interval": [finite(end) for end in self.interval] if self.interval else None,
            "p_value": self.p_value,
            "least_p_value": self.least_p,
            "joint_p_value": self.joint_p,
            "margin": margin.value if margin else None,
            "margin_source": margin.source if margin else None,
            "margin_pairs": margin.pairs if margin else None,
            "margin_floor": margin.floor if margin else None,
            "bound": finite(margin.bound) if margin else None,
            "decides": self.decides,
            "used": self.used,
            "detail": dict(self.detail),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finding:
        """Builds a finding from :meth:`to_dict`'s values."""
        return cls(
            test=str(values["test"]),
            depth=text_of(values["depth"]),
            speaks_for=_SPEAKS_FOR[values["speaks_for"]],
            statistic=number_of(values["statistic"]),
            interval=interval_of(values["interval"]),
            p_value=number_of(values["p_value"]),
            least_p=number_of(values["least_p_value"]),
            joint_p=number_of(values.get("joint_p_value")),
            margin=_margin_of(values),
            decides=_DECIDES[values["decides"]],
            used=int(values["used"]),
            detail=dict(values["detail"]),
        )


class Test(Protocol):
    """One way of comparing a suspect's answers with a fingerprint; one file each."""

    name: str

    def measure(
        self, name: str, fingerprint: Fingerprint, answers: Answers, calibration: Calibration
    ) -> tuple[Finding, ...]:
        """Measures answers against one candidate.

        Args:
            name: The candidate.
            fingerprint: Its fingerprint.
            answers: The suspect's answers to all its inputs; some may be missing.
            calibration: What is known of independent models.

        Returns:
            A finding for each thing the test speaks of, also where there is no evidence; none
            where it does not apply to such answers. What they decide is the verdict's to say.
        """


def finite(value: float | None) -> float | None:
    """Returns what JSON can hold: it has no infinity."""
    return float(value) if value is not None and math.isfinite(value) else None


def number_of(value: Any) -> float | None:
    """Reads a number that may be missing."""
    return None if value is None else float(value)


def text_of(value: Any) -> str | None:
    """Reads a text that may be missing."""
    return None if value is None else str(value)


def interval_of(value: Any) -> tuple[float, float] | None:
    """Reads an interval that may be missing; an upper end that is none is infinite."""
    if value is None:
        return None
    low, high = value
    return float(low), math.inf if high is None else float(high)


def _margin_of(values: Mapping[str, Any]) -> Margin | None:
    if values["margin"] is None:
        return None
    return Margin(
        float(values["margin"]),
        str(values["margin_source"]),
        pairs=int(values["margin_pairs"]),
        floor=float(values["margin_floor"]),
        bound=math.inf if values["bound"] is None else float(values["bound"]),
    )
