"""Would another registered model fall for this probe? Measured, candidate by candidate.

For other models whose weights are at hand the harm ratio of each candidate is measured; where
only a linear part was stored, its response to δ is compared with its response to the symmetry
control of δ. A candidate below the floor on any of them is thrown away and drawn again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fingerprint.harm import Harms, harms_of
from fingerprint.network.model import Model
from fingerprint.network.run import run, to_tensor
from fingerprint.network.spec import InputSpec
from fingerprint.operators.base import LinearOperator
from fingerprint.precision import Precision, rounding
from fingerprint.probes.controls import symmetry_controls
from fingerprint.probes.probe import ProbeRequest

__all__ = ["FLOOR", "Measured", "Screen", "Screened", "measure"]

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
        harms: How far both moved its answers.
    """

    answers: NDArray[np.float32]
    control_answers: NDArray[np.float32]
    harms: Harms


def measure(
    model: Model,
    bases: NDArray[Any],
    harmless: NDArray[Any],
    requests: Sequence[ProbeRequest],
) -> Measured:
    """Measures what candidates and their controls do to a model.

    Args:
        model: Whom to ask.
        bases: Public bases, shape ``(B, *input.shape)``.
        harmless: Candidates, shape ``(N, *input.shape)``.
        requests: What each of them was solved for.
    """
    rows = np.array([request.base for request in requests])
    symmetries = [request.symmetry for request in requests]
    own, mirrored = bases[rows], symmetry_controls(bases[rows], symmetries)
    origin, control_origin = np.split(_run_distinct(model, np.concatenate([own, mirrored])), 2)
    answers = run(model, harmless)
    control_answers = run(model, symmetry_controls(harmless, symmetries))
    given = np.concatenate([origin, control_origin, answers, control_answers])
    known = Precision.of(given, model.output.kind)
    harms = harms_of(answers, origin, control_answers, control_origin, rows=rows, known=known)
    return Measured(answers, control_answers, harms)


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
        requests: Sequence[ProbeRequest],
        given_up: frozenset[str] = frozenset(),
    ) -> Screened:
        """Holds candidates against the other models.

        A model on which most candidates fall below the floor is given up: redrawing does not
        help against a copy.

        Args:
            bases: Public bases, shape ``(B, *input.shape)``.
            harmless: Candidates, shape ``(N, *input.shape)``.
            requests: What each of them was solved for.
            given_up: Models that earlier candidates were given up on.
        """
        least = np.full(len(harmless), np.inf)
        for name, ratios in self._ratios(bases, harmless, requests):
            if len(ratios) >= _TELLING and np.median(ratios) < FLOOR:
                given_up |= {name}
            if name not in given_up:
                least = np.minimum(least, ratios)
        return Screened(least, given_up)

    def _ratios(
        self, bases: NDArray[Any], harmless: NDArray[Any], requests: Sequence[ProbeRequest]
    ) -> Iterator[tuple[str, Array]]:
        for name, model in self.models.items():
            yield name, measure(model, bases, harmless, requests).harms.ratios
        for name, operator in self.linear.items():
            yield name, self._response_ratios(operator, bases, harmless, requests)

    def _response_ratios(
        self,
        operator: LinearOperator,
        bases: NDArray[Any],
        harmless: NDArray[Any],
        requests: Sequence[ProbeRequest],
    ) -> Array:
        origin = bases[[request.base for request in requests]]
        symmetries = [request.symmetry for request in requests]
        own = self._response(operator, harmless, origin)
        control = self._response(
            operator,
            symmetry_controls(harmless, symmetries),
            symmetry_controls(origin, symmetries),
        )
        size = float(np.maximum(own, control).max(initial=0.0))
        least = np.full(len(own), rounding(size, operator.dtype) * operator.m**0.5)
        return Harms(np.maximum(own, least), np.maximum(control, least), least).ratios

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
