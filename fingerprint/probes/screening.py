"""Would another registered model fall for this probe? Measured, candidate by candidate.

For other models whose weights are at hand the harm ratio of each candidate is measured; where
only a linear part was stored, its response to δ is compared with its response to δ turned. A
candidate below the floor on any of them is thrown away and drawn again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fingerprint.harm import Orbits, orbits_of
from fingerprint.network.depths import Depth
from fingerprint.network.model import Model
from fingerprint.network.run import run, to_tensor
from fingerprint.network.spec import InputSpec
from fingerprint.operators.base import LinearOperator
from fingerprint.precision import Precision, rounding
from fingerprint.probes.turns import turned

__all__ = ["FLOOR", "Measured", "Screen", "Screened", "measure"]

FLOOR = 0.5
"""Harm ratio on another model below which a candidate is thrown away. Single probes of
independent models scatter by about 25 % around 0.95, so few are lost for nothing."""

_TELLING = 6
"""Candidates from which their median tells kin from chance; redraws may be fewer."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """What a model answers to candidates and their turns.

    Attributes:
        answers: To the candidates, shape ``(N, classes)``.
        control_answers: To their turns, shape ``(N, k, classes)``.
        orbits: How far all of them moved its answers.
    """

    answers: NDArray[np.float32]
    control_answers: NDArray[np.float32]
    orbits: Orbits


def measure(
    model: Model | Depth,
    bases: NDArray[Any],
    harmless: NDArray[Any],
    rows: Sequence[int],
    turns: Sequence[int],
) -> Measured:
    """Measures what candidates and their turns do to a model.

    Args:
        model: Whom to ask, or up to which depth of it; what a depth gives compares as logits do.
        bases: Public bases, shape ``(B, *input.shape)``.
        harmless: Candidates, shape ``(N, *input.shape)``.
        rows: Which base each of them has.
        turns: Which turns are controls.
    """
    own = bases[list(rows)]
    origin = run(model, bases)[list(rows)]
    answers = run(model, harmless)
    controls = turned(own, harmless, turns)
    given = run(model, controls.reshape(-1, *model.input.shape))
    control_answers = given.reshape(*controls.shape[:2], -1)
    kind = model.output.kind if isinstance(model, Model) else "logits"
    known = Precision.of(np.concatenate([origin, answers, given]), kind)
    return Measured(
        answers, control_answers, orbits_of(answers, origin, control_answers, known=known)
    )


@dataclass(frozen=True, eq=False)
class Screened:
    """What candidates do to the other models.

    Attributes:
        least: Each candidate's least harm ratio over the other models, shape ``(N,)``; infinite
            where there is none to stay away from.
        given_up: Names whose probes could not be told apart, most likely undeclared kin.
    """

    least: Array
    given_up: frozenset[str]


@dataclass(frozen=True, eq=False)
class Screen:
    """The other models a fingerprint must not match.

    Attributes:
        models: Those that can be asked.
        linear: Linear parts of those that cannot.
        input: What all of them take.
    """

    models: Mapping[str, Model]
    linear: Mapping[str, LinearOperator]
    input: InputSpec

    @property
    def names(self) -> tuple[str, ...]:
        """Whom candidates are held against."""
        return (*self.models, *self.linear)

    def screened(
        self,
        bases: NDArray[Any],
        harmless: NDArray[Any],
        rows: Sequence[int],
        turns: Sequence[int],
        given_up: frozenset[str] = frozenset(),
    ) -> Screened:
        """Holds candidates of one depth against the other models.

        A model on which most candidates fall below the floor is given up: redrawing does not
        help against a copy.

        Args:
            bases: Public bases, shape ``(B, *input.shape)``.
            harmless: Candidates, shape ``(N, *input.shape)``.
            rows: Which base each of them has.
            turns: Which turns are controls.
            given_up: Models that earlier candidates were given up on.
        """
        least = np.full(len(harmless), np.inf)
        for name, ratios in self._ratios(bases, harmless, rows, turns):
            if len(ratios) >= _TELLING and np.median(ratios) < FLOOR:
                given_up |= {name}
            if name not in given_up:
                least = np.minimum(least, ratios)
        return Screened(least, given_up)

    def _ratios(
        self,
        bases: NDArray[Any],
        harmless: NDArray[Any],
        rows: Sequence[int],
        turns: Sequence[int],
    ) -> Iterator[tuple[str, Array]]:
        for name, model in self.models.items():
            yield name, measure(model, bases, harmless, rows, turns).orbits.ratios
        own = bases[list(rows)]
        controls = turned(own, harmless, turns)
        for name, operator in self.linear.items():
            members = [harmless, *(controls[:, place] for place in range(controls.shape[1]))]
            harm = np.stack([self._response(operator, one, own) for one in members], axis=1)
            size = float(harm.max(initial=0.0))
            least = np.full(len(harm), rounding(size, operator.dtype) * operator.m**0.5)
            yield name, Orbits(np.maximum(harm, least[:, None]), least).ratios

    def _response(
        self, operator: LinearOperator, inputs: NDArray[Any], origin: NDArray[Any]
    ) -> Array:
        dtype, device = operator.dtype, operator.device
        delta = to_tensor(inputs, self.input, dtype) - to_tensor(origin, self.input, dtype)
        with torch.no_grad():
            answer = operator.matvec(delta.to(device)).flatten(1).norm(dim=1)
        response: Array = answer.double().cpu().numpy()
        return response
