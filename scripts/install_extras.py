"""Installs what extras of this project need, and packages beside them.

    python scripts/install_extras.py onnx --also onnxscript

The project itself is installed already where its tests run: to have pip build it and look through
all of its requirements once more for each extra takes longer than most extras do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def main() -> int:
    """Returns the exit code of pip."""
    declared = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = declared["optional-dependencies"]
    parser = argparse.ArgumentParser(description="Installs what extras of this project need.")
    parser.add_argument("extras", nargs="+", choices=sorted(extras))
    parser.add_argument("--also", nargs="+", default=[], help="other packages")
    asked = parser.parse_args()
    needed = [line for extra in asked.extras for line in extras[extra]] + asked.also
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return subprocess.run([*pip, *needed], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
