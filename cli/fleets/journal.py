"""The rows of many verdicts, kept as they come, so that a second run asks only what is missing.

A line of JSON says of which registry it is, then one for each row, written through to the disk. A
line that a crash cut short is dropped. A row is another's where the file's content, an option or a
registered model is not what it was.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import ExitCode
from cli.fleets.jobs import Job, Row
from fingerprint.canonical import canonical, sha256_of
from fingerprint.text import clean

if TYPE_CHECKING:
    from registry import RegisteredModel

__all__ = ["Journal"]

_KIND = "nullprint fleet 1"
_MAX_FILE = 2**32
_ANSWERED = (ExitCode.OK, ExitCode.POLICY_FAILED, ExitCode.INCONCLUSIVE)
"""Exit codes of rows that are kept; whatever else came of a suspect is tried again."""


class Journal:
    """A file of rows, or none.

    Args:
        path: The file; one that is there is gone on with. None keeps nothing.
        registry: Where the registry's chain starts.
        models: What is registered.

    Raises:
        UsageError: The file is another journal, or another registry's.
        InputRefused: It is damaged, too large, or no regular file.
        EnvironmentFailure: It cannot be read.
    """

    def __init__(self, path: Path | None, registry: str, models: Sequence[RegisteredModel]) -> None:
        self.path = path
        self._head = {"kind": _KIND, "registry": registry}
        told = sorted([one.name, one.commitment, one.parent or ""] for one in models)
        self._models = sha256_of(canonical(told))
        self._rows: dict[str, Row] = {}
        self._keys: dict[str, str] = {}
        if path is not None and path.exists():
            self._read(path)

    def row(self, job: Job) -> Row | None:
        """Returns the row of a job whose verdict is known already."""
        if self.path is None:
            return None
        content = _content(Path(job.model))
        if content is None:
            return None
        key = sha256_of(canonical([content, job.line, self._models]))
        self._keys[job.name] = key
        return self._rows.get(key)

    def keep(self, row: Row) -> None:
        """Writes a row, if there is a verdict in it.

        Raises:
            EnvironmentFailure: The disk is full, or the folder may not be written to.
        """
        from fingerprint.errors import EnvironmentFailure

        key = self._keys.get(row.name)
        if self.path is None or key is None or row.result is None:
            return
        if row.exit_code not in _ANSWERED:
            return
        lines = [json.dumps({"key": key, **row.to_dict()})]
        if not self.path.exists():
            lines.insert(0, json.dumps(self._head))
        try:
            with self.path.open("a", encoding="ascii") as stream:
                stream.writelines(f"{line}\n" for line in lines)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise EnvironmentFailure(f"--journal {clean(self.path)}: {error.strerror}") from error

    def _read(self, path: Path) -> None:
        from fingerprint.errors import MalformedFile, UsageError
        from fingerprint.formats.file_bytes import read_file

        data = read_file(str(path), max_bytes=_MAX_FILE).data
        whole, _, rest = data.rpartition(b"\n")
        head, *lines = whole.split(b"\n")
        if _parsed(head) != self._head:
            raise UsageError(
                f"--journal {clean(path)}: expected one that 'fp verify' of many models began with "
                "this registry; name another file"
            )
        if rest:
            with path.open("r+b") as stream:
                stream.truncate(len(whole) + 1)
        for number, line in enumerate(lines, 2):
            try:
                values = dict(_parsed(line))
                key = str(values.pop("key"))
                self._rows[key] = Row.from_dict(values)
                if self._rows[key].exit_code not in _ANSWERED:
                    raise ValueError("a row without a verdict")
            except (LookupError, TypeError, ValueError) as error:
                raise MalformedFile(
                    f"--journal {clean(path)}: line {number} is damaged; name another file"
                ) from error


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _content(path: Path) -> str | None:
    """Returns a hash of a file, or of all files in a folder; None for an address."""
    try:
        if path.is_dir():
            files = sorted(one for one in path.rglob("*") if one.is_file())
            return sha256_of(canonical([[str(one), _hash(one)] for one in files]))
        return _hash(path) if path.is_file() else None
    except OSError:
        return None


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
