"""Whose is it? Compares a suspect with registered models from its answers alone.

verification = verify(load_model("suspect.safetensors"), {"resnet": fingerprint})
verification.verdict, verification.best
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from torch import nn

from fingerprint.answers import Answers, ask, ask_more
from fingerprint.channel import ask_channel, through
from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.evidence.calibration import Calibration
from fingerprint.evidence.channel import Channel
from fingerprint.evidence.rare_labels import Pictures, RareLabels
from fingerprint.feeding import better_flags
from fingerprint.kinship import Kinship
from fingerprint.narrowing import Narrowing, narrowing_note
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from fingerprint.probes.probe import Fingerprint
from fingerprint.progress import Progress, silent
from fingerprint.questions import Questions, picture_questions, questions_for
from fingerprint.shelf import outlines_of
from fingerprint.suspects.base import Suspect
from fingerprint.suspects.graph import GraphSuspect
from fingerprint.suspects.journal import Journal
from fingerprint.suspects.pytorch import ModelSuspect
from fingerprint.verdict import judge
from fingerprint.verification import Verification

__all__ = ["Heard", "Witness", "judge_again", "verify"]

_UNCLEAR = ("independent", "inconclusive")
"""Verdicts that a copy gets as well, if it is fed otherwise than it wants to be."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Heard:
    """Everything that a verdict takes from the suspect, so that it can be judged again.

    Attributes:
        answers: What came back.
        ruled_out: Candidates that the panel ruled out, so that they were not asked.
        flags: By candidate, how the suspect would have to be fed to resemble it.
        doubt: Why answers like a stranger's do not make it one, empty where they do.
        feeding_doubt: What is left of the doubt where nothing is taken away from inputs.
        channel: What reaches its model of what it is asked; None where that was not asked.
    """

    answers: Answers
    ruled_out: tuple[str, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    doubt: str = ""
    feeding_doubt: str = ""
    channel: Channel | None = None

    def facts(self) -> dict[str, Any]:
        """Returns all but the answers, as plain JSON values."""
        return {
            "ruled_out": list(self.ruled_out),
            "flags": dict(self.flags),
            "doubt": self.doubt,
            "feeding_doubt": self.feeding_doubt,
            "channel": None if self.channel is None else self.channel.to_dict(),
        }

    @classmethod
    def from_facts(cls, answers: Answers, facts: Mapping[str, Any]) -> Heard:
        """Builds what was heard from answers and :meth:`facts`; any error for anything else."""
        channel = facts["channel"]
        return cls(
            answers=answers,
            ruled_out=tuple(map(str, facts["ruled_out"])),
            flags={str(name): str(flags) for name, flags in facts["flags"].items()},
            doubt=str(facts["doubt"]),
            feeding_doubt=str(facts["feeding_doubt"]),
            channel=None if channel is None else Channel.from_dict(channel),
        )


class Witness(Protocol):
    """Is told what is going to be asked before anything is, and then what was heard."""

    def begins(self, questions: Questions) -> None:
        """Is told what will be asked; what it raises is raised, and then nothing is asked."""

    def has_heard(self, heard: Heard) -> None:
        """Is told what came back."""


def judge_again(
    candidates: Mapping[str, Fingerprint],
    heard: Heard,
    *,
    kinship: Kinship,
    calibration: Calibration,
    alpha: float,
    compatible: Collection[str],
) -> Verification:
    """Judges what was heard of a suspect, as :func:`verify` does, asking nothing.

    Args:
        candidates: Fingerprints by name, of those that were not ruled out.
        heard: What was heard.
        kinship: What is declared of the models.
        calibration: What is known of independent models.
        alpha: Accepted rate of false claims of descent.
        compatible: Every model that the suspect could be, asked or not.

    Returns:
        The verdict, without rare labels and without a time.
    """
    verification = judge(
        candidates,
        heard.answers,
        kinship=kinship,
        calibration=calibration,
        alpha=alpha,
        compatible=compatible,
        not_asked=heard.ruled_out,
        flags=heard.flags,
    )
    return through(verification, heard.channel, heard.doubt, heard.feeding_doubt)


def verify(
    suspect: Model | nn.Module | Suspect,
    candidates: Mapping[str, Fingerprint] | Fingerprint,
    *,
    alpha: float = 0.001,
    kinship: Kinship | None = None,
    calibration: Calibration | None = None,
    compatible: Collection[str] = (),
    always: Collection[str] | None = None,
    pictures: Pictures | None = None,
    progress: Progress = silent,
    witness: Witness | None = None,
) -> Verification:
    """Compares a suspect with one or many fingerprints: makes questions, asks, and judges.

    Public inputs that candidates share are asked once. For one candidate of 24 probes that is
    208 inputs, and one of them a second time to see whether the suspect answers the same. To
    limit what is asked, or to go on where an interrupted verification ended, give a
    :class:`~fingerprint.suspects.Journal` of the suspect.

    Args:
        suspect: A loaded model, a live module, or anything that answers.
        candidates: Fingerprints by name, or a single one, which is then named ``source``. Those
            on a :class:`~fingerprint.shelf.Shelf` are only read if they are asked.
        alpha: Accepted rate of false claims of descent, over all compatible models together.
        kinship: What is declared of the models.
        calibration: What is known of independent models; it can lower a candidate's margin.
        compatible: Every model that the suspect could be, asked or not.
        always: Candidates that are asked their probes whatever the panel says; all of them by
            default. Of the others, the suspect is asked those of the nearest and of whoever the
            panel cannot rule out.
        pictures: Pictures, and what registered models call them: the suspect is asked those of
            rare labels as well, and each candidate gets a finding that decides nothing.
        progress: Called as ``progress(stage, done, total)``.
        witness: Told what is going to be asked, before anything is, and what was answered.

    Returns:
        The verdict with its findings, candidates best first. What does not match is a value,
        never an exception.

    Raises:
        IncompatibleModel: A candidate takes other inputs than the suspect.
        UsageError: ``alpha`` is not between 0 and 1.
    """
    began = time.perf_counter()
    if not 0 < alpha < 1:
        raise UsageError(f"alpha: expected a level between 0 and 1, got {alpha}")
    named = {"source": candidates} if isinstance(candidates, Fingerprint) else candidates
    asked = _as_suspect(suspect, named)
    _check_domains(asked, named)
    compared: Mapping[str, Fingerprint] = {}
    ruled_out: tuple[str, ...] = ()
    if named:
        narrowing = Narrowing(named, named if always is None else always)
        first = narrowing.first
        following = None if first is None else narrowing.following
        questions = questions_for(narrowing.kept) if first is None else first
        if pictures is not None or asked.beyond:
            # A journal then keeps what is asked beyond these, too.
            questions = replace(questions, open=True)
        if witness is not None:
            witness.begins(questions)
        answers = ask(asked, questions, following=following, progress=progress)
        compared, ruled_out = narrowing.kept, narrowing.ruled_out
    else:
        answers = Answers(
            output=asked.output, values={}, identity=asked.identity, suspect=asked.facts()
        )
    judged = partial(
        judge_again,
        compared,
        kinship=kinship or Kinship(),
        calibration=calibration or Calibration(),
        alpha=alpha,
        compatible=compatible,
    )
    heard = Heard(
        answers=answers,
        ruled_out=ruled_out,
        doubt=asked.doubt,
        feeding_doubt=asked.feeding_doubt,
    )
    verification = judged(heard)
    here = _at_hand(asked)
    if here is not None and verification.verdict in _UNCLEAR:
        heard = replace(heard, flags=better_flags(here, compared))
        verification = judged(heard) if heard.flags else verification
    if asked.beyond and compared and not answers.failure and verification.verdict in _UNCLEAR:
        channel, flags = ask_channel(asked, answers, compared, progress=progress)
        heard = replace(heard, channel=channel, flags=flags or heard.flags)
        verification = judged(heard)
    if witness is not None:
        witness.has_heard(heard)
    notes = (narrowing_note(ruled_out, answers.kind),) if ruled_out else ()
    lines = (*verification.warnings, *notes)
    if pictures is not None:
        rare = RareLabels(pictures, kinship or Kinship())
        verification = _with_rare_labels(verification, rare, asked, answers.failure, progress)
    return replace(verification, warnings=lines, seconds=time.perf_counter() - began)


def _at_hand(asked: Suspect) -> Model | GraphSuspect | None:
    """Returns what runs here, so that it can be fed otherwise; None where nothing does.

    Behind a journal too, where one is kept or a budget given: a copy that was fed wrongly is no
    stranger for that. One that does neither is registration's, which measures what it is given.
    """
    if isinstance(asked, Journal) and (asked.path or asked.max_queries):
        asked = asked.suspect
    if isinstance(asked, GraphSuspect):
        return asked
    return asked.model if isinstance(asked, ModelSuspect) else None


def _with_rare_labels(
    verification: Verification,
    rare: RareLabels,
    suspect: Suspect,
    failure: str,
    progress: Progress,
) -> Verification:
    """Asks the pictures of each candidate's rare labels, and adds what that says.

    References are nobody's verdict and are not asked about. A suspect that failed before is not
    asked any more.
    """
    names = [one.name for one in verification.candidates if not one.reference]
    wanted = rare.wanted(names, suspect.output.classes)
    answers = Answers(output=suspect.output, values={})
    if wanted and not failure:
        questions = picture_questions(suspect.input, wanted)
        answers = ask_more(suspect, questions, progress=progress)
    candidates = tuple(
        replace(one, findings=(*one.findings, rare.measure(one.name, answers)))
        if one.name in names
        else one
        for one in verification.candidates
    )
    queries = verification.queries + answers.queries
    return replace(verification, candidates=candidates, queries=queries)


def _as_suspect(suspect: Model | nn.Module | Suspect, named: Mapping[str, Fingerprint]) -> Suspect:
    if isinstance(suspect, Suspect):
        return suspect
    if isinstance(suspect, nn.Module):
        known = next(iter(named.values())).input if named else None
        suspect = load_model(
            suspect,
            input_size=known.shape if known else None,
            mean=known.mean or None if known else None,
            std=known.std or None if known else None,
            bounds=known.bounds if known and known.kind == "float" else None,
        )
    return ModelSuspect(suspect)


def _check_domains(suspect: Suspect, named: Mapping[str, Fingerprint]) -> None:
    for name, fingerprint in outlines_of(named).items():
        if fingerprint.input.domain != suspect.input.domain:
            raise IncompatibleModel(
                f"{name!r} takes inputs {fingerprint.input.domain}, the suspect takes "
                f"{suspect.input.domain}; give the suspect's --input-size or leave it out"
            )
