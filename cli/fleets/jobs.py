"""What is done with one model of many, and what came of it.

::

    job = Job(verb="register", model="/models/a.pt", name="a", seconds=600, folder="/models")
    row = row_of(job, ended)        # registered, refused, timed out, crashed ...
    worst(rows)                     # the exit code of them all
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cli.errors import ExitCode
from fingerprint.text import clean

__all__ = ["Ended", "Job", "Row", "lost", "row_of", "worst"]

_WORST_FIRST = (
    ExitCode.POLICY_FAILED,
    ExitCode.DEFECT,
    ExitCode.ENVIRONMENT,
    ExitCode.REFUSED,
    ExitCode.USAGE,
    ExitCode.INCONCLUSIVE,
)
_OUTCOMES = {
    ExitCode.USAGE: "usage",
    ExitCode.REFUSED: "refused",
    ExitCode.INCONCLUSIVE: "no evidence",
    ExitCode.ENVIRONMENT: "failed",
}
_SAID = 500
_MOST_WARNINGS = 20


@dataclass(frozen=True, kw_only=True)
class Job:
    """One model, and the command that it is for. It may be done twice: registering is idempotent.

    Attributes:
        verb: ``register`` or ``verify``.
        model: The file, folder or address.
        name: What its row is called, and what it is registered as.
        words: Options, as they are typed.
        registry: URL of the registry; None where whoever does the work has it in ``FP_REGISTRY``.
        origin: Where the registry's chain starts, to be compared by a worker that may be elsewhere;
            None where it cannot be.
        seconds: How long it may take.
        folder: Where relative names begin, such as those of modules.
        after: Names of those that come first: its parent.
    """

    verb: str
    model: str
    name: str
    words: tuple[str, ...] = ()
    registry: str | None = field(default=None, repr=False)
    origin: str | None = None
    seconds: float
    folder: str
    after: tuple[str, ...] = ()

    @property
    def line(self) -> tuple[str, ...]:
        """The command line, without ``fp``."""
        return (self.verb, *self.words, "--json", "--", self.model)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code, negative for a signal; None for one that was ended at its limit.
        out: What it wrote to stdout.
        err: What it wrote to stderr, from the end.
        seconds: How long it took.
    """

    code: int | None
    out: bytes = b""
    err: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of one model.

    Attributes:
        model: The file, folder or address.
        name: Its name.
        outcome: ``registered``, ``known``, a verdict, or why there is none, in a word or two.
        exit_code: What ``fp`` would have ended with for it alone.
        reason: One line, for people.
        warnings: One line each.
        seconds: How long it took.
        result: The document of the command; None where there is none.
    """

    model: str
    name: str
    outcome: str
    exit_code: int
    reason: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    result: Mapping[str, Any] | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Row:
        """Builds a row from :meth:`to_dict`'s values."""
        return cls(**{**values, "warnings": tuple(values["warnings"])})


def row_of(job: Job, ended: Ended) -> Row:
    """Says what came of a job."""
    said = [line.removeprefix("fp: ") for line in ended.err.splitlines() if line.startswith("fp: ")]
    warnings = [one.removeprefix("warning: ") for one in said if one.startswith("warning: ")]
    errors = [one.removeprefix("error: ") for one in said if one.startswith("error: ")]
    messages = [one for one in said if not one.startswith(("warning: ", "error: "))]
    document = _document(ended.out)
    code, outcome, reason = _outcome(job, ended, document)
    if document is None:
        reason = reason or next(iter(errors[-1:]), "")
    else:
        reason = "; ".join(messages) if messages else str(document.get("reason") or "")
    return Row(
        model=job.model,
        name=job.name,
        outcome=outcome,
        exit_code=code,
        reason=clean(reason, _SAID),
        warnings=tuple(clean(one, _SAID) for one in warnings[:_MOST_WARNINGS]),
        seconds=round(ended.seconds, 2),
        result=document,
    )


def _outcome(job: Job, ended: Ended, document: Mapping[str, Any] | None) -> tuple[int, str, str]:
    """Returns the exit code, the outcome in a word or two, and why if the command did not say."""
    code = ended.code
    if code is None:
        line = f"took more than {job.seconds:g} s and was ended; --limit-each gives more"
        return ExitCode.ENVIRONMENT, "timed out", line
    if code == -signal.SIGKILL:
        line = "was killed (SIGKILL), as the system does where memory runs out; try fewer --workers"
        return ExitCode.ENVIRONMENT, "killed", line
    if code < 0 or code == ExitCode.DEFECT:
        return ExitCode.DEFECT, "crashed", "" if code > 0 else f"crashed ({_signal(-code)})"
    if document is not None:
        verdict = document.get("verdict") if job.verb == "verify" else "registered"
        return code, clean(verdict), ""
    if code in _OUTCOMES:
        return code, _OUTCOMES[ExitCode(code)], ""
    # Whatever ends the process with 0 and says nothing is no pass.
    return ExitCode.DEFECT, "crashed", f"ended with code {code} and without a result"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _document(text: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def lost(job: Job, reason: str) -> Row:
    """Returns the row of a job that no worker could end."""
    return Row(
        model=job.model,
        name=job.name,
        outcome="lost",
        exit_code=ExitCode.ENVIRONMENT,
        reason=clean(reason, _SAID),
    )


def worst(rows: Iterable[Row]) -> ExitCode:
    """Returns the exit code of many models: the worst of theirs.

    A policy that failed outweighs everything, and a model without an answer one whose answer is
    that nothing can be concluded.
    """
    codes = {row.exit_code for row in rows}
    return next((code for code in _WORST_FIRST if code in codes), ExitCode.OK)
