"""What a service remembers beside the registry: tokens, uploads and jobs, in one SQLite file.

::

    store = Store(folder)
    with store.writing() as connection: ...     # all of it, or nothing

The folder is its owner's alone. Several processes use the file at a time: the server, and each of
the processes that do jobs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from fingerprint.errors import EnvironmentFailure
from fingerprint.text import clean

__all__ = ["Store"]

_VERSION = 1
_BUSY_SECONDS = 30.0
_TABLES = """
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    roles TEXT NOT NULL,
    digest TEXT NOT NULL,
    created TEXT NOT NULL,
    revoked TEXT
);
CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    created TEXT NOT NULL,
    job TEXT
);
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    wish TEXT NOT NULL,
    files TEXT NOT NULL,
    state TEXT NOT NULL,
    created TEXT NOT NULL,
    started TEXT,
    ended TEXT,
    stage TEXT,
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    interrupted INTEGER NOT NULL DEFAULT 0,
    cancelling INTEGER NOT NULL DEFAULT 0,
    cleared INTEGER NOT NULL DEFAULT 0,
    result TEXT,
    problem TEXT
);
CREATE INDEX jobs_by_state ON jobs (state);
"""


class Store:
    """The file of a service, made where there is none.

    Attributes:
        folder: Where it is, and everything else that the service keeps.

    Args:
        folder: Made if missing.

    Raises:
        EnvironmentFailure: It cannot be made or opened, or a newer version wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "service.db"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise EnvironmentFailure(
                f"{clean(folder)}: {error.strerror}; give another --folder"
            ) from error
        with self._connected() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        with self.writing() as connection:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found > _VERSION:
                raise EnvironmentFailure(
                    f"{clean(self._path)}: expected version {_VERSION} or older, found {found}; "
                    "upgrade nullprint, or give another --folder"
                )
            if found == 0:
                for statement in filter(str.strip, _TABLES.split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_VERSION}")

    def files(self, identifier: str) -> Path:
        """Returns the folder of an upload, or of what a job fetches."""
        return self.folder / "files" / identifier

    def private(self, job: str) -> Path:
        """Returns the folder of what a job needs until it has ended."""
        return self.folder / "jobs" / job

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Opens a transaction that sees one moment."""
        with self._connected() as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Opens a transaction that holds the write lock from its start, and commits at its end."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Opens the file; closing it takes back what was not committed."""
        try:
            with closing(sqlite3.connect(self._path, _BUSY_SECONDS)) as connection:
                connection.isolation_level = None
                connection.row_factory = sqlite3.Row
                yield connection
        except sqlite3.Error as error:
            raise EnvironmentFailure(f"{clean(self._path)}: {error}") from error
