"""What a target answered first, or a registered model: all that later answers are held against.

::

    baseline = first_seen(suspect, inputs)
    baseline.repeatable                       # whether it gave the same answers twice
    Baseline.decode(baseline.encode())
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save
from scipy.special import softmax

from fingerprint.answers import Answers, ask, ask_more, unmoved
from fingerprint.canonical import canonical
from fingerprint.distances import answer_distance, answered
from fingerprint.errors import InputRefused, MalformedFile, NoEvidence, UsageError
from fingerprint.network.spec import AnswerKind, InputSpec, OutputSpec
from fingerprint.precision import Precision
from fingerprint.progress import Progress, silent
from fingerprint.questions import Questions, question_id
from fingerprint.suspects.base import Suspect
from fingerprint.text import clean

__all__ = ["TOLERANCE", "Baseline", "Recorded", "first_seen"]

TOLERANCE = 1e-4
"""Relative difference that is none: what registration takes at least for another device's."""
_LEAST = 4
"""Questions that must be answered for anything to be watched."""
_STEP = 1.01
"""Steps of its own rounding by which an answer may differ: one, and what float32 adds to it."""
_DTYPES = {str(dtype): dtype for dtype in (torch.bfloat16, torch.float16, torch.float32)}
_DAMAGE = (AttributeError, LookupError, RecursionError, SafetensorError, TypeError, ValueError)


@dataclass(frozen=True, eq=False, kw_only=True)
class Recorded:
    """What a registered model answers, in place of what a target is first seen to answer.

    Attributes:
        name: Of the model.
        output: What it gives.
        answers: To the questions, shape ``(Q, classes)``.
        tolerance: Relative difference that another device makes.
    """

    name: str
    output: OutputSpec
    answers: NDArray[np.float32]
    tolerance: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Baseline:
    """What later answers are held against.

    Attributes:
        input: The domain asked.
        output: What the target gives.
        kind: What its answers turned out to be; top-k ones may be labels.
        inputs: The questions, shape ``(Q, *shape)``; uint8 for pixels, else float32.
        reference: What distances are measured from, shape ``(Q, k, classes)``: one answer where
            they repeat or a model's were recorded, else several.
        scores: Of each question, those of the other answers it got at first; none where answers
            repeat. See :meth:`score`.
        repeatable: Whether questions that were asked again got equal answers.
        tolerance: Relative difference that is none.
        precision: How precisely answers were given.
        floor: Least probability that could be told from zero; None for other kinds.
        queries: How many inputs were asked.
    """

    input: InputSpec
    output: OutputSpec
    kind: AnswerKind
    inputs: NDArray[Any]
    reference: NDArray[np.float32]
    scores: tuple[tuple[float, ...], ...]
    repeatable: bool
    tolerance: float
    precision: Precision
    floor: float | None
    queries: int

    def score(self, place: int, row: NDArray[np.float32]) -> float:
        """Returns how far an answer lies from what was recorded; 0 if it is beyond telling.

        The root of the mean square over the reference answers, which ranks answers as their
        distance from the mean does, and exists for kinds that have none.

        Args:
            place: Of the question.
            row: The answer, shape ``(classes,)``.
        """
        reference = self.reference[place]
        if len(reference) == 1 and self._equal(row, reference[0]):
            return 0.0
        distances = answer_distance(reference, row, self.kind, floor=self.floor)
        return float(np.sqrt(np.mean(distances**2)))

    def _equal(self, row: NDArray[np.float32], before: NDArray[np.float32]) -> bool:
        step = 0.0 if self.kind == "labels" else self.precision.step
        if step > 0 and bool((np.abs(row - before) <= _STEP * step).all()):
            return True
        return bool(
            unmoved(
                row[None],
                before,
                self.kind,
                self.precision,
                tolerance=self.tolerance,
                floor=self.floor,
            )[0]
        )

    def questions(self, places: list[int]) -> Questions:
        """Returns some of the questions, to be asked once."""
        return _questions(self.input, self.inputs[places])

    def encode(self) -> bytes:
        """Returns it as bytes that :meth:`decode` reads."""
        document = {
            "schema": 1,
            "input": self.input.to_dict(),
            "output": self.output.to_dict(),
            "kind": self.kind,
            "scores": self.scores,
            "repeatable": self.repeatable,
            "tolerance": self.tolerance,
            "dtype": str(self.precision.dtype),
            "step": self.precision.step,
            "floor": self.floor,
            "queries": self.queries,
        }
        tensors = {
            "inputs": np.ascontiguousarray(self.inputs),
            "reference": np.ascontiguousarray(self.reference),
        }
        return save(tensors, metadata={"baseline": canonical(document)})

    @classmethod
    def decode(cls, data: bytes) -> Baseline:
        """Reads what :meth:`encode` wrote.

        Raises:
            MalformedFile: It is something else, or damaged.
        """
        try:
            tensors = load(data)
            length = int.from_bytes(data[:8], "little")
            header = json.loads(data[8 : 8 + length])["__metadata__"]["baseline"]
            found = _read(json.loads(header), tensors)
        except (UsageError, *_DAMAGE) as error:
            raise MalformedFile(
                f"expected a baseline, got damaged data ({clean(error)})"
            ) from error
        count, classes = len(found.inputs), found.output.classes
        sizes = (found.reference.shape[0], found.reference.shape[-1], len(found.scores))
        if sizes != (count, classes, count) or found.inputs.shape[1:] != found.input.shape:
            raise MalformedFile("expected a baseline, got arrays that do not fit together")
        return found


def first_seen(
    suspect: Suspect,
    inputs: NDArray[Any],
    *,
    recorded: Recorded | None = None,
    repeats: int = 12,
    few: int = 8,
    tolerance: float | None = None,
    progress: Progress = silent,
) -> Baseline:
    """Asks a target for the first time: twice, and anew many times if its answers do not repeat.

    What showed that they do not is not counted among the answers that ranks are taken of, for it
    was looked at to decide that. Where the answers of a registered model are there to be compared
    with, and repeat, most questions are not asked yet: nobody who keeps what was asked knows them.

    Args:
        suspect: Whom to ask.
        inputs: The questions, shape ``(Q, *shape)``, no two equal.
        recorded: What a registered model answers to them.
        repeats: How often each is asked where answers do not repeat.
        few: How many are asked first of a target that is to be a registered model.
        tolerance: Relative difference that is none; by default the model's, or ``TOLERANCE``.
        progress: Told how far the work is.

    Raises:
        InputRefused: It does not answer as the registered model does.
        NoEvidence: Too few questions were answered.
        UsageError: ``repeats`` or ``tolerance`` is impossible.
    """
    if repeats < 4 or (tolerance is not None and not tolerance >= 0):
        raise UsageError(
            f"expected at least 4 repeats and a tolerance from 0 on, got {repeats} and {tolerance}"
        )
    known = None if recorded is None else _of_kind(recorded, suspect.output)
    before = suspect.queries
    begin = inputs if known is None else inputs[:few]
    first, there = _passes(suspect, begin, 2, progress)
    said = _said(first[there], suspect.output)
    draft = Baseline(
        input=suspect.input,
        output=suspect.output,
        kind=said.kind,
        inputs=begin[there],
        reference=first[there, :1],
        scores=((),) * int(there.sum()),
        repeatable=True,
        tolerance=_tolerance(tolerance, recorded, known),
        precision=said.precision,
        floor=said.floor,
        queries=suspect.queries - before,
    )
    if all(draft.score(place, row) == 0 for place, row in enumerate(first[there, 1])):
        return draft if known is None else _as_model(draft, inputs, known, recorded)
    rows, there = _passes(suspect, inputs, repeats, progress)
    return _by_ranks(draft, inputs, rows, there, known, suspect.queries - before)


def _by_ranks(
    draft: Baseline,
    inputs: NDArray[Any],
    rows: NDArray[np.float32],
    there: NDArray[np.bool_],
    known: NDArray[np.float32] | None,
    queries: int,
) -> Baseline:
    """Returns the baseline of a target whose answers do not repeat.

    A third of the answers, or what a model answers, is what distances are measured from; the others
    are the first that ranks are taken of. How a distance is measured depends on none of those.
    """
    held = rows.shape[1] // 3
    reference = rows[:, :held] if known is None else known[:, None]
    counted = rows[:, held:] if known is None else rows
    found = replace(
        draft,
        inputs=inputs[there],
        reference=reference[there],
        repeatable=False,
        queries=queries,
    )
    scores = tuple(
        tuple(found.score(place, row) for row in some) for place, some in enumerate(counted[there])
    )
    return replace(found, scores=scores)


def _as_model(
    draft: Baseline, inputs: NDArray[Any], known: NDArray[np.float32], recorded: Recorded | None
) -> Baseline:
    """Returns the baseline of a target that answers as a registered model does.

    Raises:
        InputRefused: It does not.
    """
    assert recorded is not None
    ids = [question_id(one) for one in inputs]
    found = replace(draft, inputs=inputs, reference=known[:, None], scores=((),) * len(inputs))
    places = [ids.index(question_id(one)) for one in draft.inputs]
    rows = draft.reference[:, 0]
    apart = sum(found.score(place, row) > 0 for place, row in zip(places, rows, strict=True))
    if apart:
        raise InputRefused(
            f"{apart} of {len(rows)} answers are not those of {clean(recorded.name)!r}, beyond "
            f"{found.tolerance:.2g} of their size: 'fp verify' says whose it is; leave out --model "
            "to watch it as it is, or give a larger --tolerance"
        )
    return found


def _of_kind(recorded: Recorded, output: OutputSpec) -> NDArray[np.float32] | None:
    """Returns recorded answers as the target gives its own; None where they cannot be made so."""
    if output.by_name or output.classes != recorded.output.classes:
        return None
    if output.kind in (recorded.output.kind, "labels"):
        return recorded.answers
    if (recorded.output.kind, output.kind) == ("logits", "probabilities"):
        return np.asarray(softmax(recorded.answers, axis=-1), np.float32)
    return None


def _tolerance(
    given: float | None, recorded: Recorded | None, known: NDArray[np.float32] | None
) -> float:
    if given is not None:
        return given
    return TOLERANCE if recorded is None or known is None else recorded.tolerance


def _passes(
    suspect: Suspect, inputs: NDArray[Any], count: int, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Asks everything so many times, one time after another.

    Returns:
        Answers of shape ``(Q, count, classes)``, and which questions were answered each time.

    Raises:
        NoEvidence: Too few were.
    """
    questions = _questions(suspect.input, inputs)
    found = [ask(suspect, questions, progress=progress)]
    found += [ask_more(suspect, questions, progress=progress) for _ in range(count - 1)]
    rows = np.stack([one.of(inputs) for one in found], axis=1)
    there = np.logical_and.reduce(answered(rows, suspect.output.kind), axis=1)
    if there.sum() < min(_LEAST, len(there)):
        failure = next((one.failure for one in found if one.failure), "no answer came")
        raise NoEvidence(
            f"expected answers to {len(there)} questions, each time they were asked, got them to "
            f"{there.sum()}: {failure}"
        )
    return rows, there


def _said(rows: NDArray[np.float32], output: OutputSpec) -> Answers:
    """Returns answers as one value, which knows what they are and how precise."""
    flat = rows.reshape(-1, output.classes)
    return Answers(output=output, values={str(place): row for place, row in enumerate(flat)})


def _questions(spec: InputSpec, inputs: NDArray[Any]) -> Questions:
    return Questions(
        input=spec,
        inputs=inputs,
        ids=tuple(question_id(one) for one in inputs),
        wanted={},
        repeated=(),
    )


def _read(document: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Baseline:
    output = OutputSpec.from_dict(document["output"])
    kind = OutputSpec.from_dict({**document["output"], "kind": document["kind"]}).kind
    floor = document["floor"]
    return Baseline(
        input=InputSpec.from_dict(document["input"]),
        output=output,
        kind=kind,
        inputs=tensors["inputs"],
        reference=tensors["reference"],
        scores=tuple(tuple(float(score) for score in some) for some in document["scores"]),
        repeatable=bool(document["repeatable"]),
        tolerance=float(document["tolerance"]),
        precision=Precision(kind, _DTYPES[document["dtype"]], float(document["step"])),
        floor=None if floor is None else float(floor),
        queries=int(document["queries"]),
    )
