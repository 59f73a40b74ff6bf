"""The benchmark of solvers: what it counts, and that its candidates solve what they say."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks import solvers
from benchmarks.solvers import MARKS, Metered, Prices, Spent
from fingerprint.solvers.objective import Objective
from tests.fingerprint.solvers.problems import Spy

PRICES = Prices(forward=0.25, backward=0.75, forth=0.5)


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.Conv2d(2, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 7)
        return nn.Sequential(*layers).double().requires_grad_(False)


def metered(spy: Spy) -> tuple[Metered, Tensor]:
    generator = torch.Generator().manual_seed(0)
    base, noise = torch.rand(2, 3, 2, 6, 6, generator=generator, dtype=torch.float64)
    objective = Metered(spy, base, (torch.zeros_like(base), torch.ones_like(base)), PRICES)
    return objective, objective.clip(base + noise - 0.5)


@pytest.mark.parametrize("name", solvers.SOLVERS)
def test_every_candidate_gets_nearer_and_stays_in_the_box(name: str) -> None:
    spy = Spy(network())
    objective, start = metered(spy)
    with suppress(Spent), torch.no_grad():
        solvers.SOLVERS[name][1](objective, start)
    assert list(objective.noted) == list(MARKS)
    plain = Objective(spy, objective.base, (0.0, 1.0))
    reached = [float(plain.residual(point).norm()) for point, _ in objective.noted.values()]
    assert reached == sorted(reached, reverse=True)
    assert reached[-1] < 1e-3 < float(plain.residual(start).norm())
    assert 0.0 <= spy.lowest <= spy.highest <= 1.0


def test_a_budget_is_what_was_asked_at_its_price() -> None:
    spy = Spy(network())
    objective, start = metered(spy)
    spy.asked = 0
    _, push, pull = objective.linearised(start)
    for _ in range(8):
        push(torch.ones_like(start))  # 1 + 8 * 0.5
    for _ in range(8):
        pull(torch.ones(3, 7, dtype=start.dtype))  # + 8 * 0.75 = 11
    assert objective.noted == {}
    objective.residual(objective.base)  # 11.25
    assert objective.noted == {}
    objective.value_and_gradient(start, torch.arange(3))
    assert list(objective.noted) == [12]
    torch.testing.assert_close(objective.noted[12][0], objective.base)  # the best before
    assert spy.asked == 3 * (1 + 1 + 1)


def test_products_with_the_jacobian_are_those_of_finite_differences() -> None:
    objective, start = metered(Spy(network()))
    residual, push, pull = objective.linearised(start)
    generator = torch.Generator().manual_seed(2)
    direction = torch.randn(start.shape, generator=generator, dtype=start.dtype)
    weights = torch.randn(residual.shape, generator=generator, dtype=start.dtype)
    ahead, behind = (objective.residual(start + size * direction) for size in (1e-5, -1e-5))
    torch.testing.assert_close(push(direction), (ahead - behind) / 2e-5, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(
        (pull(weights) * direction.flatten(1)).sum(1), (push(direction) * weights).sum(1)
    )


def test_conjugate_gradients_solve_the_damped_least_squares_problem() -> None:
    generator = torch.Generator().manual_seed(1)
    matrix, residual = torch.rand(3, 9, generator=generator, dtype=torch.float64), torch.ones(1, 3)
    free = torch.arange(9)[None] > 1
    residual = residual.double()
    downhill = -(residual @ matrix) * free
    damping = torch.full((1, 1), 0.1, dtype=torch.float64)
    step = solvers._conjugate_gradients(
        residual, lambda d: d @ matrix.T, lambda r: r @ matrix, downhill, free, damping
    )
    bend = float((matrix @ downhill[0]).square().sum() / downhill.square().sum())
    kept = matrix[:, 2:].numpy()
    normal = kept.T @ kept + 0.1 * bend * np.eye(7)
    expected = np.linalg.solve(normal, -kept.T @ np.ones(3))
    np.testing.assert_allclose(step[0, 2:], expected, atol=1e-10)
    assert not bool(step[0, :2].any())
