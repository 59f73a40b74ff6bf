"""The nearest harmless input in the box: of a transformer's patches, and of drawn subspaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor, nn

from fingerprint.operators import first_affine_segment
from fingerprint.solvers import box_projection, solve_linear
from fingerprint.spaces import Subspace, null_space
from fingerprint.spaces.subspace import TrivialSubspace
from tests.fingerprint.solvers.problems import BOX, assert_in_box, doubled, inputs
from tests.support.spaces import columns, span


@pytest.fixture(scope="module")
def vit(trained_vit: nn.Module) -> nn.Module:
    return doubled(trained_vit)


@pytest.fixture(scope="module")
def patch_space(vit: nn.Module) -> Subspace:
    operator = first_affine_segment(vit, (1, 16, 16)).operator
    assert operator is not None
    return null_space(operator)


@pytest.mark.parametrize("scale", [1.0, -1.0, 16.0, 1e3, 1e6])
def test_the_whole_network_ignores_the_solution_at_any_scale(
    vit: nn.Module, patch_space: Subspace, scale: float
) -> None:
    base, start = inputs(4)
    delta = scale * solve_linear(patch_space, base, start, bounds=BOX).delta
    with torch.no_grad():
        plain, moved, noisy = vit(base), vit(base + delta), vit(base + scale * (start - base))
    rounding = 1e-13 * max(1.0, abs(scale)) * float(plain.norm())
    assert float((moved - plain).abs().max()) <= rounding
    assert float((noisy - plain).abs().max()) > 0.1  # noise of that size does change it


def test_it_is_harmless_for_every_input_not_only_its_base(
    vit: nn.Module, patch_space: Subspace
) -> None:
    base, start = inputs(1)
    delta = solve_linear(patch_space, base, start, bounds=BOX).delta
    others = inputs(5, seed=7)[1]
    with torch.no_grad():
        torch.testing.assert_close(vit(others + delta), vit(others), atol=1e-11, rtol=0)


def test_the_patch_kernel_itself_says_so(vit: nn.Module, patch_space: Subspace) -> None:
    """Each 4×4 patch of δ is orthogonal to each of the 8 kernels, by loops over patches."""
    base, start = inputs(2)
    delta = solve_linear(patch_space, base, start, bounds=BOX).delta
    kernels = vit.patch_embed.weight.detach().reshape(8, 16).numpy()  # type: ignore[union-attr, operator]
    for image in delta[:, 0].numpy():
        for y in range(0, 16, 4):
            for x in range(0, 16, 4):
                patch = image[y : y + 4, x : x + 4].ravel()
                assert np.abs(kernels @ patch).max() < 1e-12
    assert patch_space.dimension == 16 * (16 - np.linalg.matrix_rank(kernels))


def test_solutions_are_valid_inputs_that_keep_much_of_their_start(patch_space: Subspace) -> None:
    base, start = inputs(8)
    found = solve_linear(patch_space, base, start, bounds=BOX)
    assert_in_box(base, found, slack=1e-3)  # what is below a rounding step is left alone
    assert bool(found.converged.all())
    assert found.passes == 0.0
    middle = ((base > 0.2) & (base < 0.8)).flatten(1).all(dim=1)
    cosine = torch.cosine_similarity(found.delta.flatten(1), (start - base).flatten(1))
    assert bool(middle.any())
    assert float(cosine[middle].min()) > 0.5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_the_solution_is_the_harmless_valid_input_nearest_to_the_start(seed: int) -> None:
    """Judged by quadratic programming over the coefficients of a basis."""
    noise = np.random.default_rng(seed)
    basis = np.linalg.qr(noise.standard_normal((8, 5)))[0]
    base, start = noise.uniform(0.2, 0.8, 8), noise.random(8).round()
    wish = start - base
    judge: Any = minimize(
        lambda c: 0.5 * np.sum((basis @ c - wish) ** 2),
        np.zeros(5),
        jac=lambda c: basis.T @ (basis @ c - wish),
        constraints=[
            {"type": "ineq", "fun": lambda c: base + basis @ c},
            {"type": "ineq", "fun": lambda c: 1 - base - basis @ c},
        ],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 300},
    )
    space = span(torch.from_numpy(basis))
    found = solve_linear(
        space, torch.from_numpy(base)[None], torch.from_numpy(start)[None], bounds=BOX
    )
    delta = found.delta[0].numpy()
    assert np.linalg.norm(delta - basis @ (basis.T @ delta)) < 1e-12
    assert np.linalg.norm(delta - wish) <= np.linalg.norm(basis @ judge.x - wish) + 5e-3
    np.testing.assert_array_less(-1e-3 - 1e-12, base + delta)
    np.testing.assert_array_less(base + delta, 1 + 1e-3 + 1e-12)


def test_a_start_that_is_harmless_and_valid_already_is_kept() -> None:
    space = span(torch.tensor([[1.0], [-1.0], [0.0]]).double() / 2**0.5)
    base = torch.full((1, 3), 0.5).double()
    start = base + 0.3 * torch.tensor([[1.0, -1.0, 0.0]])
    found = solve_linear(space, base, start.double(), bounds=BOX)
    torch.testing.assert_close(found.delta, start - base)
    assert float(found.residual[0]) < 1e-12


def test_where_nothing_is_harmless_nothing_is_claimed() -> None:
    base, start = torch.full((1, 4), 0.5).double(), torch.ones(1, 4).double()
    found = solve_linear(TrivialSubspace((4,)), base, start, bounds=BOX)
    assert torch.equal(found.delta, torch.zeros(1, 4).double())
    assert not bool(found.converged.any())


@pytest.mark.parametrize("colour", [0.0, 1.0], ids=["black", "white"])
def test_a_corner_of_the_box_that_allows_no_harmless_step_is_not_called_converged(
    patch_space: Subspace, colour: float
) -> None:
    base = torch.full((1, 1, 16, 16), colour, dtype=torch.float64)
    found = solve_linear(patch_space, base, inputs(1)[1], bounds=BOX)
    assert bool(found.converged[0]) == bool(found.delta.norm() > 1e-3)


def drawn(seed: int, n: int = 8, dimension: int = 4) -> tuple[Tensor, Subspace]:
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(n, dimension, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(matrix).Q
    base = torch.rand(3, n, generator=generator, dtype=torch.float64)
    base[0, :3] = torch.tensor([0.0, 1.0, 0.0])
    return base, span(basis)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_solution_of_the_quadratic_program(seed: int) -> None:
    base, space = drawn(seed)
    generator = torch.Generator().manual_seed(100 + seed)
    target = 3 * torch.randn(base.shape, generator=generator, dtype=torch.float64)
    found = box_projection(space, base, target, bounds=BOX, max_steps=5000)
    assert float(found.residual.max()) < 1e-9
    basis = columns(space).numpy()
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
    base, space = drawn(1)
    found = box_projection(space, base, base + 100, bounds=BOX, max_steps=3)
    assert float(found.point.min()) >= 0
    assert float(found.point.max()) <= 1


def test_bases_with_one_harmful_part_lead_to_one_point() -> None:
    base, space = drawn(2)
    target = torch.zeros_like(base)
    found = box_projection(space, base, target, bounds=BOX, max_steps=2000).point
    again = box_projection(space, found, target, bounds=BOX, max_steps=2000).point
    torch.testing.assert_close(found, again, atol=1e-6, rtol=0)


def test_where_nothing_is_harmless_the_base_remains() -> None:
    base = torch.rand(2, 8, dtype=torch.float64)
    found = box_projection(TrivialSubspace((8,)), base, torch.ones(2, 8), bounds=BOX)
    torch.testing.assert_close(found.point, base, atol=1e-6, rtol=0)
