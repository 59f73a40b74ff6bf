"""Would another registered model fall for this probe? Measured, candidate by candidate.

For other models whose weights are at hand the harm ratio of each candidate is measured; where
only a linear part was stored, its response to δ is compared with its response to the controls.
A candidate below the floor on any of them is thrown away and drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fingerprint.models.answers import answer_distance
from fingerprint.models.model import Model
from fingerprint.models.run import run, to_tensor
from fingerprint.models.spec import InputSpec
from fingerprint.operators.base import LinearOperator
from fingerprint.probes.probe import BaseSet

__all__ = ["FLOOR", "BaseHarm", "Screen", "base_harm", "harm_ratios"]

FLOOR = 0.5
"""Harm ratio on another model below which a candidate is thrown away. Single probes of
independent models scatter by about 20 % around 0.9, so few are lost for nothing."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BaseHarm:
    """What a model answers to the public inputs.

    Attributes:
        base_answers: Shape ``(B, classes)``.
        control_answers: Shape ``(B, K, classes)``.
        scale: Geometric mean harm of each base's controls, shape ``(B,)``.
    """

    base_answers: NDArray[np.float32]
    control_answers: NDArray[np.float32]
    scale: Array


def base_harm(model: Model, base_set: BaseSet) -> BaseHarm:
    """Asks a model the public inputs of a fingerprint."""
    bases, controls = base_set.bases, base_set.controls
    answers = run(model, np.concatenate([bases, controls.reshape(-1, *bases.shape[1:])]))
    base_answers = answers[: len(bases)]
    control_answers = answers[len(bases) :].reshape(*controls.shape[:2], -1)
    harm = answer_distance(control_answers, base_answers[:, None], model.output.kind)
    return BaseHarm(base_answers, control_answers, _geometric_mean(harm))


def harm_ratios(
    model: Model, known: BaseHarm, harmless: NDArray[Any], rows: NDArray[np.int64]
) -> tuple[Array, NDArray[np.float32]]:
    """Measures the harm ratio of candidates on a model.

    Args:
        model: Whom to ask.
        known: Its answers to the public inputs.
        harmless: Candidates, shape ``(N, *input.shape)``.
        rows: Base of each candidate, shape ``(N,)``.

    Returns:
        Harm ratios of shape ``(N,)`` and the answers of shape ``(N, classes)``.
    """
    answers = run(model, harmless)
    harm = answer_distance(answers, known.base_answers[rows], model.output.kind)
    scale = np.maximum(known.scale[rows], np.finfo(np.float64).tiny)
    return harm / scale, answers


@dataclass
class Screen:
    """The other models a fingerprint must not match.

    Attributes:
        models: Those that can be asked.
        linear: Linear parts of those that cannot.
        base_set: The public inputs.
        given_up: Names whose probes could not be told apart, most likely undeclared kin.
    """

    models: Mapping[str, Model]
    linear: Mapping[str, LinearOperator]
    base_set: BaseSet
    input: InputSpec
    given_up: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._known = {name: base_harm(model, self.base_set) for name, model in self.models.items()}
        self._responses = {
            name: self._control_response(operator) for name, operator in self.linear.items()
        }

    def worst(self, harmless: NDArray[Any], rows: NDArray[np.int64]) -> Array:
        """Returns each candidate's least harm ratio over the other models, shape ``(N,)``.

        A model on which most candidates fall below the floor is given up: redrawing does not
        help against a copy.
        """
        least = np.full(len(rows), np.inf)
        for name, model in self.models.items():
            ratios, _ = harm_ratios(model, self._known[name], harmless, rows)
            least = self._combine(name, least, ratios)
        for name, operator in self.linear.items():
            response = self._response(operator, harmless, self.base_set.bases[rows])
            least = self._combine(name, least, response / self._responses[name][rows])
        return least

    def _combine(self, name: str, least: Array, ratios: Array) -> Array:
        if name in self.given_up or np.median(ratios) < FLOOR:
            self.given_up.add(name)
            return least
        combined: Array = np.minimum(least, ratios)
        return combined

    def _control_response(self, operator: LinearOperator) -> Array:
        bases, controls = self.base_set.bases, self.base_set.controls
        flat = controls.reshape(-1, *bases.shape[1:])
        origin = np.repeat(bases, controls.shape[1], axis=0)
        response = self._response(operator, flat, origin).reshape(controls.shape[:2])
        return _geometric_mean(response)

    def _response(
        self, operator: LinearOperator, inputs: NDArray[Any], origin: NDArray[Any]
    ) -> Array:
        dtype, device = operator.dtype, operator.device
        delta = to_tensor(inputs, self.input, dtype) - to_tensor(origin, self.input, dtype)
        with torch.no_grad():
            answer = operator.matvec(delta.to(device)).flatten(1).norm(dim=1)
        response: Array = answer.double().cpu().numpy()
        return response


def _geometric_mean(harm: Array) -> Array:
    mean: Array = np.exp(np.log(np.maximum(harm, np.finfo(np.float64).tiny)).mean(axis=-1))
    return mean
