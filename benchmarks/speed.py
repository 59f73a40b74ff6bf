"""What registering and verifying cost, as ratios to a network's own passes in the same run.

    python -m benchmarks.speed --zoo DIR [--large] [--results FILE]

A registration is counted in forward-and-backward passes through the whole network: a pass to a
depth counts its measured share of a whole pass's seconds. A verification is counted against the
bare forward passes of the inputs it asks. ``--large`` adds EfficientNet-Lite0 with its ImageNet
weights, and a ResNet-50 of two classes with random weights, for its size alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import efficientnet_lite
from benchmarks.report import machine, progress
from fingerprint import Model, extract, load_model, verify
from fingerprint.network.depths import Depth, depths_of
from fingerprint.network.run import run
from fingerprint.probes.probe import Fingerprint

__all__ = ["main", "measured"]

_REPEATS = 5
_BATCH = 12


def measured(name: str, model: Model) -> dict[str, Any]:
    """Registers a model and verifies it as its own suspect, and says what both cost.

    Args:
        name: For the row.
        model: The model.
    """
    began = time.perf_counter()
    fingerprint = extract(model, seed="speed", progress=progress)
    seconds = time.perf_counter() - began
    asked = fingerprint.controls, fingerprint.harmless, fingerprint.bases, fingerprint.panel
    bare = sum(_seconds(lambda one=one: run(model, one), 1) for one in asked)
    began = time.perf_counter()
    verify(model, fingerprint)
    verifying = time.perf_counter() - began
    return {
        "network": name,
        "depths": [depth.name for depth in fingerprint.depths],
        "passes by operations": round(fingerprint.cost["passes"]),
        "passes by seconds": round(_by_seconds(model, fingerprint)),
        "seconds": round(seconds, 1),
        "GB at most": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1),
        "verifying / bare forward": round(verifying / bare, 2),
    }


def _by_seconds(model: Model, fingerprint: Fingerprint) -> float:
    """Counts passes again, each depth by its share of a whole pass's seconds."""
    depths = {depth.name: depth for depth in depths_of(model)}
    whole = _pass_seconds(depths["logits"])
    spent = {}
    for tried in fingerprint.parameters["pilot"]:
        spent.setdefault(tried["depth"], []).append(tried["passes"])
    known = sum(sum(passes) for passes in spent.values())
    total = 0.0
    for name, passes in spent.items():
        if name in depths:
            share = _pass_seconds(depths[name]) / whole
            total += sum(passes) * share / depths[name].share
    rest = fingerprint.cost["passes"] - known
    shares = [
        _pass_seconds(depths[depth.name]) / whole / max(depth.share, 1e-9)
        for depth in fingerprint.depths
        if depth.name in depths
    ]
    # What was solved after the pilot is not told apart by depth: the dearer share counts for all.
    return total + rest * max(shares, default=1.0)


def _pass_seconds(depth: Depth) -> float:
    spec = depth.model.input
    low, high = spec.bounds
    x = torch.full((_BATCH, *spec.shape), (low + high) / 2, dtype=depth.model.dtype)

    def once() -> Tensor:
        leaf = x.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(depth(leaf).square().sum(), leaf)
        return gradient

    return _seconds(once, _REPEATS)


def _seconds(job: Callable[[], object], repeats: int) -> float:
    """Returns the least of several times: others only ever add to it."""
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        job()
        found.append(time.perf_counter() - began)
    return min(found)


def _models(zoo: Path, *, large: bool) -> Iterator[tuple[str, Model]]:
    arch = "fingerprint.lab.cifar_resnet:resnet20"
    yield "ResNet-20, 32 px", load_model(zoo / "resnet20.safetensors", arch=arch)
    if large:
        lite = "benchmarks.efficientnet_lite:lite0"
        yield (
            "EfficientNet-Lite0, 224 px",
            load_model(efficientnet_lite.weights(0), arch=lite),
        )
        import timm

        torch.manual_seed(0)
        network = timm.create_model("resnet50", num_classes=2).eval()
        yield "ResNet-50, two classes, 224 px", load_model(network, input_size=(3, 224, 224))


def main() -> None:
    """Prints one table, and writes what it holds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--zoo", type=Path, required=True, help="folder with resnet20.safetensors")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    print(f"measured on {machine()}\n")
    rows = []
    for name, model in _models(options.zoo, large=options.large):
        rows.append(measured(name, model))
        if len(rows) == 1:
            print("| " + " | ".join(rows[0]) + " |\n" + "| --- " * len(rows[0]) + "|")
        print("| " + " | ".join(str(value) for value in rows[-1].values()) + " |", flush=True)
    if options.results is not None:
        document = {"measured on": machine(), "rows": rows}
        options.results.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
