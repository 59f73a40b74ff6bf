"""The paper's experiments one after the other, then the page.

    python -m benchmarks.paper [--data DIR] [--work WORK] [--out docs/paper] [--only NAME]

Each experiment runs in its own process and keeps its findings when it ends, and trained networks
are kept under WORK, so a run that was interrupted loses one experiment at most; ``--only`` goes on
from there. Without ``--data`` everything is measured on scikit-learn's digits, and findings and
page are kept under WORK.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.paper.experiment import OUT
from benchmarks.paper.page import EXPERIMENTS, PAGE

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the experiments, each in its own process."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--data", type=Path, help="has cifar10_sample.npz; digits without it")
    parser.add_argument("--work", type=Path, help="where trained networks are kept")
    parser.add_argument("--out", type=Path, help="folder of findings and pictures")
    parser.add_argument("--page", type=Path, help="the page")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--only", action="append", choices=EXPERIMENTS, help="run this one; may be repeated"
    )
    options = parser.parse_args(arguments)
    # The committed page is about images; digits have one of their own beside their networks.
    small = (options.work or Path(".paper/digits")) if options.data is None else None
    out = options.out or (small / "paper" if small else OUT)
    page = options.page or (small / "paper.md" if small else PAGE)
    where = ["--out", str(out), "--device", options.device]
    for name in ("data", "work"):
        if (folder := getattr(options, name)) is not None:
            where += [f"--{name}", str(folder)]
    try:
        for name in EXPERIMENTS:
            if options.only is None or name in options.only:
                _step(name, *where)
        _step("page", "--out", str(out), "--page", str(page))
    except KeyboardInterrupt:
        sys.exit(130)


def _step(name: str, *arguments: str) -> None:
    print(f"\n== {name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.paper.{name}", *arguments]
    code = subprocess.run(command, check=False).returncode
    if code:
        print(f"{name} ended with {code}; go on with: --only {name}", file=sys.stderr)
        sys.exit(code if code > 0 else 128 - code)


if __name__ == "__main__":
    main()
