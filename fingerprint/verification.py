"""The values a verification returns: findings about each candidate, and the verdict over all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fingerprint.evidence.finding import Finding, finite

__all__ = ["Candidate", "Relation", "Verdict", "Verification"]

Verdict = Literal["same", "derived", "independent", "inconclusive"]
Relation = Literal["descends", "shares_origin"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the answers say about one registered model.

    The numbers are those of the harm finding that decided, None where there is none.

    Attributes:
        name: The registered model.
        verdict: same, derived, independent or inconclusive.
        relation: Of a derived candidate: ``descends`` (the suspect from it) or
            ``shares_origin`` (one descends from the other, or both from a third); else None.
        reason: One sentence: why.
        harm_ratio: Geometric mean of ρ.
        harm_ratio_ci: Its confidence interval.
        p_value: Of the permutation test, corrected over kinds of probe and over all compatible
            candidates (Holm).
        margin: m₀, the ratio below which independent models do not fall.
        margin_source: Where m₀ comes from: ``default``, ``registry`` or ``surrogates``.
        margin_pairs: How many independent models are known to have been asked its probes.
        margin_floor: False-positive rate that these models can vouch for by themselves.
        answer_kind: ``logits``, ``probabilities``, ``top-k`` or ``labels``.
        label_agreement: Share of probes on which suspect and source name the same class; None
            when the label spaces differ.
        identical_weights: Whether the suspect declares the candidate's very weights.
        findings: What each test says, with uncorrected p-values.
    """

    name: str
    verdict: Verdict
    reason: str
    relation: Relation | None = None
    harm_ratio: float | None = None
    harm_ratio_ci: tuple[float, float] | None = None
    p_value: float | None = None
    margin: float | None = None
    margin_source: str | None = None
    margin_pairs: int = 0
    margin_floor: float = 1.0
    answer_kind: str = "logits"
    label_agreement: float | None = None
    identical_weights: bool = False
    findings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values, with the keys of the documented contract."""
        interval = self.harm_ratio_ci
        return {
            "name": self.name,
            "verdict": self.verdict,
            "relation": self.relation,
            "reason": self.reason,
            "harm_ratio": finite(self.harm_ratio),
            "harm_ratio_ci": [finite(end) for end in interval] if interval else None,
            "p_value": self.p_value,
            "margin": self.margin,
            "margin_source": self.margin_source,
            "margin_pairs": self.margin_pairs,
            "margin_floor": self.margin_floor,
            "answer_kind": self.answer_kind,
            "label_agreement": self.label_agreement,
            "identical_weights": self.identical_weights,
            "findings": [finding.to_dict() for finding in self.findings],
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
        alpha: Accepted rate of false claims, over all compatible candidates together.
        candidates: Best first.
        not_asked: Compatible models that other evidence ruled out, so that they were not asked.
        warnings: One line each.
        seconds: Wall-clock time.
        verification: Its number where it was recorded; None where it was not.
    """

    suspect: Mapping[str, Any]
    verdict: Verdict
    reason: str
    best: str | None
    queries: int
    alpha: float = 0.001
    candidates: tuple[Candidate, ...] = ()
    not_asked: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    verification: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values, with the keys of the documented contract (schema 2)."""
        return {
            "schema": 2,
            "suspect": dict(self.suspect),
            "verification": self.verification,
            "verdict": self.verdict,
            "reason": self.reason,
            "best": self.best,
            "alpha": self.alpha,
            "queries": self.queries,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "not_asked": list(self.not_asked),
            "warnings": list(self.warnings),
            "seconds": self.seconds,
        }
