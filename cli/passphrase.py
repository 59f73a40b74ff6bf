"""The passphrase of a key: from the environment, or typed by somebody at a terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from fingerprint.text import clean

__all__ = ["VARIABLE", "passphrase"]

VARIABLE = "FP_KEY_PASSPHRASE"


def passphrase(path: Path, *, new: bool = False) -> bytes:
    """Returns the passphrase of a key; never an option, which other users of the machine see.

    Args:
        path: The key, for the question.
        new: Whether it is to be chosen, and typed twice.

    Raises:
        UsageError: It is not in the environment, and nobody is there to be asked.
    """
    from fingerprint.errors import UsageError

    given = os.environ.get(VARIABLE)
    if not given and sys.stdin is not None and sys.stdin.isatty():
        given = typer.prompt(
            f"Passphrase of {clean(path)}", hide_input=True, confirmation_prompt=new, err=True
        )
    if not given:
        way_out = ", or say --no-passphrase" if new else ""
        raise UsageError(f"{clean(path)}: expected its passphrase in {VARIABLE}{way_out}")
    return str(given).encode()
