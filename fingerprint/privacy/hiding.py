"""An image people do not recognise, which the network answers as it did the original.

    hidden = hide(model, images, seed="holiday")     # one Hidden for each image
    hidden[0].image                                  # as it is sent, 8 bit for pixels
    hidden[0].effect.relative                        # how far the answer moved

Two ways. ``linear`` adds a perturbation that the first layers do not notice (Theorem 1,
Algorithm 1). It keeps the harmful part ``(I − P) x`` of the image exactly, so whoever knows the
weights reads that part off the hidden image, and where the first layers notice much, people see
the image in it too. The paper holds that the original "cannot be determined"; its harmless part
cannot, and :mod:`fingerprint.privacy.recovery` measures how little that can be.

``network`` solves ``f(x̂) = f(x)`` near noise that has nothing to do with x. The image enters by
its answer alone, so x̂ tells no more of x than ``f(x)`` does (data processing inequality).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.errors import NoInformation, UsageError
from fingerprint.network.logits import logits_of
from fingerprint.network.model import Model
from fingerprint.network.run import full_precision, to_inputs, to_tensor
from fingerprint.privacy.masking import AIMS, Aim, mask
from fingerprint.progress import Progress, silent
from fingerprint.solvers.effect import Effect, effects
from fingerprint.solvers.first_layers import linear_space
from fingerprint.solvers.network import choose_method, solve_network
from fingerprint.solvers.noise import start_noise
from fingerprint.spaces.subspace import Subspace

__all__ = ["KEPT_CHANGE", "METHODS", "Hidden", "Method", "hide"]

Method = Literal["linear", "network"]
METHODS: tuple[Method, ...] = ("linear", "network")

KEPT_CHANGE = 0.1
"""Largest relative change of an answer that still counts as kept, with the label unchanged."""

_LINEAR_TOLERANCE = 1e-9
_CHUNK_SCALARS = 2**21
_LARGEST_CHUNK = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Hidden:
    """One image, hidden.

    Attributes:
        image: As it is sent, shape ``model.input.shape``; uint8 for pixels, float32 otherwise.
        exact: The solution before rounding, float64, inside the bounds.
        method: ``linear`` or ``network``.
        distance: ``‖x̂ − x‖²/n`` before rounding, in units of the bounds.
        residual: How far the solution is from what was asked: ``‖(I − P) δ‖/‖δ‖`` for
            ``linear``, ``‖g(x̂) − g(x)‖/‖g(x)‖`` for ``network``.
        converged: Whether the residual met the tolerance of the method.
        effect_exact: What ``exact`` does to the answer, the network computed in float64.
        effect: What ``image`` does, in the network's own precision. Rounding to 8 bits is not
            harmless, so this is the larger.
    """

    image: NDArray[Any]
    exact: NDArray[np.float64]
    method: Method
    distance: float
    residual: float
    converged: bool
    effect_exact: Effect
    effect: Effect

    @property
    def is_kept(self) -> bool:
        """Whether the answer to the image as sent has its label and moved ``KEPT_CHANGE`` at most.

        An image that was not changed is not hidden, so it is not kept either.
        """
        small = self.effect.relative <= KEPT_CHANGE
        return self.effect.same_label and small and self.distance > 0

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values, without the images."""
        return {
            "method": self.method,
            "distance": self.distance,
            "residual": self.residual,
            "converged": self.converged,
            "kept": self.is_kept,
            "effect_exact": self.effect_exact.to_dict(),
            "effect": self.effect.to_dict(),
        }


def hide(
    model: Model,
    images: NDArray[Any],
    *,
    seed: str,
    method: Method | None = None,
    aim: Aim = "noise",
    progress: Progress = silent,
) -> tuple[Hidden, ...]:
    """Hides images from people, not from the network.

    Args:
        model: The network.
        images: As they are sent, shape ``(N, *model.input.shape)``.
        seed: Decides the noise; with one seed equal calls hide equally.
        method: ``linear`` or ``network``; by default ``linear`` where the first layers have a
            harmless space, as the paper does. ``network`` gives away less.
        aim: What ``linear`` maximises: ``noise`` or the paper's ``distance``, see
            :mod:`fingerprint.privacy.masking`.
        progress: Called as the work goes on.

    Returns:
        One :class:`Hidden` for each image, in their order.

    Raises:
        UsageError: The images do not fit, or ``linear`` is asked of a network whose first
            layers notice everything.
        NoInformation: The network's answers are not finite or tell no classes apart.
    """
    _check(model, images, method, aim)
    # Of the float64 model: deviations of channels rounded to float32 turn the space by 1e-7.
    exact_model = model.to(dtype=torch.float64)
    found = None if method == "network" else linear_space(exact_model)
    space = found.space if found is not None and found.is_usable else None
    if method == "linear" and space is None:
        assert found is not None  # it is looked for unless the method is "network"
        raise UsageError(
            f"hide: expected a network with a linear harmless space, got none ({found.note}); "
            "use the method network"
        )
    hidden: list[Hidden] = []
    for begin, end, report in _chunks(model, len(images), progress):
        part = images[begin:end]
        start = np.stack([_start(model, seed, place) for place in range(begin, end)])
        if space is not None:
            solved = _masked(space, model, part, start, aim, report)
        else:
            solved = _answered(model, exact_model, part, start, report)
        hidden += _described(model, exact_model, part, *solved)
    return tuple(hidden)


def _check(model: Model, images: NDArray[Any], method: str | None, aim: str) -> None:
    wanted = np.uint8 if model.input.kind == "pixels" else np.float32
    if images.shape[1:] != model.input.shape or images.dtype != wanted or not len(images):
        raise UsageError(
            f"hide: expected {np.dtype(wanted)} of shape (N, {str(model.input.shape)[1:]}, "
            f"got {images.dtype} of shape {images.shape}"
        )
    low, high = model.input.bounds
    if (
        wanted is np.float32
        and not ((images >= np.float32(low)) & (images <= np.float32(high))).all()
    ):
        raise UsageError(f"hide: expected finite values from {low:g} to {high:g}; see bounds")
    for name, value, known in (("method", method, METHODS), ("aim", aim, AIMS)):
        if value is not None and value not in known:
            raise UsageError(f"hide: expected a {name} of {', '.join(known)}, got {value!r}")


def _chunks(model: Model, count: int, progress: Progress) -> Iterator[tuple[int, int, Progress]]:
    """Yields begin, end and a progress callback that counts all images."""
    size = max(1, min(_LARGEST_CHUNK, _CHUNK_SCALARS // model.input.size))
    for begin in range(0, count, size):
        end = min(begin + size, count)

        def report(stage: str, step: int, steps: int, begin: int = begin, end: int = end) -> None:
            del stage
            done = (begin + (end - begin) * step / steps) / count
            progress("hiding", round(1000 * done), 1000)

        yield begin, end, report


def _start(model: Model, seed: str, place: int) -> NDArray[Any]:
    """Draws noise from the seed and the image's place: never from the image."""
    exact = choose_method(model.output.classes, model.input.size) == "gauss-newton"
    # L-BFGS starts among large images, where black and white leave it too little room.
    kind = "binary" if exact else "uniform"
    return start_noise(model.input, kind, f"nullprint|{seed}|hide|{kind}|{place}")


_Solved = tuple[Method, Tensor, Tensor, Tensor]


def _masked(
    space: Subspace,
    model: Model,
    images: NDArray[Any],
    start: NDArray[Any],
    aim: Aim,
    report: Progress,
) -> _Solved:
    spec, device = model.input, model.device
    base = to_tensor(images, spec, torch.float64).to(device)
    noise = to_tensor(start, spec, torch.float64).to(device)
    found = mask(space, base, noise, bounds=spec.bounds, aim=aim, progress=report)
    converged = (found.residual <= _LINEAR_TOLERANCE) & (found.point != base).flatten(1).any(dim=1)
    return "linear", found.point, found.residual, converged


def _answered(
    model: Model, exact: Model, images: NDArray[Any], start: NDArray[Any], report: Progress
) -> _Solved:
    spec = model.input
    precise = choose_method(model.output.classes, spec.size) == "gauss-newton"
    working = exact if precise else model
    base = to_tensor(images, spec, working.dtype).to(model.device)
    begin = to_tensor(start, spec, working.dtype).to(model.device)
    with full_precision():
        found = solve_network(logits_of(working), base, begin, bounds=spec.bounds, progress=report)
    # Not x + δ, which rounds: traces of x would be left in the last digits.
    return "network", found.point.double(), found.residual.double(), found.converged


def _described(
    model: Model,
    exact_model: Model,
    images: NDArray[Any],
    method: Method,
    point: Tensor,
    residual: Tensor,
    converged: Tensor,
) -> list[Hidden]:
    spec = model.input
    before = to_tensor(images, spec, torch.float64)
    point = point.detach().cpu()
    if not bool(torch.isfinite(point).all()):
        raise NoInformation("hide: expected finite gradients, got NaN or infinity")
    sent = to_inputs(point, spec)
    exact = effects(exact_model, before, point)
    rounded = effects(model, to_tensor(images, spec), to_tensor(sent, spec))
    distance = (point - before).flatten(1).square().mean(dim=1)
    return [
        Hidden(
            image=sent[row],
            exact=point[row].numpy(),
            method=method,
            distance=float(distance[row]),
            residual=float(residual[row]),
            converged=bool(converged[row]),
            effect_exact=exact[row],
            effect=rounded[row],
        )
        for row in range(len(images))
    ]
