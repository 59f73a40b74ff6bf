"""Figure 5: the harmless perturbations of one network, added to the images of another.

    python -m benchmarks.paper.figure5 [--data DIR] [--work DIR] [--out DIR]

For pairs of networks that read the same images, perturbations from the harmless space of each,
outside its intersection with the other's, at 16ε (ε = 8/255 root mean square, as in Figure 3):
they leave their own network's answers alone and change the other's. Networks without a linear
harmless space are compared by the whole-network solver, whose perturbed images are 8-bit pictures:
ResNets of ``DATA/zoo`` where it is at hand, and EfficientNet-Lite0 and -Lite1 where they are
installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.paper.experiment import Findings, Options, Table, publish, read_options
from benchmarks.paper.figure4 import class_name
from benchmarks.paper.imagenet import lite, photographs
from benchmarks.paper.magnitudes import EPSILON, scaled
from benchmarks.paper.networks import Images, answers, noise_as_long, test_images, trained
from benchmarks.pictures import COLOURS, drawing, show
from benchmarks.report import progress
from fingerprint import Model, load_model
from fingerprint.decomposition import precise
from fingerprint.lab.training import one_thread
from fingerprint.network.run import full_precision, to_inputs, to_tensor
from fingerprint.operators import first_affine_segment
from fingerprint.solvers import effects, linear_space, solve_network
from fingerprint.spaces import outside

__all__ = ["Crossed", "crossed", "draw", "linear_perturbations", "main", "network_perturbations"]

MAGNIFIED = 16
PAIRS = (
    ("patch-vit", "patch-vit-1"),
    ("resnet50-strided", "resnet50-strided-1"),
    ("patch-vit", "resnet50-strided"),
)
DRAWS = 8
"""Perturbations of each network; the images take turns."""

MEASURED_IMAGES = 250

ZOO = {"resnet20": "resnet20", "resnet20_independent": "resnet20", "resnet44": "resnet44"}
ZOO_IMAGES = 16
PHOTOGRAPHS = 2
NOISE = "Gaussian noise"


@dataclass(frozen=True, kw_only=True)
class Crossed:
    """What the perturbations of one network, or noise, do to a network.

    Attributes:
        source: Whose perturbations.
        asked: Which network was asked.
        way: ``linear`` or ``network``.
        count: Images.
        rmse: Mean root mean squared change of the logits, the paper's measure.
        relative: Median relative change of the centred logits.
        largest: Largest relative change.
        named_alike: Share of the images that keep the class the network named.
        natural: Accuracy on the images.
        accuracy: Accuracy on the perturbed images.
    """

    source: str
    asked: str
    way: str
    count: int
    rmse: float
    relative: float
    largest: float
    named_alike: float
    natural: float
    accuracy: float


def linear_perturbations(one: Model, other: Model, images: Images) -> Tensor:
    """Draws harmless perturbations of one network that the other notices.

    Args:
        one: Whose harmless space, which is linear.
        other: Whose harmless space is avoided: ``P₁ − (P₁ ∩ P₂)``.
        images: The images to perturb.

    Returns:
        One for each image, of root mean square 16ε, shape ``(N, C, H, W)``.
    """
    space = linear_space(one).space
    operator = first_affine_segment(other, other.input.shape, device=other.device).operator
    assert space is not None  # these networks are chosen for having a space and being traceable
    assert operator is not None
    generator = torch.Generator().manual_seed(5)
    shape = (DRAWS, *images.pixels.shape[1:])
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    drawn = torch.stack([outside(space, [operator], start).delta for start in noise])
    turns = torch.arange(len(images.pixels)) % DRAWS
    return MAGNIFIED * EPSILON * scaled(drawn)[turns]


def network_perturbations(model: Model, pixels: Tensor, *, start: str) -> Tensor:
    """Solves ``f(x + δ) = f(x)`` from noise, and rounds to 8-bit pictures.

    Args:
        model: The network.
        pixels: Images x, shape ``(N, C, H, W)``.
        start: ``binary``, black and white pixels, or ``uniform`` noise.
    """
    working = precise(model)
    generator = torch.Generator().manual_seed(5)
    noise = torch.rand(pixels.shape, generator=generator, dtype=torch.float64)
    base = pixels.to(working.device, working.dtype)
    with full_precision():
        solution = solve_network(
            working,
            base,
            (noise.round() if start == "binary" else noise).to(base),
            bounds=(0.0, 1.0),
            progress=progress,
        )
    sent = to_tensor(to_inputs(base + solution.delta, model.input), model.input, torch.float64)
    return sent - pixels


def crossed(
    models: Mapping[str, Model], deltas: Mapping[str, Tensor], images: Images, *, way: str
) -> list[Crossed]:
    """Asks every network all perturbations.

    Args:
        models: By name.
        deltas: By the name of the network they are harmless for, and noise.
        images: The images they are added to.
        way: ``linear`` or ``network``.
    """
    rows = []
    for source, delta in deltas.items():
        for asked, model in models.items():
            found = effects(model, images.pixels, images.pixels + delta)
            relative = torch.tensor([effect.relative for effect in found])
            rows.append(
                Crossed(
                    source=source,
                    asked=asked,
                    way=way,
                    count=len(images.pixels),
                    rmse=sum(effect.rmse for effect in found) / len(found),
                    relative=float(relative.median()),
                    largest=float(relative.max()),
                    named_alike=sum(effect.same_label for effect in found) / len(found),
                    natural=_share([effect.label for effect in found], images.labels),
                    accuracy=_share([effect.label_after for effect in found], images.labels),
                )
            )
    return rows


def _share(named: list[int], labels: Tensor) -> float:
    return float((torch.tensor(named) == labels).double().mean())


def linear_pairs(options: Options, test: Images) -> list[Crossed]:
    """Compares pairs of networks with linear harmless spaces, and draws each."""
    rows = []
    for names in PAIRS:
        models = {name: trained(name, options).to(dtype=torch.float64) for name in names}
        deltas = {
            one: linear_perturbations(models[one], models[other], test)
            for one, other in permutations(names)
        }
        file = f"figure5_{names[0]}_{names[1]}.png"
        draw(models, deltas, test, options.out / file, name_of=partial(class_name, test.name))
        noise = {NOISE: noise_as_long(deltas[names[0]], seed=6)}
        rows += crossed(models, {**deltas, **noise}, test, way="linear")
    return rows


def zoo_pairs(options: Options, test: Images) -> list[Crossed]:
    """Compares the zoo's networks by whole-network perturbations of test images."""
    folder = None if options.data is None else options.data / "zoo"
    if folder is None or not all((folder / f"{name}.safetensors").is_file() for name in ZOO):
        return []
    models = {
        name: load_model(
            folder / f"{name}.safetensors",
            arch=f"fingerprint.lab.cifar_resnet:{factory}",
            device=options.device,
        )
        for name, factory in ZOO.items()
    }
    images = test.at(slice(ZOO_IMAGES))
    return _by_network(
        models,
        images,
        options,
        file="figure5_zoo.png",
        start="binary",
        name_of=partial(class_name, test.name),
    )


def large_pair(options: Options) -> list[Crossed]:
    """Compares EfficientNet-Lite0 and -Lite1 at 224 pixels, where they are installed."""
    first, second = lite(0, options), lite(1, options)
    photos = photographs(options, first, PHOTOGRAPHS) if first is not None else None
    if first is None or second is None or photos is None:
        return []
    models = {"EfficientNet-Lite0": first, "EfficientNet-Lite1": second}
    images = Images(pixels=photos.pixels, labels=photos.labels, name="ImageNet")
    return _by_network(
        models,
        images,
        options,
        file="figure5_efficientnet-lite.png",
        start="uniform",
        name_of=photos.name_of,
    )


def _by_network(
    models: Mapping[str, Model],
    images: Images,
    options: Options,
    *,
    file: str,
    start: str,
    name_of: Callable[[int], str],
) -> list[Crossed]:
    deltas = {
        name: network_perturbations(model, images.pixels, start=start)
        for name, model in models.items()
    }
    chosen = list(models)[:2]
    draw(
        {name: models[name] for name in chosen},
        {name: deltas[name] for name in chosen},
        images,
        options.out / file,
        name_of=name_of,
    )
    noise = {NOISE: noise_as_long(next(iter(deltas.values())), seed=6)}
    return crossed(models, {**deltas, **noise}, images, way="network")


def tables(rows: Sequence[Crossed]) -> tuple[Table, ...]:
    """Writes a table for each way."""
    captions = {
        "linear": f"Linear harmless spaces: perturbations at {MAGNIFIED}ε, float64",
        "network": "Whole networks: perturbed images as 8-bit pictures",
    }
    return tuple(
        Table(
            caption=caption,
            headings=(
                "harmless for",
                "asked",
                "images",
                "RMSE of the logits",
                "relative change, median",
                "largest",
                "named alike",
                "accuracy before",
                "after",
            ),
            rows=tuple(_cells(row) for row in rows if row.way == way),
        )
        for way, caption in captions.items()
        if any(row.way == way for row in rows)
    )


def _cells(row: Crossed) -> tuple[str, ...]:
    own = " (its own)" if row.source == row.asked else ""
    return (
        row.source,
        f"{row.asked}{own}",
        str(row.count),
        _number(row.rmse),
        _number(row.relative),
        _number(row.largest),
        f"{row.named_alike:.1%}",
        f"{row.natural:.1%}",
        f"{row.accuracy:.1%}",
    )


def _number(value: float) -> str:
    return f"{value:.3f}" if value >= 1e-3 else f"{value:.1e}"


def draw(
    models: Mapping[str, Model],
    deltas: Mapping[str, Tensor],
    images: Images,
    path: Path,
    *,
    name_of: Callable[[int], str],
) -> None:
    """Draws an image with a perturbation of each network, and what both answer before and after.

    Args:
        models: Two networks by name.
        deltas: The perturbations of each.
        images: What they are added to.
        path: Of the picture.
        name_of: The name of a class.
    """
    columns, size = 3 + len(models), len(models)
    with drawing(path, width=10.2, height=2.35 * size, dpi=120) as figure:
        grid = figure.subplots(
            size, columns, width_ratios=(1, 1, 1, *[1.5] * len(models)), squeeze=False
        )
        for row, (source, delta) in enumerate(deltas.items()):
            place = _telling(models, source, delta, images)
            image, noise = images.pixels[place], delta[place]
            scale = float(noise.abs().max())
            shown = (image, 0.5 + 0.5 * noise / scale, image + noise)
            titles = ("image", f"harmless for\n{source}", "perturbed")
            for axes, picture, title in zip(grid[row][:3], shown, titles, strict=True):
                show(axes, picture)
                axes.set_title(title, fontsize=8)
            for axes, (name, model) in zip(grid[row][3:], models.items(), strict=True):
                _bars(axes, answers(model, torch.stack([image, image + noise])), name_of)
                axes.set_title(f"{name}{' (its own)' if name == source else ''}", fontsize=8)


def _telling(models: Mapping[str, Model], source: str, delta: Tensor, images: Images) -> int:
    """Returns the first image that all networks name correctly and only the source does after."""
    right = torch.ones(len(images.labels), dtype=torch.bool)
    for name, model in models.items():
        right &= answers(model, images.pixels).argmax(1) == images.labels
        after = answers(model, images.pixels + delta).argmax(1) == images.labels
        right &= after if name == source else ~after
    return int(right.long().argmax())


def _bars(axes: Any, logits: Tensor, name_of: Callable[[int], str]) -> None:
    """Draws the largest probabilities before and after."""
    shares = logits.double().softmax(dim=1)
    classes = shares.amax(dim=0).topk(min(5, shares.shape[1])).indices.tolist()
    for place, number in enumerate(classes):
        for which, (colour, label) in enumerate(((COLOURS[0], "image"), (COLOURS[1], "perturbed"))):
            axes.barh(
                -place - 0.38 * which,
                float(shares[which, number]),
                height=0.36,
                color=colour,
                label=label if place == 0 else None,
            )
    axes.set_yticks(
        [-place - 0.19 for place in range(len(classes))],
        [name_of(number)[:24] for number in classes],
        fontsize=7,
    )
    axes.set_xlim(0, 1)
    axes.tick_params(axis="x", labelsize=7)
    axes.legend(fontsize=6, loc="lower right")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, draws and publishes."""
    options = read_options(__doc__, arguments)
    test = test_images(options).at(slice(MEASURED_IMAGES))
    with one_thread():
        rows = [*linear_pairs(options, test), *zoo_pairs(options, test), *large_pair(options)]
    publish(
        Findings(
            name="figure5",
            tables=tables(rows),
            numbers={
                "epsilon": EPSILON,
                "magnified": MAGNIFIED,
                "crossed": [asdict(row) for row in rows],
            },
        ),
        options,
    )


if __name__ == "__main__":
    main()
