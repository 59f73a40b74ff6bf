"""Figure 4: adversarial examples and Gaussian noise, each with a family of one effect.

    python -m benchmarks.paper.figure4 [--data DIR] [--work DIR] [--out DIR]

For test images a network names correctly, (a) an adversarial perturbation and (b) Gaussian noise
of the same L2 norm, and of each the members of its family (Theorem 5) at 1, 2, 4, ... 32 times
that norm. All of one family are answered alike, so the adversarial ones all mislead and the noisy
ones do not, whatever their size. Where DIR has ``imagenet_sample`` and EfficientNet-Lite0 is
installed, the same on a network without a linear harmless space, by the whole-network solver: its
members stay pictures, and are rounded to 8 bits.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from benchmarks.paper.experiment import Findings, Options, Table, publish, read_options
from benchmarks.paper.imagenet import Photographs, lite, photographs
from benchmarks.paper.networks import Images, answers, noise_as_long, test_images, trained
from benchmarks.pictures import drawing, show
from benchmarks.report import progress
from fingerprint import Model
from fingerprint.decomposition import adversarial, family
from fingerprint.lab.training import one_thread
from fingerprint.network.run import to_inputs, to_tensor
from fingerprint.solvers import effects, linear_space
from fingerprint.spaces import Subspace

__all__ = [
    "Measured",
    "Sample",
    "class_name",
    "draw",
    "exact_families",
    "main",
    "picture_families",
    "tables",
]

EPSILON = {"cifar10": 8 / 255, "digits": 32 / 255}
"""Largest change of a value by an adversarial perturbation; black and white digits need more."""

FACTORS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
IN_RANGE = (4.0, 16.0)
LARGE_EPSILON = 2 / 255

MEASURED_IMAGES = 32
_CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SHOWN = 3
PHOTOGRAPHS = 1

Kind = Literal["adversarial", "Gaussian noise"]
ADVERSARIAL: Kind = "adversarial"
NOISE: Kind = "Gaussian noise"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the families of one kind of perturbation do on one network.

    Attributes:
        network: Its name.
        kind: Of perturbation.
        count: Images.
        norm: Mean L2 norm of the perturbations.
        misled: Share of the images that the perturbation itself has named differently.
        factors: Norms of the members as multiples of the perturbation's.
        reached: Mean norms that the members really have, as such multiples.
        moved: Largest relative change of an answer within a family, by factor.
        same_class: Share of members that are named as the perturbation is, by factor.
        after_rounding: As ``moved``, for members rounded to 8 bits; empty where they are not.
    """

    network: str
    kind: str
    count: int
    norm: float
    misled: float
    factors: tuple[float, ...]
    reached: tuple[float, ...]
    moved: tuple[float, ...]
    same_class: tuple[float, ...]
    after_rounding: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """A row of the picture.

    Attributes:
        kind: Of perturbation.
        pictures: The image, the perturbed one and the members added to it, ``(C, H, W)`` each.
        named: Class of each.
    """

    kind: str
    pictures: tuple[Tensor, ...]
    named: tuple[str, ...]


def class_name(data: str, number: int) -> str:
    """Returns what people call a class of ``cifar10``; digits are their numbers."""
    return _CIFAR[number] if data == "cifar10" else str(number)


def correct_images(model: Model, test: Images, count: int) -> Images:
    """Returns the first images that a network names correctly."""
    right = answers(model, test.pixels).argmax(dim=1) == test.labels
    return test.at(right.nonzero().flatten()[:count])


def perturbations(model: Model, pixels: Tensor, epsilon: float) -> dict[Kind, Tensor]:
    """Returns an adversarial perturbation of each image, and noise of the same L2 norm."""
    found = adversarial(model, pixels, epsilon=epsilon, seed=0, progress=progress).delta.double()
    return {ADVERSARIAL: found, NOISE: noise_as_long(found, seed=1)}


def exact_families(
    model: Model, space: Subspace, test: Images, *, network: str, shown: int = SHOWN
) -> tuple[list[Measured], list[Sample]]:
    """Draws and measures families in a linear harmless space, and picks rows to be drawn.

    Args:
        model: The network, in float64.
        space: Its linear harmless space.
        test: Images it names correctly.
        network: Its name.
        shown: How many rows of each kind.
    """
    measured, samples = [], []
    both = perturbations(model, test.pixels, EPSILON[test.name])
    misled = _misled(model, test.pixels, both[ADVERSARIAL])
    places = (~misled).long().argsort(stable=True)[:shown].tolist()
    for kind, delta in both.items():
        found = family(model, test.pixels, delta, FACTORS, space=space, progress=progress)
        moved = [[member.relative for member in row] for row in found.effects]
        same = [[member.same_label for member in row] for row in found.effects]
        measured.append(
            _measured(network, kind, model, test.pixels, delta, found.members, moved, same)
        )
        rows = torch.cat([delta[:, None], found.members], dim=1)
        named = partial(class_name, test.name)
        samples += [
            _sample(kind, model, test.pixels[place], rows[place], named) for place in places
        ]
    return measured, samples


def picture_families(
    model: Model, photos: Photographs, *, network: str
) -> tuple[list[Measured], list[Sample]]:
    """Does the same by the whole-network solver, and rounds the members to 8-bit pictures."""
    measured, samples = [], []
    pixels = photos.pixels
    found = adversarial(
        model, pixels, epsilon=LARGE_EPSILON, steps=20, seed=0, progress=progress
    ).delta.double()
    both: dict[Kind, Tensor] = {
        ADVERSARIAL: found,
        # The solver stays inside the range of pixels, so the noise has to as well.
        NOISE: (pixels + noise_as_long(found, seed=1)).clamp(0, 1) - pixels,
    }
    for kind, delta in both.items():
        kin = family(model, pixels, delta, IN_RANGE, progress=progress)
        sent = to_tensor(
            to_inputs(pixels[:, None] + kin.members, model.input), model.input, torch.float64
        )
        rounded = [effects(model, pixels + delta, sent[:, place]) for place in range(len(IN_RANGE))]
        one = _measured(
            network,
            kind,
            model,
            pixels,
            delta,
            kin.members,
            [[member.relative for member in row] for row in kin.effects],
            [[column[row].same_label for column in rounded] for row in range(len(pixels))],
            tuple(max(effect.relative for effect in column) for column in rounded),
        )
        measured.append(one)
        rows = torch.cat([delta[:, None], sent - pixels[:, None]], dim=1)
        samples += [
            _sample(kind, model, pixels[place], rows[place], photos.name_of)
            for place in range(len(pixels))
        ]
    return measured, samples


def _measured(
    network: str,
    kind: str,
    model: Model,
    pixels: Tensor,
    delta: Tensor,
    members: Tensor,
    moved: Sequence[Sequence[float]],
    same: Sequence[Sequence[bool]],
    after_rounding: tuple[float, ...] = (),
) -> Measured:
    norms = delta.flatten(1).norm(dim=1)
    factors = IN_RANGE if after_rounding else FACTORS
    return Measured(
        network=network,
        kind=kind,
        count=len(pixels),
        norm=float(norms.mean()),
        misled=float(_misled(model, pixels, delta).double().mean()),
        factors=factors,
        reached=tuple((members.flatten(2).norm(dim=2) / norms[:, None]).mean(dim=0).tolist()),
        moved=tuple(np.max(moved, axis=0).tolist()),
        same_class=tuple(np.mean(same, axis=0).tolist()),
        after_rounding=after_rounding,
    )


def _misled(model: Model, pixels: Tensor, delta: Tensor) -> Tensor:
    """Says of each image whether the perturbation has it named differently."""
    before, after = answers(model, pixels), answers(model, pixels + delta)
    misled: Tensor = before.argmax(dim=1) != after.argmax(dim=1)
    return misled


def _sample(kind: str, model: Model, image: Tensor, deltas: Tensor, name_of: Any) -> Sample:
    pictures = (image, *(image + delta for delta in deltas))
    classes = answers(model, torch.stack(pictures)).argmax(dim=1).tolist()
    return Sample(kind=kind, pictures=pictures, named=tuple(map(name_of, classes)))


def tables(measured: Sequence[Measured]) -> tuple[Table, ...]:
    """Writes how far the answers within a family are apart, for both ways."""
    found = []
    exact = [row for row in measured if not row.after_rounding]
    rounded = [row for row in measured if row.after_rounding]
    sizes = tuple(f"{factor:g}×" for factor in FACTORS)
    if exact:
        found.append(
            Table(
                caption="Largest relative change of the answers between a perturbation and members "
                "of its family so many times as long, in float64",
                headings=("network", "perturbation", "L2 norm", "named differently", *sizes),
                rows=tuple((*_first(row), *(f"{x:.1e}" for x in row.moved)) for row in exact),
            )
        )
        found.append(
            Table(
                caption="Share of the members that are named as the perturbation is",
                headings=("network", "perturbation", *sizes),
                rows=tuple(
                    (row.network, row.kind, *(f"{x:.0%}" for x in row.same_class)) for row in exact
                ),
            )
        )
    if rounded:
        found.append(
            Table(
                caption="Without a linear harmless space: members found by the whole-network "
                "solver inside the range of pixels",
                headings=(
                    "network",
                    "perturbation",
                    "L2 norm",
                    "named differently",
                    "member",
                    "norm reached",
                    "largest relative change",
                    "as 8-bit pictures",
                    "named alike",
                ),
                rows=tuple(
                    (
                        *_first(row),
                        f"{factor:g}×",
                        f"{row.reached[place]:.1f}×",
                        f"{row.moved[place]:.3f}",
                        f"{row.after_rounding[place]:.3f}",
                        f"{row.same_class[place]:.0%}",
                    )
                    for row in rounded
                    for place, factor in enumerate(row.factors)
                ),
            )
        )
    return tuple(found)


def _first(row: Measured) -> tuple[str, str, str, str]:
    count = round(row.misled * row.count)
    return row.network, row.kind, f"{row.norm:.2f}", f"{count} of {row.count}"


def draw(samples: Sequence[Sample], factors: Sequence[float], path: Path) -> None:
    """Draws one row for each sample, values outside the range of pixels being clipped."""
    columns = len(samples[0].pictures)
    titles = ("image", "perturbed", *(f"{factor:g}× as long" for factor in factors))
    with drawing(
        path, width=1.15 * columns + 0.4, height=1.36 * len(samples) + 0.25, dpi=130
    ) as figure:
        grid = np.atleast_2d(figure.subplots(len(samples), columns))
        for row, (axes, sample) in enumerate(zip(grid, samples, strict=True)):
            for place, (one, picture) in enumerate(zip(axes, sample.pictures, strict=True)):
                show(one, picture)
                if row == 0:
                    one.set_title(titles[place], fontsize=8)
                changed = sample.named[place] != sample.named[0]
                one.set_xlabel(
                    textwrap.fill(sample.named[place], 18),
                    fontsize=7,
                    color="#D55E00" if changed else "black",
                    fontweight="bold" if changed else "normal",
                )
            axes[0].set_ylabel(sample.kind, fontsize=8)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, draws and publishes."""
    options = read_options(__doc__, arguments)
    test = test_images(options)
    measured: list[Measured] = []
    with one_thread():
        for name in ("resnet50-strided", "patch-vit"):
            exact = trained(name, options).to(dtype=torch.float64)
            space = linear_space(exact).space
            assert space is not None  # these networks are chosen for having one
            right = correct_images(exact, test, MEASURED_IMAGES)
            found, samples = exact_families(exact, space, right, network=name)
            measured += found
            draw(samples, FACTORS, options.out / f"figure4_{name}.png")
        measured += large(options)
    publish(
        Findings(
            name="figure4",
            tables=tables(measured),
            numbers={
                "epsilon": EPSILON[test.name],
                "epsilon_large": LARGE_EPSILON,
                "families": [asdict(row) for row in measured],
            },
        ),
        options,
    )


def large(options: Options) -> list[Measured]:
    """Measures EfficientNet-Lite0 at 224 pixels, where it and photographs are at hand."""
    model = lite(0, options)
    photos = photographs(options, model, PHOTOGRAPHS) if model is not None else None
    if model is None or photos is None:
        return []
    measured, samples = picture_families(model, photos, network="EfficientNet-Lite0")
    draw(samples, IN_RANGE, options.out / "figure4_efficientnet-lite0.png")
    return measured


if __name__ == "__main__":
    main()
