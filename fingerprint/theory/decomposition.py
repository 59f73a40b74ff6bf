"""Every perturbation is the sum of a harmless and a harmful part (Theorems 3 to 5).

split = decompose(space, delta)             # delta == split.harmless + split.harmful
louder = equivalent(space, delta, 1000.0)   # acts as delta does, and has this L2 norm
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.spaces.rank import membership_tolerance
from fingerprint.spaces.subspace import Subspace

__all__ = ["Decomposition", "decompose", "equivalent"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Decomposition:
    """The unique orthogonal split of perturbations at a harmless subspace (Theorem 4).

    Attributes:
        harmless: ``Pδ``, shape ``(..., *in_shape)``.
        harmful: ``(I − P)δ``, same shape; perturbations with equal harmful part act
            identically on the layer (Theorem 5).
    """

    harmless: Tensor
    harmful: Tensor


def decompose(space: Subspace, delta: Tensor) -> Decomposition:
    """Splits perturbations of shape ``(..., *in_shape)`` at a harmless subspace."""
    harmless = space.project(delta)
    return Decomposition(harmless=harmless, harmful=delta.to(harmless.dtype) - harmless)


def equivalent(
    space: Subspace,
    delta: Tensor,
    norm: float | Tensor,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draws a perturbation of another size that acts exactly as ``delta`` does (Theorem 5).

    The members of a family share their harmful part h. Those of one norm form a sphere around
    h, of radius ``√(norm² − ‖h‖²)`` within the harmless directions, and a uniform point of it
    is returned: the smallest norm, ``‖h‖`` itself, leaves only h (Theorem 4).

    Args:
        space: The harmless subspace.
        delta: Perturbations, shape ``(..., *in_shape)``, finite.
        norm: Wanted L2 norm: one number for all, or a tensor that broadcasts to ``(...)``.
        generator: Where the direction comes from; torch's own if omitted.

    Returns:
        One perturbation for each of ``delta``, same shape, in the dtype of the space. Adding
        and cancelling costs digits: the harmful part is kept to rounding error relative to
        ``norm``, not to ``‖h‖``.

    Raises:
        UsageError: A norm is not finite or below that of the harmful part; or it is above and
            nothing is harmless but zero.
    """
    harmful = space.complement(delta)
    batch = delta.shape[: delta.ndim - len(space.in_shape)]
    rows = harmful.reshape(*batch, space.n)
    least = rows.norm(dim=-1)
    tolerance = membership_tolerance(space.n, delta.dtype, space.dtype)
    wanted = _checked_norm(norm, least, tolerance)
    device = torch.device("cpu") if generator is None else generator.device
    noise = torch.randn(delta.shape, generator=generator, dtype=torch.float64, device=device)
    noise = noise.to(space.device)
    once = space.project(noise)
    # Noise has about 1/√n of its length in any one direction; much less is an error of the
    # projection, and the space, whose dimension may be unknown, holds nothing but zero.
    error = max(space.accuracy, membership_tolerance(space.n, space.dtype, space.dtype) ** 0.5)
    empty = once.reshape(rows.shape).norm(dim=-1) <= error * noise.reshape(rows.shape).norm(dim=-1)
    if bool((empty & (wanted > least * (1.0 + tolerance))).any()):
        raise UsageError(
            "equivalent: expected a space with harmless directions for a norm above that of the "
            f"harmful part, got {space!r}; only the harmful part itself acts alike"
        )
    # A second projection cleans what an iterative first one left outside the subspace.
    direction = torch.nn.functional.normalize(space.project(once).reshape(rows.shape), dim=-1)
    # A difference of squares would lose the digits of norms close to the least.
    radius = ((wanted - least) * (wanted + least)).clamp(min=0.0).sqrt()
    radius = torch.where(empty, 0.0, radius)
    member: Tensor = rows + radius.unsqueeze(-1) * direction
    return member.reshape(delta.shape)


def _checked_norm(norm: float | Tensor, least: Tensor, tolerance: float) -> Tensor:
    """Returns the wanted norms in the shape of the least possible ones, raised to them."""
    wanted = torch.as_tensor(norm, dtype=least.dtype, device=least.device)
    try:
        wanted = wanted.expand(least.shape)
    except RuntimeError as error:
        raise UsageError(
            f"equivalent: expected one norm or one of shape {tuple(least.shape)}, "
            f"got {tuple(wanted.shape)}"
        ) from error
    if not bool(torch.isfinite(wanted).all()):
        raise UsageError("equivalent: expected a finite norm, got NaN or infinity")
    if bool((wanted < least * (1.0 - tolerance)).any()):
        short = int((wanted - least).reshape(-1).argmin())
        raise UsageError(
            f"equivalent: expected a norm of at least that of the harmful part, "
            f"{float(least.reshape(-1)[short]):.6g}, got {float(wanted.reshape(-1)[short]):.6g}"
        )
    return torch.maximum(wanted, least)
