"""Which models are meant, and by which options: what a folder holds, or what a file lists.

::

    model,name,arch,parent
    base.safetensors,base,timm:resnet18,
    tuned.safetensors,tuned,timm:resnet18,base

The other forms of such a file are a JSON object for each line, and TOML with a table for each
model, whose title is its name. A relative 'model' begins where the file lies.
"""

from __future__ import annotations

import csv
import io
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.endpoints import is_address
from fingerprint.text import clean, first_line

__all__ = ["Choice", "in_folder", "in_list"]

_MAX_FILE = 2**24
_NO_MODEL = frozenset(
    (
        *(".csv", ".db", ".gif", ".html", ".jpeg", ".jpg", ".json", ".jsonl", ".lock", ".log"),
        *(".md", ".pdf", ".png", ".py", ".rst", ".sh", ".sha256", ".sig", ".sqlite", ".svg"),
        *(".toml", ".tsv", ".txt", ".yaml", ".yml"),
        *(".db-shm", ".db-wal"),
    )
)
"""Suffixes of what lies beside models; anything else is tried, whatever it is called."""
_NO_MODEL_EITHER = frozenset(("license", "notice", "readme", "makefile", "dockerfile"))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A model that is meant.

    Attributes:
        model: The file, folder or address.
        given: How it was named.
        name: What it is to be called; empty where nobody said.
        options: What is said of it alone, by the name of the option.
    """

    model: str
    given: str
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def in_folder(folder: Path) -> tuple[list[Choice], list[str]]:
    """Returns the models in a folder, and what there was left out, both by name.

    Raises:
        UsageError: It is no folder, or holds no model.
        EnvironmentFailure: It cannot be listed.
    """
    from fingerprint.errors import EnvironmentFailure, UsageError

    try:
        names = sorted(os.listdir(folder))
    except (NotADirectoryError, FileNotFoundError) as error:
        raise UsageError(f"--each {clean(folder)}: expected a folder of models") from error
    except OSError as error:
        raise EnvironmentFailure(f"--each {clean(folder)}: {error.strerror}") from error
    left_out = [name for name in names if not _may_be_model(folder / name)]
    kept = [name for name in names if name not in left_out]
    if not kept:
        raise UsageError(f"--each {clean(folder)}: expected models in it, found none")
    return [Choice(model=os.path.abspath(folder / name), given=name) for name in kept], left_out


def _may_be_model(path: Path) -> bool:
    name, suffix = path.name.lower(), path.suffix.lower()
    if name.startswith(".") or suffix == ".solved":
        return False
    return path.is_dir() or (suffix not in _NO_MODEL and name not in _NO_MODEL_EITHER)


def in_list(path: Path) -> list[Choice]:
    """Returns the models that a file lists.

    Raises:
        UsageError: It is no such file.
        InputRefused: It is too large, or no regular file.
        EnvironmentFailure: It cannot be read.
    """
    from fingerprint.errors import UsageError
    from fingerprint.formats.file_bytes import read_file

    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        expected = ", ".join(sorted(_READERS))
        raise UsageError(f"--list {clean(path)}: expected a file whose name ends in {expected}")
    content = read_file(str(path), max_bytes=_MAX_FILE)
    try:
        entries = list(reader(content.data.decode("utf-8-sig")))
    except (ValueError, RecursionError, csv.Error) as error:
        said = first_line(error)
        raise UsageError(f"--list {clean(path)}: expected {path.suffix[1:]}: {said}") from error
    found = [_choice(path, where, entry) for where, entry in entries]
    if not found:
        raise UsageError(f"--list {clean(path)}: expected models in it, found none")
    return found


def _choice(path: Path, where: str, entry: object) -> Choice:
    from fingerprint.errors import UsageError

    if not isinstance(entry, dict) or not _is_text(entry.get("model")):
        raise UsageError(f"--list {clean(path)}: {clean(where)}: expected a text 'model'")
    options = dict(entry)
    given, name = options.pop("model"), options.pop("name", "")
    if not isinstance(name, str):
        raise UsageError(f"--list {clean(path)}: {clean(where)}: expected a text as 'name'")
    model = given if is_address(given) else os.path.abspath(path.parent / given)
    return Choice(model=model, given=given, name=name, options=options)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and "\0" not in value


def _csv(text: str) -> Iterator[tuple[str, object]]:
    """Reads a table with a head; an empty cell says nothing."""
    for row in csv.DictReader(io.StringIO(text, newline=""), strict=True):
        if None in row or None in row.values():
            raise ValueError("expected as many cells in each line as in the first")
        yield f"{row.get('model')}", {key.strip(): one for key, one in row.items() if one != ""}


def _jsonl(text: str) -> Iterator[tuple[str, object]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"line {number}", json.loads(line)


def _toml(text: str) -> Iterator[tuple[str, object]]:
    for name, table in tomllib.loads(text).items():
        yield name, {"name": name, **table} if isinstance(table, dict) else table


_READERS = {".csv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".toml": _toml}
