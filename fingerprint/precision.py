"""How precisely answers are given: what differs by less than this does not differ.

    differ(first, second)                          # tensors of one dtype: by more than rounding?
    known = Precision.of(rows, "probabilities")    # a stranger's answers, all that came
    known.least_distance(rows)                     # distance they must exceed to have moved

A sum of floating-point numbers depends on the order of its terms, and the order on the processor,
the batch and the number of threads. How far it may come out differently is a matter of the size
of the numbers and of their dtype, never of how much they happen to differ: a network whose
answers are all equal but for rounding differs by a large share of its differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Precision", "differ", "rounding"]

_STEPS = 16.0
"""Steps of its dtype, at the largest answer, by which an answer may come out differently. Between
kernels, sums of 512 equal terms came out 3 steps apart, of 4096 terms 5, of 32768 terms 13."""
_HALF_STEPS = 4.0
"""The same of half precision: sums are taken in float32 and rounded once."""
_MOST_DECIMALS = 5
_TELLING = 0.05
"""Of one unit in the last decimal: what float32 may be off by for the decimal to be seen."""
_HAIR = 1.001
"""So that an answer one step away has not moved on one machine and moved on another."""

_HALVES = (torch.bfloat16, torch.float16)  # the coarser first


def rounding(size: float, dtype: torch.dtype = torch.float32) -> float:
    """Returns the largest difference that rounding explains between numbers of a given size.

    Args:
        size: Largest absolute value of the answers as they were given, nothing subtracted.
        dtype: Floating-point type they were computed in.

    Returns:
        A few steps of that type at this size; never less than its least normal number, below
        which some processors round to zero.
    """
    known = torch.finfo(dtype)
    steps = _HALF_STEPS if known.bits < 32 else _STEPS
    return max(steps * known.eps * size, known.tiny)


def differ(
    first: Tensor, second: Tensor, *, shift: Tensor | float = 0.0, tolerance: float = 0.0
) -> bool:
    """Says whether answers differ by more than rounding explains.

    Args:
        first: Answers, of the dtype they were computed in.
        second: Answers of a shape that broadcasts with it, and the same dtype.
        shift: What the first may have more than the second without differing from it.
        tolerance: Share of the largest answer that is no difference either.

    Returns:
        Whether any entry does; NaN differs from everything, also from itself.
    """
    one, other = first.double(), second.double()
    size = max((float(t.abs().max()) for t in (one, other) if t.numel()), default=0.0)
    limit = max(rounding(size, first.dtype), tolerance * size)
    return not bool(((one - other - shift).abs() <= limit).all())


@dataclass(frozen=True)
class Precision:
    """How precisely one suspect gives its answers.

    Attributes:
        kind: ``logits``, ``probabilities``, ``top-k`` or ``labels``.
        dtype: The coarsest floating-point type that holds all of them.
        step: One unit in their last decimal; 0 where they are not rounded to decimals.
    """

    kind: str
    dtype: torch.dtype = torch.float32
    step: float = 0.0

    @classmethod
    def of(cls, answers: NDArray[np.floating], kind: str) -> Precision:
        """Finds the precision of float32 answers of shape ``(..., classes)``, NaN left out."""
        values = np.asarray(answers, np.float32)
        values = values[np.isfinite(values)]
        return cls(kind, _dtype(values), _decimal_step(values))

    def least_distance(self, answers: NDArray[Any]) -> float:
        """Returns the distance, as ``answer_distance`` has it, that is no movement yet.

        Args:
            answers: The answers that are compared, shape ``(..., classes)``. Those that are not
                finite are left out.

        Returns:
            What rounding explains where it strikes all classes, or one unit in the last decimal
            of the largest answer, whichever is more; 0 for labels, which are exact. In
            probabilities both are those of their logarithms.
        """
        return max(self.float_distance(answers), self._decimal_distance(answers))

    def float_distance(self, answers: NDArray[Any]) -> float:
        """Returns the part of :meth:`least_distance` that floating-point numbers explain."""
        values = np.abs(_finite(answers))
        if self.kind == "labels" or values.size == 0:
            return 0.0
        if self.kind == "logits":
            size = float(values.max())
        else:
            # A relative error of a probability is an absolute one of its logarithm, and the
            # logit that it came from was rounded at its own size.
            positive = values[values > 0]
            size = float(np.abs(np.log(positive)).max(initial=1.0))
        return rounding(size, self.dtype) * float(np.sqrt(values.shape[-1]))

    def _decimal_distance(self, answers: NDArray[Any]) -> float:
        values = np.abs(_finite(answers))
        if self.kind == "labels" or values.size == 0 or self.step == 0.0:
            return 0.0
        step, classes = self.step, values.shape[-1]
        if self.kind != "logits":
            step = float(np.log1p(step / max(float(values.max()), step)))
        return _HAIR * step * float(np.sqrt(1 - 1 / classes))


def _finite(answers: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the finite rows, shape ``(N, classes)``."""
    values = np.asarray(answers, np.float64)
    rows = values.reshape(-1, values.shape[-1])
    finite: NDArray[np.float64] = rows[np.isfinite(rows).all(axis=-1)]
    return finite


def _dtype(values: NDArray[np.float32]) -> torch.dtype:
    given = torch.from_numpy(values)
    for dtype in _HALVES:
        if bool((given.to(dtype).float() == given).all()):
            return dtype
    return torch.float32


def _decimal_step(values: NDArray[np.float32]) -> float:
    """One unit of the fewest decimals that give all values; 0 if more than float32 can show."""
    eps = float(np.finfo(np.float32).eps)
    for decimals in range(_MOST_DECIMALS + 1):
        scaled = values.astype(np.float64) * 10.0**decimals
        error = eps * np.abs(scaled)
        if error.max(initial=0.0) > _TELLING:
            break
        if bool((np.abs(scaled - np.round(scaled)) <= error).all()):
            return float(10.0**-decimals)
    return 0.0
