"""What the benchmarks share: verifying a list of suspects and printing one table."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterable

import torch

from fingerprint import Fingerprint, Model, Verification, verify

__all__ = ["machine", "print_registration", "print_verdicts", "progress"]


def machine() -> str:
    """Says what the numbers were measured on."""
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return (
        f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )


def clock() -> float:
    """Returns seconds on the processor, or on the clock once an accelerator has done its work."""
    if not torch.cuda.is_initialized():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def progress(stage: str, done: int, total: int) -> None:
    """Shows progress on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r{stage} {100 * done // max(total, 1):3d} %   ", end="", file=sys.stderr)


def print_registration(name: str, fingerprint: Fingerprint) -> None:
    """Prints what registering cost, and how harmless the probes are for their source."""
    cost, own = fingerprint.cost, fingerprint.source_harm_ratio
    depths = ", ".join(
        f"{depth.name} (start +-{255 * depth.contrast:.0f})" for depth in fingerprint.depths
    )
    print(
        f"{name}: {len(fingerprint.probes)} probes at {depths}; {cost['seconds']:.0f} s, "
        f"{cost['passes']:.0f} passes; "
        f"harm ratio on itself median {own['median']:.4f}, largest {own['max']:.4f}"
    )
    for line in fingerprint.warnings:
        print(f"  warning: {line}")


def print_verdicts(
    fingerprint: Fingerprint, suspects: Iterable[tuple[str, str, Model]]
) -> list[tuple[str, str, Verification]]:
    """Verifies suspects and prints a Markdown table.

    Args:
        fingerprint: Of the source.
        suspects: Name, expected verdict (``-`` if none is owed) and model of each.

    Returns:
        Name, expected verdict and verification of each.
    """
    print(
        "| suspect | expected | verdict | harm ratio by depth | interval | p-value | queries | s |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    rows = []
    for name, expected, model in suspects:
        result = verify(model, fingerprint, progress=progress)
        first = result.candidates[0]
        low, high = first.harm_ratio_ci or (float("nan"), float("nan"))
        by_depth = ", ".join(
            f"{one.depth} {one.statistic:.2f}"
            for one in first.findings
            if one.test == "harm_ratio" and one.statistic is not None
        )
        print(
            f"| {name} | {expected} | {result.verdict} | {by_depth} "
            f"| {low:.2f}-{high:.2f} | {first.p_value:.1e} | {result.queries} "
            f"| {result.seconds:.1f} |",
            flush=True,
        )
        rows.append((name, expected, result))
    owed = [(expected, result) for _, expected, result in rows if expected != "-"]
    right = sum(expected == result.verdict for expected, result in owed)
    print(f"\n{right} of {len(owed)} verdicts as expected")
    return rows
