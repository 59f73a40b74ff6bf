"""The entry point of ``fp`` and of ``python -m cli``.

Signals and streams are made safe before anything else is imported, so that Ctrl-C during a
slow import, or a closed pipe, ends the program as quietly as later on.
"""

from __future__ import annotations

import sys

from cli import process

__all__ = ["main"]


def main() -> int:
    """Runs the command line and returns its exit code."""
    process.prepare()
    try:
        from cli.main import app

        app(prog_name="fp")
    except KeyboardInterrupt:
        return process.INTERRUPTED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    finally:
        process.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
