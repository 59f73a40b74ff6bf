"""What pre-commit calls: ``fp verify`` on each file of a commit, with the same options.

    python -m cli.hook --registry=models.db --forbid=theirs a.safetensors b.onnx

Options are written as ``--name=value``: whatever does not begin with a dash is a file. A file that
is refused, or of which nobody can tell whose it is, stops a commit as well.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from cli import process
from fingerprint.text import clean

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Verifies each file, and returns the greatest exit code of all."""
    process.prepare()
    options = [one for one in arguments if one.startswith("-")]
    files = [one for one in arguments if not one.startswith("-")]
    try:
        from cli.main import app

        worst = 0
        for file in files:
            worst = max(worst, _verified(app, file, options))
            if worst >= process.INTERRUPTED:
                break
        return worst
    except KeyboardInterrupt:
        return process.INTERRUPTED
    finally:
        process.finish()


def _verified(app: Any, file: str, options: Sequence[str]) -> int:
    sys.stderr.write(f"{clean(file)}:\n")
    code = app(["verify", *options, "--", file], prog_name="fp", standalone_mode=False)
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
