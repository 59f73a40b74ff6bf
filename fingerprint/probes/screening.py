"""Would another registered model fall for this probe? Measured, candidate by candidate.

For other models whose weights are at hand the harm ratio of each candidate is measured; where
only a linear part was stored, its response to δ is compared with its response to the turned
image of δ. A candidate below the floor on any of them is thrown away and drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fingerprint.distances import answer_distance
from fingerprint.network.model import Model
from fingerprint.network.run import run, to_tensor
from fingerprint.network.spec import InputSpec
from fingerprint.operators.base import LinearOperator
from fingerprint.precision import Precision, rounding
from fingerprint.probes.controls import turned

__all__ = ["FLOOR", "Measured", "Screen", "measure"]

FLOOR = 0.5
"""Harm ratio on another model below which a candidate is thrown away. Single probes of
independent models scatter by about 25 % around 0.95, so few are lost for nothing."""

_TELLING = 6
"""Candidates from which their median tells kin from chance; redraws may be fewer."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """What a model answers to candidates and their controls.

    Attributes:
        answers: To the candidates, shape ``(N, classes)``.
        control_answers: To their controls, shape ``(N, classes)``.
        ratios: Harm of each candidate over that of its control, shape ``(N,)``, neither taken
            to be less than the answers can show; infinite where neither moved the answer, NaN
            where there was none.
    """

    answers: NDArray[np.float32]
    control_answers: NDArray[np.float32]
    ratios: Array


def measure(
    model: Model, bases: NDArray[Any], harmless: NDArray[Any], places: Sequence[int]
) -> Measured:
    """Measures the harm ratio of candidates on a model.

    Args:
        model: Whom to ask.
        bases: Base of each candidate, shape ``(N, *input.shape)``.
        harmless: Candidates, same shape.
        places: Which symmetry makes the control of each candidate.
    """
    kind = model.output.kind
    origin, control_origin = np.split(
        _run_distinct(model, np.concatenate([bases, turned(bases, places)])), 2
    )
    answers = run(model, harmless)
    control_answers = run(model, turned(harmless, places))
    harm = answer_distance(answers, origin, kind)
    control = answer_distance(control_answers, control_origin, kind)
    given = np.concatenate([origin, control_origin, answers, control_answers])
    least = Precision.of(given, kind).least_distance(given)
    return Measured(answers, control_answers, _ratio(harm, control, least))


@dataclass
class Screen:
    """The other models a fingerprint must not match.

    Attributes:
        models: Those that can be asked.
        linear: Linear parts of those that cannot.
        input: What all of them take.
        given_up: Names whose probes could not be told apart, most likely undeclared kin.
    """

    models: Mapping[str, Model]
    linear: Mapping[str, LinearOperator]
    input: InputSpec
    given_up: set[str] = field(default_factory=set)

    def worst(self, bases: NDArray[Any], harmless: NDArray[Any], places: Sequence[int]) -> Array:
        """Returns each candidate's least harm ratio over the other models, shape ``(N,)``.

        A model on which most candidates fall below the floor is given up: redrawing does not
        help against a copy.
        """
        least = np.full(len(harmless), np.inf)
        for name, model in self.models.items():
            ratios = measure(model, bases, harmless, places).ratios
            least = self._combine(name, least, ratios)
        for name, operator in self.linear.items():
            ratios = self._response_ratios(operator, bases, harmless, places)
            least = self._combine(name, least, ratios)
        return least

    def _combine(self, name: str, least: Array, ratios: Array) -> Array:
        if len(ratios) >= _TELLING and np.median(ratios) < FLOOR:
            self.given_up.add(name)
        if name in self.given_up:
            return least
        combined: Array = np.minimum(least, ratios)
        return combined

    def _response_ratios(
        self,
        operator: LinearOperator,
        bases: NDArray[Any],
        harmless: NDArray[Any],
        places: Sequence[int],
    ) -> Array:
        own = self._response(operator, harmless, bases)
        control = self._response(operator, turned(harmless, places), turned(bases, places))
        size = float(np.maximum(own, control).max(initial=0.0))
        return _ratio(own, control, rounding(size, operator.dtype) * operator.m**0.5)

    def _response(
        self, operator: LinearOperator, inputs: NDArray[Any], origin: NDArray[Any]
    ) -> Array:
        dtype, device = operator.dtype, operator.device
        delta = to_tensor(inputs, self.input, dtype) - to_tensor(origin, self.input, dtype)
        with torch.no_grad():
            answer = operator.matvec(delta.to(device)).flatten(1).norm(dim=1)
        response: Array = answer.double().cpu().numpy()
        return response


def _run_distinct(model: Model, inputs: NDArray[Any]) -> NDArray[np.float32]:
    """Answers inputs of which many are equal: candidates share bases, plain ones do not turn."""
    flat, places = np.unique(inputs.reshape(len(inputs), -1), axis=0, return_inverse=True)
    answers = run(model, flat.reshape(-1, *model.input.shape))
    return answers[places.reshape(-1)]


def _ratio(harm: Array, control: Array, least: float) -> Array:
    """Ratios of what moved; a movement too small to be seen is taken to be as large as that."""
    ratio: Array = np.maximum(harm, least) / np.maximum(control, least)
    ratio[(harm <= least) & (control <= least)] = np.inf
    return ratio
