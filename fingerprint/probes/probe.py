"""The values a registration leaves behind: probes, and the fingerprint they make up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fingerprint.canonical import canonical, sha256_of
from fingerprint.network.spec import InputSpec, OutputSpec
from fingerprint.probes.controls import symmetry_controls
from fingerprint.probes.panel import panel_inputs
from fingerprint.probes.turns import on_the_grid, turned

__all__ = [
    "CURRENT",
    "DepthFacts",
    "Fingerprint",
    "Probe",
    "ProbeRequest",
    "SpaceFacts",
    "symmetry_of",
]

CURRENT = 3
"""Version of the document that new fingerprints are stored as.

The first two hold probes of plain bases and a turned control of each, its base turned with it.
"""


def symmetry_of(base: int, draw: int) -> int:
    """Deals symmetries out over the draws of a base; see :mod:`fingerprint.probes.controls`."""
    return base + draw


Images = NDArray[Any]  # uint8 for pixels, float32 otherwise


@dataclass(frozen=True)
class ProbeRequest:
    """A probe that is wanted: its kind, its base, and which draw of the start to use."""

    kind: str
    base: int
    draw: int

    @property
    def symmetry(self) -> int:
        """Which symmetry makes its control: another one for each draw of a base."""
        return symmetry_of(self.base, self.draw)


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """One harmless input of the source model, with what the source answered.

    Attributes:
        kind: Name of its depth among the fingerprint's; of old ones ``network`` (solved through
            the whole network) or ``linear`` (null space of the first affine segment).
        base: Index of its base among the fingerprint's bases.
        draw: Which draw of the start noise it grew from; higher than its place when earlier
            draws were thrown away by screening.
        harmless: The input ``x + δ``, shape ``input.shape``, uint8 for pixels, else float32.
        answer: The source's answer to ``harmless``, shape ``(classes,)``, float32.
        residual: ``‖f(x+δ) − f(x)‖ / ‖f(x)‖`` the solver reached before rounding.
        control_answers: The source's answers to the probe's k controls, shape ``(k, classes)``.
        harm_ratio: Harm of δ over that of its control, on the source, after rounding.
        converged: Whether the solver met its tolerance.
    """

    kind: str
    base: int
    draw: int
    harmless: Images
    answer: NDArray[np.float32]
    control_answers: NDArray[np.float32]
    residual: float
    harm_ratio: float
    converged: bool

    @property
    def symmetry(self) -> int:
        """Which symmetry makes the one control of an old probe."""
        return symmetry_of(self.base, self.draw)

    def to_dict(self) -> dict[str, Any]:
        """Returns the numbers, without images and answers, as plain JSON values."""
        return {
            "kind": self.kind,
            "base": self.base,
            "draw": self.draw,
            "residual": self.residual,
            "harm_ratio": self.harm_ratio,
            "converged": self.converged,
        }


@dataclass(frozen=True, kw_only=True)
class DepthFacts:
    """What is known of one depth that a fingerprint has probes at.

    Attributes:
        name: What its probes and findings call it.
        width: How many numbers are to stay as they are there; None if unknown.
        share: How much of a pass through the whole network a pass to it costs, in [0, 1].
        speaks_for: ``family`` where kin may share its probes, ``individual`` where they were
            solved outside the harmless sets of its relatives.
        contrast: Size of the noise its probes were solved from, as a share of the input's range.
    """

    name: str
    width: int | None
    share: float
    speaks_for: Literal["family", "individual"]
    contrast: float

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "name": self.name,
            "width": self.width,
            "share": self.share,
            "speaks_for": self.speaks_for,
            "contrast": self.contrast,
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
class Outline:
    """What the panel needs of a fingerprint: whether its probes are worth asking.

    Attributes:
        input: Input specification of the source.
        output: Output specification of the source.
        seed: Registry seed the public inputs derive from (hex).
        probes: How many probes it has; none where the source could only be asked.
        panel_answers: The source's answers to the panel, shape ``(P, classes)``; old ones have
            none.
    """

    input: InputSpec
    output: OutputSpec
    seed: str
    probes: int
    panel_answers: NDArray[np.float32]

    @property
    def panel(self) -> Images:
        """The public inputs of ``panel_answers``, shape ``(P, *input.shape)``."""
        return panel_inputs(self.input, self.seed, len(self.panel_answers))


@dataclass(frozen=True, eq=False)
class CopyAnswers:
    """What copies of the source answer to the first Q inputs of the panel, and a relative likewise.

    Attributes:
        names: Of the copies, as :func:`~fingerprint.probes.copies.copies_of` gives them.
        answers: Theirs, shape ``(copies, Q, classes)``, float32.
        nearest: Of a relative, or of what can be made of one that is nearer to the source, shape
            ``(Q, classes)``, float32.
        nearest_copies: Of that one's own copies, as ``answers``.
    """

    names: tuple[str, ...]
    answers: NDArray[np.float32]
    nearest: NDArray[np.float32]
    nearest_copies: NDArray[np.float32]


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
        cost: Work spent: ``seconds`` and ``passes`` through the whole network, forward and
            backward, the latter also ``of the pilot`` and ``at`` each depth (old ones:
            ``passes_per_probe``).
        linear_part: Matrix-free description of the first affine segment, for screening later
            models when the weights are gone; empty when it has no harmless space.
        warnings: One line each.
        version: Of the document it was read from, which decides how it is committed to.
        depths: What its probes are harmless at, in the order of the network; old ones have none.
        turns: Which turns of δ are the controls of each probe, as places in
            :func:`~fingerprint.probes.turns.turns_of`; old ones have none.
        relatives: Weights digests of the relatives whose harmless sets individual probes lie
            outside of.
        panel_answers: The source's answers to the registry's panel, shape ``(P, classes)``.
        twin_answers: The source's answers to the registry's twins, shape ``(T, classes)``; old ones
            and those of inputs that are no pictures have none.
        copies: What copies of the source answer; None without relatives, and of old ones.
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
    version: int = CURRENT
    depths: tuple[DepthFacts, ...] = ()
    turns: tuple[int, ...] = ()
    relatives: tuple[str, ...] = ()
    panel_answers: NDArray[np.float32] = field(
        default_factory=lambda: np.empty((0, 0), dtype=np.float32)
    )
    twin_answers: NDArray[np.float32] = field(
        default_factory=lambda: np.empty((0, 0), dtype=np.float32)
    )
    copies: CopyAnswers | None = None

    @property
    def outline(self) -> Outline:
        """What the panel needs of it."""
        return Outline(
            input=self.input,
            output=self.output,
            seed=self.seed,
            probes=len(self.probes),
            panel_answers=self.panel_answers,
        )

    @property
    def panel(self) -> Images:
        """The public inputs of ``panel_answers``, shape ``(P, *input.shape)``."""
        return self.outline.panel

    @property
    def harmless(self) -> Images:
        """The probes' inputs, shape ``(N, *input.shape)``."""
        if not self.probes:
            return self.bases[:0]
        return np.stack([probe.harmless for probe in self.probes])

    @property
    def controls(self) -> Images:
        """The controls, shape ``(N * k, *input.shape)``: those of the first probe first."""
        if self.turns:
            bases = self.bases[[probe.base for probe in self.probes]]
            found = turned(bases, self.harmless, self.turns)
            return found.reshape(-1, *self.input.shape)
        return symmetry_controls(self.harmless, [probe.symmetry for probe in self.probes])

    @property
    def control_bases(self) -> Images:
        """What the controls' harm is measured from, shape ``(N, *input.shape)``.

        A turned δ lies on the probe's own base; an old control is turned with its base.
        """
        bases = self.bases[[probe.base for probe in self.probes]]
        if self.turns:
            return bases
        return symmetry_controls(bases, [probe.symmetry for probe in self.probes])

    @property
    def flipped_bases(self) -> Images:
        """Bases upside down, where the controls are: two, to see whether a suspect can tell.

        Whoever answers a picture as the picture upside down, because both are asked and averaged,
        is moved by a probe as by the probe upside down, a copy of the source too.
        """
        asked = 2 if on_the_grid(self.input.shape, self.turns) else 0
        return np.ascontiguousarray(np.flip(self.bases[:asked], axis=-2))

    @property
    def source_harm_ratio(self) -> dict[str, float | None]:
        """Median and maximum harm ratio of the probes on the source itself; None without any."""
        ratios = np.array([probe.harm_ratio for probe in self.probes])
        if not len(ratios):
            return {"median": None, "max": None}
        return {"median": float(np.median(ratios)), "max": float(ratios.max())}

    @property
    def surrogate_ratios(self) -> tuple[float | None, ...]:
        """What the probes did to surrogates: harm ratios, of networks that imitate the source.

        The first stored fingerprints call surrogates decoys.
        """
        known = self.parameters.get("surrogates", self.parameters.get("decoys", ()))
        return tuple(known)

    @property
    def rough_copy_ratio(self) -> float | None:
        """Harm ratio of the individual probes on a roughly pruned copy of the source, if known."""
        known = self.parameters.get("rough_copy")
        return None if known is None else float(known)

    @property
    def relatives_ratio(self) -> float | None:
        """Harm ratio of the individual probes on the relatives they lie outside of, if known."""
        known = self.parameters.get("near_relatives")
        return None if known is None else float(known)

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
            "depths": [depth.to_dict() for depth in self.depths],
            "turns": list(self.turns),
            "relatives": list(self.relatives),
            "panel": len(self.panel_answers),
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
        if self.version == 1:
            # What was committed to then stays checkable: NaN was written as JSON has no word for.
            return sha256_of(json.dumps(document, sort_keys=True, separators=(",", ":")))
        return sha256_of(canonical(document))
