"""The rows of a report's tables and drawings: from a dossier, without HTML."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fingerprint.questions import question_id, questions_for
from fingerprint.readable import NONE, interval, number, p_value
from fingerprint.text import clean
from registry.reports.probes import Moved, moved_by
from registry.reports.words import TESTS, margin_from

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.evidence.finding import Finding
    from fingerprint.probes.probe import Fingerprint
    from fingerprint.verification import Candidate
    from registry.reports.dossier import Dossier, Standing

__all__ = [
    "CandidateRow",
    "Criterion",
    "Given",
    "Log",
    "LogRow",
    "Point",
    "Strip",
    "candidate_rows",
    "criteria",
    "logs",
    "points",
    "strips",
]

ROWS = 60
"""Most candidates in a table; the document of the verdict has all."""
DRAWN = 24
"""Most rows of a drawing."""
SPEAKS_FOR = {"family": "its family", "individual": "it alone"}
_ID = 12
_NAME = 44


@dataclass(frozen=True, kw_only=True)
class CandidateRow:
    """One candidate, as text.

    Attributes:
        name: Its name.
        role: ``reference`` for a public checkpoint, else empty.
        verdict: Of this candidate alone.
        relation: What it claims, in words; empty where it claims none.
        ratio: Harm ratio with its interval, of the finding that decided.
        p_value: Corrected.
        resemblance: With its interval.
        reason: Why, in a sentence.
        state: How its probes stand.
        digests: Name and value of each digest that is known.
    """

    name: str
    role: str
    verdict: str
    relation: str
    ratio: str
    p_value: str
    resemblance: str
    reason: str
    state: str
    digests: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One finding beside what it was held against, as text."""

    candidate: str
    test: str
    depth: str
    speaks_for: str
    measured: str
    missing: bool
    p_value: str
    margin: str
    source: str
    bound: str
    used: str
    decides: str


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One row of the drawing of harm ratios: one depth of one candidate.

    Attributes:
        candidate: Its name.
        depth: The depth.
        ratio: On the suspect; None without evidence.
        interval: Its ends.
        margin: What it was held against.
        source: The median on the candidate itself, at registration; None where it is not known.
        strangers: On registered models that count as independent of the candidate.
        kin: On registered kin of it.
    """

    candidate: str
    depth: str
    ratio: float | None
    interval: tuple[float, float] | None
    margin: float | None
    source: float | None
    strangers: tuple[float, ...]
    kin: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One row of the drawing of resemblances."""

    candidate: str
    value: float
    interval: tuple[float, float] | None
    margin: float | None


@dataclass(frozen=True, kw_only=True)
class Given:
    """One input that was asked, and what the suspect said of it.

    Attributes:
        id: Short id of the input.
        largest: Place of the largest of its outputs, from 0; empty where its answer is not kept.
    """

    id: str
    largest: str = ""


@dataclass(frozen=True, kw_only=True)
class LogRow:
    """One probe that was asked.

    Attributes:
        number: Its place among the probes of its depth, from 1.
        base: Its base.
        probe: The probe.
        controls: Its controls.
        moved: How far the answers went.
    """

    number: int
    base: Given
    probe: Given
    controls: tuple[Given, ...]
    moved: Moved


@dataclass(frozen=True, kw_only=True)
class Log:
    """What was asked of one candidate at one depth."""

    candidate: str
    depth: str
    rows: tuple[LogRow, ...]


def candidate_rows(dossier: Dossier) -> tuple[CandidateRow, ...]:
    """Returns a row for each candidate, best first."""
    return tuple(
        _candidate(one, dossier.standings[one.name])
        for one in dossier.verification.candidates[:ROWS]
    )


def _candidate(one: Candidate, standing: Standing) -> CandidateRow:
    alike = next((found for found in one.findings if found.test == "resemblance"), None)
    digests = (
        ("weights", standing.model_digest),
        ("file SHA-256", standing.file_sha256),
        ("probes committed to", standing.commitment),
    )
    return CandidateRow(
        name=clean(one.name),
        role="reference" if one.reference else "",
        verdict=one.verdict,
        relation={"descends": "descends", "shares_origin": "shares an origin"}.get(
            one.relation or "", ""
        ),
        ratio=interval(one.harm_ratio, one.harm_ratio_ci),
        p_value=p_value(one.p_value),
        resemblance=interval(alike.statistic, alike.interval) if alike else NONE,
        reason=clean(one.reason, 500),
        state=standing.state,
        digests=tuple((name, clean(value)) for name, value in digests if value),
    )


def criteria(dossier: Dossier) -> tuple[Criterion, ...]:
    """Returns a row for each finding, candidates best first."""
    return tuple(
        _criterion(candidate, finding)
        for candidate in dossier.verification.candidates[:ROWS]
        for finding in candidate.findings
    )


def _criterion(candidate: Candidate, one: Finding) -> Criterion:
    margin = one.margin
    side = "above" if one.test in ("resemblance", "rare_labels") else "below"
    # Some tests have a bound that says nothing: of resemblance there is none.
    bound = margin.bound if margin and one.test == "harm_ratio" else math.inf
    return Criterion(
        candidate=clean(candidate.name),
        test=TESTS.get(one.test, clean(one.test)),
        depth=clean(one.depth or ""),
        speaks_for=SPEAKS_FOR.get(one.speaks_for or "", ""),
        measured=clean(one.missing, 120) if one.missing else interval(one.statistic, one.interval),
        missing=bool(one.missing),
        p_value=p_value(one.p_value),
        margin=f"{side} {number(margin.value)}" if margin else _equal(one),
        source=margin_from(one),
        bound=f"above {number(bound)}" if math.isfinite(bound) else NONE,
        used=str(one.used),
        decides={"kin": "kin", "independent": "independence"}.get(one.decides, "nothing"),
    )


def _equal(one: Finding) -> str:
    tolerance = one.detail.get("tolerance")
    return f"at most {tolerance:.1g}" if isinstance(tolerance, float) else NONE


def strips(dossier: Dossier) -> tuple[Strip, ...]:
    """Returns the harm ratios by candidate and depth, beside those of registered models."""
    found = [
        _strip(dossier, candidate, one)
        for candidate in dossier.verification.candidates
        for one in candidate.findings
        if one.test == "harm_ratio"
    ]
    return tuple(found[:DRAWN])


def _strip(dossier: Dossier, candidate: Candidate, one: Finding) -> Strip:
    fingerprint = dossier.fingerprints.get(candidate.name)
    of = [
        (pair.other, float(ratio["ratio"]))
        for pair in dossier.pairs
        if pair.source == candidate.name
        for ratio in pair.ratios
        if (ratio["test"], ratio["depth"]) == ("harm_ratio", one.depth)
    ]
    families = dossier.families
    own = families.get(candidate.name)
    return Strip(
        candidate=clean(candidate.name, _NAME),
        depth=clean(one.depth or NONE, _NAME),
        ratio=one.statistic,
        interval=one.interval,
        margin=one.margin.value if one.margin else None,
        source=None if fingerprint is None else _on_source(fingerprint, one.depth),
        strangers=tuple(sorted(ratio for name, ratio in of if families.get(name) != own)),
        kin=tuple(sorted(ratio for name, ratio in of if families.get(name) == own)),
    )


def _on_source(fingerprint: Fingerprint, depth: str | None) -> float | None:
    ratios = sorted(probe.harm_ratio for probe in fingerprint.probes if probe.kind == depth)
    return ratios[len(ratios) // 2] if ratios and math.isfinite(ratios[-1]) else None


def points(dossier: Dossier) -> tuple[Point, ...]:
    """Returns the resemblance to every candidate that was measured."""
    found = [
        Point(
            candidate=clean(candidate.name, _NAME),
            value=one.statistic,
            interval=one.interval,
            margin=one.margin.value if one.margin else None,
        )
        for candidate in dossier.verification.candidates
        for one in candidate.findings
        if one.test == "resemblance" and one.statistic is not None
    ]
    return tuple(found[:DRAWN])


def logs(dossier: Dossier) -> tuple[Log, ...]:
    """Returns what was asked, probe by probe, of the first candidates that have probes."""
    return tuple(
        Log(
            candidate=clean(candidate.name),
            depth=clean(one.depth or NONE),
            rows=tuple(_log_rows(dossier.fingerprints[candidate.name], one, dossier.answers)),
        )
        for candidate in dossier.verification.candidates[:ROWS]
        for one in candidate.findings
        if one.test == "harm_ratio" and candidate.name in dossier.fingerprints
    )


def _log_rows(fingerprint: Fingerprint, one: Finding, answers: Answers | None) -> Iterator[LogRow]:
    inputs = _inputs(fingerprint, one.depth, answers)
    for place, (moved, asked) in enumerate(zip(moved_by(one), inputs, strict=False), start=1):
        base, probe, controls = asked
        yield LogRow(number=place, base=base, probe=probe, controls=controls, moved=moved)


def _inputs(
    fingerprint: Fingerprint, depth: str | None, answers: Answers | None
) -> Iterator[tuple[Given, Given, tuple[Given, ...]]]:
    """Yields base, probe and controls of each probe of a depth."""
    turns = max(1, len(fingerprint.turns))
    controls = fingerprint.controls.reshape(-1, turns, *fingerprint.input.shape)
    for probe, turned in zip(fingerprint.probes, controls, strict=True):
        if probe.kind == depth:
            yield (
                _given(fingerprint.bases[probe.base], answers),
                _given(probe.harmless, answers),
                tuple(_given(one, answers) for one in turned),
            )


def _given(asked: NDArray[Any], answers: Answers | None) -> Given:
    name = question_id(asked)
    row = None if answers is None else answers.values.get(name)
    return Given(id=name[:_ID], largest="" if row is None else str(int(row.argmax())))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The inputs behind a verdict, as far as they are still there.

    Attributes:
        inputs: How many different ones.
        repeated: How many of them were to be asked a second time.
        digest: SHA-256 over all of them; whoever has them can compare.
        panel: The public inputs that every model is asked.
    """

    inputs: int
    repeated: int
    digest: str
    panel: tuple[Given, ...]


def asked_of(dossier: Dossier) -> Asked | None:
    """Returns what was asked, as far as it is still there; None where nothing is."""
    if not dossier.fingerprints:
        return None
    questions = questions_for(dossier.fingerprints)
    first = next(iter(dossier.fingerprints.values()))
    return Asked(
        inputs=len(questions.ids),
        repeated=len(questions.repeated),
        digest=questions.digest,
        panel=tuple(_given(one, dossier.answers) for one in first.panel),
    )
