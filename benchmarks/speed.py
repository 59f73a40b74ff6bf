"""What registering and verifying cost, as ratios to a network's own passes in the same run.

    python -m benchmarks.speed --zoo DIR [--large] [--device cuda] [--results FILE]

A registration is counted in forward-and-backward passes through the whole network: a pass to a
depth counts its measured share of a whole pass's seconds. A verification is counted against the
bare forward passes of the inputs it asks, both at their best of several times, since the first
verification of a process also loads what it needs. Ratios are of processor seconds, for which
other work on the machine counts little; on an accelerator, of seconds until its work is done.
``--large`` adds EfficientNet-Lite0 with its ImageNet
weights, and a ResNet-50 of two classes with random weights, for its size alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import efficientnet_lite
from benchmarks.report import clock, machine, progress
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
    began, busy = time.perf_counter(), time.process_time()
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    fingerprint = extract(model, seed="speed", progress=progress)
    seconds, processor = time.perf_counter() - began, time.process_time() - busy
    memory = _most_memory(model.device)
    asked = fingerprint.controls, fingerprint.harmless, fingerprint.bases, fingerprint.panel
    bare = sum(_seconds(partial(run, model, one)) for one in asked)
    verifying = _seconds(lambda: verify(model, fingerprint))
    return {
        "network": name,
        "depths": [depth.name for depth in fingerprint.depths],
        "passes by operations": round(fingerprint.cost["passes"]),
        "passes by seconds": round(_by_seconds(model, fingerprint)),
        "seconds": round(seconds, 1),
        "processor seconds": round(processor, 1),
        "GB at most": round(memory / 2**30, 1),
        "verifying / bare forward": round(verifying / bare, 2),
    }


def _by_seconds(model: Model, fingerprint: Fingerprint) -> float:
    """Counts passes again, each depth by its share of a whole pass's seconds."""
    depths = {depth.name: depth for depth in depths_of(model)}
    spent: defaultdict[str, float] = defaultdict(float)
    for tried in fingerprint.parameters["pilot"]:
        spent[tried["depth"]] += tried["passes"]
    for name in depths:
        spent[name] += fingerprint.cost.get(f"passes at {name}", 0.0)
    whole = _pass_seconds(depths["logits"])
    return sum(
        passes / depths[name].share * _pass_seconds(depths[name]) / whole
        for name, passes in spent.items()
        if passes
    )


def _pass_seconds(depth: Depth) -> float:
    spec = depth.model.input
    low, high = spec.bounds
    x = torch.full((_BATCH, *spec.shape), (low + high) / 2, dtype=depth.model.dtype)
    x = x.to(depth.model.device)

    def once() -> Tensor:
        leaf = x.clone().requires_grad_(True)
        gradients: tuple[Tensor, ...] = torch.autograd.grad(depth(leaf).square().sum(), leaf)
        return gradients[0]

    return _seconds(once)


def _seconds(job: Callable[[], object]) -> float:
    """Returns the least of several times: others only ever add to it."""
    found = []
    for _ in range(_REPEATS):
        began = clock()
        job()
        found.append(clock() - began)
    return min(found)


def _most_memory(device: torch.device) -> int:
    """Returns the bytes that were held at most: on the accelerator, else by the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10


def _models(zoo: Path, *, large: bool, device: str) -> Iterator[tuple[str, Model]]:
    arch = "fingerprint.lab.cifar_resnet:resnet20"
    yield "ResNet-20, 32 px", load_model(zoo / "resnet20.safetensors", arch=arch, device=device)
    if large:
        lite = "benchmarks.efficientnet_lite:lite0"
        yield (
            "EfficientNet-Lite0, 224 px",
            load_model(efficientnet_lite.weights(0), arch=lite, device=device),
        )
        import timm

        torch.manual_seed(0)
        network = timm.create_model("resnet50", num_classes=2).eval()
        yield (
            "ResNet-50, two classes, 224 px",
            load_model(network, input_size=(3, 224, 224), device=device),
        )


def main() -> None:
    """Prints one table, and writes what it holds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--zoo", type=Path, required=True, help="folder with resnet20.safetensors")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    print(f"measured on {machine()}\n")
    rows = []
    for name, model in _models(options.zoo, large=options.large, device=options.device):
        rows.append(measured(name, model))
        if len(rows) == 1:
            print("| " + " | ".join(rows[0]) + " |\n" + "| --- " * len(rows[0]) + "|")
        print("| " + " | ".join(str(value) for value in rows[-1].values()) + " |", flush=True)
    if options.results is not None:
        document = {"measured on": machine(), "rows": rows}
        options.results.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
