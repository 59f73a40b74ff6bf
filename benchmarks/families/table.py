"""What is said of a family's child, suspect by suspect, and whether it may be said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import markdown
from benchmarks.families.members import Family, Role, Suspect
from fingerprint import Candidate, Verification
from fingerprint.evidence.copies import Copies
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.harm_ratio import HarmRatio
from fingerprint.progress import Progress, silent
from registry import RegisteredModel, Registry
from registry.registration import Options

__all__ = [
    "Outcome",
    "fault",
    "margins",
    "measure",
    "registered",
    "row",
    "siblings",
    "summary",
    "table",
]

_REFERENCES = "reference" in Options.__annotations__
"""Whether a public parent can be registered as one."""
_APART = (", gentle", ", new head", ", gentle new head")
"""Endings of the names of families that are counted apart."""
_VERDICTS = ("same", "derived", "inconclusive", "independent", "ruled out")
_HEAD = ("suspect", "verdict", "relation", "best", "harm ratio by depth", "p", "fault")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was said of one suspect.

    Attributes:
        suspect: Who was asked.
        verification: Everything that was said.
        fault: What of it may not be said; empty if all may.
        candidate: What was said of the child; None where resemblance ruled it out.
    """

    suspect: Suspect
    verification: Verification
    fault: str
    candidate: Candidate | None


def fault(role: Role, verdict: str, relation: str | None, *, parent_known: bool) -> str:
    """Says what is wrong with a verdict on the child; empty if nothing is.

    Without the parent nobody can tell a child from a sibling, so nobody may claim to. With it
    relatives are never laid at the child's door, and copies are found to descend from it.

    Args:
        role: What the suspect is to the child.
        verdict: On the child.
        relation: With it.
        parent_known: Whether the parent is registered.
    """
    matched = verdict in {"same", "derived"}
    if role == "stranger":
        return "a stranger matches" if matched else ""
    if relation == "descends" and not parent_known:
        return "nobody can know"
    if role == "relative":
        if verdict == "same":
            return "another model is the same"
        return "a relative is accused" if matched and parent_known else ""
    if role in ("other copy", "further"):
        return "kin is independent" if verdict == "independent" else ""
    if role == "itself":
        return "" if verdict == "same" else "not recognised"
    if not matched:
        return "a copy is missed"
    open_still = verdict == "derived" and parent_known and relation != "descends"
    return "not told from a sibling" if open_still else ""


def registered(
    family: Family,
    registry: Registry,
    folder: Path,
    *,
    parent_known: bool,
    progress: Progress = silent,
    **options: Any,
) -> RegisteredModel:
    """Registers the child, and before it the parent as P if that is to be known.

    Args:
        family: Whose child.
        registry: An empty one, or one where that was interrupted.
        folder: Where the networks are kept; what is missing is made.
        parent_known: Whether the parent is registered, and declared.
        progress: Told how far the work is.
        **options: Further ones of :meth:`registry.Registry.register`.
    """
    child: dict[str, Any] = {"name": family.called, **options}
    if parent_known:
        model = family.parent.model(folder, progress)
        parent: dict[str, Any] = {"name": "P", **options}
        if family.public and _REFERENCES:
            parent["reference"] = True
        if not registry.models():
            registry.register(model, progress=progress, **parent)
        child["parent"] = "P"
    return registry.register(family.child.model(folder, progress), progress=progress, **child)


def measure(
    family: Family,
    registry: Registry,
    folder: Path,
    *,
    parent_known: bool,
    progress: Progress = silent,
) -> list[Outcome]:
    """Verifies every suspect; see :func:`registered` for the other arguments.

    Args:
        family: Whose.
        registry: Where the child is registered.
        folder: Where the networks are kept.
        parent_known: Whether the parent is registered.
        progress: Told how far the work is.
    """
    outcomes = []
    for suspect in family.suspects:
        model = suspect.network.model(folder, progress)
        said = registry.verify(model, weights=False, progress=progress)
        found = next((one for one in said.candidates if one.name == family.called), None)
        verdict, relation = (found.verdict, found.relation) if found else ("independent", None)
        wrong = fault(suspect.role, verdict, relation, parent_known=parent_known)
        outcomes.append(Outcome(suspect=suspect, verification=said, fault=wrong, candidate=found))
    return outcomes


def table(outcomes: Sequence[Outcome]) -> str:
    """Writes outcomes as Markdown; ratios of individual probes are marked with a star."""
    return markdown.table(_HEAD, (_row(outcome) for outcome in outcomes))


def row(family: Family, outcome: Outcome, *, parent_known: bool) -> dict[str, Any]:
    """Returns what was measured of one suspect as plain JSON values.

    ``individual`` holds ratio, low and high of each depth whose probes speak for the child alone,
    ``individual_margins`` the margins of these depths, ``copies`` the distance from the nearest
    copy of the child.
    """
    one = outcome.candidate
    return {
        "family": family.name,
        "half": family.half,
        "parent": "registered" if parent_known else "not registered",
        "suspect": outcome.suspect.title,
        "role": outcome.suspect.role,
        "verdict": one.verdict if one else "ruled out",
        "relation": one.relation if one else None,
        "best": outcome.verification.best,
        "fault": outcome.fault,
        "individual": {"logits": _individual(one)},
        "individual_margins": [
            round(finding.margin.value, 4) for finding in _told(one) if finding.margin is not None
        ],
        "copies": next(
            (
                round(finding.statistic, 4)
                for finding in (one.findings if one else ())
                if finding.test == Copies.name and finding.statistic is not None
            ),
            None,
        ),
    }


def _individual(candidate: Candidate | None) -> list[list[float]]:
    """Returns ratio, low and high of each depth whose probes speak for the candidate alone."""
    return [
        [round(value, 4) for value in (finding.statistic or 0.0, *(finding.interval or ()))]
        for finding in _told(candidate)
    ]


def _told(candidate: Candidate | None) -> list[Finding]:
    """Returns what was measured at depths whose probes speak for the candidate alone."""
    return [
        finding
        for finding in (candidate.findings if candidate else ())
        if finding.test == HarmRatio.name
        and finding.speaks_for == "individual"
        and finding.statistic
        and finding.interval
    ]


def margins(rows: Sequence[Mapping[str, Any]]) -> str:
    """Shows the margin of each child's individual probes, and who comes nearest to it.

    Args:
        rows: As :func:`row` writes them; those without the parent are passed over.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for one in rows:
        if one["individual_margins"] and one["parent"] == "registered":
            found.setdefault(f"{one['family']} ({one['half']})", []).append(one)
    lines = []
    for child, some in found.items():
        copies = [one for one in some if one["role"] == "copy"]
        others = [one for one in some if one["role"] in ("relative", "stranger")]
        rough = max(copies, key=_ratio)
        near = min(others, key=_ratio)
        margin = markdown.decimal(some[0]["individual_margins"][0])
        lines.append((child, margin, rough["suspect"], _span(rough), near["suspect"], _span(near)))
    head = ("child of (half)", "margin", "farthest copy", "ratio", "nearest other", "its ratio")
    return markdown.table(head, lines)


def _ratio(row: Mapping[str, Any]) -> float:
    return float(row["individual"]["logits"][0][0])


def _span(row: Mapping[str, Any]) -> str:
    ratio, low, high = (markdown.decimal(value) for value in row["individual"]["logits"][0])
    return f"{ratio} ({low} to {high})"


def summary(outcomes: Sequence[Outcome]) -> str:
    """Says how many verdicts are at fault, and how many children of the child are known as such."""
    wrong = sum(bool(one.fault) for one in outcomes)
    learned = [one.candidate for one in outcomes if one.suspect.role == "further"]
    known = sum(one is not None and one.relation == "descends" for one in learned)
    return (
        f"{wrong} of {len(outcomes)} at fault; {known} of {len(learned)} that learned on from "
        "the child are told to descend from it"
    )


def siblings(rows: Sequence[Mapping[str, Any]]) -> str:
    """Counts what is said of registered fine-tunes whose parent is registered too.

    Those that learned little, or have a new head, are counted apart.

    Args:
        rows: As :func:`row` writes them; those without the parent are passed over.
    """
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in rows:
        if one["parent"] == "registered":
            kind = next((kind for kind in _APART if one["family"].endswith(kind)), "")
            found.setdefault((f"{one['half']}{kind}", one["role"]), []).append(one)
    lines = []
    for (half, role), some in found.items():
        verdicts = Counter(one["verdict"] for one in some)
        descends = sum(one["relation"] == "descends" for one in some)
        counted = (verdicts[verdict] for verdict in _VERDICTS)
        lines.append(
            (
                half,
                len({one["family"] for one in some}),
                role,
                len(some),
                *counted,
                descends,
                sum(bool(one["fault"]) for one in some),
            )
        )
    head = ("half", "children", "suspect is its", "suspects", *_VERDICTS, "descends", "at fault")
    return markdown.table(head, lines)


def _row(outcome: Outcome) -> tuple[str, ...]:
    said, one = outcome.verification, outcome.candidate
    title, fault = outcome.suspect.title, outcome.fault or "-"
    if one is None:
        return (title, "ruled out", "-", said.best or "-", "-", "-", fault)
    return (
        title,
        one.verdict,
        one.relation or "-",
        said.best or "-",
        _ratios(one),
        "-" if one.p_value is None else f"{one.p_value:.1e}",
        fault,
    )


def _ratios(candidate: Candidate) -> str:
    """Writes the statistic of each finding that has one, equality aside."""
    return ", ".join(
        f"{finding.depth or finding.test}{'*' if finding.speaks_for == 'individual' else ''} "
        f"{markdown.decimal(finding.statistic)}"
        for finding in candidate.findings
        if finding.test != "equality" and finding.statistic is not None
    )
