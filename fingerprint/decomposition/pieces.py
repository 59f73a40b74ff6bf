"""One image after the other: a perturbation of it, both its parts, and members of its family.

decomposer = Decomposer.of(model, norms=(1.0, 4.0), seed="mine")
decomposer.decomposed("cat", base, image).pieces        # what each piece does to the answers
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.decomposition.adversarial import adversarial
from fingerprint.decomposition.equivalence import family
from fingerprint.decomposition.splitting import precise, split
from fingerprint.errors import UsageError
from fingerprint.network.model import Model
from fingerprint.network.run import to_inputs, to_tensor
from fingerprint.progress import Progress, silent
from fingerprint.solvers.effect import Effect, effects
from fingerprint.solvers.first_layers import linear_space
from fingerprint.spaces.subspace import Subspace

__all__ = ["PARTS", "Decomposed", "Decomposer", "Piece", "check_different"]

PARTS = ("perturbation", "harmless", "harmful")
"""The pieces of every perturbation; members of its family come after them."""

_EPSILON = 8 / 255


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """A perturbation, and how far it moves the answers.

    Attributes:
        what: One of ``PARTS`` or, for members, ``x4``.
        values: The perturbation, shape ``model.input.shape``, float64.
        from_base: Answers to base and piece together against those to the base.
        from_whole: The same against those to base and perturbation.
        converged: Whether the solver met its tolerance; always true by projection.
        in_range: Whether base and piece together are an input one can send.
        sent: Base and piece as an 8-bit picture, where they are one that is worth sending.
        rounded: Answers to ``sent`` against those to base and perturbation.
    """

    what: str
    values: Tensor
    from_base: Effect | None
    from_whole: Effect | None
    converged: bool
    in_range: bool
    sent: NDArray[Any] | None
    rounded: Effect | None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values; ``scale`` is the largest absolute value."""
        return {
            "what": self.what,
            "norm": float(self.values.norm()),
            "scale": float(self.values.abs().max()),
            "from_base": self.from_base.to_dict() if self.from_base else None,
            "from_whole": self.from_whole.to_dict() if self.from_whole else None,
            "converged": self.converged,
            "in_range": self.in_range,
            "rounded": self.rounded.to_dict() if self.rounded else None,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Decomposed:
    """What was found for one image.

    Attributes:
        pieces: The perturbation, its parts and the members of its family.
        misled: Whether an adversarial perturbation was found; None where none was sought.
    """

    pieces: tuple[Piece, ...]
    misled: bool | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Decomposer:
    """What is to be done with every image.

    Attributes:
        model: The network, in the precision the claims are made in.
        space: Its linear harmless space; None for the whole-network solver.
        note: How the space was found, or why there is none.
        norms: L2 norms of the members of the family, as multiples of the perturbation's own.
        epsilon: Largest change of a value for adversarial perturbations; None for no attack.
        seed: Decides what is random; every image has its own draws, whatever its neighbours.
    """

    model: Model
    space: Subspace | None
    note: str
    norms: tuple[float, ...]
    epsilon: float | None
    seed: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pieces of each perturbation."""
        return (*PARTS, *(f"x{norm:g}" for norm in self.norms))

    @classmethod
    def of(
        cls,
        model: Model,
        *,
        norms: tuple[float, ...] = (),
        attack: bool = False,
        epsilon: float | None = None,
        seed: str = "",
    ) -> Decomposer:
        """Finds out how perturbations of a model are split.

        Args:
            model: The network; left alone.
            norms: As the attribute.
            attack: Whether to split adversarial perturbations instead of given ones.
            epsilon: Their largest change of a value; by default 8/255 of the inputs' range.
            seed: As the attribute.
        """
        found = linear_space(model)
        low, high = model.input.bounds
        return cls(
            model=precise(model, found),
            space=found.space if found.is_usable else None,
            note=found.note,
            norms=norms,
            epsilon=(epsilon or _EPSILON * (high - low)) if attack else None,
            seed=seed,
        )

    def tensor(self, values: NDArray[Any]) -> Tensor:
        """Returns inputs as they are sent as float64 ``(B, *input.shape)`` where the model is."""
        return to_tensor(values, self.model.input, torch.float64).to(self.model.device)

    def zero(self) -> Tensor:
        """Returns the base that images differ from: zero, as far as it is in the box, (1, ...)."""
        low, high = self.model.input.bounds
        shape = (1, *self.model.input.shape)
        return torch.zeros(shape, dtype=torch.float64, device=self.model.device).clamp(low, high)

    def decomposed(
        self, name: str, base: Tensor, image: Tensor | None = None, *, progress: Progress = silent
    ) -> Decomposed:
        """Splits the perturbation of one image and draws its family.

        Args:
            name: Of the image; with the seed it decides what is random.
            base: What is perturbed, float64, shape ``(1, *input.shape)``.
            image: The base with its perturbation, same shape; None to look for an adversarial
                one, where ``epsilon`` says how large.
            progress: Called as the work goes on.

        Raises:
            UsageError: The image equals the base, so there is nothing to split, or there is
                neither an image nor an attack.
        """
        # Names of files need not be text: what is not is a lone surrogate.
        digest = hashlib.sha256(f"{self.seed}|{name}".encode(errors="surrogatepass")).digest()
        seed, misled = int.from_bytes(digest[:7], "big"), None
        if image is None:
            if self.epsilon is None:
                raise UsageError("decompose: expected an image, got none; or ask for an attack")
            found = adversarial(
                self.model, base, epsilon=self.epsilon, seed=seed, progress=progress
            )
            delta, misled = found.delta.to(base), bool(found.success)
        else:
            delta = image - base
        check_different(name, delta)
        parts = split(self.model, base, delta, space=self.space, progress=progress)
        piece = _Pieces(self.model, base, base + delta)
        done = bool(parts.converged)
        pieces = [
            # Without an attack, what is perturbed gives the image that came in.
            piece.of(PARTS[0], delta, alone=True, send=misled is not None),
            piece.of(PARTS[1], parts.harmless, alone=True, converged=done),
            piece.of(PARTS[2], parts.harmful, alone=True, compared=True, converged=done),
        ]
        if self.norms:
            kin = family(
                self.model, base, delta, self.norms, space=self.space, seed=seed, progress=progress
            )
            members = zip(self.names[3:], kin.members[0], kin.converged[0].tolist(), strict=True)
            pieces += [
                piece.of(what, member[None], compared=True, converged=reached, send=True)
                for what, member, reached in members
            ]
        return Decomposed(pieces=tuple(pieces), misled=misled)


class _Pieces:
    """Measures pieces of one perturbation, which makes ``whole`` of ``base``."""

    def __init__(self, model: Model, base: Tensor, whole: Tensor) -> None:
        self.model = model
        self.base = base
        self.whole = whole

    def of(
        self,
        what: str,
        values: Tensor,
        *,
        alone: bool = False,
        compared: bool = False,
        converged: bool = True,
        send: bool = False,
    ) -> Piece:
        """Measures a piece.

        Args:
            what: Its name.
            values: The perturbation, shape ``(1, *input.shape)``.
            alone: Whether to ask what it does to the base.
            compared: Whether to ask how its effect differs from that of the perturbation.
            converged: As the attribute.
            send: Whether it is worth sending.
        """
        spec, values = self.model.input, values.to(self.base)
        low, high = spec.bounds
        slack, moved = 1e-6 * (high - low), self.base + values
        fits = bool(((moved >= low - slack) & (moved <= high + slack)).all())
        sent, rounded = None, None
        if spec.kind == "pixels" and fits and send:
            sent = to_inputs(moved, spec)[0]
            rounded = self._effect(
                self.whole, to_tensor(sent[None], spec, torch.float64).to(self.base)
            )
        return Piece(
            what=what,
            values=values[0],
            from_base=self._effect(self.base, moved) if alone else None,
            from_whole=self._effect(self.whole, moved) if compared else None,
            converged=converged,
            in_range=fits,
            sent=sent,
            rounded=rounded,
        )

    def _effect(self, before: Tensor, after: Tensor) -> Effect:
        return effects(self.model, before, after)[0]


def check_different(name: str, delta: Tensor) -> None:
    """Refuses a perturbation of nothing, as there is nothing to split.

    Raises:
        UsageError: The image equals its base.
    """
    if not bool(delta.any()):
        raise UsageError(f"{name}: expected an image that differs from its base, got the same")
