"""How well is an image hidden, and what comes back of it? The measures of Table 2.

measured(model, exact_model, test, exact, network="...", way="...")     # a Row
attacked(model, test, sent, public, ...)                                # Attacked rows
algorithm1(space, images)                                               # the paper's own way
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.paper.networks import Images, accuracy
from benchmarks.report import progress
from fingerprint import Model
from fingerprint.network.run import to_inputs, to_tensor
from fingerprint.privacy import recover, similarities
from fingerprint.solvers import effects
from fingerprint.spaces import Subspace

__all__ = ["MEAN_ALONE", "Attacked", "Row", "algorithm1", "attacked", "measured"]

MEAN_ALONE = "mean image alone"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one way of hiding does; means over the images.

    Attributes:
        network: Its name.
        way: Of hiding.
        images: How many.
        mse: Mean squared distance of what is sent.
        ssim: To the original.
        ssim_inverted: To its negative.
        haarpsi: To the original.
        exact: Median relative change of the answer in float64 before rounding; None for noise.
        exact_worst: The largest.
        rounded: Median relative change by the 8-bit image.
        labels: Share of labels kept by the 8-bit image.
        before: Accuracy on the originals.
        after: Accuracy on what is sent.
        out_of_range: Largest overshoot of a pixel before rounding.
        follows: Correlation between the harmless part of what is sent and of the original,
            each less the mean image's; None where there is no such part.
    """

    network: str
    way: str
    images: int
    mse: float
    ssim: float
    ssim_inverted: float
    haarpsi: float
    exact: float | None
    exact_worst: float | None
    rounded: float
    labels: float
    before: float
    after: float
    out_of_range: float
    follows: float | None


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """What an attack gives back; means over the images.

    Attributes:
        network: Its name.
        way: Of hiding.
        attack: Its name; ``mean image`` alone guesses without looking.
        ssim: Of what comes back to the original.
        psnr: In decibels, of the mean squared error over all images.
        haarpsi: Of what comes back to the original.
    """

    network: str
    way: str
    attack: str
    ssim: float
    psnr: float
    haarpsi: float


def algorithm1(
    space: Subspace,
    images: Tensor,
    *,
    steps: int = 300,
    rate: float = 0.05,
    penalty: float = 4.0,
    seed: int = 0,
) -> Tensor:
    """Runs the paper's Algorithm 1 as its text has it.

    Gradient ascent over the harmless space on ``‖δ‖²/n`` less the penalty on pixels out of range,
    ``Σ |1(x̂ᵢ < 0) x̂ᵢ| + |1(x̂ᵢ > 1) x̂ᵢ|``; working with δ in the space is working with the
    coefficients of an orthonormal basis. Rate, start and stopping are not in the text. Up to a
    common factor n/2 its gradient is δ less n/2 times a sign, with which no step is both long
    enough to grow δ and short enough not to throw pixels far out, so the weight of the penalty is
    lowered to a few times the largest δ that fits the range.

    Args:
        space: The harmless space.
        images: Shape ``(N, *shape)``, float64 in [0, 1].
        steps: Of the ascent; the rate falls to zero on the way.
        rate: The first.
        penalty: Weight of pixels out of range; below the largest ``|δᵢ|`` it holds nothing back.
        seed: Of the start.

    Returns:
        Images, some pixels out of range.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(images.shape, generator=generator, dtype=torch.float64)
    delta = 0.1 * space.project(noise)
    for step in range(steps):
        point = images + delta
        pull = (point > 1).double() - (point < 0).double()
        delta = delta + rate * (1 - step / steps) * space.project(delta - penalty * pull)
        progress("Algorithm 1", step + 1, steps)
    return images + delta


def measured(
    model: Model,
    exact_model: Model,
    test: Images,
    exact: Tensor,
    *,
    network: str,
    way: str,
    space: Subspace | None = None,
    mean: Tensor | None = None,
    harmless: bool = True,
) -> Row:
    """Measures images before and after rounding to 8 bits.

    Args:
        model: The network in its own precision.
        exact_model: The same in float64.
        test: The originals.
        exact: What replaces them, before rounding and clipping.
        network: Its name.
        way: Of hiding.
        space: The linear harmless space, if there is one.
        mean: Mean public image.
        harmless: Whether ``exact`` is meant to be answered as the originals.
    """
    originals = to_inputs(test.pixels, model.input)
    sent = to_tensor(to_inputs(exact, model.input), model.input, torch.float64)
    alike = similarities(model.input, originals, sent)
    before = effects(exact_model, test.pixels, exact) if harmless else []
    after = effects(model, test.pixels, sent)
    changes = [effect.relative for effect in before]
    over = torch.maximum(-exact, exact - 1).clamp_min(0).max()
    return Row(
        network=network,
        way=way,
        images=len(sent),
        mse=float(np.mean([one.mse for one in alike])),
        ssim=_mean([one.ssim for one in alike]),
        ssim_inverted=_mean([one.ssim_inverted for one in alike]),
        haarpsi=_mean([one.haarpsi for one in alike]),
        exact=float(np.median(changes)) if changes else None,
        exact_worst=float(max(changes)) if changes else None,
        rounded=float(np.median([effect.relative for effect in after])),
        labels=float(np.mean([effect.same_label for effect in after])),
        before=accuracy(model, test.pixels, test.labels),
        after=accuracy(model, sent, test.labels),
        out_of_range=abs(float(over)),
        follows=_follows(space, exact, test.pixels, mean),
    )


def _mean(values: Sequence[float | None]) -> float:
    return float(np.mean([value for value in values if value is not None]))


def _follows(
    space: Subspace | None, exact: Tensor, originals: Tensor, mean: Tensor | None
) -> float | None:
    if space is None or mean is None:
        return None
    one = space.project(exact - exact.mean(dim=0)).flatten()
    other = space.project(originals - mean).flatten()
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


def attacked(
    model: Model,
    test: Images,
    sent: NDArray[Any],
    public: NDArray[Any],
    *,
    network: str,
    way: str,
    method: Literal["linear", "network"],
) -> tuple[list[Attacked], list[Tensor]]:
    """Attacks hidden images; returns the measures and the last attack's images."""
    found = recover(model, sent, method=method, public=public)
    mean = to_tensor(public, model.input, torch.float64).mean(dim=0).expand(test.pixels.shape)
    originals = to_inputs(test.pixels, model.input)
    tries = [(one.attack, one.images) for one in found] + [(MEAN_ALONE, mean)]
    rows = []
    for attack, images in tries:
        alike = similarities(model.input, originals, images)
        mse = float(np.mean([one.mse for one in alike]))
        rows.append(
            Attacked(
                network=network,
                way=way,
                attack=attack,
                ssim=_mean([one.ssim for one in alike]),
                psnr=-10 * float(np.log10(max(mse, 1e-12))),
                haarpsi=_mean([one.haarpsi for one in alike]),
            )
        )
    return rows, [one.images for one in found]
