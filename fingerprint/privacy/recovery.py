"""What does somebody who knows the weights get back from a hidden image?

    found = recover(model, hidden, method="linear", public=public_images)
    found[0].attack, found[0].images

The linear method keeps the harmful part of an image, so the attacker has it exactly:
``(I − P) x̂ = (I − P) x``, and only the harmless part remains to be guessed: as zero (least
squares), as that of a mean image, or as what usually goes with this harmful part, learned from
public images of the same kind. The network method keeps the answer, so the attacker learns from
public images which images have such answers. Attacks that are not tried here may do better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.network.logits import logits_of
from fingerprint.network.model import Model
from fingerprint.network.run import BATCH, full_precision, to_tensor
from fingerprint.solvers.first_layers import linear_space
from fingerprint.solvers.objective import centred
from fingerprint.spaces.subspace import Subspace

__all__ = ["LEAST_PUBLIC", "GaussianPrior", "Recovered", "Regression", "completed", "recover"]

LEAST_PUBLIC = 4
"""Fewest public images that anything is learned from."""

_COMPONENTS = 256
_LEAST_NOISE = 1e-6
_RIDGES = tuple(10.0**power for power in range(-6, 4))
_WIDTHS = (0.5, 1.0, 2.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recovered:
    """What one attack gave back.

    Attributes:
        attack: ``least squares``, ``mean image``, ``Gaussian prior`` or ``regression``.
        images: Shape ``(N, *shape)``, float64, inside the bounds.
    """

    attack: str
    images: Tensor


def completed(space: Subspace, hidden: Tensor, guess: Tensor) -> Tensor:
    """Returns ``(I − P) x̂ + P guess``: what is known of the image, and a guess of the rest.

    Args:
        space: The harmless space.
        hidden: Shape ``(N, *shape)``.
        guess: Shape that broadcasts to it; zeros give the least squares solution, the
            smallest image with this harmful part.
    """
    guess = space.project(guess.to(space.dtype).expand(hidden.shape))
    return space.complement(hidden) + guess


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianPrior:
    """Images as a Gaussian with a few large directions, fitted to public images.

    Attributes:
        mean: Shape ``shape``.
        directions: Orthonormal principal directions, shape ``(k, *shape)``.
        variances: Along them, shape ``(k,)``.
        noise: Variance of every other direction.
    """

    mean: Tensor
    directions: Tensor
    variances: Tensor
    noise: float

    @classmethod
    def fit(cls, images: Tensor) -> Self:
        """Fits to images of shape ``(N, *shape)``; N/2 directions at most, by their SVD.

        Raises:
            UsageError: There are fewer than four images.
        """
        count = len(images)
        if count < LEAST_PUBLIC:
            raise UsageError(
                f"prior: expected at least {LEAST_PUBLIC} public images, got {count}; give more"
            )
        mean = images.mean(dim=0)
        rows = (images - mean).flatten(1)
        _, singular, right = torch.linalg.svd(rows, full_matrices=False)
        kept = min(_COMPONENTS, count // 2, rows.shape[1] - 1)
        energy = singular.square() / (count - 1)
        rest = float(energy[kept:].sum()) / max(1, rows.shape[1] - kept)
        return cls(
            mean=mean,
            directions=right[:kept].reshape(kept, *images.shape[1:]),
            variances=energy[:kept].clamp_min(_LEAST_NOISE),
            noise=max(rest, _LEAST_NOISE),
        )

    def complete(self, space: Subspace, hidden: Tensor) -> Tensor:
        """Returns the conditional mean of the images, given the harmful parts of hidden ones.

        With ``x = μ + V z + ε`` and ``h = (I − P) x`` this is ``h + P (μ + V E[z|h])``, and
        E[z|h] is a ridge regression of ``h − (I − P) μ`` on ``(I − P) V``: k unknowns, whatever
        the size of the image.
        """
        harmful = space.complement(hidden)
        seen = space.complement(self.directions).flatten(1)
        differing = (harmful - space.complement(self.mean)).flatten(1)
        system = seen @ seen.T / self.noise + torch.diag(1.0 / self.variances)
        z = torch.linalg.solve(system, seen @ differing.T / self.noise).T
        guess = self.mean.flatten() + z @ self.directions.flatten(1)
        return harmful + space.project(guess.reshape(hidden.shape))


@dataclass(frozen=True, kw_only=True, eq=False)
class Regression:
    """Kernel ridge regression from what an attacker sees to images.

    Attributes:
        centre: Mean of the features, shape ``(f,)``.
        scale: Their root mean square distance from it.
        known: Scaled features of the public images, shape ``(N, f)``.
        width: Of the Gaussian kernel, in units of ``scale``; None for a linear one.
        weights: Shape ``(N, n)``.
        mean: Mean image, shape ``shape``.
        error: Mean squared error when each public image is predicted from the others.
    """

    centre: Tensor
    scale: float
    known: Tensor
    width: float | None
    weights: Tensor
    mean: Tensor
    error: float

    @classmethod
    def fit(cls, features: Tensor, images: Tensor) -> Self:
        """Learns images ``(N, *shape)`` from features ``(N, f)``.

        Kernel and ridge are those with the smallest leave-one-out error, in closed form.

        Raises:
            UsageError: There are fewer than four pairs.
        """
        count = len(images)
        if count < LEAST_PUBLIC:
            raise UsageError(
                f"regression: expected at least {LEAST_PUBLIC} public images, got {count}; "
                "give more"
            )
        centre = features.mean(dim=0)
        rows = features - centre
        scale = float(rows.square().sum(dim=1).mean().sqrt()) or 1.0
        rows = rows / scale
        mean = images.mean(dim=0)
        wanted = (images - mean).flatten(1)
        best: tuple[float, float | None, Tensor] | None = None
        for width in (None, *_WIDTHS):
            values, vectors = torch.linalg.eigh(_kernel(rows, rows, width))
            rotated = vectors.T @ wanted
            for ridge in _RIDGES:
                shrunk = values.clamp_min(0.0) + ridge
                weights = vectors @ (rotated / shrunk[:, None])
                # The error of leaving row i out is weights[i] / (K + ridge)⁻¹[i, i].
                left_out = weights / (vectors.square() / shrunk).sum(dim=1, keepdim=True)
                error = float(left_out.square().mean())
                if best is None or error < best[0]:
                    best = (error, width, weights)
        assert best is not None  # there are kernels and ridges to try
        error, width, weights = best
        return cls(
            centre=centre,
            scale=scale,
            known=rows,
            width=width,
            weights=weights,
            mean=mean,
            error=error,
        )

    def predict(self, features: Tensor) -> Tensor:
        """Returns images of shape ``(M, *shape)`` for features ``(M, f)``."""
        kernel = _kernel((features - self.centre) / self.scale, self.known, self.width)
        return self.mean + (kernel @ self.weights).reshape(-1, *self.mean.shape)


def _kernel(first: Tensor, second: Tensor, width: float | None) -> Tensor:
    if width is None:
        return first @ second.T
    return torch.exp(-torch.cdist(first, second).square() / (2.0 * width**2))


def recover(
    model: Model,
    hidden: NDArray[Any],
    *,
    method: Literal["linear", "network"],
    public: NDArray[Any] | None = None,
) -> tuple[Recovered, ...]:
    """Attacks hidden images with the weights, and public images if there are any.

    Args:
        model: The network, known to the attacker.
        hidden: As they were sent, shape ``(N, *model.input.shape)``.
        method: How they were hidden.
        public: Images like the originals but not among them, shape ``(M, *model.input.shape)``.

    Returns:
        One entry for each attack, the strongest expected last. The network method without public
        images leaves nothing to try: an empty tuple.

    Raises:
        UsageError: There are fewer than four public images, or the network has no harmless space
            the linear method could have used.
    """
    spec = model.input
    seen = to_tensor(hidden, spec, torch.float64)
    known = None if public is None else to_tensor(public, spec, torch.float64)
    found: list[tuple[str, Tensor]] = []
    if method == "network":
        if known is not None:
            regression = Regression.fit(_answers(model, known), known)
            found.append(("regression", regression.predict(_answers(model, seen))))
    else:
        found = _from_harmful_part(model, seen, known)
    low, high = spec.bounds
    return tuple(
        Recovered(attack=attack, images=images.clamp(low, high)) for attack, images in found
    )


def _from_harmful_part(
    model: Model, seen: Tensor, known: Tensor | None
) -> list[tuple[str, Tensor]]:
    linear = linear_space(model.to(device="cpu", dtype=torch.float64))
    space = linear.space
    if space is None or not linear.is_usable:
        raise UsageError(
            f"recover: expected a network with a linear harmless space, got none "
            f"({linear.note}); use the method network"
        )
    low, high = model.input.bounds
    grey = torch.full_like(seen[0], (low + high) / 2)
    mean = grey if known is None else known.mean(dim=0)
    found = [
        ("least squares", completed(space, seen, torch.zeros_like(grey))),
        ("mean image", completed(space, seen, mean)),
    ]
    if known is not None:
        found.append(("Gaussian prior", GaussianPrior.fit(known).complete(space, seen)))
    return found


def _answers(model: Model, images: Tensor) -> Tensor:
    """Answers in the network's precision, without what softmax is blind to: ``(N, m)``."""
    network = logits_of(model)
    with torch.no_grad(), full_precision():
        parts = [
            network(part.to(model.device, model.dtype)).flatten(1).double().cpu()
            for part in torch.split(images, BATCH)
        ]
    return centred(torch.cat(parts))
