"""What came back: answers by input, of what kind, how precise, and whether they repeat.

::

    answers = ask(ModelSuspect(model), questions)
    answers.of(fingerprint.harmless)        # (N, classes), NaN where there was no answer
    answers.failure                         # why asking ended early, empty if it did not

Whatever ends the asking early, a suspect that fails, a budget, a limit of time, what was answered
until then is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fingerprint.canonical import canonical
from fingerprint.distances import answer_distance, answer_size, answered, named, precision
from fingerprint.errors import IncompatibleModel, InputRefused, MalformedFile, UsageError
from fingerprint.files import write_whole
from fingerprint.formats.file_bytes import read_file
from fingerprint.network.spec import AnswerKind, OutputSpec
from fingerprint.precision import Precision
from fingerprint.progress import Progress, silent
from fingerprint.questions import Questions, question_id
from fingerprint.suspects.base import Identity, Suspect
from fingerprint.text import clean, first_line

__all__ = ["Answers", "Identity", "ask", "ask_more", "unmoved"]

_MAX_FILE = 2**32
_DAMAGE = (
    SafetensorError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers:
    """A suspect's answers by the id of the input.

    Attributes:
        output: What the suspect gives: kind and number of classes.
        values: By id, a finite float32 answer of shape ``(classes,)``; an id that is missing was
            not answered.
        repeats: By id, answers to the same input when it was asked again, shape ``(r, classes)``;
            NaN where there was none.
        queries: How many inputs the suspect was asked.
        identity: Who the suspect says it is.
        suspect: Facts about it for the report, plain JSON values.
        failure: Why asking ended early, one line; empty if it did not.
    """

    output: OutputSpec
    values: Mapping[str, NDArray[np.float32]]
    repeats: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    queries: int = 0
    identity: Identity = field(default_factory=Identity)
    suspect: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""

    @property
    def kind(self) -> AnswerKind:
        """What the answers are. Top-k answers that never name a second class are labels."""
        kind = self.output.kind
        if kind != "top-k" or not self.values:
            return kind
        most = max(int(named(row).sum()) for row in self.values.values())
        return "labels" if most == 1 else kind

    @property
    def floor(self) -> float | None:
        """Least probability that these answers can tell from zero; None for other kinds."""
        if self.kind != "probabilities" or not self.values:
            return None
        return precision(np.stack(list(self.values.values())))

    @property
    def precision(self) -> Precision:
        """How precisely these answers are given."""
        nothing = np.empty((0, self.output.classes), np.float32)
        return Precision.of(
            np.stack([*self.values.values()]) if self.values else nothing, self.kind
        )

    @property
    def said(self) -> str:
        """What these answers look like, in words: of what kind, and how finely given."""
        if not self.values:
            return self.kind
        rows = np.stack([*self.values.values()])
        what: str = self.kind
        if self.kind == "top-k":
            what = f"the {int(named(rows).sum(axis=1).max())} likeliest of {rows.shape[1]} classes"
        elif self.kind == "logits" and rows.shape[1] == 2 and not rows[:, 0].any():
            what = "one number"
        elif self.kind == "logits" and rows.min() >= 0 and rows.max() <= 1:
            what = "numbers from 0 to 1 that do not add up to 1, such as several labels at once"
        return ", ".join(filter(None, (what, self.precision.said)))

    def of(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The answers to inputs of shape ``(N, *shape)``: ``(N, classes)``, NaN for none."""
        nothing = np.full(self.output.classes, np.nan, np.float32)
        rows = [self.values.get(question_id(one), nothing) for one in inputs]
        if not rows:
            return np.empty((0, self.output.classes), np.float32)
        return _or_nothing(np.stack(rows), self.output.kind)

    @property
    def repeated(self) -> dict[str, NDArray[np.float32]]:
        """By id, the answers in ``repeats`` to inputs that were answered the first time, too."""
        kind = self.output.kind
        there = {asked: again[answered(again, kind)] for asked, again in self.repeats.items()}
        first = {asked for asked, row in self.values.items() if answered(row, kind)}
        return {asked: again for asked, again in there.items() if len(again) and asked in first}

    def repeatable(self, tolerance: float) -> bool:
        """Whether inputs that were asked again got equal answers; not if none was answered twice.

        Args:
            tolerance: Relative difference that still counts as equal.
        """
        kind, floor, known = self.kind, self.floor, self.precision
        equal = (
            unmoved(again, self.values[asked], kind, known, tolerance=tolerance, floor=floor)
            for asked, again in self.repeated.items()
        )
        return bool(self.repeated) and all(bool(one.all()) for one in equal)

    def write(self, path: Path) -> None:
        """Writes the answers as one file, whole or not at all.

        Raises:
            EnvironmentFailure: It cannot be written.
        """
        body = self.to_bytes()
        write_whole(path, lambda stream: stream.write(body))

    def to_bytes(self) -> bytes:
        """Returns the answers as one safetensors file; equal answers give equal bytes."""
        classes = self.output.classes
        document = {
            "schema": 1,
            "output": self.output.to_dict(),
            "ids": list(self.values),
            "repeated": {asked: len(again) for asked, again in self.repeats.items()},
            "queries": self.queries,
            "identity": self.identity.to_dict(),
            "suspect": self.suspect,
            "failure": self.failure,
        }
        empty = np.empty((0, classes), np.float32)
        tensors = {
            "values": np.stack(list(self.values.values())) if self.values else empty,
            # In the order of the document's keys, which are sorted.
            "repeats": np.concatenate(
                [empty, *(self.repeats[one] for one in sorted(self.repeats))]
            ),
        }
        return save(tensors, metadata={"answers": canonical(document)})

    @classmethod
    def read(cls, path: Path) -> Answers:
        """Reads what :meth:`write` wrote, believing nothing of it.

        Raises:
            UsageError: There is no such file.
            MalformedFile: It holds something else, or was damaged.
            UnsafeFile: It is too large, or no file.
        """
        return cls.from_bytes(read_file(str(path), max_bytes=_MAX_FILE).data, clean(path))

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Answers:
        """Reads what :meth:`to_bytes` made, believing nothing of it.

        Args:
            data: The file.
            where: What to call it in messages.

        Raises:
            MalformedFile: It is something else, or was damaged.
        """
        try:
            tensors = load(data)
            length = int.from_bytes(data[:8], "little")
            header = json.loads(data[8 : 8 + length])
            answers, problems = _parsed(json.loads(header["__metadata__"]["answers"]), tensors)
        except (UsageError, *_DAMAGE) as error:
            raise MalformedFile(
                f"{where}: expected answers, got damaged data ({clean(error)})"
            ) from error
        if problems:
            raise MalformedFile(f"{where}: {problems[0]}")
        return answers


def unmoved(
    again: NDArray[np.float32],
    before: NDArray[np.float32],
    kind: AnswerKind,
    known: Precision,
    *,
    tolerance: float,
    floor: float | None = None,
) -> NDArray[np.bool_]:
    """Which answers to one input equal an earlier one.

    Args:
        again: Shape ``(r, classes)``.
        before: The earlier one, shape ``(classes,)``.
        kind: What they are.
        known: How precisely they are given.
        tolerance: Relative difference that still counts as equal.
        floor: Least probability; see :func:`~fingerprint.distances.answer_distance`.

    Returns:
        Shape ``(r,)``; a missing answer equals nothing.
    """
    difference = answer_distance(again, before, kind, floor=floor)
    size = float(answer_size(before, kind, floor=floor))
    least = known.least_distance(np.concatenate([before[None], again]))
    equal: NDArray[np.bool_] = difference <= max(tolerance * size, least)
    return equal


Following = Callable[["Answers"], Questions]
"""Says by what was answered what else is worth asking."""


def ask(
    suspect: Suspect,
    questions: Questions,
    *,
    following: Following | None = None,
    progress: Progress = silent,
) -> Answers:
    """Asks a suspect everything, then once more what is to be repeated.

    A repeat is asked by itself, so that a suspect which mixes up the rows of a batch is noticed.

    Args:
        suspect: Whom to ask.
        questions: Of the suspect's own input domain.
        following: Called with the answers to those; what it returns is asked as well, but for
            what was asked already.
        progress: Called after each batch; what it raises is raised.

    Returns:
        What was answered. Where the suspect fails, by an exception or by answers of the wrong
        number or size, asking ends there and ``failure`` says why.

    Raises:
        IncompatibleModel: The suspect takes other inputs.
        InputRefused: The suspect is a file or model that turns out not to be acceptable.
    """
    if suspect.input.domain != questions.input.domain:
        raise IncompatibleModel(
            f"expected a suspect that takes inputs {questions.input.domain}, it takes "
            f"{suspect.input.domain}; give its --input-size"
        )
    before = suspect.queries
    suspect.prepare(questions)
    return _gathered(suspect, questions, following, before, progress)


def ask_more(suspect: Suspect, questions: Questions, *, progress: Progress = silent) -> Answers:
    """Asks a suspect that was asked by :func:`ask` something else, from the same budget.

    What comes of it is kept apart, so that it changes nothing of what the first answers say. A
    journal keeps both, where the first questions were ``open``.

    Args:
        suspect: Whom to ask.
        questions: Of the suspect's own input domain.
        progress: Called after each batch; what it raises is raised.

    Returns:
        What was answered to these questions, with the queries of these alone.

    Raises:
        InputRefused: The suspect is a file or model that turns out not to be acceptable.
    """
    return _gathered(suspect, questions, None, suspect.queries, progress)


def _gathered(
    suspect: Suspect,
    questions: Questions,
    following: Following | None,
    before: int,
    progress: Progress,
) -> Answers:
    """Asks until all is asked or the suspect fails, and says what was answered."""
    values: dict[str, NDArray[np.float32]] = {}
    repeats: dict[str, NDArray[np.float32]] = {}
    wanted: set[str] = set()
    failure = ""
    steps = _asking(suspect, questions, following, wanted, values, repeats)
    while True:
        try:
            done = next(steps, None)
        except (InputRefused, UsageError):
            raise
        except Exception as error:  # a suspect may fail in any way; what it answered is kept
            failure = first_line(error)
            break
        if done is None:
            break
        progress("asking", done, len(wanted) + len(suspect.again(questions)))
    failure = suspect.failure or failure
    if failure:
        failure = f"{len(values)} of {len(wanted)} questions were answered: {failure}"
    return Answers(
        output=suspect.output,
        values=values,
        repeats=repeats,
        queries=suspect.queries - before,
        identity=suspect.identity,
        suspect=suspect.facts(),
        failure=failure,
    )


def _asking(
    suspect: Suspect,
    questions: Questions,
    following: Following | None,
    wanted: set[str],
    values: dict[str, NDArray[np.float32]],
    repeats: dict[str, NDArray[np.float32]],
) -> Iterator[int]:
    """Asks everything, fills in what is answered, and says after each batch how much was asked."""
    kind = suspect.output.kind
    done = 0
    # What follows is known only when the first are answered, so the second part is made late.
    for part in _parts(suspect, questions, following, values):
        fresh = [place for place, asked in enumerate(part.ids) if asked not in wanted]
        fresh = [fresh[turn] for turn in suspect.sequence(len(fresh))]
        wanted.update(part.ids)
        for begin in range(0, len(fresh), suspect.batch):
            places = fresh[begin : begin + suspect.batch]
            rows = suspect.answer(part.inputs[places])
            there = answered(rows, kind)
            values.update(
                (part.ids[place], row)
                for place, row, known in zip(places, rows, there, strict=True)
                if known
            )
            done += len(places)
            yield done
    place = {asked: index for index, asked in enumerate(questions.ids)}
    for count, asked in enumerate(suspect.again(questions), start=done + 1):
        row = _or_nothing(suspect.answer(questions.inputs[[place[asked]]]), kind)
        repeats[asked] = np.concatenate([repeats.get(asked, row[:0]), row])
        yield count


def _parts(
    suspect: Suspect,
    questions: Questions,
    following: Following | None,
    values: Mapping[str, NDArray[np.float32]],
) -> Iterator[Questions]:
    yield questions
    if following is not None:
        yield following(Answers(output=suspect.output, values=dict(values)))


def _or_nothing(rows: NDArray[np.float32], kind: AnswerKind) -> NDArray[np.float32]:
    """Rows of answers, NaN where there is none."""
    given: NDArray[np.float32] = np.where(answered(rows, kind)[..., None], rows, np.float32(np.nan))
    return given


def _parsed(
    document: dict[str, Any], tensors: dict[str, NDArray[Any]]
) -> tuple[Answers, list[str]]:
    """Returns the answers of a file, and what is wrong with them."""
    output = OutputSpec.from_dict(document["output"])
    values, repeats = tensors["values"], tensors["repeats"]
    ids = [str(asked) for asked in document["ids"]]
    counts = {str(asked): int(count) for asked, count in document["repeated"].items()}
    identity = dict(document["identity"])
    problems = []
    for name, array, rows in (
        ("values", values, len(ids)),
        ("repeats", repeats, sum(counts.values())),
    ):
        if array.shape != (rows, output.classes) or array.dtype != np.float32:
            problems.append(
                f"expected {name} of shape {(rows, output.classes)} and type float32, "
                f"got {array.shape} and {array.dtype}"
            )
    if problems:
        return Answers(output=output, values={}), problems
    if not np.isfinite(values).all():
        problems.append("expected finite answers, got NaN or infinity")
    if len(set(ids)) != len(ids) or min(counts.values(), default=1) < 1:
        problems.append("expected each input once, got one twice or not at all")
    ends = np.cumsum([0, *counts.values()])
    answers = Answers(
        output=output,
        values=dict(zip(ids, values, strict=True)),
        repeats={
            asked: repeats[begin:end]
            for asked, begin, end in zip(counts, ends[:-1], ends[1:], strict=True)
        },
        queries=int(document["queries"]),
        identity=Identity(
            model_digest=_text(identity["model_digest"]),
            file_sha256=_text(identity["file_sha256"]),
            label=str(identity["label"]),
        ),
        suspect=dict(document["suspect"]),
        failure=str(document["failure"]),
    )
    return answers, problems


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
