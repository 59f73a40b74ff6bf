"""The one scope in which the registry is read or written, and the border for foreign errors.

::

    with reading(engine, where) as session: ...
    with writing(engine, where) as session: ...    # all of it, or nothing

Every error of SQLAlchemy, of the driver and of the operating system that is raised inside
leaves as one of ours, with the original as its cause.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from registry.engine import for_reading, for_writing
from registry.errors import (
    NotARegistry,
    RegistryCorrupt,
    RegistryError,
    RegistryLocked,
    RegistryReadOnly,
    RegistryUnavailable,
)
from registry.servers import hold_write_lock

__all__ = ["ours", "reading", "translated", "writing"]

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_UNAVAILABLE = {
    sqlite3.SQLITE_AUTH: "the operating system refuses access",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "reading or writing the disk failed",
    sqlite3.SQLITE_NOLFS: "the file is too large for this file system",
    sqlite3.SQLITE_NOMEM: "not enough memory",
    sqlite3.SQLITE_PERM: "no permission",
}


# The same on servers, by the SQLSTATE their drivers report.
_LOCKED_STATES = {"40001", "40P01", "55P03"}
_READ_ONLY_STATE = "25006"
_NO_PRIVILEGE = "42501"


@contextmanager
def reading(engine: Engine, where: str) -> Iterator[Session]:
    """Opens a session that sees one state of the registry throughout."""
    with ours(where), Session(for_reading(engine)) as session:
        yield session


@contextmanager
def writing(engine: Engine, where: str, *, info: dict[Any, Any] | None = None) -> Iterator[Session]:
    """Opens a session that holds the write lock from its start and commits at its end.

    Args:
        engine: Of the registry.
        where: The registry, for messages.
        info: What whoever writes in it may want to know, such as who acts.
    """
    with ours(where), Session(for_writing(engine), info=info) as session, session.begin():
        # Without this the lock would be taken at the first statement, not at the start.
        session.connection()
        if engine.dialect.name != "sqlite":
            hold_write_lock(session, where)
        yield session


@contextmanager
def ours(where: str) -> Iterator[None]:
    """Turns foreign errors raised inside into :class:`RegistryError`, keeping the cause."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, sqlite3.Warning, OSError) as error:
        raise translated(error, where) from error


def translated(error: Exception, where: str) -> RegistryError:
    """Returns our error for a foreign one."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause: BaseException = error.orig
    else:
        cause = error
    reason = " ".join(str(cause).split())
    if isinstance(cause, OSError):
        return RegistryUnavailable(
            f"registry {where}: {cause.strerror or reason}; give another one with --registry"
        )
    # Extended codes keep the primary one in their low byte.
    code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if code in _LOCKED or state in _LOCKED_STATES:
        return RegistryLocked(
            f"registry {where}: another process is writing to it and did not finish in time; "
            "try again when it has ended"
        )
    if code == sqlite3.SQLITE_NOTADB:
        return NotARegistry(f"registry {where}: expected a SQLite file, found something else")
    if code == sqlite3.SQLITE_CORRUPT or "decode to UTF-8" in reason:
        return RegistryCorrupt(where, (reason,))
    if code == sqlite3.SQLITE_READONLY or state == _READ_ONLY_STATE:
        return RegistryReadOnly(where, f"it is read-only ({reason})")
    if code in _UNAVAILABLE:
        return RegistryUnavailable(
            f"registry {where}: {_UNAVAILABLE[code]} ({reason}); "
            "make it writable, or give another one with --registry"
        )
    if state == _NO_PRIVILEGE:
        return RegistryUnavailable(
            f"registry {where}: the server does not let you ({reason}); its owner may do it, or "
            "let you with 'fp registry grant'"
        )
    foreign = not isinstance(cause, sqlite3.Error)
    if foreign and isinstance(error, OperationalError):
        return RegistryUnavailable(
            f"registry {where}: the database cannot be used ({reason}); "
            "make it reachable and writable, or give another one with --registry"
        )
    return RegistryError(f"registry {where}: {type(cause).__name__}: {reason}")
