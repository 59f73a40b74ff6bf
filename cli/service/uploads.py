"""Files that were sent: streamed to the disk, hashed, and used by one job of whoever sent them."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from anyio import CancelScope, fail_after, to_thread

from cli.service.problems import TooLarge, TooMany
from cli.service.store import Store
from fingerprint.canonical import utc_now
from fingerprint.errors import EnvironmentFailure, UsageError
from fingerprint.text import clean

__all__ = ["Upload", "Uploads", "claimed", "file_name"]

_MOST_WAITING = 16
"""Uploads of one token that no job has used."""
_HOURS = 24
"""How long an upload waits for its job."""
_SECONDS = 3600
_LONGEST = 100


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that was sent.

    Attributes:
        id: What a job calls it by.
        name: What it is called, made harmless.
        bytes: Its size.
        sha256: Of its content, in hex.
        created: When, ISO 8601 in UTC.
    """

    id: str
    name: str
    bytes: int
    sha256: str
    created: str


class Uploads:
    """The uploads of a service.

    Args:
        store: Where they are kept.
        most: Bytes of one.
    """

    def __init__(self, store: Store, most: int) -> None:
        self._store, self._most = store, most

    async def receive(self, owner: str, name: str, chunks: AsyncIterator[bytes]) -> Upload:
        """Keeps a file that is being sent: all of it or nothing.

        Raises:
            TooLarge: It has more bytes than one may have.
            TooMany: Its owner has sent many that no job has used.
            UsageError: It is empty, or does not come within an hour.
            EnvironmentFailure: The disk is full.
        """
        upload = Upload(
            id=secrets.token_hex(8), name=file_name(name), bytes=0, sha256="", created=utc_now()
        )
        await to_thread.run_sync(self._begin, upload, owner)
        folder = self._store.files(upload.id)
        try:
            folder.mkdir(parents=True, mode=0o700)
            with fail_after(_SECONDS):
                size, sha256 = await self._written(folder / upload.name, chunks)
            upload = replace(upload, bytes=size, sha256=sha256)
            await to_thread.run_sync(self._end, upload)
        except BaseException as error:
            # Also where whoever was sending is gone, and nothing more is waited for.
            with CancelScope(shield=True):
                await to_thread.run_sync(self._forget, upload.id)
            if isinstance(error, TimeoutError):
                raise UsageError(f"upload: expected all of it within {_SECONDS} seconds") from error
            if isinstance(error, OSError):
                raise EnvironmentFailure(f"upload: {error.strerror}") from error
            raise
        return upload

    async def _written(self, path: Path, chunks: AsyncIterator[bytes]) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        with path.open("xb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > self._most:
                    raise TooLarge(f"upload: expected at most {self._most} bytes, got more")
                digest.update(chunk)
                await to_thread.run_sync(file.write, chunk)
        if size == 0:
            raise UsageError("upload: expected the file as the body of the request, got nothing")
        return size, digest.hexdigest()

    def _begin(self, upload: Upload, owner: str) -> None:
        """Writes down an upload before it comes, so that those on their way count as well."""
        with self._store.writing() as connection:
            query = "SELECT count(*) FROM uploads WHERE owner = ? AND job IS NULL"
            (waiting,) = connection.execute(query, (owner,)).fetchone()
            if waiting >= _MOST_WAITING:
                raise TooMany(
                    f"uploads: expected at most {_MOST_WAITING} that no job has used; use one, or "
                    f"wait until they are {_HOURS} hours old"
                )
            connection.execute(
                "INSERT INTO uploads (id, owner, name, bytes, sha256, created) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (upload.id, owner, upload.name, upload.bytes, upload.sha256, upload.created),
            )

    def _end(self, upload: Upload) -> None:
        with self._store.writing() as connection:
            connection.execute(
                "UPDATE uploads SET bytes = ?, sha256 = ? WHERE id = ?",
                (upload.bytes, upload.sha256, upload.id),
            )

    def _forget(self, identifier: str) -> None:
        shutil.rmtree(self._store.files(identifier), ignore_errors=True)
        with self._store.writing() as connection:
            connection.execute("DELETE FROM uploads WHERE id = ?", (identifier,))

    def drop_old(self) -> None:
        """Forgets uploads that no job has used for a day."""
        before = datetime.now(UTC) - timedelta(hours=_HOURS)
        limit = before.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        with self._store.writing() as connection:
            query = "DELETE FROM uploads WHERE job IS NULL AND created < ? RETURNING id"
            gone = [row["id"] for row in connection.execute(query, (limit,)).fetchall()]
        for identifier in gone:
            shutil.rmtree(self._store.files(identifier), ignore_errors=True)


def claimed(connection: sqlite3.Connection, identifier: str, *, owner: str, job: str) -> Upload:
    """Gives an upload to a job, in the caller's transaction.

    Raises:
        UsageError: There is none of this name that is its owner's and waits for a job.
    """
    # One that is still on its way has no digest yet.
    query = (
        "UPDATE uploads SET job = ? WHERE id = ? AND owner = ? AND job IS NULL AND sha256 != '' "
        "RETURNING *"
    )
    row = connection.execute(query, (job, identifier, owner)).fetchone()
    if row is None:
        raise UsageError(
            f"upload: {clean(identifier)} is none of yours that waits for a job; send the file "
            "first: POST /v1/uploads"
        )
    return Upload(**{name: row[name] for name in Upload.__dataclass_fields__})


def file_name(given: str) -> str:
    """Returns a file's name without anything that a path, a shell or a page could act on."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", given.replace("\\", "/").rpartition("/")[2])
    return safe.lstrip(".-")[-_LONGEST:].lstrip(".-") or "file"
