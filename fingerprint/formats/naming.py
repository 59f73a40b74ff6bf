"""Puts the file's name in front of a refusal, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fingerprint.errors import AmbiguousArchitecture, InputRefused
from fingerprint.text import clean

__all__ = ["naming", "shown_path"]


def shown_path(path: str) -> str:
    """Returns a path as messages show it: on one line, however it is called."""
    return clean(path, limit=400)


@contextmanager
def naming(path: str | None) -> Iterator[None]:
    """Makes refusals raised inside begin with ``path``; does nothing for None."""
    try:
        yield
    except (InputRefused, AmbiguousArchitecture) as error:
        shown = shown_path(path or "")
        if not str(error).startswith(shown):
            error.args = (f"{shown}: {error}", *error.args[1:])
        raise
