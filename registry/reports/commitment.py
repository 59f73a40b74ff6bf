"""What a verdict was going to rest on, before the first question: as words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from fingerprint.errors import MalformedFile
from fingerprint.policy import Outcome, judge
from fingerprint.readable import when
from fingerprint.text import clean, listed
from registry.policies import Policies

if TYPE_CHECKING:
    from registry.reports.dossier import Committed, Dossier

__all__ = ["PolicyRow", "commitment", "policies"]

Read = TypeVar("Read")

_OUTCOMES: Mapping[Outcome, str] = {
    Outcome.PASSED: "holds",
    Outcome.FAILED: "fails",
    Outcome.INCONCLUSIVE: "cannot be decided",
}
_NAMED = 8
"""Most models that are named in a row; the criteria name all."""


@dataclass(frozen=True, kw_only=True)
class PolicyRow:
    """What became of one policy, as text.

    Attributes:
        name: What is demanded.
        outcome: Whether it holds.
        reason: Why.
    """

    name: str
    outcome: str
    reason: str


def policies(dossier: Dossier) -> tuple[PolicyRow, ...]:
    """Returns what became of the policies that were committed to.

    Raises:
        MalformedFile: Whoever wrote the registry put something else there.
    """
    found = dossier.committed
    stated = None if found is None else _read(found.criteria, Policies.of_criteria)
    if stated is None:
        return ()
    judged = judge(dossier.verification, expect=stated.expect, forbid=stated.forbid)
    return tuple(
        PolicyRow(
            name=f"{one.policy} {clean(one.name)}",
            outcome=_OUTCOMES[one.outcome],
            reason=clean(one.reason, 500),
        )
        for one in judged.checks
    )


def commitment(dossier: Dossier) -> tuple[tuple[str, str], ...]:
    """Returns what was committed to, where that stands, and what became of it.

    Raises:
        MalformedFile: Whoever wrote the registry put something else there.
    """
    found = dossier.committed
    if found is None:
        return (("Committed to", "nothing: nobody was asked, or by an earlier release"),)
    facts = [("SHA-256 of the criteria", clean(found.digest)), ("Entry", _place(found, dossier))]
    stated = dossier.verification.commitment
    if stated is not None and stated.begun_under is not None:
        facts.append(("The journal was begun under", clean(stated.begun_under)))
    if found.criteria:
        facts += _read(found.criteria, lambda document: tuple(_facts(document)))
    if found.answers_sha256 is None:
        facts.append(("Answers", "not kept, so the verdict cannot be judged again"))
        return tuple(facts)
    again = "the same" if not found.again else "; ".join(clean(one, 500) for one in found.again)
    facts.append(("SHA-256 of the answers", clean(found.answers_sha256)))
    facts.append(("Judged again from them", f"when this page was made: {again}"))
    return tuple(facts)


def _place(found: Committed, dossier: Dossier) -> str:
    if found.entry is None:
        return "none: the registry could not be written"
    own = "" if dossier.entry is None else f"; the verdict has entry {dossier.entry.seq}"
    return f"{found.entry.seq} of the hash chain, {when(found.entry.created)} UTC{own}"


def _facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields what criteria say."""
    suspect, questions = document["suspect"]["identity"], document["questions"]
    names, kinship = list(document["candidates"]), document["kinship"]
    demanded = Policies.of_criteria(document)
    ratios = sum(map(len, document["calibration"].values()))
    yield "Release", clean(document["release"])
    yield "The suspect said it is", clean(suspect["label"] or suspect["file_sha256"], 200)
    yield "Policies", _policies(demanded)
    yield "Rate of false claims", f"α = {float(document['alpha']):g}, over all compatible models"
    yield "Tests", ", ".join(clean(one).replace("_", " ") for one in document["tests"])
    yield (
        "Models compared",
        f"{len(names)} of {len(document['compatible'])} compatible: {listed(names, shown=_NAMED)}",
    )
    yield "Asked in any case", listed(document["always"], shown=_NAMED) or "none in particular"
    yield (
        "Margins",
        f"the release's, by depth and kind of answer; {ratios} measured ratios of registered "
        "models that may lower them",
    )
    yield (
        "Kinship",
        f"{len(kinship['parents'])} declared parents, {len(kinship['from_scratch'])} stated from "
        f"scratch, {len(kinship['references'])} references",
    )
    more = "; answers decide what else is asked" if questions["open"] else ""
    yield (
        "Questions",
        f"{int(questions['inputs'])} inputs, {int(questions['repeated'])} of them twice{more}; "
        f"SHA-256 {clean(questions['digest'])}",
    )


def _policies(demanded: Policies | None) -> str:
    if demanded is None:
        return "not noted by that release"
    named = [f"forbid {clean(one)}" for one in demanded.forbid]
    return ", ".join([*named, *(f"expect {clean(one)}" for one in demanded.expect)]) or "none"


def _read(document: Mapping[str, Any], reading: Callable[[Mapping[str, Any]], Read]) -> Read:
    try:
        return reading(document)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise MalformedFile(
            f"criteria: expected what a verdict rests on, got damaged data ({clean(error)})"
        ) from error
