from __future__ import annotations

import pytest
import torch

from fingerprint.operators import Convolution, Dense
from fingerprint.spaces import MatrixFreeSubspace, ProjectionWarning, null_space
from fingerprint.spaces.matrix_free import row_space_part
from tests.fingerprint.spaces.judge import assert_is_null_space, random


@pytest.mark.parametrize(("stride", "padding", "outputs"), [(1, 1, 1), (2, 1, 4), (1, 0, 2)])
def test_iteration_projects_as_the_decomposition_does(
    stride: int, padding: int, outputs: int
) -> None:
    operator = Convolution(random(outputs, 3, 3, 3), (3, 10, 9), stride=stride, padding=padding)
    assert_is_null_space(MatrixFreeSubspace(operator), operator)


def test_dependent_outputs_are_no_obstacle() -> None:
    weight = random(4, 3, 3, 3)
    weight[3] = weight[0] + weight[1]
    operator = Convolution(weight, (3, 8, 8), stride=2)
    assert_is_null_space(MatrixFreeSubspace(operator), operator)


def test_what_is_subtracted_stays_in_the_row_space_however_early_it_stops() -> None:
    operator = Dense(random(20, 40) * torch.logspace(0, -4, 20).double().unsqueeze(1))
    exact = null_space(operator)
    with pytest.warns(ProjectionWarning, match="after 3 iterations"):
        early = MatrixFreeSubspace(operator, max_iterations=3).complement(random(40))
    assert float(exact.project(early).norm()) < 1e-12


def test_a_projection_reports_its_response() -> None:
    operator = Dense(random(20, 40))
    found = row_space_part(operator, random(5, 40), tolerance=1e-6, max_iterations=100)
    assert found.converged
    assert found.response.shape == (5,)
    assert 0.0 < float(found.response.max()) <= 2e-6


def test_zero_vectors_and_empty_batches_project_to_themselves() -> None:
    space = MatrixFreeSubspace(Dense(random(3, 8)))
    mixed = torch.stack([torch.zeros(8).double(), random(8)])
    projected = space.project(mixed)
    assert not projected[0].any()
    torch.testing.assert_close(projected[1], null_space(Dense(random(3, 8))).project(mixed[1]))
    assert space.project(torch.zeros(0, 8)).shape == (0, 8)


def test_single_precision_operators_reach_single_precision() -> None:
    operator = Dense(random(10, 30).float())
    harmless = MatrixFreeSubspace(operator).project(random(30))
    assert harmless.dtype == torch.float32
    assert float(operator.matvec(harmless).norm()) < 1e-4
