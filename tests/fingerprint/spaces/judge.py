"""The plain computation that judges null spaces: SciPy on the dense matrix, in 64 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.operators import LinearOperator
from fingerprint.spaces import Subspace

Matrix = NDArray[Any]


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def dense(operator: LinearOperator) -> Matrix:
    return operator.to_dense().to(torch.float64).numpy()


def judged_basis(operator: LinearOperator) -> Matrix:
    basis: Matrix = scipy.linalg.null_space(dense(operator))
    return basis


def assert_is_null_space(space: Subspace, operator: LinearOperator, atol: float = 1e-9) -> None:
    """Compares the dimension and the projection of noise with the judge's."""
    basis = judged_basis(operator)
    if space.dimension is not None:
        assert space.dimension == basis.shape[1]
    noise = random(3, *operator.in_shape, seed=99)
    expected = noise.reshape(3, -1).numpy() @ basis @ basis.T
    found = space.project(noise).reshape(3, -1).numpy()
    np.testing.assert_allclose(found, expected, atol=atol)
    harmful = space.complement(noise).reshape(3, -1).numpy()
    np.testing.assert_allclose(found + harmful, noise.reshape(3, -1).numpy(), atol=1e-12)
