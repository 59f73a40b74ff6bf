"""What a network takes and gives: the shape, range and meaning of inputs and answers.

Inputs are described as a caller sends them, not as the first layer sees them: an image model
takes values in [0, 1] that are whole multiples of 1/255 (an 8-bit image), and its mean and
standard deviation belong to the model. Two models with one *domain* can be asked the same
public probes, whatever their normalisation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from fingerprint.errors import UsageError

__all__ = ["AnswerKind", "InputSpec", "OutputSpec"]

InputKind = Literal["pixels", "float"]
AnswerKind = Literal["logits", "probabilities", "top-k", "labels"]


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """The inputs a network takes.

    Attributes:
        shape: Shape of one input without the batch dimension, such as ``(3, 32, 32)``.
        kind: ``pixels`` for 8-bit images in [0, 1]; ``float`` for float32 values in ``bounds``.
        bounds: Smallest and largest value a caller may send; ``(0, 1)`` for pixels.
        mean: Per-channel mean the model subtracts after scaling to ``bounds``; empty for none.
        std: Per-channel standard deviation the model divides by; empty for none.
    """

    shape: tuple[int, ...]
    kind: InputKind = "pixels"
    bounds: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.shape or any(size < 1 for size in self.shape):
            raise UsageError(
                f"input size: expected positive sizes such as 3,32,32, got {self.shape}"
            )
        low, high = self.bounds
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UsageError(f"bounds: expected lo < hi, both finite, got {low},{high}")
        if self.kind == "pixels" and self.bounds != (0.0, 1.0):
            raise UsageError(f"bounds: pixel inputs live in 0,1, got {low},{high}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) not in (1, self.shape[0]):
                count = "1 value" if self.shape[0] == 1 else f"1 or {self.shape[0]} values"
                raise UsageError(
                    f"{name}: expected {count} for input {self.shape}, got {len(values)}"
                )
            if not all(math.isfinite(value) for value in values):
                raise UsageError(f"{name}: expected finite values, got {values}")
        if any(value <= 0 for value in self.std):
            raise UsageError(f"std: expected positive values, got {self.std}")

    @property
    def size(self) -> int:
        """Number of scalars in one input."""
        return math.prod(self.shape)

    @property
    def domain(self) -> str:
        """Canonical text of everything that decides which public probes a model can be asked."""
        low, high = self.bounds
        return f"{self.kind}:{'x'.join(map(str, self.shape))}:{low!r},{high!r}"

    def normalise(self, x: Tensor) -> Tensor:
        """Subtracts the mean and divides by the deviation, per channel.

        Args:
            x: Inputs of shape ``(N, *shape)`` in ``bounds``.

        Returns:
            Tensor of the same shape and dtype, as the first layer takes it.
        """
        if not self.mean and not self.std:
            return x
        view = (1, -1) + (1,) * (len(self.shape) - 1)
        mean = torch.tensor(self.mean or (0.0,), dtype=x.dtype, device=x.device).view(view)
        std = torch.tensor(self.std or (1.0,), dtype=x.dtype, device=x.device).view(view)
        return (x - mean) / std

    @property
    def load_options(self) -> dict[str, Any]:
        """Keyword arguments of ``load_model`` that state these inputs, as JSON values."""
        return {
            "input_size": list(self.shape),
            "mean": list(self.mean),
            "std": list(self.std),
            # Pixels have their bounds by nature; stating them would make the input a float one.
            "bounds": None if self.kind == "pixels" else list(self.bounds),
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values; :meth:`from_dict` reads them back."""
        return {
            "shape": list(self.shape),
            "kind": self.kind,
            "bounds": list(self.bounds),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> InputSpec:
        """Builds a specification from :meth:`to_dict`'s values, checking them again."""
        low, high = values["bounds"]
        return cls(
            shape=tuple(int(size) for size in values["shape"]),
            kind="pixels" if values["kind"] == "pixels" else "float",
            bounds=(float(low), float(high)),
            mean=tuple(float(value) for value in values["mean"]),
            std=tuple(float(value) for value in values["std"]),
        )


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """The answers a network gives.

    Attributes:
        classes: Number of values in one answer.
        kind: What the values are: ``logits``, ``probabilities``, ``top-k`` (probabilities of the
            classes that are named, 0 elsewhere) or ``labels`` (the largest value's place counts).
        by_name: Whether classes were told by words alone, so that their places are none that a
            model's classes could be held against.
    """

    classes: int
    kind: AnswerKind = "logits"
    by_name: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        told = {"classes": self.classes, "kind": self.kind}
        return {**told, "by_name": True} if self.by_name else told

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> OutputSpec:
        """Builds a specification from :meth:`to_dict`'s values."""
        kind = values["kind"]
        if kind not in ("logits", "probabilities", "top-k", "labels"):
            raise UsageError(
                f"answer kind: expected logits, probabilities, top-k or labels, got {kind}"
            )
        classes = int(values["classes"])
        if classes < 1:
            raise UsageError(f"classes: expected at least 1, got {classes}")
        return cls(classes=classes, kind=kind, by_name=bool(values.get("by_name", False)))
