"""The bounded step against SciPy's bounded least squares and quadratic programming."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import lsq_linear, minimize

from fingerprint.solvers.gauss_newton import bounded_step

Array = NDArray[np.float64]


def step_of(jacobian: Array, residual: Array, down: Array, up: Array) -> Array:
    """Solves one problem as a batch of one."""
    tensors = [torch.from_numpy(values)[None] for values in (jacobian, residual, down, up)]
    step: Array = bounded_step(*tensors)[0].numpy()
    return step


def problem(seed: int, *, reach: float) -> tuple[Array, Array, Array, Array]:
    """A random problem; some coordinates have no room, as those on a face of the box.

    Args:
        seed: Decides everything else.
        reach: The residual is cancelled by a step this many times as long as one inside the box.
    """
    noise = np.random.default_rng(seed)
    m, n = int(noise.integers(1, 5)), int(noise.integers(10, 30))
    jacobian = noise.standard_normal((m, n))
    down, up = noise.random(n), noise.random(n)
    down[noise.random(n) < 0.2] = 0.0
    up[noise.random(n) < 0.2] = 0.0
    residual = -jacobian @ noise.uniform(-down, up) * reach
    return jacobian, residual, down, up


def smallest_by_quadratic_programming(
    jacobian: Array, residual: Array, down: Array, up: Array
) -> Array:
    """Minimises ½‖d‖² subject to ``J d = −r`` and the box."""
    found: Any = minimize(
        lambda d: 0.5 * d @ d,
        np.zeros(len(down)),
        jac=lambda d: d,
        bounds=list(zip(-down, up, strict=True)),
        constraints={"type": "eq", "fun": lambda d: jacobian @ d + residual},
        method="SLSQP",
        options={"ftol": 1e-10, "maxiter": 300},
    )
    assert np.linalg.norm(jacobian @ found.x + residual) < 1e-6
    step: Array = found.x
    return step


@pytest.mark.parametrize("seed", range(50))
def test_a_step_in_reach_cancels_the_residual_inside_the_box_near_the_smallest_norm(
    seed: int,
) -> None:
    jacobian, residual, down, up = problem(seed, reach=0.8)
    step = step_of(jacobian, residual, down, up)
    assert (step >= -down).all()
    assert (step <= up).all()
    assert np.linalg.norm(jacobian @ step + residual) <= 1e-8 * np.linalg.norm(residual)
    smallest = smallest_by_quadratic_programming(jacobian, residual, down, up)
    assert np.linalg.norm(step) <= 1.01 * np.linalg.norm(smallest) + 1e-9


def test_without_a_face_in_the_way_the_step_is_the_pseudo_inverse_s() -> None:
    noise = np.random.default_rng(0)
    jacobian, residual, wide = (
        noise.standard_normal((4, 30)), noise.standard_normal(4), np.full(30, 1e6)
    )  # fmt: skip
    step = step_of(jacobian, residual, wide, wide)
    np.testing.assert_allclose(step, -np.linalg.pinv(jacobian) @ residual, rtol=1e-7)


def test_clipping_after_the_fact_would_leave_a_residual() -> None:
    """What the active set is for: the case it must win is one where clipping loses."""
    jacobian, residual, down, up = problem(3, reach=0.9)
    clipped = np.clip(-np.linalg.pinv(jacobian) @ residual, -down, up)
    step = step_of(jacobian, residual, down, up)
    assert np.linalg.norm(jacobian @ clipped + residual) > 0.05 * np.linalg.norm(residual)
    assert np.linalg.norm(jacobian @ step + residual) < 1e-8 * np.linalg.norm(residual)


@pytest.mark.parametrize("seed", range(30))
def test_dependent_rows_do_no_harm(seed: int) -> None:
    """Residuals have no mean over classes, so every Jacobian of a network is rank deficient."""
    jacobian, residual, down, up = problem(seed, reach=0.5)
    stacked = np.vstack([jacobian, jacobian.sum(axis=0), 2 * jacobian[0]])
    consistent = np.concatenate([residual, [residual.sum()], [2 * residual[0]]])
    step = step_of(stacked, consistent, down, up)
    assert np.linalg.norm(stacked @ step + consistent) <= 1e-7 * np.linalg.norm(consistent)
    np.testing.assert_allclose(step, step_of(jacobian, residual, down, up), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000))
@example(2192)
def test_with_no_exact_solution_the_step_stays_in_the_box_and_lowers_the_residual(
    seed: int,
) -> None:
    jacobian, residual, down, up = problem(seed, reach=30.0)
    step = step_of(jacobian, residual, down, up)
    assert (step >= -down).all()
    assert (step <= up).all()
    # By active sets: scipy's default, an interior method, stops 7e-9 short of the optimum at 2192.
    box = (-down - 1e-12, up + 1e-12)
    best = lsq_linear(jacobian, -residual, box, tol=1e-12, method="bvls").x
    left = np.linalg.norm(jacobian @ step + residual)
    assert np.linalg.norm(jacobian @ best + residual) <= left * (1 + 1e-9)
    assert left <= np.linalg.norm(residual)


def test_problems_of_a_batch_do_not_touch_each_other() -> None:
    noise = torch.Generator().manual_seed(0)
    jacobian = torch.randn(5, 3, 20, generator=noise, dtype=torch.float64)
    residual = torch.randn(5, 3, generator=noise, dtype=torch.float64)
    down, up = torch.rand(2, 5, 20, generator=noise, dtype=torch.float64)
    together = bounded_step(jacobian, residual, down, up)
    for k in range(5):
        alone = bounded_step(*(v[k : k + 1] for v in (jacobian, residual, down, up)))
        torch.testing.assert_close(together[k], alone[0], atol=1e-12, rtol=1e-9)


def test_with_no_room_at_all_the_step_is_zero() -> None:
    jacobian = np.random.default_rng(0).standard_normal((3, 10))
    step = step_of(jacobian, np.ones(3), np.zeros(10), np.zeros(10))
    np.testing.assert_array_equal(step, 0.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_dead_region_gives_a_zero_step(dtype: torch.dtype) -> None:
    """All units off at the start: the Jacobian is zero and no step can help."""
    room = torch.ones(1, 10, dtype=dtype)
    step = bounded_step(torch.zeros(1, 3, 10, dtype=dtype), torch.ones(1, 3).to(dtype), room, room)
    assert torch.equal(step, torch.zeros(1, 10, dtype=dtype))
