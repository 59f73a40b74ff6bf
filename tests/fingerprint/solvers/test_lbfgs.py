"""Projected L-BFGS against SciPy's L-BFGS-B, and its promises to each probe of a batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from fingerprint.errors import IncompatibleModel
from fingerprint.solvers.lbfgs import projected_lbfgs
from fingerprint.solvers.objective import Objective
from tests.fingerprint.solvers.problems import (
    BOX,
    Spy,
    assert_in_box,
    residuals,
    small_network,
)


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def corners(count: int, seed: int = 1) -> Tensor:
    return random(count, 12, seed=seed).round()


def linear_network(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: x @ matrix.T


@pytest.mark.parametrize("seed", range(5))
def test_a_bounded_least_squares_problem_ends_at_scipy_s_optimum(seed: int) -> None:
    """The target is moved out of reach, so that the optimum lies on faces of the box."""
    matrix = 2 * random(8, 12, seed=seed) - 1
    objective = Objective(linear_network(matrix), random(1, 12, seed=seed + 9), BOX)
    wish = 6 * random(1, 8, seed=seed + 5)
    objective.target = wish - wish.mean()
    found = projected_lbfgs(objective, corners(1, seed), tolerance=0.0, max_passes=400)

    centre = matrix.numpy() - matrix.numpy().mean(axis=0)
    target, scale = objective.target.numpy()[0], float(objective.scale)

    def value(z: np.ndarray) -> float:
        return 0.5 * float(np.sum((centre @ z - target) ** 2)) / scale**2

    judge = minimize(
        value,
        np.full(12, 0.5),
        jac=lambda z: centre.T @ (centre @ z - target) / scale**2,
        bounds=[BOX] * 12,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-12, "maxiter": 2000},
    )
    assert np.isclose(judge.x, 0).any() or np.isclose(judge.x, 1).any()
    assert judge.fun > 1e-3
    point = (objective.base + found.delta).numpy()[0]
    assert value(point) == pytest.approx(judge.fun, rel=1e-6)
    assert float(found.residual[0]) == pytest.approx(np.sqrt(2 * judge.fun), rel=1e-6)
    assert not bool(found.converged[0])
    assert_in_box(objective.base, found)


def test_a_solvable_problem_is_solved_and_reported_as_it_is() -> None:
    network, base = small_network(), random(6, 12)
    found = projected_lbfgs(
        Objective(network, base, BOX), corners(6), tolerance=1e-4, max_passes=150
    )
    assert bool(found.converged.all())
    np.testing.assert_allclose(found.residual, residuals(network, base, found.delta), atol=1e-12)
    assert float(found.residual.max()) <= 1e-4
    assert float(found.delta.norm(dim=1).min()) > 0.5  # not the way out, δ = 0
    assert_in_box(base, found)


def test_the_network_is_never_asked_outside_the_box() -> None:
    spy = Spy(small_network())
    found = projected_lbfgs(
        Objective(spy, random(4, 12), BOX), corners(4), tolerance=1e-3, max_passes=60
    )
    assert spy.asked > 4 * 5
    assert spy.lowest >= 0.0
    assert spy.highest <= 1.0
    assert spy.asked == 4 * (found.passes + 1)  # once more for the answers to the bases


def test_two_probes_together_take_the_steps_each_takes_alone() -> None:
    network, base, start = small_network(), random(2, 12), corners(2)
    together = projected_lbfgs(Objective(network, base, BOX), start, tolerance=0.0, max_passes=25)
    for k in range(2):
        row = slice(k, k + 1)
        alone = projected_lbfgs(
            Objective(network, base[row], BOX), start[row], tolerance=0.0, max_passes=25
        )
        torch.testing.assert_close(together.delta[k], alone.delta[0], atol=1e-9, rtol=0)


def test_a_probe_stops_at_the_same_point_whoever_else_is_in_the_batch() -> None:
    network, base, start = small_network(), random(2, 12), corners(2)
    together = projected_lbfgs(Objective(network, base, BOX), start, tolerance=1e-2, max_passes=150)
    for k in range(2):
        row = slice(k, k + 1)
        alone = projected_lbfgs(
            Objective(network, base[row], BOX), start[row], tolerance=1e-2, max_passes=150
        )
        torch.testing.assert_close(together.delta[k], alone.delta[0], atol=1e-9, rtol=0)


def test_a_probe_that_has_arrived_is_asked_no_more() -> None:
    network, base, start = small_network(), random(2, 12), corners(2)
    start[1] = base[1] + 1e-9

    def passes(row: slice) -> float:
        objective = Objective(network, base[row], BOX)
        return projected_lbfgs(objective, start[row], tolerance=1e-2, max_passes=150).passes

    far, near = passes(slice(0, 1)), passes(slice(1, 2))
    assert far > 5
    assert near == 1
    assert passes(slice(0, 2)) == (far + near) / 2


def test_a_probe_stays_in_a_box_of_its_own() -> None:
    """Also once the probe before it has arrived and left the batch."""
    network, base, start = small_network(), random(2, 12), corners(2)
    start[0] = base[0] + 1e-9
    box = (base - 0.3, base + 0.3)
    objective = Objective(network, base, box)
    found = projected_lbfgs(objective, objective.clip(start), tolerance=1e-3, max_passes=150)
    assert bool(found.converged.all())
    assert float(found.delta.abs().max()) <= 0.3 + 1e-15
    assert float(found.delta[1].abs().max()) > 0.25


@pytest.mark.parametrize("passes", [2, 3, 5])
def test_too_few_passes_are_reported_as_not_converged(passes: int) -> None:
    network, base, start = small_network(), random(4, 12), corners(4)
    found = projected_lbfgs(
        Objective(network, base, BOX), start, tolerance=1e-12, max_passes=passes
    )
    assert not bool(found.converged.any())
    assert found.passes == passes
    actual = residuals(network, base, found.delta)
    np.testing.assert_allclose(found.residual, actual, atol=1e-12)
    assert (actual <= residuals(network, base, start - base) + 1e-12).all()


def test_a_network_that_overflows_at_the_start_is_not_called_converged() -> None:
    def network(x: Tensor) -> Tensor:
        return (x @ random(5, 12).T) * torch.where(x.sum(1, keepdim=True) > 8, torch.inf, 1.0)

    base = torch.full((2, 12), 0.3, dtype=torch.float64) + 0.1 * random(2, 12)
    start = torch.stack([torch.ones(12), base[1].flip(0)]).double()
    found = projected_lbfgs(Objective(network, base, BOX), start, tolerance=1e-3, max_passes=150)
    assert found.converged.tolist() == [False, True]


def test_progress_is_told_after_each_pass() -> None:
    seen: list[tuple[int, int]] = []
    objective = Objective(small_network(), random(1, 12), BOX)
    projected_lbfgs(
        objective,
        corners(1),
        tolerance=0.0,
        max_passes=9,
        progress=lambda _, step, steps: seen.append((step, steps)),
    )
    assert seen == [(step, 9) for step in range(2, 10)]


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_a_network_whose_way_back_fails_is_refused_in_a_line() -> None:
    network = small_network()

    def checkpointed(x: Tensor) -> Tensor:
        answers: Tensor = checkpoint(network, x, use_reentrant=True)
        return answers

    objective = Objective(checkpointed, random(2, 12), BOX)
    with pytest.raises(IncompatibleModel, match=r"way back fails: .*--answers-only$"):
        projected_lbfgs(objective, corners(2), tolerance=0.0, max_passes=4)
