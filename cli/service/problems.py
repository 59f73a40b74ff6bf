"""What a caller is told when something does not work: a problem document (RFC 9457), in one line.

The same is kept of a job that failed. What only concerns whoever runs the service (where the
registry is, what the disk says) goes to its standard error, not to callers.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from cli import output
from fingerprint.errors import (
    EnvironmentFailure,
    InputRefused,
    NoEvidence,
    UsageError,
)
from fingerprint.text import clean, first_line
from registry import (
    AlreadyDeclared,
    HasDescendants,
    NameTaken,
    RegistryError,
    RegistryLocked,
    UnknownModel,
    UnknownParent,
    UnknownVerification,
)

__all__ = ["CONTENT_TYPE", "Forbidden", "Problem", "TooLarge", "TooMany", "UnknownJob"]
__all__ += ["problem_of"]

CONTENT_TYPE = "application/problem+json"
_LIMIT = 1000


class TooLarge(InputRefused):
    """More bytes came than may come."""


class TooMany(InputRefused):
    """More is asked for than one caller may have."""


class Forbidden(InputRefused):
    """The token does not allow it."""


class UnknownJob(UsageError):
    """There is no such job, or it is somebody else's."""


# The first that fits.
_STATUS: tuple[tuple[type[BaseException], HTTPStatus], ...] = (
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (TooMany, HTTPStatus.TOO_MANY_REQUESTS),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (UnknownJob, HTTPStatus.NOT_FOUND),
    (UnknownParent, HTTPStatus.UNPROCESSABLE_ENTITY),
    (UnknownModel, HTTPStatus.NOT_FOUND),
    (UnknownVerification, HTTPStatus.NOT_FOUND),
    (NameTaken, HTTPStatus.CONFLICT),
    (AlreadyDeclared, HTTPStatus.CONFLICT),
    (HasDescendants, HTTPStatus.CONFLICT),
    (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (InputRefused, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NoEvidence, HTTPStatus.UNPROCESSABLE_ENTITY),
    (EnvironmentFailure, HTTPStatus.SERVICE_UNAVAILABLE),
    (MemoryError, HTTPStatus.SERVICE_UNAVAILABLE),
    (OSError, HTTPStatus.SERVICE_UNAVAILABLE),
)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why something did not work.

    Attributes:
        status: HTTP status.
        kind: Name of the kind of error, for programs.
        detail: One line for people.
    """

    status: int
    kind: str
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """Returns a problem document; without a ``type`` of its own, its title is the status's."""
        title = HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, **vars(self)}


def problem_of(error: BaseException, *, folder: Path | None = None) -> Problem:
    """Returns what callers are told of an error.

    Args:
        error: What was raised.
        folder: The service's; where it is, callers need not know.
    """
    status = next((one for kind, one in _STATUS if isinstance(error, kind)), None)
    if status is None:
        output.error(f"unexpected {type(error).__name__}: {first_line(error)}")
        return Problem(status=500, kind="Defect", detail="a defect of this program; tell its admin")
    kind = type(error).__name__
    if isinstance(error, RegistryError):
        output.error(str(error))
        busy = "busy" if isinstance(error, RegistryLocked) else "not usable"
        return Problem(
            status=status, kind=kind, detail=f"the registry is {busy} now; its admin is told why"
        )
    if isinstance(error, OSError | MemoryError):
        output.error(first_line(error))
        return Problem(
            status=status, kind="EnvironmentFailure", detail="no room, or not enough memory"
        )
    return Problem(status=status, kind=kind, detail=_said(error, folder))


def _said(error: BaseException, folder: Path | None) -> str:
    """Returns an error's line without the folders that files lie in here."""
    said = str(error)
    if folder is not None:
        for place in ("files", "jobs"):
            # .../files/IDENTIFIER/name -> name
            start = f"{folder / place}/"
            before, *parts = said.split(start)
            said = before + "".join(part.partition("/")[2] or part for part in parts)
    return clean(said, _LIMIT)
