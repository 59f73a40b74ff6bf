"""The nearest harmless input inside the box is the quadratic program's solution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from fingerprint.perturbations.inside import nearest_inside
from fingerprint.spaces.subspace import DenseSubspace, TrivialSubspace

BOX = (0.0, 1.0)


def _drawn(seed: int, n: int = 8, dimension: int = 4) -> tuple[Tensor, DenseSubspace]:
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(n, dimension, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(matrix).Q
    base = torch.rand(3, n, generator=generator, dtype=torch.float64)
    base[0, :3] = torch.tensor([0.0, 1.0, 0.0])
    return base, DenseSubspace(basis, (n,))


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_solution_of_the_quadratic_program(seed: int) -> None:
    base, space = _drawn(seed)
    generator = torch.Generator().manual_seed(100 + seed)
    target = 3 * torch.randn(base.shape, generator=generator, dtype=torch.float64)
    found = nearest_inside(space, base, target, bounds=BOX, max_steps=5000)
    assert float(found.residual.max()) < 1e-9
    basis = space.basis().numpy()
    for row in range(len(base)):
        x, t = base[row].numpy(), target[row].numpy()
        plain = minimize(
            lambda c, x=x, t=t: np.sum((x + basis @ c - t) ** 2),
            np.zeros(basis.shape[1]),
            jac=lambda c, x=x, t=t: 2 * basis.T @ (x + basis @ c - t),
            constraints=[
                {"type": "ineq", "fun": lambda c, x=x: x + basis @ c, "jac": lambda c: basis},
                {"type": "ineq", "fun": lambda c, x=x: 1 - x - basis @ c, "jac": lambda c: -basis},
            ],
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(found.point[row].numpy(), x + basis @ plain.x, atol=1e-5)


def test_no_value_leaves_the_box_even_before_it_has_converged() -> None:
    base, space = _drawn(1)
    found = nearest_inside(space, base, base + 100, bounds=BOX, max_steps=3)
    assert float(found.point.min()) >= 0
    assert float(found.point.max()) <= 1


def test_bases_with_one_harmful_part_lead_to_one_point() -> None:
    base, space = _drawn(2)
    target = torch.zeros_like(base)
    found = nearest_inside(space, base, target, bounds=BOX, max_steps=2000).point
    again = nearest_inside(space, found, target, bounds=BOX, max_steps=2000).point
    torch.testing.assert_close(found, again, atol=1e-6, rtol=0)


def test_where_nothing_is_harmless_the_base_remains() -> None:
    base = torch.rand(2, 8, dtype=torch.float64)
    found = nearest_inside(TrivialSubspace((8,)), base, torch.ones(2, 8), bounds=BOX)
    torch.testing.assert_close(found.point, base, atol=1e-6, rtol=0)
