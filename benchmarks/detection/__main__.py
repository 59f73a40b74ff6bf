"""The detection benchmark from images to page.

    python -m benchmarks.detection --work WORK [--data DIR] [--budget MINUTES]

Builds the zoo, measures every pair, and writes the results file and the tables of
``docs/detection.md`` and ``docs/power.md``; with ``--data`` also networks that learned digits, the
families, the networks at 224 pixels (``--device cuda`` to train them there) and
``docs/rare_labels.md``. Each step goes on where it stopped. Without ``--data`` the networks are
trained on scikit-learn's digits alone: minutes instead of hours, and results and tables under WORK.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.detection.page import DIGITS, FAMILIES, LARGE, LARGE_FAMILIES, PAGE, RESULTS


def main() -> None:
    """Runs the steps one after the other, each in its own process."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--work", type=Path, required=True, help="where networks are kept")
    parser.add_argument("--data", type=Path, help="has cifar10_sample.npz; digits without it")
    parser.add_argument("--budget", type=float, default=120.0, help="minutes to build the zoo in")
    parser.add_argument("--device", default="cpu", help="where networks of 224 pixels are trained")
    parser.add_argument("--results", type=Path, help="the results file")
    parser.add_argument("--out", type=Path, help="the page")
    options = parser.parse_args()
    small = options.data is None
    # Beside the zoo's cards it would be taken for one of them.
    results = options.results or (options.work / "measured/results.json" if small else RESULTS)
    out = options.out or (options.work / "detection.md" if small else PAGE)
    where = ["--work", str(options.work)]
    if options.data is not None:
        where += ["--data", str(options.data)]
    budget = ["--budget", str(options.budget)]
    _step("detection.zoo", *where, *budget)
    _step("detection.measure", *where, "--out", str(results))
    if options.data is not None:
        data, work = ["--data", str(options.data)], options.work
        digits = ["--work", str(work / "digits")]
        _step("detection.zoo", *digits, *budget)
        _step("detection.measure", *digits, "--out", str(DIGITS))
        families = ["--work", str(work / "families"), "--results", str(FAMILIES)]
        _step("families", *data, *families)
        kin = ["--work", str(work / "families224"), "--results", str(LARGE_FAMILIES)]
        _step("families", *data, "--large", *kin)
        large = ["--work", str(work / "large"), *data]
        _step("detection.large", *large, *budget, "--device", options.device)
        _step("detection.large.measure", *large, "--out", str(LARGE))
    _step("detection.page", "--results", str(results), "--out", str(out))
    if options.data is not None:
        _step("rare_labels", *where, "--keep", str(options.work / "labels"))


def _step(name: str, *arguments: str) -> None:
    print(f"== {name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
