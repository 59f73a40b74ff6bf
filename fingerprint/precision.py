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

import math
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
_CLEAR = 64.0
"""Steps of float32, at the largest answer, that a grid's own must have to be told apart."""
_MOST_PARTS = 8
"""How many steps the two closest of all answers may lie apart."""
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
        Whether any entry does; what is not finite differs from everything, also from itself.
    """
    one, other = first.double(), second.double()
    if not (bool(one.isfinite().all()) and bool(other.isfinite().all())):
        return True
    size = max((float(t.abs().max()) for t in (one, other) if t.numel()), default=0.0)
    limit = max(rounding(size, first.dtype), tolerance * size)
    return not bool(((one - other - shift).abs() <= limit).all())


@dataclass(frozen=True)
class Precision:
    """How precisely one suspect gives its answers.

    Attributes:
        kind: ``logits``, ``probabilities``, ``top-k`` or ``labels``.
        dtype: The coarsest floating-point type that holds all of them.
        step: Of the coarsest grid that holds all of them, such as one unit in their last decimal or
            1/255; 0 where there is none that float32 can show.
    """

    kind: str
    dtype: torch.dtype = torch.float32
    step: float = 0.0

    @classmethod
    def of(cls, answers: NDArray[np.floating], kind: str) -> Precision:
        """Finds the precision of float32 answers of shape ``(..., classes)``, NaN left out."""
        values = np.asarray(answers, np.float32)
        finite = values[np.isfinite(values)]
        decimal, grid = _decimal_step(finite), _grid_step(values, kind)
        return cls(kind, _dtype(finite), grid if grid > 1.01 * decimal else decimal)

    @property
    def said(self) -> str:
        """How coarse they are, in words; empty where they are as fine as float32, and of labels."""
        if self.kind == "labels":
            return ""
        if self.step:
            decimals = round(-math.log10(self.step))
            if math.isclose(self.step, 10.0**-decimals, rel_tol=1e-6):
                plural = "" if decimals == 1 else "s"
                return f"{decimals} decimal{plural}" if decimals > 0 else "whole numbers"
        if self.dtype in _HALVES:
            return "in half precision"
        return f"in steps of {self.step:.3g}" if self.step else ""

    def least_distance(self, answers: NDArray[Any]) -> float:
        """Returns the distance, as ``answer_distance`` has it, that is no movement yet.

        Args:
            answers: The answers that are compared, shape ``(..., classes)``. Those that are not
                finite are left out.

        Returns:
            What rounding explains where it strikes all classes, or one step of the largest answer's
            grid, whichever is more; 0 for labels, which are exact. In
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


def _grid_step(values: NDArray[np.float32], kind: str) -> float:
    """Step of the uniform grid that holds all values, whatever it is; 0 if there is none to see.

    Quantised networks answer in multiples of a number of their own, endpoints in 255ths. Of logits
    only differences within a row are looked at: what is subtracted from a row says nothing.
    """
    rows = _finite(values)
    if rows.size == 0:
        return 0.0
    least_seen = float(np.finfo(np.float32).eps) * float(np.abs(rows).max())
    if kind == "logits":
        rows = rows.max(axis=-1, keepdims=True) - rows
    points = np.unique(rows)
    apart = np.unique(np.concatenate([np.diff(points), points - points[0]]))
    # What float32 takes for one point may come out as several.
    apart = apart[apart > 4 * least_seen]
    for parts in range(1, _MOST_PARTS + 1):
        if apart.size == 0 or apart[0] < parts * _CLEAR * least_seen:
            break
        step = _divisor(apart, parts, 2 * least_seen)
        if step > 0:
            return step
    return 0.0


def _divisor(apart: NDArray[np.float64], parts: int, off: float) -> float:
    """A part of the least of ascending distances if all are multiples of it; 0 if one is not.

    Each may be wrong by ``off``. The larger ones tell the divisor more precisely, so it is refined
    on the way; one too large for what is known of it by then tells nothing either way.
    """
    step, told = float(apart[0]) / parts, float(parts)
    while apart.size:
        near = apart <= 4 * step * told
        if not near.any():
            near[0] = True
        times = np.round(apart[near] / step)
        wrong = off * (1 + times / told)
        if wrong.max() > step / 4 or (np.abs(apart[near] - times * step) > wrong).any():
            return 0.0
        told = float(times.max())
        step = float(apart[near].max()) / told
        apart = apart[~near]
    return step
