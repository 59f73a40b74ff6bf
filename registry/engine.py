"""Where a registry is, and how a connection to it behaves.

A registry is one SQLite file, given by path or as ``sqlite:///PATH`` (``sqlite://`` for one in
memory), or a PostgreSQL database, given by its SQLAlchemy URL. ``locate`` settles which,
``connect_to`` returns an engine; connections to SQLite are durable, enforce foreign keys,
distrust the schema, and leave transactions to us. A file that may not be written, or that lies
where nothing may be, is opened for reading only.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from platformdirs import user_data_path
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool, StaticPool

from fingerprint.canonical import canonical
from fingerprint.errors import UsageError
from registry import servers

__all__ = [
    "LARGEST_VALUE",
    "WRITE",
    "Location",
    "connect_to",
    "for_reading",
    "for_writing",
    "locate",
]

BUSY_TIMEOUT_MS = 30_000
# Far above any probe set (24 probes of 3x224x224 are 8 MB), far below what memory holds.
LARGEST_VALUE = 512 * 2**20
# Execution option of a transaction that will write: it takes the write lock at its start, so
# that what it read before writing is still true, and waiting happens here and nowhere else.
WRITE = {"registry_begin": "BEGIN IMMEDIATE"}


@dataclass(frozen=True)
class Location:
    """Where a registry is.

    Attributes:
        path: The SQLite file; None for a registry in memory or on a server.
        server: The URL of a PostgreSQL database; its text holds the password.
    """

    path: Path | None
    server: URL | None = field(default=None, repr=False)

    @property
    def read_only(self) -> bool:
        """Whether it is a file that is there and may be read, not written.

        SQLite writes beside its file as well, so the folder counts too.
        """
        path = self.path
        if path is None or not path.is_file():
            return False
        return not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))

    @property
    def url(self) -> URL:
        """The SQLAlchemy URL."""
        if self.server is not None:
            return self.server
        return URL.create("sqlite", database=str(self.path) if self.path else None)

    def __str__(self) -> str:
        if self.server is not None:
            return servers.shown(self.server)
        return str(self.path) if self.path else "in memory"


def locate(given: str | os.PathLike[str] | None) -> Location:
    """Settles which file or database is meant.

    Args:
        given: A path, a ``sqlite:///PATH`` URL, ``sqlite://`` for memory, the SQLAlchemy URL of
            a PostgreSQL database, or None for the default file in the user's data folder.

    Raises:
        UsageError: An unknown kind of database, a URL that does not parse, or an empty text.
    """
    if given is None:
        return Location(user_data_path("nullprint", appauthor=False) / "registry.db")
    text = os.fspath(given)
    if not text.strip() or "\0" in text:
        raise UsageError(f"registry: expected a path or a database URL, got {text[:80]!r}")
    if isinstance(given, str) and "://" in text:
        return _from_url(text)
    return Location(Path(os.path.abspath(os.path.expanduser(text))))


def _from_url(text: str) -> Location:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UsageError("registry: expected a path or a database URL, got a broken URL") from None
    if url.get_backend_name() != "sqlite":
        return Location(None, servers.checked(url))
    if url.drivername not in ("sqlite", "sqlite+pysqlite") or url.host or url.query:
        # The URL is not repeated: it may hold a password.
        raise UsageError(
            f"registry: expected a path or sqlite:///PATH without options, got a URL of "
            f"{url.drivername}; SQLite registries are plain files"
        )
    if url.database in (None, "", ":memory:"):
        return Location(None)
    return Location(Path(os.path.abspath(os.path.expanduser(str(url.database)))))


def connect_to(location: Location) -> Engine:
    """Returns an engine for the registry; nothing is opened yet.

    Files get a fresh connection for each transaction: none is shared with a forked child, and
    none keeps the file open while networks run.
    """
    if location.server is not None:
        return servers.connect_to_server(
            location.server, json_serializer=canonical, json_deserializer=_read_document
        )
    in_memory = location.path is None
    options: dict[str, Any] = {}
    if location.read_only and location.path is not None:
        options["creator"] = partial(_reader, location.path)
    engine = create_engine(
        location.url,
        poolclass=StaticPool if in_memory else NullPool,
        connect_args={"check_same_thread": not in_memory, "timeout": BUSY_TIMEOUT_MS / 1000},
        json_serializer=canonical,
        json_deserializer=_read_document,
        # Error texts would otherwise repeat whole blobs and evidence documents.
        hide_parameters=True,
        **options,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def for_reading(engine: Engine) -> Engine:
    """Returns the engine for transactions that only read, and see one state throughout."""
    return engine if _is_sqlite(engine) else engine.execution_options(**servers.READ)


def for_writing(engine: Engine) -> Engine:
    """Returns the engine for transactions that will write."""
    return engine.execution_options(**(WRITE if _is_sqlite(engine) else servers.WRITE))


def _is_sqlite(engine: Engine) -> bool:
    return engine.dialect.name == "sqlite"


def _prepare(connection: sqlite3.Connection, record: object) -> None:
    del record
    # The driver would begin transactions late and commit before DDL; `_begin` does it instead.
    connection.isolation_level = None
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
    try:
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "trusted_schema = OFF",
            "foreign_keys = ON",
            "synchronous = FULL",
            "cell_size_check = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        # Nobody else would: left open, it would leave its log beside a file that is refused.
        connection.close()
        raise


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("registry_begin", "BEGIN"))


def _reader(path: Path) -> sqlite3.Connection:
    """Connects to a file that may only be read.

    A log beside it holds changes that are not in the file yet, and has to be read with it.
    Without one the file is all there is, and nothing needs to be written to read it.
    """
    log = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    return sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, timeout=BUSY_TIMEOUT_MS / 1000)


@dataclass(frozen=True)
class Unreadable:
    """A document that is not JSON, in the place of its value: its row is damaged, and named."""

    text: str


def _read_document(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return Unreadable(str(text)[:80])
