"""Candidates against each other: who is best, and what that says over all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from fingerprint.evidence.equality import Equality
from fingerprint.kinship import Kinship
from fingerprint.text import clean, listed
from fingerprint.verification import Candidate, Verdict

__all__ = ["overall", "ranked", "warnings"]

_ORDER = {"same": 0, "derived": 1, "inconclusive": 2, "independent": 3}


def ranked(candidates: Sequence[Candidate], kinship: Kinship) -> tuple[Candidate, ...]:
    """Returns the candidates, best first, after what is declared of their kin.

    Args:
        candidates: Each judged by itself.
        kinship: What is declared of the models.
    """
    return tuple(sorted(_reconciled(candidates, kinship), key=_rank))


def overall(
    ranked: Sequence[Candidate], unasked: Collection[str]
) -> tuple[Verdict, str, str | None]:
    """The best candidate's verdict; independent only when it is so of every compatible model.

    Args:
        ranked: Candidates that the verdict may be of, best first.
        unasked: Compatible models that were neither asked nor ruled out.

    Returns:
        The verdict, why in one sentence, and the name of who matches; None where nobody does.
    """
    if not ranked:
        return "inconclusive", "there is no registered model to compare with", None
    first = ranked[0]
    if first.verdict == "independent" and unasked:
        return (
            "inconclusive",
            f"it is independent of {listed((one.name for one in ranked), shown=5)}; not compared "
            f"with {listed(sorted(unasked), shown=5)}",
            None,
        )
    return first.verdict, first.reason, first.name if _matches(first) else None


def warnings(ranked: Sequence[Candidate]) -> tuple[str, ...]:
    """Returns a line for each thing that the order of candidates does not say."""
    return (*_ties(ranked), *_twins(ranked))


def _matches(candidate: Candidate) -> bool:
    return candidate.verdict in ("same", "derived")


def _reconciled(candidates: Sequence[Candidate], kinship: Kinship) -> list[Candidate]:
    """Takes independence back from whoever has a declared descendant that the suspect matches.

    The descendant's kin are kin of its ancestors. That the ancestor's own probes do not show it,
    as after a hard fine-tune, is no evidence against what its owner declared.
    """
    matching = [one.name for one in candidates if _matches(one)]
    judged = []
    for candidate in candidates:
        below = kinship.descendants(candidate.name)
        witness = next((name for name in matching if name in below), None)
        if candidate.verdict != "independent" or witness is None:
            judged.append(candidate)
            continue
        weights = kinship.digests.get(candidate.name)
        copied = weights is not None and kinship.digests.get(witness) == weights
        how = "has its weights" if copied else "is declared to descend from it"
        judged.append(
            replace(
                candidate,
                verdict="inconclusive",
                reason=f"{clean(witness)!r}, which {how}, matches",
                findings=tuple(replace(one, decides="nothing") for one in candidate.findings),
            )
        )
    return judged


def _rank(candidate: Candidate) -> tuple[int, bool, float, float, str]:
    ratio = candidate.harm_ratio if candidate.harm_ratio is not None else float("inf")
    alike = candidate.resemblance if candidate.resemblance is not None else -1.0
    # What a model's own training added names the nearest member of a family.
    by_itself = any(
        one.speaks_for == "individual" and one.test != Equality.name and one.decides == "kin"
        for one in candidate.findings
    )
    return (_ORDER[candidate.verdict], not by_itself, ratio, -alike, candidate.name)


def _ties(ranked: Sequence[Candidate]) -> tuple[str, ...]:
    """Names candidates that the answers do not tell apart."""
    same = [candidate.name for candidate in ranked if candidate.verdict == "same"]
    derived = [candidate.name for candidate in ranked if candidate.verdict == "derived"]
    if len(same) > 1:
        return (f"a family: its answers equal those of {', '.join(map(repr, same))}",)
    if not same and len(derived) > 1:
        return (f"a family: it is related to {', '.join(map(repr, derived))}; best first",)
    return ()


def _twins(ranked: Sequence[Candidate]) -> tuple[str, ...]:
    """Names candidates whose very weights the suspect declares."""
    return tuple(
        f"identical weights digest to {candidate.name!r}"
        for candidate in ranked
        if candidate.identical_weights
    )
