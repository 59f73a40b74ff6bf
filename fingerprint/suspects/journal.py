"""A journal around any suspect: batches, another try, a budget, and what was answered kept.

::

    suspect = Journal(ModelSuspect(model), Path("audit.journal"), max_queries=500)
    verify(suspect, fingerprints)     # ends early; what was answered is in the file
    verify(suspect, fingerprints)     # asks only what is missing

The file is data: a line of JSON that says who was asked what, and to which criteria its caller was
committed before, then one for each answer, and for
each batch one that counts the queries that brought none, written through to the disk after each
batch. A line that a crash cut short is dropped.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.canonical import canonical, sha256_of
from fingerprint.distances import answered
from fingerprint.errors import (
    EnvironmentFailure,
    InputRefused,
    MalformedFile,
    UsageError,
)
from fingerprint.files import write_whole
from fingerprint.formats.file_bytes import read_file
from fingerprint.questions import Questions, question_id
from fingerprint.suspects.base import Identity, PassedOn, Suspect
from fingerprint.text import clean, first_line

__all__ = ["Journal"]

_MAX_FILE = 2**32
_DAMAGE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


class Journal(PassedOn):
    """Passes on another suspect's answers, remembering them.

    Where the other fails for good or the budget is spent, what is known goes on being answered
    and the rest is not: rows of NaN, and :attr:`failure` says why.

    Attributes:
        commitment: To what a verdict is going to rest on, as hex; set before anything is asked, it
            is kept in a new journal's first line.
        begun_under: What that line says, once anything was asked; None where it says nothing.

    Args:
        suspect: Who answers.
        path: The journal; one that is there is gone on with. By default none is kept.
        batch: How many inputs to ask at once; by default the other suspect's choice.
        retries: How often a batch that fails is tried again.
        pause: Seconds before the first of these; each further one waits twice as long.
        max_queries: How many inputs to ask at most, failed ones included, not counting what an
            earlier run asked; by default there is no limit.

    Raises:
        UsageError: A number is impossible, or a file is to be kept of a suspect that does not say
            who it is, so that nobody could tell whose answers are in it.
    """

    def __init__(
        self,
        suspect: Suspect,
        path: Path | None = None,
        *,
        batch: int | None = None,
        retries: int = 2,
        pause: float = 1.0,
        max_queries: int | None = None,
    ) -> None:
        for name, value, least in (
            ("batch", batch, 1),
            ("retries", retries, 0),
            ("pause", pause, 0),
            ("max queries", max_queries, 1),
        ):
            if value is not None and not value >= least:
                raise UsageError(f"{name}: expected at least {least}, got {value}")
        if path is not None and suspect.identity == Identity():
            raise UsageError(
                "journal: expected a suspect that says who it is, got one without an identity; "
                "give it a label, such as the address it is asked at"
            )
        super().__init__(suspect)
        self.path = path
        self.batch = suspect.batch if batch is None else batch
        self.retries, self.pause, self.max_queries = retries, pause, max_queries
        self._known: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
        self._asked: Counter[str] = Counter()
        self._lost = 0
        self._begun_at = suspect.queries
        self._failure = ""
        self.commitment: str | None = None
        self.begun_under: str | None = None

    @property
    def failure(self) -> str:
        """Why nothing more is asked, one line; empty while it is."""
        return self._failure or super().failure

    def prepare(self, questions: Questions) -> None:
        """Opens the journal, or begins it.

        Raises:
            InputRefused: It is of another suspect or of other questions.
            MalformedFile: It is no journal, or damaged.
            EnvironmentFailure: It cannot be read or written.
        """
        super().prepare(questions)
        self._asked.clear()
        self._failure = ""
        self._begun_at = self.suspect.queries
        if self.path is not None:
            self._open(self.path, questions)
        self.queries += self._lost

    def _open(self, path: Path, questions: Questions) -> None:
        header = {
            "journal": 1,
            "questions": questions.digest,
            "suspect": sha256_of(canonical(_who(self.suspect))),
        }
        self._known.clear()
        self._lost = 0
        if _is_new(path):
            said = {} if self.commitment is None else {"commitment": self.commitment}
            line = canonical({**header, **said}) + "\n"
            write_whole(path, lambda stream: stream.write(line.encode()))
            self.begun_under = self.commitment
        else:
            self._resume(path, header, None if questions.open else frozenset(questions.ids))

    def answer(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers a batch; what the other suspect is asked, or was before, counts as queries."""
        before = self.suspect.queries
        rows = self.respond(inputs)
        self.queries += self.suspect.queries - before
        return rows

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers from the journal what is in it, and asks the rest; see :meth:`Suspect.respond`.

        An input that is asked for the n-th time gets the n-th answer recorded of it.
        """
        rows = np.full((len(inputs), self.output.classes), np.nan, np.float32)
        ids = [question_id(one) for one in inputs]
        missing = []
        for place, asked in enumerate(ids):
            recorded = self._known.get(asked, [])
            if self._asked[asked] < len(recorded):
                rows[place] = recorded[self._asked[asked]]
                self.queries += 1
            else:
                missing.append(place)
            self._asked[asked] += 1
        while missing and not self.failure:
            chosen = missing[: min(self.batch, self._left(len(missing)))]
            if not chosen:
                self._failure = f"the budget of {self.max_queries} queries is spent"
                break
            before = self.suspect.queries
            answers = self._tried(inputs[chosen])
            if answers is not None:
                rows[chosen] = answers
            spent = self.suspect.queries - before
            self._record([ids[place] for place in chosen], rows[chosen], spent)
            missing = missing[len(chosen) :]
        return rows

    def _left(self, wanted: int) -> int:
        if self.max_queries is None:
            return wanted
        return self.max_queries - (self.suspect.queries - self._begun_at)

    def _tried(self, inputs: NDArray[Any]) -> NDArray[np.float32] | None:
        """Asks a batch, again if need be; None, and the reason, where that is of no use."""
        reason = ""
        for trial in range(self.retries + 1):
            if trial:
                if self._left(len(inputs)) < len(inputs):
                    break
                time.sleep(self.pause * 2 ** (trial - 1))
            try:
                return self.suspect.answer(inputs)
            except (InputRefused, UsageError):
                raise
            except Exception as error:  # a suspect may fail in any way; what it answered is kept
                reason = first_line(error)
        self._failure = reason
        return None

    def _record(self, ids: list[str], rows: NDArray[np.float32], spent: int) -> None:
        """Writes answers through to the disk; what is no answer is asked again the next time."""
        lines = []
        for asked, row, there in zip(ids, rows, answered(rows, self.output.kind), strict=True):
            if there:
                self._known[asked].append(row)
                text = base64.b64encode(row.astype("<f4").tobytes()).decode()
                lines.append(canonical({"id": asked, "answer": text}) + "\n")
        lost = spent - len(lines)
        if lost > 0:
            self._lost += lost
            lines.append(canonical({"unanswered": lost}) + "\n")
        if self.path is None:
            return
        try:
            with self.path.open("ab") as stream:
                stream.write("".join(lines).encode())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            self._failure = f"{clean(self.path)}: {error.strerror}"

    def _resume(self, path: Path, header: dict[str, Any], ids: frozenset[str] | None) -> None:
        """Reads a journal, and cuts off a line that was never finished.

        Where ``ids`` are not known yet, it may answer whatever it likes: what is not asked is not
        looked at.
        """
        data = read_file(str(path), max_bytes=_MAX_FILE).data
        first, *lines = data[: data.rfind(b"\n") + 1].splitlines() or [b""]
        self.begun_under = _checked(path, first, header)
        for number, line in enumerate(lines, start=2):
            try:
                entry = json.loads(line)
                if entry.keys() == {"unanswered"}:
                    self._lost += _count(entry["unanswered"])
                    continue
                asked, answer = entry["id"], base64.b64decode(entry["answer"], validate=True)
                row = np.frombuffer(answer, "<f4").astype(np.float32)
            except _DAMAGE as error:
                raise MalformedFile(
                    f"{clean(path)}: line {number}: expected an answer, got damaged data; cut the "
                    "file there, or begin a new journal"
                ) from error
            known = isinstance(asked, str) and (ids is None or asked in ids)
            if not known or row.shape != (self.output.classes,) or not np.isfinite(row).all():
                raise MalformedFile(
                    f"{clean(path)}: line {number}: expected {self.output.classes} finite values "
                    "that answer one of the questions, got something else; begin a new journal"
                )
            if answered(row, self.output.kind):
                self._known[asked].append(row)
        kept = data.rfind(b"\n") + 1
        if kept < len(data):
            try:
                os.truncate(path, kept)
            except OSError as error:
                raise EnvironmentFailure(f"{clean(path)}: {error.strerror}") from error


def _is_new(path: Path) -> bool:
    """Whether there is nothing yet, or an empty file."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return True
    except OSError as error:
        raise EnvironmentFailure(f"{clean(path)}: {error.strerror}") from error
    return stat.S_ISREG(facts.st_mode) and facts.st_size == 0


def _who(suspect: Suspect) -> dict[str, Any]:
    """Everything a suspect says of itself, and its class, but for where its file lay."""
    facts = {key: value for key, value in suspect.facts().items() if key != "file"}
    kind = type(suspect)
    return {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "identity": suspect.identity.to_dict(),
        "input": suspect.input.to_dict(),
        "output": suspect.output.to_dict(),
        "facts": facts,
    }


def _checked(path: Path, line: bytes, expected: dict[str, Any]) -> str | None:
    """Returns the commitment of a first line; None where there is none."""
    try:
        header = json.loads(line)
        known = header["journal"], header["questions"], header["suspect"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise MalformedFile(
            f"{clean(path)}: expected a journal, got something else; choose another file"
        ) from error
    if known[0] != expected["journal"]:
        raise MalformedFile(
            f"{clean(path)}: expected a journal of version {expected['journal']}, got "
            f"{clean(known[0])}; use the release that wrote it"
        )
    if known[2] != expected["suspect"]:
        raise InputRefused(
            f"{clean(path)}: expected a journal of this suspect, got one of another; choose "
            "another file"
        )
    if known[1] != expected["questions"]:
        raise InputRefused(
            f"{clean(path)}: expected a journal of these questions, got one of others (other "
            "models were registered or compared then); choose another file"
        )
    said = header.get("commitment")
    return None if said is None else clean(said)


def _count(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"expected a number of queries, got {value!r}")
    return value
