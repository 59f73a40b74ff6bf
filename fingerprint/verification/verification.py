"""The values a verification returns: one candidate's evidence, and the verdict over all."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Candidate", "Verdict", "Verification"]

Verdict = Literal["same", "derived", "independent", "inconclusive"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the answers say about one registered model.

    Attributes:
        name: The registered model.
        verdict: same, derived, independent or inconclusive.
        reason: One sentence: why.
        harm_ratio: Geometric mean of ρ over the deciding kind of probe; None without evidence.
        harm_ratio_ci: Its confidence interval; None without evidence.
        p_value: Of the permutation test, corrected over kinds of probe (Holm); None without
            evidence.
        margin: m₀ of this candidate, the ratio below which independent models do not fall.
        margin_source: Where m₀ comes from: ``default``, ``registry`` or ``decoys``.
        probes_used: How many probes gave evidence.
        answer_kind: ``logits``, ``probabilities``, ``top-k`` or ``labels``.
        label_agreement: Share of probes on which suspect and source name the same class; None
            when the label spaces differ.
        per_probe: Kind, base, harm and harm ratio of each probe.
        margin_pairs: How many independent models are known to have been asked its probes.
        margin_floor: False-positive rate that these models can vouch for by themselves.
    """

    name: str
    verdict: Verdict
    reason: str
    harm_ratio: float | None
    harm_ratio_ci: tuple[float, float] | None
    p_value: float | None
    margin: float
    margin_source: str
    probes_used: int
    answer_kind: str
    label_agreement: float | None
    per_probe: tuple[dict[str, Any], ...] = ()
    margin_pairs: int = 0
    margin_floor: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values, with the keys of the documented contract."""
        interval = self.harm_ratio_ci
        return {
            "name": self.name,
            "verdict": self.verdict,
            "reason": self.reason,
            "harm_ratio": _finite(self.harm_ratio),
            "harm_ratio_ci": [_finite(end) for end in interval] if interval else None,
            "p_value": self.p_value,
            "margin": self.margin,
            "margin_source": self.margin_source,
            "margin_pairs": self.margin_pairs,
            "margin_floor": self.margin_floor,
            "probes_used": self.probes_used,
            "answer_kind": self.answer_kind,
            "label_agreement": self.label_agreement,
            "per_probe": list(self.per_probe),
        }


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The answer to "whose is it?".

    Attributes:
        suspect: Facts about the suspect, plain JSON values.
        verdict: The best candidate's verdict; ``inconclusive`` when there is none.
        reason: One sentence: why.
        best: The best candidate's name; None unless the verdict is same or derived.
        queries: How many inputs the suspect was asked.
        candidates: Best first.
        warnings: One line each.
        seconds: Wall-clock time.
    """

    suspect: dict[str, Any]
    verdict: Verdict
    reason: str
    best: str | None
    queries: int
    candidates: tuple[Candidate, ...] = ()
    warnings: tuple[str, ...] = field(default=())
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values, with the keys of the documented contract (schema 1)."""
        return {
            "schema": 1,
            "suspect": self.suspect,
            "verdict": self.verdict,
            "reason": self.reason,
            "best": self.best,
            "queries": self.queries,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "warnings": list(self.warnings),
            "seconds": self.seconds,
        }


def _finite(value: float | None) -> float | None:
    """Returns what JSON can hold: it has no infinity."""
    return value if value is not None and math.isfinite(value) else None
