"""A library that answers at once, and remembers what it was asked.

Registration and verification are about who is loaded, screened and compared with whom; what the
library would find is set here, and the real one is tried in ``tests/integration``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fingerprint.errors import UsageError
from fingerprint.evidence.finding import Finding
from fingerprint.network.model import Model
from fingerprint.probes.probe import Fingerprint
from fingerprint.verification import Candidate, Verdict, Verification
from tests.support.fingerprints import make_fingerprint

__all__ = ["FakeLibrary"]


class FakeLibrary:
    """Stands in for ``extract``, ``verify`` and ``load_model`` of the package ``fingerprint``.

    Attributes:
        files: What each path loads as.
        ratios: Harm ratio of each candidate, by name; 1 unless set.
        linear_ratios: That of its linear probes, where they were not what decided.
        extracted: The keyword arguments of each extraction.
        verified: The suspect, candidates and keyword arguments of each verification.
        loaded: Path and keyword arguments of each loading.
        linear_part: What fingerprints carry.
    """

    def __init__(self) -> None:
        self.files: dict[str, Model] = {}
        self.ratios: dict[str, float | None] = {}
        self.linear_ratios: dict[str, float] = {}
        self.extracted: list[dict[str, Any]] = []
        self.verified: list[tuple[Any, dict[str, Fingerprint], dict[str, Any]]] = []
        self.loaded: list[tuple[Any, dict[str, Any]]] = []
        self.linear_part: dict[str, Any] = {}

    def load_model(self, source: Any, **options: Any) -> Model:
        self.loaded.append((source, options))
        if source not in self.files:
            raise UsageError(f"{source}: no such file")
        return self.files[source]

    def extract(self, model: Model, **options: Any) -> Fingerprint:
        self.extracted.append(options)
        return replace(
            make_fingerprint(model, seed=options["seed"]),
            linear_part=self.linear_part,
            screened_against=tuple(options["others"]),
        )

    def verify(
        self, suspect: Any, candidates: Mapping[str, Fingerprint], **options: Any
    ) -> Verification:
        self.verified.append((suspect, dict(candidates), options))
        judged = tuple(self.judge(name) for name in candidates)
        best = next((one for one in judged if one.verdict == "derived"), None)
        return Verification(
            suspect={"kind": "fake"},
            verdict=best.verdict if best else "independent" if judged else "inconclusive",
            reason="fake",
            best=best.name if best else None,
            queries=54 if judged else 0,
            candidates=judged,
        )

    def judge(self, name: str) -> Candidate:
        ratio = self.ratios.get(name, 1.0)
        verdict: Verdict = "independent"
        if ratio is None:
            verdict = "inconclusive"
        elif ratio < 0.7:
            verdict = "derived"
        return Candidate(
            name=name,
            verdict=verdict,
            reason="fake",
            harm_ratio=ratio,
            harm_ratio_ci=None if ratio is None else (ratio, ratio),
            p_value=None if ratio is None else 0.5,
            margin=0.7,
            margin_source="default",
            answer_kind="logits",
            findings=self.findings(name),
        )

    def findings(self, name: str) -> tuple[Finding, ...]:
        kinds = {"network": self.ratios.get(name, 1.0), "linear": self.linear_ratios.get(name)}
        return tuple(
            Finding(test="harm_ratio", depth=kind, statistic=ratio, used=4)
            for kind, ratio in kinds.items()
            if ratio is not None
        )
