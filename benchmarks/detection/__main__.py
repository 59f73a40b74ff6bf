"""The detection benchmark from images to page.

    python -m benchmarks.detection --work WORK [--data DIR] [--budget MINUTES]

Builds the zoo, measures every pair, compares designs and writes the results file and
``docs/detection.md``. Each step goes on where it stopped. Without ``--data`` the networks are
trained on scikit-learn's digits: minutes instead of hours, and another page.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.detection.measure import RESULTS

PAGE = Path("docs/detection.md")


def main() -> None:
    """Runs the steps one after the other, each in its own process."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--work", type=Path, required=True, help="where networks are kept")
    parser.add_argument("--data", type=Path, help="has cifar10_sample.npz; digits without it")
    parser.add_argument("--budget", type=float, default=120.0, help="minutes to build the zoo in")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the results file")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    parser.add_argument("--readme", type=Path, help="README that quotes the results")
    options = parser.parse_args()
    where = ["--work", str(options.work)]
    if options.data is not None:
        where += ["--data", str(options.data)]
    _step("zoo", *where, "--budget", str(options.budget))
    _step("measure", *where, "--out", str(options.results))
    _step("designs", *where, "--results", str(options.results))
    quoted = ["--readme", str(options.readme)] if options.readme is not None else []
    _step("page", "--results", str(options.results), "--out", str(options.out), *quoted)


def _step(name: str, *arguments: str) -> None:
    print(f"== {name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.detection.{name}", *arguments]
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
