"""What is said of a layer, and of a network layer by layer: plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fingerprint.network.spec import InputSpec

__all__ = ["Inspection", "LayerFacts", "SegmentFacts", "without_batch"]


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """One layer, as one forward pass used it.

    Attributes:
        name: Path of its module, and its function where the module calls several; no two
            layers of an inspection share it.
        kind: Such as ``convolution``, ``batch norm``, ``activation``.
        function: Name of the function of torch that it is.
        affine: Whether it is an affine function of its input.
        in_shape: Shape of its input, without a batch dimension.
        out_shape: Shape of its output, without a batch dimension.
        n: Entries of its input.
        m: Entries of its output.
        rank: Of its linear part; None if it is not affine or was not computed.
        dimension: Of what may be added to its input without changing its output; None if not
            computed. For an affine layer ``n - rank``, at every input and any size
            (Theorem 1); for a nonlinear one the local dimension at this very input (Lemmas 1.1
            to 1.5).
        at_least: A lower bound of that dimension; None where there is none but 0.
        free: How many coordinates of the input of a nonlinear layer can move on their own, at
            this very input; None if it is affine or was not computed.
        of: Out of how many; None if it is affine.
        singular_values: The smallest that are not zero, in rising order: the gains of the
            least harmful directions outside the harmless space (Lemma 2).
        multiplicities: How often each occurs, as the same small matrix stands at many places.
        note: What was not computed and why, or a remark; one line.
    """

    name: str
    kind: str
    function: str
    affine: bool
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    n: int
    m: int
    rank: int | None = None
    dimension: int | None = None
    at_least: int | None = None
    free: int | None = None
    of: int | None = None
    singular_values: tuple[float, ...] = ()
    multiplicities: tuple[int, ...] = ()
    note: str = ""

    @property
    def share(self) -> float | None:
        """Share of its input's dimensions that it does not notice; None if not known."""
        found = self.free if self.dimension is None else self.dimension
        return None if found is None or not self.n else found / self.n

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class SegmentFacts:
    """What the first affine segment of a network leaves harmless of its input.

    Attributes:
        layers: What it is composed of, in order.
        ended_by: Operations that read its results.
        n: Entries of one input.
        m: Entries of its results; None where it was not found.
        rank: Of its linear part; None if not known.
        dimension: Of the harmless space of the input; None if not known.
        at_least: A lower bound of the dimension.
        note: How it was found, or why there is none; one line.
    """

    layers: tuple[str, ...]
    ended_by: str
    n: int
    m: int | None
    rank: int | None
    dimension: int | None
    at_least: int
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A network layer by layer.

    Attributes:
        architecture: How to build it, such as ``timm:resnet18``.
        digest: Content digest of its weights.
        input: What it takes.
        given: Which input the nonlinear layers were looked at with, in words.
        segment: What its first affine segment leaves harmless of the input.
        layers: The layers in the order of their calls.
        unlisted: Functions on features that are no layers, beyond moving entries and adding.
        warnings: One line for whatever a reader should know.
    """

    architecture: str
    digest: str
    input: InputSpec
    given: str
    segment: SegmentFacts
    layers: tuple[LayerFacts, ...]
    unlisted: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "model": {
                "architecture": self.architecture,
                "model_digest": self.digest,
                "input": self.input.to_dict(),
            },
            "input": self.given,
            "segment": self.segment.to_dict(),
            "layers": [layer.to_dict() for layer in self.layers],
            "unlisted": list(self.unlisted),
            "warnings": list(self.warnings),
        }


def without_batch(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of a tensor without a first axis of size one."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
