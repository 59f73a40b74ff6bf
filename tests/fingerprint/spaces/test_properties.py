"""What must hold for every operator: drawn by hypothesis, judged by the definitions."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerprint.operators import Convolution, Dense, Diagonal, Entries, Product
from fingerprint.spaces import Subspace, null_space
from tests.fingerprint.spaces.judge import dense, random


@st.composite
def convolutions(draw: st.DrawFn) -> Convolution:
    """Small convolutions of every geometry, some with dependent or dead kernels."""
    groups = draw(st.sampled_from([1, 2]))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    outputs = groups * draw(st.integers(1, 6))
    weight = random(outputs, 2 // groups, *kernel, seed=draw(st.integers(0, 10**6)))
    if draw(st.booleans()):
        weight[-1] = weight[0]
    if draw(st.booleans()):
        weight[0] = 0.0
    return Convolution(
        weight,
        (2, 6, 5),
        stride=draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        padding=draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
        dilation=draw(st.integers(1, 2)),
        groups=groups,
    )


def projector(space: Subspace) -> np.ndarray:
    n = space.n
    eye = torch.eye(n, dtype=torch.float64).reshape(n, *space.in_shape)
    return space.project(eye).reshape(n, n).numpy()


@settings(max_examples=40, deadline=None)
@given(convolutions())
def test_projection_is_idempotent_and_symmetric(operator: Convolution) -> None:
    matrix = projector(null_space(operator))
    np.testing.assert_allclose(matrix @ matrix, matrix, atol=1e-10)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(convolutions())
def test_rank_and_nullity_add_up_to_the_input_dimension(operator: Convolution) -> None:
    space = null_space(operator)
    assert space.dimension is not None
    assert space.dimension + np.linalg.matrix_rank(dense(operator)) == operator.n
    assert space.rank == operator.n - space.dimension
    assert abs(np.trace(projector(space)) - space.dimension) < 1e-8


@settings(max_examples=40, deadline=None)
@given(convolutions(), st.integers(0, 10**6))
def test_permuting_and_rescaling_outputs_changes_nothing(operator: Convolution, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(operator.m, generator=generator).reshape(operator.out_shape)
    scale = 10.0 ** (2.0 * torch.rand(operator.out_shape, generator=generator).double() - 1.0)
    moved = Product(
        Entries(operator.out_shape, order), Diagonal(scale, operator.out_shape), operator
    )
    expected = projector(null_space(operator))
    np.testing.assert_allclose(projector(null_space(moved)), expected, atol=1e-8)
    explicit = Dense(moved.to_dense(), in_shape=operator.in_shape)
    np.testing.assert_allclose(projector(null_space(explicit)), expected, atol=1e-8)


@settings(max_examples=30, deadline=None)
@given(convolutions(), st.integers(0, 10**6))
def test_only_the_harmful_part_acts(operator: Convolution, seed: int) -> None:
    """Theorem 4: the answer to a perturbation is the answer to its harmful part."""
    noise = random(*operator.in_shape, seed=seed)
    space = null_space(operator)
    harmful = space.complement(noise)
    torch.testing.assert_close(operator.matvec(harmful), operator.matvec(noise), atol=1e-9, rtol=0)
    assert abs(float((harmful * space.project(noise)).sum())) < 1e-9
