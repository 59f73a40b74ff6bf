"""Which networks do the paper's experiments run on? Trained here once, then read back.

    model = trained("resnet50-strided", options)    # a Model that takes pixels in [0, 1]
    test = test_images(options)                     # float64 pixels and their labels
    answers(model, test.pixels + noise)             # logits, in the model's own precision
    accuracy(model, test.pixels, test.labels)

    python -m benchmarks.paper.networks [--only NAME] [--data DIR] [--work DIR]     # ahead of time

- ``resnet50-strided`` and ``resnet50-strided-1``: ResNet-50's blocks (3-4-6-3 bottlenecks, as
  timm builds them) behind a 7x7 convolution of stride 4 without max pooling: 3072 inputs and
  2048 outputs for CIFAR-10, 256 and 128 for the digits, so it has a null space. Two seeds.
- ``resnet50-dense``: the same blocks behind timm's own beginning, a 7x7 convolution of stride 2
  and max pooling. It has more outputs than inputs and no null space, only least harmful
  directions.
- ``patch-vit`` and ``patch-vit-1``: a transformer whose patch embedding makes 64 numbers of the
  192 in a patch (8 of 16 for the digits). Two seeds.

Stages are half as wide as ResNet-50's, so that a core trains one in ten minutes. The 4000 images
of the CIFAR-10 sample allow 45 to 65 % accuracy, which is what these networks reach; the paper's
networks saw all 50 000. Weights are kept as safetensors under ``options.work`` once whole; an
interrupted training leaves nothing, and a network trained by another recipe is trained again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from benchmarks.data import load_data
from benchmarks.paper.experiment import Options, read_options
from benchmarks.paper.recipes import NETWORKS, Recipe
from benchmarks.report import progress
from fingerprint import Model, load_model
from fingerprint.files import write_whole
from fingerprint.lab.cifar_resnet import CifarResNet
from fingerprint.lab.data import Data
from fingerprint.lab.training import train
from fingerprint.network.run import full_precision

__all__ = [
    "NETWORKS",
    "Images",
    "accuracy",
    "answers",
    "main",
    "noise_as_long",
    "test_images",
    "trained",
]

_BATCH = 250


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Test images as the experiments perturb them.

    Attributes:
        pixels: float64 in [0, 1], shape ``(N, C, H, W)``.
        labels: int64, shape ``(N,)``.
        name: ``cifar10`` or ``digits``.
    """

    pixels: Tensor
    labels: Tensor
    name: str

    def at(self, places: slice | Tensor) -> Images:
        """Returns some of the images."""
        return Images(pixels=self.pixels[places], labels=self.labels[places], name=self.name)


def trained(name: str, options: Options) -> Model:
    """Returns a trained network, from its file where there is one.

    Training shows its progress on a terminal and may be interrupted: a network is kept only
    when it is whole.

    Args:
        name: In :data:`NETWORKS`.
        options: Names the data and the folder of the weights.

    Returns:
        The network in float32 with its normalisation; ``model.to(dtype=torch.float64)`` where
        exactness is the claim.

    Raises:
        KeyError: There is no such network.
    """
    recipe = NETWORKS[name]
    data = load_data(options.data)
    path = options.work / f"{data.name}-{name}.safetensors"
    network = _initial(recipe, data)
    kept = f"{recipe.settings[data.name]}, seed {recipe.seed}, {len(data.train_labels)} images"
    if _recipe_of(path) != kept:
        _train(network, recipe, data, name)
        state = save(network.state_dict(), metadata={"recipe": kept})
        write_whole(path, lambda stream: stream.write(state))
    # Read back even when it was trained right now, so that every run uses the same bytes.
    with safe_open(path, framework="pt") as file:
        network.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    mean, std = _normalisation(data)
    model = load_model(network.eval(), input_size=data.input_size, mean=mean, std=std)
    return model.to(device=options.device)


def _initial(recipe: Recipe, data: Data) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return recipe.build(data.input_size[0])


def _recipe_of(path: Path) -> str | None:
    """Returns how the weights in a file were made; None if there are none."""
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get("recipe")


class _Normalised(nn.Module):
    """A network behind the normalisation of pixels, as it is trained."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Answers images ``(N, C, H, W)`` in [0, 1] with logits."""
        logits: Tensor = self.network((x - self.mean) / self.std)
        return logits


def _normalisation(data: Data) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if data.name == "digits":
        return (0.0,), (1.0,)
    known = CifarResNet.pretrained_cfg
    return known["mean"], known["std"]  # type: ignore[return-value]


def _train(network: nn.Module, recipe: Recipe, data: Data, name: str) -> None:
    settings = recipe.settings[data.name]

    def shown(stage: str, done: int, total: int) -> None:
        progress(f"{stage} {name}", done, total)

    train(
        _Normalised(network, *_normalisation(data)),
        data,
        settings,
        seed=recipe.seed,
        progress=shown,
    )


def test_images(options: Options) -> Images:
    """Returns the test images of the data as float64 pixels."""
    data = load_data(options.data)
    return Images(
        pixels=torch.from_numpy(data.test_images).double() / 255,
        labels=torch.from_numpy(data.test_labels),
        name=data.name,
    )


def accuracy(model: Model, pixels: Tensor, labels: Tensor) -> float:
    """Returns the share of images a model names correctly.

    Args:
        model: Asked in its own precision.
        pixels: Shape ``(N, C, H, W)``; perturbed images may lie outside [0, 1].
        labels: Shape ``(N,)``.
    """
    named = answers(model, pixels).argmax(dim=1)
    return float((named == labels).double().mean())


def noise_as_long(delta: Tensor, *, seed: int) -> Tensor:
    """Draws Gaussian noise of the L2 norm of each perturbation, shape ``(N, C, H, W)``."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(delta.shape, generator=generator, dtype=torch.float64)
    sizes = delta.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
    scaled: Tensor = noise * sizes.view(-1, 1, 1, 1)
    return scaled


def answers(model: Model, pixels: Tensor) -> Tensor:
    """Answers images in batches, in the model's own precision, with logits ``(N, classes)``.

    Args:
        model: The network.
        pixels: Shape ``(N, C, H, W)``, any floating dtype, in or outside [0, 1].
    """
    with torch.no_grad(), full_precision():
        rows = [
            model(part.to(model.device, model.dtype)).cpu() for part in torch.split(pixels, _BATCH)
        ]
    return torch.cat(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains networks ahead of time and prints their accuracies."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--only", choices=NETWORKS, action="append")
    given, rest = parser.parse_known_args(arguments)
    options = read_options(__doc__, rest)
    test = test_images(options)
    for name in given.only or NETWORKS:
        model = trained(name, options)
        share = accuracy(model, test.pixels, test.labels)
        print(f"{name}: {100 * share:.1f} % of {len(test.labels)} test images", flush=True)


if __name__ == "__main__":
    main()
