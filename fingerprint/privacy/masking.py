"""Covers images by harmless perturbations of the first layers: Algorithm 1, its range kept.

    masked = mask(space, images, start, bounds=(0.0, 1.0), aim="noise")

The paper maximises ``‖x̂ − x‖²/n`` over ``x̂ = x + δ``, δ in the harmless space, by gradient ascent
with a penalty on pixels out of range. The inputs that may be sent form a convex set, so we climb
within it: each step goes along the gradient and projects back, which never lowers a convex
objective, and no pixel leaves its range.

A large distance is not privacy. The image farthest from x is its negative where there is room,
so x̂ tells of the harmless part of x too. The aim ``noise`` therefore measures the distance from
``(I − P) x + P grey`` instead: the network keeps ``(I − P) x`` anyway, and what is added to it
is a function of that and of noise, so the harmless part of x is gone. What the network keeps
stays to be seen, whatever the aim.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fingerprint.progress import Progress, silent
from fingerprint.solvers.projection import BoxProjection, box_projection
from fingerprint.spaces.subspace import Subspace

__all__ = ["AIMS", "Aim", "mask"]

Aim = Literal["noise", "distance"]
AIMS: tuple[Aim, ...] = ("noise", "distance")

_ASCENTS = 3
_STRIDE = 4.0
_ROUGH_STEPS = 40
_FINE_STEPS = 1200


def mask(
    space: Subspace,
    images: Tensor,
    start: Tensor,
    *,
    bounds: tuple[float, float],
    aim: Aim = "noise",
    progress: Progress = silent,
) -> BoxProjection:
    """Finds inputs far from an image that differ from it by a harmless perturbation.

    The maximum of a convex function over a polytope is hard to find; this is a local one, the
    one that the start leads to.

    Args:
        space: The harmless space.
        images: Shape ``(B, *shape)``, inside the bounds.
        start: Noise to begin from, same shape.
        bounds: Smallest and largest value of any coordinate.
        aim: ``distance`` from the image, the paper's; or ``noise``, full contrast around what
            the network keeps, blind to the rest of the image.
        progress: Called as the work goes on.
    """
    images = images.to(space.dtype)
    centre = images
    if aim == "noise":
        grey = torch.full_like(images, sum(bounds) / 2)
        centre = space.complement(images) + space.project(grey)
    point = start.to(images)
    total = _ROUGH_STEPS * (_ASCENTS - 1) + _FINE_STEPS
    for ascent in range(_ASCENTS - 1):
        point = box_projection(
            space,
            images,
            centre + _STRIDE * (point - centre),
            bounds=bounds,
            max_steps=_ROUGH_STEPS,
            progress=_after(progress, _ROUGH_STEPS * ascent, total),
        ).point
    return box_projection(
        space,
        images,
        centre + _STRIDE * (point - centre),
        bounds=bounds,
        max_steps=_FINE_STEPS,
        progress=_after(progress, _ROUGH_STEPS * (_ASCENTS - 1), total),
    )


def _after(progress: Progress, done: int, total: int) -> Progress:
    def report(stage: str, step: int, steps: int) -> None:
        del steps
        progress(stage, done + step, total)

    return report
