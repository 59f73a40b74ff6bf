"""One image after the other: split a perturbation of it, draw its family, write both, say what was.

job = Job(model=exact, space=None, note="...", norms=(1.0, 4.0), attack=None, seed="mine")
for image, values in zip(names, inputs):
    found.append(decomposed(job, image, base, values, folder, progress))
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from cli.folder import OutFolder
from fingerprint.decomposition import adversarial, family, split
from fingerprint.errors import UsageError
from fingerprint.network.model import Model
from fingerprint.network.run import to_inputs, to_tensor
from fingerprint.solvers import Effect, effects
from fingerprint.spaces.subspace import Subspace

__all__ = ["Decomposed", "Job", "Piece", "check_different", "decomposed", "expected_files"]

_PARTS = ("perturbation", "harmless", "harmful")


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """What is to be done with every image.

    Attributes:
        model: The network, in the precision the claims are made in.
        space: Its linear harmless space; None for the whole-network solver.
        norms: L2 norms of the members of the family, as multiples of the perturbation's own.
        epsilon: Largest change of a value for adversarial perturbations; None for no attack.
        seed: Decides what is random; every image has its own draws, whatever its neighbours.
    """

    model: Model
    space: Subspace | None
    norms: tuple[float, ...] = ()
    epsilon: float | None = None
    seed: str = ""

    def draws(self, name: str) -> int:
        """Returns the seed of an image's random numbers."""
        # Names of files need not be text: what is not is a lone surrogate.
        digest = hashlib.sha256(f"{self.seed}|{name}".encode(errors="surrogatepass")).digest()
        return int.from_bytes(digest[:7], "big")


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """A perturbation, and how far it moves the answers.

    Attributes:
        what: ``perturbation``, ``harmless``, ``harmful`` or, for members, ``x4``.
        norm: Its L2 norm.
        scale: Its largest absolute value, which black and white stand for in its picture.
        from_base: Answers to base and piece together against those to the base.
        from_whole: The same against those to base and perturbation.
        converged: Whether the solver met its tolerance; always true by projection.
        in_range: Whether base and piece together are an input one can send.
        rounded: Against base and perturbation, when sent as an 8-bit picture; None where it is
            not written as one.
        files: What was written.
    """

    what: str
    norm: float
    scale: float
    from_base: Effect | None = None
    from_whole: Effect | None = None
    converged: bool = True
    in_range: bool
    rounded: Effect | None = None
    files: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "what": self.what,
            "norm": self.norm,
            "scale": self.scale,
            "from_base": self.from_base.to_dict() if self.from_base else None,
            "from_whole": self.from_whole.to_dict() if self.from_whole else None,
            "converged": self.converged,
            "in_range": self.in_range,
            "rounded": self.rounded.to_dict() if self.rounded else None,
            "files": list(self.files),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Decomposed:
    """What was found for one image.

    Attributes:
        name: Of the image.
        file: Where it came from.
        attack: Whether an adversarial perturbation was found; None where none was sought.
        pieces: The perturbation, its parts and the members of its family.
    """

    name: str
    file: str
    attack: bool | None
    pieces: tuple[Piece, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "name": self.name,
            "file": self.file,
            "adversarial_found": self.attack,
            "pieces": [piece.to_dict() for piece in self.pieces],
        }


def expected_files(job: Job, names: Sequence[str]) -> Iterator[str]:
    """Names the files that may be written, so that nothing is computed in vain."""
    for name in names:
        for what in (*_PARTS, *map(_member, job.norms)):
            yield f"{name}-{what}.npy"
            yield f"{name}-{what}.png"
        for what in ("", *(f"_{_member(norm)}" for norm in job.norms)):
            yield f"{name}-perturbed{what}.png"


def check_different(file: Path, delta: Tensor) -> None:
    """Refuses a perturbation of nothing, as there is nothing to split.

    Raises:
        UsageError: The image equals its base.
    """
    if not bool(delta.any()):
        raise UsageError(f"{file}: expected an image that differs from its base, got the same")


def decomposed(
    job: Job,
    name: str,
    file: Path,
    base: Tensor,
    image: Tensor | None,
    folder: OutFolder,
    progress: Callable[[str, int, int], None],
) -> Decomposed:
    """Splits the perturbation of one image and writes its parts.

    Args:
        job: What is to be done.
        name: Of the image.
        file: Where it came from.
        base: What is perturbed, float64, shape ``(1, *input.shape)``.
        image: The base with its perturbation, same shape; None to look for an adversarial one.
        folder: Where to write.
        progress: Called as the work goes on.

    Raises:
        UsageError: The image equals the base, so there is nothing to split.
    """
    seed, attack = job.draws(name), None
    if image is None:
        assert job.epsilon is not None
        found = adversarial(job.model, base, epsilon=job.epsilon, seed=seed, progress=progress)
        delta, attack = found.delta.to(base), bool(found.success)
    else:
        delta = image - base
    check_different(file, delta)
    parts = split(job.model, base, delta, space=job.space, progress=progress)
    write = _Writer(job.model, folder, name, base, delta)
    done = bool(parts.converged)
    pieces = [
        # Without an attack, what is perturbed gives the image that came in.
        write.piece("perturbation", delta, from_base=parts.whole[0], send=attack is not None),
        write.piece("harmless", parts.harmless, from_base=parts.harmless_effect[0], converged=done),
        write.piece(
            "harmful",
            parts.harmful,
            from_base=parts.harmful_effect[0],
            from_whole=parts.remaining[0],
            converged=done,
        ),
    ]
    if job.norms:
        kin = family(
            job.model, base, delta, job.norms, space=job.space, seed=seed, progress=progress
        )
        pieces += [
            write.piece(
                _member(norm),
                kin.members[:, place],
                from_whole=kin.effects[0][place],
                converged=bool(kin.converged[0, place]),
                send=True,
            )
            for place, norm in enumerate(job.norms)
        ]
    return Decomposed(name=name, file=str(file), attack=attack, pieces=tuple(pieces))


class _Writer:
    """Writes the perturbations of one image."""

    def __init__(
        self, model: Model, folder: OutFolder, name: str, base: Tensor, delta: Tensor
    ) -> None:
        self.model = model
        self.folder = folder
        self.name = name
        self.base = base
        self.delta = delta

    def piece(
        self,
        what: str,
        values: Tensor,
        *,
        from_base: Effect | None = None,
        from_whole: Effect | None = None,
        converged: bool = True,
        send: bool = False,
    ) -> Piece:
        """Writes a perturbation as numbers and, for networks that see, as a picture.

        With ``send`` also the perturbed image, where it is one.
        """
        values = values.to(self.base)
        plain = values[0].cpu().numpy()
        files = [self.folder.array(f"{self.name}-{what}", plain)]
        pixels = self.model.input.kind == "pixels"
        if pixels:
            files.append(self.folder.signed_picture(f"{self.name}-{what}", plain)[0])
        fits, rounded = self._fits(values), None
        if pixels and fits and send:
            picture = to_inputs(self.base + values, self.model.input)
            ending = "" if what == "perturbation" else f"_{what}"
            files.append(self.folder.picture(f"{self.name}-perturbed{ending}", picture[0]))
            sent = to_tensor(picture, self.model.input, self.base.dtype)
            rounded = effects(self.model, self.base + self.delta, sent.to(self.base))[0]
        return Piece(
            what=what,
            norm=float(values.norm()),
            scale=float(values.abs().max()),
            from_base=from_base,
            from_whole=from_whole,
            converged=converged,
            in_range=fits,
            rounded=rounded,
            files=tuple(file.name for file in files),
        )

    def _fits(self, values: Tensor) -> bool:
        low, high = self.model.input.bounds
        slack = 1e-6 * (high - low)
        moved = self.base + values
        return bool(((moved >= low - slack) & (moved <= high + slack)).all())


def _member(norm: float) -> str:
    return f"x{norm:g}"
