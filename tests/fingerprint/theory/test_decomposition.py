"""Theorems 3 to 5 of the paper, judged by SciPy's null space of a matrix written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from fingerprint.errors import UsageError
from fingerprint.operators import Dense, first_affine_segment
from fingerprint.spaces import Subspace, null_space
from fingerprint.theory import decompose, equivalent, two_layer
from tests.fingerprint.solvers.problems import doubled
from tests.support.spaces import span

Matrix = NDArray[np.float64]


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def mlp(trained_mlp: nn.Module) -> nn.Module:
    return doubled(trained_mlp)


@pytest.fixture(scope="module")
def matrix(mlp: nn.Module) -> Matrix:
    """The first layer's weights as trained, 96 × 256."""
    weight: Any = mlp.layers[1].weight  # type: ignore[union-attr, index]
    return np.asarray(weight.detach().numpy())


@pytest.fixture(scope="module")
def space(mlp: nn.Module) -> Subspace:
    operator = first_affine_segment(mlp, (1, 16, 16)).operator
    assert operator is not None
    return null_space(operator)


def answers(network: nn.Module, delta: Tensor) -> Tensor:
    """What the whole network says to a grey image with δ added."""
    with torch.no_grad():
        found: Tensor = network(0.5 + delta)
    return found


def test_any_harmless_part_may_be_taken_away(mlp: nn.Module, matrix: Matrix) -> None:
    """Theorem 3: f(δ) = f(δ − δ_a) for every harmless δ_a, of any size."""
    delta, basis = random(4, 1, 16, 16), scipy.linalg.null_space(matrix)
    for size in (1.0, -30.0, 1e4):
        harmless = size * random(4, basis.shape[1], seed=1).numpy() @ basis.T
        left = delta - torch.from_numpy(harmless).reshape(delta.shape)
        torch.testing.assert_close(
            answers(mlp, left), answers(mlp, delta), atol=1e-11 * max(1, abs(size)), rtol=0
        )


def test_the_split_is_orthogonal_and_only_the_harmful_part_acts(
    mlp: nn.Module, matrix: Matrix, space: Subspace
) -> None:
    """Theorem 4, with P = U (UᵀU)⁻¹ Uᵀ from a basis U that is not orthonormal."""
    delta = random(4, 1, 16, 16)
    split = decompose(space, delta)
    basis = scipy.linalg.null_space(matrix)
    skew = basis @ random(basis.shape[1], basis.shape[1], seed=2).numpy()
    projector = skew @ np.linalg.solve(skew.T @ skew, skew.T)
    rows = delta.reshape(4, -1).numpy()
    np.testing.assert_allclose(split.harmless.reshape(4, -1), rows @ projector, atol=1e-7)
    torch.testing.assert_close(split.harmless + split.harmful, delta, atol=1e-12, rtol=0)
    np.testing.assert_allclose(split.harmless.reshape(4, -1).numpy() @ matrix.T, 0.0, atol=1e-11)
    torch.testing.assert_close(answers(mlp, split.harmful), answers(mlp, delta), atol=1e-10, rtol=0)
    torch.testing.assert_close(
        answers(mlp, split.harmless), answers(mlp, 0 * delta), atol=1e-10, rtol=0
    )
    inner = (split.harmless * split.harmful).flatten(1).sum(1)
    assert float(inner.abs().max()) < 1e-10


def test_the_harmful_part_is_the_smallest_perturbation_that_acts_so(
    matrix: Matrix, space: Subspace
) -> None:
    delta = random(3, 1, 16, 16)
    effect = delta.reshape(3, -1).numpy() @ matrix.T
    smallest = np.stack([scipy.linalg.lstsq(matrix, row)[0] for row in effect])
    found = decompose(space, delta).harmful.reshape(3, -1).numpy()
    np.testing.assert_allclose(found, smallest, atol=1e-9)


def test_equal_harmful_parts_act_identically_and_other_directions_do_not(
    mlp: nn.Module, space: Subspace
) -> None:
    """Theorem 5, and Lemma 4 as its converse."""
    first, second, third = (random(3, 1, 16, 16, seed=seed) for seed in range(3))
    cousin = decompose(space, first).harmful + 5 * decompose(space, second).harmless
    assert float((cousin - first).flatten(1).norm(dim=1).min()) > 10
    torch.testing.assert_close(answers(mlp, cousin), answers(mlp, first), atol=1e-10, rtol=0)
    stranger = decompose(space, third).harmful + decompose(space, first).harmless
    assert float((answers(mlp, stranger) - answers(mlp, first)).abs().max()) > 0.1


def test_lemma_4_other_harmful_directions_give_other_layer_outputs(
    mlp: nn.Module, matrix: Matrix, space: Subspace
) -> None:
    """For any pair, parallel or not: the layer is injective on the harmful parts."""
    first, second = (decompose(space, random(40, 1, 16, 16, seed=seed)) for seed in (0, 1))
    cosine = torch.cosine_similarity(first.harmful.flatten(1), second.harmful.flatten(1))
    assert float(cosine.abs().max()) < 0.9
    apart = (first.harmful - second.harmful).reshape(40, -1).numpy()
    change = np.linalg.norm(apart @ matrix.T, axis=1)
    least = np.linalg.svd(matrix, compute_uv=False)[-1]
    assert bool((change >= 0.999 * least * np.linalg.norm(apart, axis=1)).all())


def test_lemma_4_speaks_of_layers_networks_may_coincide(
    mlp: nn.Module, matrix: Matrix, space: Subspace
) -> None:
    """Two harmful parts of different directions that the first layer tells apart, ReLU not."""
    layers: Any = mlp.layers
    delta = random(1, 1, 16, 16)
    lost = two_layer(layers[1], layers[2], (0.5 + delta).reshape(256)).sample(
        torch.Generator().manual_seed(3)
    )
    other = delta + lost.reshape(delta.shape)
    first, second = (decompose(space, each).harmful.flatten() for each in (delta, other))
    assert abs(float(torch.cosine_similarity(first, second, dim=0))) < 0.999
    assert float(np.linalg.norm(matrix @ (second - first).numpy())) > 0.1
    torch.testing.assert_close(answers(mlp, other), answers(mlp, delta), atol=1e-11, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_single_harmless_direction_among_many_is_found_for_a_coarse_delta(
    dtype: torch.dtype,
) -> None:
    """How δ was rounded says nothing of how exactly the noise was projected."""
    n = 3000
    line = torch.nn.functional.normalize(random(n, seed=1), dim=0)
    space = span(line[:, None])
    delta = random(n).to(dtype)
    members = [
        equivalent(space, delta, 200.0, torch.Generator().manual_seed(seed)) for seed in range(30)
    ]
    assert all(abs(float(member.norm()) - 200.0) < 1e-9 for member in members)
    assert float(space.complement(members[0] - delta.double()).norm()) < 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(2, 9))
def test_the_split_is_unique_linear_and_stable(seed: int, m: int, n: int) -> None:
    """Also for layers of any shape: injective, rank deficient, or with a harmless space."""
    weight = random(m, n, seed=seed)
    if seed % 2 and m > 1:
        weight[-1] = 2 * weight[0]
    space = null_space(Dense(weight, in_shape=(n,)))
    first, second = random(2, 3, n, seed=seed + 1)
    split = decompose(space, first)
    again = decompose(space, split.harmful)
    np.testing.assert_allclose(again.harmless, 0.0, atol=1e-9)
    np.testing.assert_allclose(decompose(space, split.harmless).harmful, 0.0, atol=1e-9)
    both = decompose(space, 2 * first - second)
    expected = 2 * split.harmful - decompose(space, second).harmful
    np.testing.assert_allclose(both.harmful, expected, atol=1e-9)
    np.testing.assert_allclose(split.harmful @ weight.T, first @ weight.T, atol=1e-9)
    length = split.harmless.square().sum(1) + split.harmful.square().sum(1)
    np.testing.assert_allclose(length, first.square().sum(1), rtol=1e-9)


def test_float32_perturbations_are_split_in_the_precision_of_the_space(space: Subspace) -> None:
    delta = random(2, 3, 1, 16, 16).float()
    split = decompose(space, delta)
    assert split.harmless.dtype == split.harmful.dtype == torch.float64
    assert split.harmful.shape == delta.shape
    torch.testing.assert_close(split.harmless + split.harmful, delta.double(), atol=1e-14, rtol=0)


def test_perturbations_of_another_shape_are_refused(space: Subspace) -> None:
    with pytest.raises(UsageError, match="expected shape"):
        decompose(space, random(2, 1, 16, 15))


def test_a_family_has_a_member_of_every_norm_that_acts_alike(
    mlp: nn.Module, matrix: Matrix, space: Subspace
) -> None:
    """Theorem 5 with the norm chosen; judged by the trained network, not by the space."""
    delta = random(4, 1, 16, 16)
    generator = torch.Generator().manual_seed(5)
    for norm in (float(delta.flatten(1).norm(dim=1).max()), 1e3, 1e6):
        found = equivalent(space, delta, norm, generator)
        np.testing.assert_allclose(found.flatten(1).norm(dim=1), norm, rtol=1e-12)
        torch.testing.assert_close(
            answers(mlp, found), answers(mlp, delta), atol=1e-13 * max(norm, 100), rtol=0
        )
        effect = (found - delta).reshape(4, -1).numpy() @ matrix.T
        np.testing.assert_allclose(effect, 0.0, atol=1e-13 * max(norm, 100))


def test_the_smallest_member_of_a_family_is_the_harmful_part(space: Subspace) -> None:
    delta = random(2, 3, 1, 16, 16)
    harmful = decompose(space, delta).harmful
    least = harmful.flatten(2).norm(dim=2)
    found = equivalent(space, delta, least)
    torch.testing.assert_close(found, harmful, atol=1e-6, rtol=0)
    with pytest.raises(UsageError, match="at least that of the harmful part"):
        equivalent(space, delta, least - 1e-3)


def test_members_of_a_family_differ_and_norms_may_differ_too(space: Subspace) -> None:
    delta = random(3, 1, 16, 16)
    norms = torch.tensor([20.0, 200.0, 2000.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    first, second = (equivalent(space, delta, norms, generator) for _ in range(2))
    torch.testing.assert_close(first.flatten(1).norm(dim=1), norms)
    cosine = torch.cosine_similarity(first.flatten(1), second.flatten(1))
    assert float(cosine[2]) < 0.5
    again = equivalent(space, delta, norms, torch.Generator().manual_seed(0))
    assert torch.equal(again, first)


def test_an_injective_layer_has_families_of_one_member() -> None:
    space = null_space(Dense(random(9, 5)))
    delta = random(2, 5)
    torch.testing.assert_close(equivalent(space, delta, delta.norm(dim=1)), delta)
    with pytest.raises(UsageError, match="harmless directions"):
        equivalent(space, delta, 2 * delta.norm(dim=1))


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        (torch.ones(2), "one of shape"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (-1.0, "at least"),
    ],
)
def test_norms_that_no_member_has_are_refused(
    space: Subspace, norm: float | Tensor, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        equivalent(space, random(3, 1, 16, 16), norm)
