"""Runs what a page shows, as its reader would: one shell in an empty folder.

``fp`` is this source tree's. The demo, with which every page begins, is run once for all of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.docs.blocks import Step

__all__ = ["DEMO", "ROOT", "Shell", "environment"]

ROOT = Path(__file__).parents[2]
_SEEDED = Path(__file__).with_name("seeded")
DEMO = "fp demo --keep digits"
_END = "----- end of what was printed -----"
_LIMIT_S = 1400


def environment(home: Path) -> dict[str, str]:
    """Returns an environment in which nothing of the caller's decides what happens."""
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL") if key in os.environ}
    paths = f"{_SEEDED}{os.pathsep}{ROOT}"
    own = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "PYTHONPATH": paths}
    return {**kept, **own, "NO_COLOR": "1", "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": str(home)}


class Shell:
    """A shell that remembers folders, variables and exit codes from one command to the next.

    Attributes:
        folder: Where it begins.
    """

    def __init__(self, folder: Path, demo: Path) -> None:
        self.folder, self._demo = folder, demo

    def run(self, steps: Sequence[Step]) -> list[str]:
        """Runs commands one after another and returns what each printed."""
        lines = [f'fp() {{ "{sys.executable}" -m cli "$@"; }}']
        for step in steps:
            lines += [self._known(step.command), f"left=$?; echo; echo '{_END}'; (exit $left)"]
        running = subprocess.Popen(
            ["bash", "-c", "\n".join(lines)],
            cwd=self.folder,
            env=environment(self.folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            printed, _ = running.communicate(timeout=_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)  # the shell, and what it was running
            raise
        return printed.split(f"\n{_END}\n")[: len(steps)]

    def _known(self, command: str) -> str:
        if command != DEMO:
            return command
        return f"cp -r '{self._demo}/digits' digits && cat '{self._demo}/printed'"
