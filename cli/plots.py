"""Pictures that commands draw with matplotlib, which is no dependency of the package.

It is imported when it is needed, and nothing of it is global: no backend is chosen and no
window can open.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import typer

from fingerprint.files import write_whole
from fingerprint.text import clean

__all__ = ["check", "plain", "save"]

_SUFFIXES = (".png", ".svg", ".pdf")


def check(path: Path, option: str) -> None:
    """Sees to it that a picture can be drawn before any work is begun.

    Args:
        path: Where to.
        option: What it was given with, for messages.

    Raises:
        typer.BadParameter: The file's name ends in nothing that can be drawn.
        EnvironmentFailure: matplotlib or the folder is missing, or cannot be written to.
    """
    from fingerprint.errors import EnvironmentFailure

    if path.suffix.lower() not in _SUFFIXES:
        raise typer.BadParameter(
            f"{option}: expected a file that ends in {', '.join(_SUFFIXES)}, "
            f"got '{clean(path.suffix)}'"
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise EnvironmentFailure(f"{option}: needs matplotlib; pip install 'nullprint[plot]'")
    if not path.absolute().parent.is_dir():
        raise EnvironmentFailure(
            f"{option}: there is no folder {clean(path.parent)}; make it first"
        )
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise EnvironmentFailure(f"{option}: {clean(path)} cannot be written; choose another FILE")


def save(figure: Any, path: Path) -> None:
    """Writes a figure to a file: all of it or nothing; a file that is there is replaced.

    Raises:
        EnvironmentFailure: The file cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    write_whole(path, lambda stream: figure.savefig(stream, format=kind))


def plain(text: str) -> str:
    """Returns text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")
