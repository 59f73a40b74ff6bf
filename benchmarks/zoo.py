"""Registers a CIFAR-10 ResNet-20 and verifies its derivatives and independent networks.

    python -m benchmarks.zoo --data DIR [--source resnet20] [--seed SEED]

DIR holds ``zoo/*.safetensors``: the source, fine-tunes of it, a transfer to five classes, an
independent ResNet-20 and a ResNet-44. Any of them can be the source, which gives more
independent pairs; with a source outside the family of ``resnet20``, everything else is
independent of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.report import machine, print_registration, print_verdicts, progress
from fingerprint import Model, extract, load_model

FAMILY = (
    "resnet20",
    "resnet20_finetuned_lr1e-3",
    "resnet20_finetuned_lr1e-2",
    "resnet20_finetuned_lr5e-2",
    "resnet20_transfer_5classes",
)
NAMES = (*FAMILY, "resnet20_independent", "resnet44")


def _load(folder: Path, name: str) -> Model:
    factory = "resnet44" if name == "resnet44" else "resnet20"
    return load_model(
        folder / "zoo" / f"{name}.safetensors", arch=f"fingerprint.lab.cifar_resnet:{factory}"
    )


def _expected(source: str, suspect: str) -> str:
    if suspect == source:
        return "same"
    return "derived" if source == "resnet20" and suspect in FAMILY else "independent"


def main() -> None:
    """Prints one table for each source and seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--source", nargs="+", default=["resnet20"])
    parser.add_argument("--seed", nargs="+", default=["benchmark"])
    options = parser.parse_args()
    print(f"measured on {machine()}\n")
    for source in options.source:
        for seed in options.seed:
            fingerprint = extract(_load(options.data, source), seed=seed, progress=progress)
            print_registration(f"{source}, seed {seed}", fingerprint)
            suspects = (
                (name, _expected(source, name), _load(options.data, name)) for name in NAMES
            )
            print_verdicts(fingerprint, suspects)
            print()


if __name__ == "__main__":
    main()
