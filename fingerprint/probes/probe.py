"""The values a registration leaves behind: probes, their a fingerprint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.spec import InputSpec, OutputSpec
from fingerprint.probes.controls import turned

__all__ = ["Fingerprint", "Probe", "SpaceFacts", "symmetry_of"]

ProbeKind = Literal["network", "linear"]


def symmetry_of(base: int, draw: int) -> int:
    """Deals symmetries out over the draws of a base; see :mod:`fingerprint.probes.controls`."""
    return base + draw


Images = NDArray[Any]  # uint8 for pixels, float32 otherwise


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """One harmless input of the source model, with what the source answered.

    Attributes:
        kind: ``network`` (solved through the whole network) or ``linear`` (null space of the
            first affine segment).
        base: Index of its base among the fingerprint's bases.
        draw: Which draw of the start noise it grew from; higher than its place when earlier
            draws were thrown away by screening.
        harmless: The input ``x + δ``, shape ``input.shape``, uint8 for pixels, else float32.
        answer: The source's answer to ``harmless``, shape ``(classes,)``, float32.
        residual: ``‖f(x+δ) − f(x)‖ / ‖f(x)‖`` the solver reached before rounding.
        control_answer: The source's answer to the probe's control, the probe turned.
        harm_ratio: Harm of δ over that of its control, on the source, after rounding.
        start_cosine: Cosine between δ and the start it was solved from.
        converged: Whether the solver met its tolerance.
    """

    kind: ProbeKind
    base: int
    draw: int
    harmless: Images
    answer: NDArray[np.float32]
    control_answer: NDArray[np.float32]
    residual: float
    harm_ratio: float
    start_cosine: float
    converged: bool

    @property
    def symmetry(self) -> int:
        """Which symmetry makes its control."""
        return symmetry_of(self.base, self.draw)

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers, without images and answers, as plain JSON values."""
        return {
            "kind": self.kind,
            "base": self.base,
            "draw": self.draw,
            "residual": self.residual,
            "harm_ratio": self.harm_ratio,
            "start_cosine": self.start_cosine,
            "converged": self.converged,
        }


@dataclass(frozen=True, kw_only=True)
class SpaceFacts:
    """What is known of one harmless space of a model.

    Attributes:
        kind: ``linear`` (first affine segment), ``network`` or ``least_harmful``.
        dimension: Its dimension; None when it was not computed.
        input_dimension: Dimension of the input.
        rank: Rank of the linear part, or of the Jacobian for ``network``; None if unknown.
        note: Why a number is missing, or what the segment is.
    """

    kind: Literal["linear", "network", "least_harmful"]
    dimension: int | None
    input_dimension: int
    rank: int | None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "kind": self.kind,
            "dimension": self.dimension,
            "input_dimension": self.input_dimension,
            "rank": self.rank,
            "note": self.note,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Fingerprint:
    """Everything needed to recognise a model from answers, and to derive its probes again.

    Attributes:
        model_digest: Content digest of the source's weights.
        input: Input specification of the source.
        output: Output specification of the source.
        seed: Registry seed the public inputs derive from (hex).
        parameters: Every setting that shaped the probes, plain JSON values.
        start: The kind of noise the probes were solved from, such as ``binary``.
        bases: Public base inputs, the same for every model of one domain and one registry,
            shape ``(B, *input.shape)``, uint8 for pixels, else float32.
        base_answers: The source's answers to the bases, shape ``(B, classes)``, float32.
        probes: The harmless inputs.
        spaces: What is known of the harmless spaces.
        tolerance: Relative difference of answers that other devices and batch sizes cause;
            measured at registration.
        device: What the tolerance was measured on.
        screened_against: Names (or digests) of the models the probes were screened against.
        redrawn: How many candidates the screening threw away.
        cost: Work spent: ``seconds`` and ``passes`` (forward-and-backward passes per probe).
        linear_part: Matrix-free description of the first affine segment, for screening later
            models when the weights are gone; empty when it has no harmless space.
        warnings: One line each.
    """

    model_digest: str
    input: InputSpec
    output: OutputSpec
    seed: str
    parameters: dict[str, Any]
    start: str
    bases: Images
    base_answers: NDArray[np.float32]
    probes: tuple[Probe, ...]
    spaces: tuple[SpaceFacts, ...]
    tolerance: float
    device: dict[str, Any]
    screened_against: tuple[str, ...] = ()
    redrawn: int = 0
    cost: dict[str, float] = field(default_factory=dict)
    linear_part: dict[str, NDArray[Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def harmless(self) -> Images:
        """The probes' inputs, shape ``(N, *input.shape)``."""
        return np.stack([probe.harmless for probe in self.probes])

    @property
    def controls(self) -> Images:
        """The probes, each turned its own way, shape ``(N, *input.shape)``."""
        return turned(self.harmless, [probe.symmetry for probe in self.probes])

    @property
    def control_bases(self) -> Images:
        """What the controls' harm is measured from: their bases, turned with them."""
        bases = self.bases[[probe.base for probe in self.probes]]
        return turned(bases, [probe.symmetry for probe in self.probes])

    @property
    def source_harm_ratio(self) -> dict[str, float]:
        """Median and maximum harm ratio of the probes on the source itself."""
        ratios = np.array([probe.harm_ratio for probe in self.probes])
        return {"median": float(np.median(ratios)), "max": float(ratios.max())}

    def to_dict(self) -> dict[str, Any]:
        """Returns the facts, without images and answers, as plain JSON values."""
        return {
            "model_digest": self.model_digest,
            "input": self.input.to_dict(),
            "output": self.output.to_dict(),
            "seed": self.seed,
            "parameters": self.parameters,
            "start": self.start,
            "spaces": [space.to_dict() for space in self.spaces],
            "probes": len(self.probes),
            "source_harm_ratio": self.source_harm_ratio,
            "tolerance": self.tolerance,
            "device": self.device,
            "screened_against": list(self.screened_against),
            "redrawn": self.redrawn,
            "cost": self.cost,
            "per_probe": [probe.to_dict() for probe in self.probes],
            "warnings": list(self.warnings),
        }

    def commitment(self, blob_sha256: str, created: str) -> str:
        """Returns the hash that binds model, seed, parameters, probe bytes and time (hex)."""
        document = {
            "created": created,
            "model_digest": self.model_digest,
            "parameters": self.parameters,
            "probes_sha256": blob_sha256,
            "seed": self.seed,
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
