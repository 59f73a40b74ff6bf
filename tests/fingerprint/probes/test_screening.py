"""Harm ratios of candidates on a model: what moved neither way tells nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from fingerprint.probes.screening import measure
from fingerprint.probes.turns import turned

SIZE = (1, 4, 4)
ROWS, TURNS = range(4), (0,)


class Corner(nn.Module):
    """Sees the upper left pixel, and answers in numbers of a given size."""

    def __init__(self, size: float) -> None:
        super().__init__()
        row = torch.linspace(-1, 1, 5).square()
        self.row = nn.Parameter(size * row, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.row * (1 + x[:, 0, 0, :1])


def seeing_a_corner(size: float) -> Model:
    return load_model(Corner(size), input_size=SIZE)


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e10, 1e38])
def test_a_ratio_is_taken_where_the_candidate_or_its_control_moved_the_answer(size: float) -> None:
    bases = np.full((4, *SIZE), 100, np.uint8)
    candidates = bases.copy()
    candidates[0, 0, 0, 0] = 200  # its control leaves the corner alone
    candidates[1] = turned(bases[:1], candidates[:1], [1])[0, 0]  # its control does not
    candidates[2] = 200  # both do
    candidates[3, 0, 1, 1] = 200  # neither does
    ratios = measure(seeing_a_corner(size), bases, candidates, ROWS, TURNS).orbits.ratios
    assert 1e3 < ratios[0] < np.inf
    assert 0 < ratios[1] < 1e-3
    assert ratios[2] == pytest.approx(1.0)
    assert np.isinf(ratios[3])


def test_what_was_not_answered_has_no_ratio() -> None:
    bases = np.full((4, *SIZE), 100, np.uint8)
    model = seeing_a_corner(float("nan"))
    assert np.isnan(measure(model, bases, bases + 1, ROWS, TURNS).orbits.ratios).all()
