"""Jobs: what was asked for, how far it is, and what came of it. Each is done once.

::

    job = jobs.add("verify", owner="alice", wish={...}, upload="3f...")
    jobs.take()                                # the oldest that waits, running from now on
    jobs.end(job.id, "done", result={...})     # by whoever is first; later ends change nothing
"""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cli.service.problems import TooMany, UnknownJob
from cli.service.store import Store
from cli.service.uploads import Upload, claimed
from fingerprint.canonical import canonical, utc_now
from fingerprint.text import clean

__all__ = ["Job", "Jobs", "Kind", "State"]

Kind = Literal["register", "verify"]
State = Literal["queued", "running", "done", "failed", "cancelled"]

_ENDED = "('done', 'failed', 'cancelled')"
_MOST_WAITING = 100
"""Jobs of one token that have not ended."""
_MOST_STARTS = 5
"""How often a job is begun again after its process died; one that always does is not."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the stage is that a job is in."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """Something that was asked for.

    Attributes:
        id: What it is called.
        kind: ``register`` or ``verify``.
        owner: Name of the token that asked.
        wish: What was asked, plain JSON values without secrets.
        files: Which folder its files lie in.
        state: ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``.
        created: When it was asked, ISO 8601 in UTC.
        started: When it was last begun.
        ended: When it ended.
        progress: How far it is.
        interrupted: How often its process died, so that it was begun again.
        cancelling: Whether it is going to be stopped.
        result: What came of it.
        problem: Why it failed, a problem document.
    """

    id: str
    kind: Kind
    owner: str
    wish: dict[str, Any]
    files: str
    state: State
    created: str
    started: str | None
    ended: str | None
    progress: Progress | None
    interrupted: int
    cancelling: bool
    result: dict[str, Any] | None
    problem: dict[str, Any] | None

    @property
    def ended_already(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ("done", "failed", "cancelled")

    def to_dict(self) -> dict[str, Any]:
        """Returns what callers are shown."""
        progress = None if self.progress is None else dict(vars(self.progress))
        return {key: one for key, one in vars(self).items() if key != "files"} | {
            "progress": progress
        }


class Jobs:
    """The jobs of a service."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def add(
        self,
        kind: Kind,
        *,
        owner: str,
        wish: Mapping[str, Any],
        upload: str | None = None,
        private: Mapping[str, str] | None = None,
        note: Callable[[str, Upload | None], None],
    ) -> Job:
        """Puts a job into the queue.

        Args:
            kind: What is to be done.
            owner: Name of the token that asks.
            wish: What is asked, without secrets.
            upload: A file that goes with it.
            private: By name, what it needs until it has ended, and nobody is shown.
            note: Told the job's name and its upload before there is a job; where that fails, there
                is none.

        Raises:
            TooMany: Its owner has many that have not ended.
            UsageError: The upload is not there.
        """
        identifier = secrets.token_hex(8)
        row = (identifier, kind, owner, canonical(wish), upload or identifier, utc_now())
        try:
            for name, text in (private or {}).items():
                self._keep(identifier, name, text)
            self._add(row, owner, upload, note)
        except BaseException:
            shutil.rmtree(self.store.private(identifier), ignore_errors=True)
            raise
        return self.get(identifier)

    def _add(
        self,
        row: tuple[str, ...],
        owner: str,
        upload: str | None,
        note: Callable[[str, Upload | None], None],
    ) -> None:
        with self.store.writing() as connection:
            query = f"SELECT count(*) FROM jobs WHERE owner = ? AND state NOT IN {_ENDED}"
            (waiting,) = connection.execute(query, (owner,)).fetchone()
            if waiting >= _MOST_WAITING:
                raise TooMany(f"jobs: expected at most {_MOST_WAITING} that have not ended")
            given = None
            if upload is not None:
                given = claimed(connection, upload, owner=owner, job=row[0])
            connection.execute(
                "INSERT INTO jobs (id, kind, owner, wish, files, state, created) "
                "VALUES (?, ?, ?, ?, ?, 'queued', ?)",
                row,
            )
            note(row[0], given)

    def _keep(self, identifier: str, name: str, text: str) -> None:
        folder = self.store.private(identifier)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")

    def get(self, identifier: str) -> Job:
        """Returns one job.

        Raises:
            UnknownJob: There is none of this name.
        """
        with self.store.reading() as connection:
            query = "SELECT * FROM jobs WHERE id = ?"
            row = connection.execute(query, (identifier,)).fetchone()
        if row is None:
            raise UnknownJob(f"job: none is called {clean(identifier)}; see GET /v1/jobs")
        return _job(row)

    def latest(self, owner: str | None, limit: int) -> list[Job]:
        """Returns the newest jobs first, those of one owner or of all."""
        with self.store.reading() as connection:
            query = "SELECT * FROM jobs WHERE ? IS NULL OR owner = ? ORDER BY number DESC LIMIT ?"
            return [_job(row) for row in connection.execute(query, (owner, owner, limit))]

    def take(self) -> Job | None:
        """Returns the job that has waited longest, running from now on; None if none waits."""
        with self.store.writing() as connection:
            row = connection.execute(
                "UPDATE jobs SET state = 'running', started = ?, stage = NULL WHERE number = "
                "(SELECT min(number) FROM jobs WHERE state = 'queued') RETURNING *",
                (utc_now(),),
            ).fetchone()
        return None if row is None else _job(row)

    def report(self, identifier: str, stage: str, done: int, total: int) -> None:
        """Writes down how far a job is."""
        with self.store.writing() as connection:
            connection.execute(
                "UPDATE jobs SET stage = ?, done = ?, total = ? WHERE id = ?",
                (clean(stage), done, total, identifier),
            )

    def end(
        self,
        identifier: str,
        state: State,
        *,
        result: Mapping[str, Any] | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes down what came of a job, unless that is known already."""
        with self.store.writing() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, ended = ?, result = ?, problem = ? "
                "WHERE id = ? AND state = 'running'",
                (state, utc_now(), _text(result), _text(problem), identifier),
            )

    def cancel(self, identifier: str) -> Job:
        """Has a job stopped: at once if it waits, else by whoever runs it."""
        with self.store.writing() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'cancelled', ended = ? WHERE id = ? AND state = 'queued'",
                (utc_now(), identifier),
            )
            connection.execute(
                "UPDATE jobs SET cancelling = 1 WHERE id = ? AND state = 'running'", (identifier,)
            )
        return self.get(identifier)

    def put_back(self, identifier: str, *, counted: bool) -> bool:
        """Has a running job begun again, and says whether it will be.

        Args:
            identifier: Its process has ended without a result.
            counted: Whether that may have been the job's own doing: one whose process has died
                several times is not begun again.
        """
        with self.store.writing() as connection:
            done = connection.execute(
                "UPDATE jobs SET state = 'queued', interrupted = interrupted + ? "
                "WHERE id = ? AND state = 'running' AND interrupted + ? < ?",
                (counted, identifier, counted, _MOST_STARTS),
            )
            return done.rowcount == 1

    def running(self) -> list[Job]:
        """Returns the jobs that run, or ran when their server ended."""
        return self._where("state = 'running'")

    def uncleared(self) -> list[Job]:
        """Returns the jobs that have ended and whose files may still be there."""
        return self._where(f"state IN {_ENDED} AND NOT cleared")

    def clear(self, identifier: str) -> None:
        """Notes that a job's files were seen to."""
        with self.store.writing() as connection:
            connection.execute("UPDATE jobs SET cleared = 1 WHERE id = ?", (identifier,))

    def _where(self, condition: str) -> list[Job]:
        with self.store.reading() as connection:
            query = f"SELECT * FROM jobs WHERE {condition} ORDER BY number"
            return [_job(row) for row in connection.execute(query)]


def _text(document: Mapping[str, Any] | None) -> str | None:
    return None if document is None else canonical(document)


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    for name in ("number", "cleared"):
        del values[name]
    stage, done, total = (values.pop(name) for name in ("stage", "done", "total"))
    for name in ("wish", "result", "problem"):
        values[name] = None if values[name] is None else json.loads(values[name])
    progress = None if stage is None else Progress(stage=stage, done=done, total=total)
    return Job(**{**values, "cancelling": bool(values["cancelling"]), "progress": progress})
