"""What every linear operator must do, written once.

A test brings an operator and its dense twin, computed in another plain way (loops, NumPy, or
``torch.nn.functional`` on basis vectors), and calls :func:`check_operator`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator

__all__ = ["BATCHES", "check_operator", "matrix_of"]

BATCHES = [(), (3,), (2, 3), (0,)]


def matrix_of(
    function: Callable[[Tensor], Tensor], in_shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Builds the matrix of an affine function of a batch, one basis vector at a time."""
    zero = torch.zeros(1, *in_shape, dtype=torch.float64)
    offset = function(zero).reshape(-1)
    columns = []
    for place in range(zero.numel()):
        basis = zero.clone()
        basis.view(-1)[place] = 1.0
        columns.append((function(basis).reshape(-1) - offset).detach().numpy())
    return np.stack(columns, axis=1)


def check_operator(operator: LinearOperator, twin: NDArray[np.float64]) -> None:
    """Compares an operator with its matrix in every way the contract names.

    Args:
        operator: Any operator of moderate size, in float32 or float64.
        twin: Its matrix of shape ``(m, n)``, float64.
    """
    tolerance = 1e-10 if operator.dtype == torch.float64 else 3e-5
    scale = max(1.0, float(np.abs(twin).sum(axis=1).max(initial=0.0)))
    assert operator.shape == twin.shape
    np.testing.assert_allclose(operator.to_dense().numpy(), twin, atol=tolerance * scale)
    for batch in BATCHES:
        _check_products(operator, twin, batch, tolerance * scale)
    _check_strided_inputs(operator)
    _check_wrong_shapes(operator)
    _check_hints(operator, twin)


def _random(*shape: int, like: LinearOperator) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(like.dtype)


def _check_products(
    operator: LinearOperator, twin: NDArray[np.float64], batch: tuple[int, ...], tolerance: float
) -> None:
    x = _random(*batch, *operator.in_shape, like=operator)
    y = _random(*batch, *operator.out_shape, like=operator)
    image, back = operator.matvec(x), operator.rmatvec(y)
    assert image.shape == (*batch, *operator.out_shape)
    assert back.shape == (*batch, *operator.in_shape)
    assert image.dtype == back.dtype == operator.dtype
    rows_x = x.reshape(-1, operator.n).double().numpy()
    rows_y = y.reshape(-1, operator.m).double().numpy()
    bound = 10 * tolerance
    np.testing.assert_allclose(image.reshape(-1, operator.m).numpy(), rows_x @ twin.T, atol=bound)
    np.testing.assert_allclose(back.reshape(-1, operator.n).numpy(), rows_y @ twin, atol=bound)
    size = max(1.0, float(image.norm() * y.norm()))
    assert abs(float((image * y).sum()) - float((x * back).sum())) <= bound * size  # <Ax,y>=<x,A'y>


def _check_strided_inputs(operator: LinearOperator) -> None:
    """Transposed and sliced tensors give what contiguous ones give, and are not written to."""
    x = _random(*operator.in_shape, 4, like=operator).movedim(-1, 0)[::2]
    y = _random(*operator.out_shape, 4, like=operator).movedim(-1, 0)[::2]
    kept_x, kept_y = x.clone(), y.clone()
    torch.testing.assert_close(operator.matvec(x), operator.matvec(kept_x.contiguous()))
    torch.testing.assert_close(operator.rmatvec(y), operator.rmatvec(kept_y.contiguous()))
    assert torch.equal(x, kept_x)
    assert torch.equal(y, kept_y)


def _check_wrong_shapes(operator: LinearOperator) -> None:
    with pytest.raises(UsageError, match="expected shape"):
        operator.matvec(_random(*operator.in_shape[:-1], operator.in_shape[-1] + 1, like=operator))
    with pytest.raises(UsageError, match="expected shape"):
        operator.rmatvec(
            _random(*operator.out_shape[:-1], operator.out_shape[-1] + 1, like=operator)
        )


def _check_hints(operator: LinearOperator, twin: NDArray[np.float64]) -> None:
    if operator.is_injective:
        assert np.linalg.matrix_rank(twin) == operator.n
    if operator.is_orthogonal:
        np.testing.assert_allclose(twin.T @ twin, np.eye(operator.n), atol=1e-12)
        np.testing.assert_allclose(twin @ twin.T, np.eye(operator.m), atol=1e-12)
