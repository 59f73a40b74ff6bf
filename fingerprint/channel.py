"""Asks a suspect that is not at hand what reaches its model, and what the verdict is worth then.

Only where it matches nobody: what a probe loses on the way, its controls lose as well, so nothing
on the way makes a stranger a copy. It makes a copy a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from fingerprint.answers import ask_more
from fingerprint.evidence.channel import Channel, channel_of
from fingerprint.feeding import FLIPPED_INPUTS, flipped_flags, flipped_panel
from fingerprint.network.spec import InputSpec
from fingerprint.probes.twins import twin_count, twin_inputs
from fingerprint.progress import Progress, silent
from fingerprint.questions import Questions, picture_questions

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint
    from fingerprint.suspects.base import Suspect
    from fingerprint.verification import Candidate, Verification

__all__ = ["ask_channel", "channel_count", "channel_questions", "through"]


def channel_questions(candidates: Mapping[str, Fingerprint]) -> Questions | None:
    """Returns twins, and a part of the panel with its channels the other way round.

    Args:
        candidates: Those whom a suspect is compared with, at least one.

    Returns:
        The questions; None where inputs are no pictures, so that there is nothing to ask.
    """
    first = next(iter(candidates.values()))
    twins = twin_inputs(first.input, first.seed)
    if not len(twins):
        return None
    flipped = flipped_panel(candidates)
    wanted = {"twins": twins} if flipped is None else {"twins": twins, "flipped": flipped}
    spec = InputSpec(shape=first.input.shape)
    return picture_questions(spec, wanted)


def channel_count(spec: InputSpec) -> int:
    """Returns how many inputs :func:`channel_questions` has at most."""
    count = twin_count(spec)
    return count + FLIPPED_INPUTS if count and spec.shape[0] == 3 else count


def ask_channel(
    suspect: Suspect,
    answers: Answers,
    candidates: Mapping[str, Fingerprint],
    *,
    progress: Progress = silent,
) -> tuple[Channel | None, dict[str, str]]:
    """Asks :func:`channel_questions`.

    Args:
        suspect: Whom to ask.
        answers: What it answered to the candidates' questions.
        candidates: Those who were compared, at least one.
        progress: Called after each batch.

    Returns:
        What reaches the model, None where there is nothing to ask: of inputs that are no pictures,
        or of labels. And by candidate the flags under which the suspect resembles it.
    """
    questions = None if answers.kind == "labels" else channel_questions(candidates)
    if questions is None:
        return None, {}
    first = next(iter(candidates.values()))
    given = ask_more(suspect, questions, progress=progress)
    channel = channel_of(given, first.input, first.seed, candidates)
    return channel, flipped_flags(answers, given, candidates)


def through(
    verification: Verification, channel: Channel | None, doubt: str, feeding: str
) -> Verification:
    """Calls nobody independent whose copy would have answered the same from behind the channel.

    Args:
        verification: As the answers have it.
        channel: What reaches the model; None where it was not asked.
        doubt: Why answers like a stranger's do not make the suspect one; empty where they do.
        feeding: What is left of the doubt where nothing is taken away.
    """
    eaten = "" if channel is None else channel.eaten

    def reason(name: str) -> str:
        if eaten or not doubt or channel is None:
            return eaten or doubt
        unclear = channel.unclear(name)
        return f"{doubt}; {unclear}" if unclear else feeding

    def doubted(one: Candidate) -> Candidate:
        why = reason(one.name) if one.verdict == "independent" else eaten
        if not why or one.verdict not in ("independent", "inconclusive"):
            return one
        return replace(one, verdict="inconclusive", reason=f"{one.reason}; {why}")

    # Best first: who is not known to be independent comes before who is.
    candidates = sorted(
        map(doubted, verification.candidates), key=lambda one: one.verdict == "independent"
    )
    queries = verification.queries + (0 if channel is None else channel.queries)
    found = replace(verification, candidates=tuple(candidates), channel=channel, queries=queries)
    mine = next((one for one in candidates if not one.reference), None)
    if mine is not None and mine.verdict == "inconclusive" != verification.verdict:
        return replace(found, verdict="inconclusive", reason=mine.reason)
    if eaten:
        return replace(found, reason=f"{verification.reason}; {eaten}")
    return found
