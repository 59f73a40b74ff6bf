"""Measures rare labels against other methods, and writes the tables of ``docs/rare_labels.md``.

    python -m benchmarks.rare_labels --work WORK --data DATA --keep DIR [--out FILE]

``WORK`` is the folder of ``benchmarks.detection.zoo``, ``DATA`` has ``cifar10_sample.npz`` and
``imagenet_sample/``. What networks answer, and the students that are trained, are kept in ``DIR``;
remove it if the zoo has changed. IPGuard, SAC and ModelDiff were measured by
``benchmarks.detection.measure``, on the reporting half. The pictures are test pictures, which no
network was trained on, and blends of them. What numbers are needed, and how conferrable pictures
are chosen, was read off the settings half alone. The table at 224 pixels needs what
``benchmarks.efficientnet_lite`` says.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.data import load_data
from benchmarks.detection.page import RESULTS
from benchmarks.pages import write_filled
from benchmarks.rare_labels.asking import read_zoo
from benchmarks.rare_labels.tables import tables
from benchmarks.report import machine

PAGE = Path("docs/rare_labels.md")


def main() -> None:
    """Asks whoever was not asked, and writes the tables into the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rare_labels", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--work", type=Path, required=True, help="where the zoo was built")
    parser.add_argument("--data", type=Path, required=True, help="has cifar10_sample.npz")
    parser.add_argument("--keep", type=Path, required=True, help="where answers are kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="of benchmarks.detection")
    parser.add_argument("--out", type=Path, default=PAGE, help="the page")
    options = parser.parse_args()
    torch.set_num_threads(1)
    zoo = read_zoo(options.work, load_data(options.data), options.keep, options.results)
    made = tables(zoo, options.data / "imagenet_sample")
    changed = write_filled(options.out, made, title="Rare labels: tables")
    print(f"wrote {options.out}, measured on {machine()}; changed tables: {changed}")


if __name__ == "__main__":
    main()
