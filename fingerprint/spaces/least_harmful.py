"""The perturbations a linear layer notices least, where nothing is entirely harmless.

The unit vector of least ``‖A δ‖`` is the right singular vector of the smallest singular value
(Lemma 2 of the paper). Where the null space is not trivial, its vectors come first, with
singular value zero.

    found = least_harmful(operator, k=4)
    found.directions        # (4, *in_shape), orthonormal, least noticed first
    found.singular_values   # (4,): their responses
    found.converged         # False when an iteration for a large layer gave up early
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator as ScipyOperator
from scipy.sparse.linalg import lobpcg
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.spaces.blocks import Block, disjoint_blocks, merge_windows
from fingerprint.spaces.kernel import smallest_singular
from fingerprint.spaces.null_space import MAX_DENSE, MAX_SVD_SIDE, check_finite, null_space
from fingerprint.spaces.rank import gram_matrix, singular_value_cutoff
from fingerprint.spaces.windows import windows

__all__ = ["LeastHarmful", "least_harmful"]

_Columns = tuple[Tensor, Tensor]
"""Singular values in rising order ``(j,)`` and their directions ``(n, j)``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LeastHarmful:
    """Unit directions of least response, least first.

    Attributes:
        directions: Orthonormal, shape ``(k, *in_shape)``, float64.
        singular_values: ``‖A δ‖`` of each, shape ``(k,)``; zero where it counts as zero.
        residuals: ``‖AᵀA δ - σ² δ‖ / ‖A‖²`` of each, shape ``(k,)``: how far it is from a
            singular vector.
        converged: Whether all residuals meet the tolerance.
        method: ``blocks``, ``decomposition``, ``projection`` or ``iteration``.
    """

    directions: Tensor
    singular_values: Tensor
    residuals: Tensor
    converged: bool
    method: str


def least_harmful(
    operator: LinearOperator,
    k: int = 1,
    *,
    max_dense: int = MAX_DENSE,
    max_iterations: int = 200,
    tolerance: float = 1e-6,
) -> LeastHarmful:
    """Finds the ``k`` orthonormal directions of least response.

    Patches and small operators are decomposed exactly. Large overlapping convolutions are
    iterated on (LOBPCG), which is slow where the smallest singular values lie close together:
    then ``converged`` is False and the directions are merely good ones.

    Args:
        operator: The layer seen as a map ``(n,) -> (m,)``.
        k: How many directions.
        max_dense: Most entries of a matrix that may be built.
        max_iterations: Where the iteration gives up.
        tolerance: Residual at which a direction counts as found.

    Raises:
        UsageError: ``k`` is not between 1 and ``n``.
        NoInformation: The operator holds NaN or infinity.
    """
    if not 1 <= k <= operator.n:
        raise UsageError(f"least harmful: expected k between 1 and {operator.n}, got {k}")
    check_finite(operator)
    if (found := _by_blocks(operator, k)) is not None:
        return _measured(operator, found, tolerance, "blocks")
    if operator.n <= MAX_SVD_SIDE and operator.n**2 <= max_dense:
        return _measured(operator, _by_decomposition(operator, k), tolerance, "decomposition")
    if k <= operator.n - operator.m:
        return _measured(operator, _by_projection(operator, k), tolerance, "projection")
    found = _by_iteration(operator, k, max_iterations, tolerance)
    return _measured(operator, found, tolerance, "iteration")


def _by_blocks(operator: LinearOperator, k: int) -> _Columns | None:
    groups = windows(operator, values=True)
    if groups is None:
        return None
    blocks = disjoint_blocks(groups, operator.n) or merge_windows(groups, operator.n)
    if blocks is None or any(block.matrix.shape[1] > MAX_SVD_SIDE for block in blocks):
        return None
    free = torch.ones(operator.n, dtype=torch.bool, device=operator.device)
    for block in blocks:
        free[block.columns.reshape(-1)] = False
    unread = free.nonzero()[:k]
    alone = [(0.0, place, torch.ones(1, device=operator.device)) for place in unread]
    found = alone + [entry for block in blocks for entry in _of_block(block, k)]
    found.sort(key=lambda entry: entry[0])
    directions = torch.zeros(operator.n, k, dtype=torch.float64, device=operator.device)
    for number, (_, places, vector) in enumerate(found[:k]):
        directions[places, number] = vector.to(torch.float64)
    return torch.tensor([entry[0] for entry in found[:k]], dtype=torch.float64), directions


def _of_block(block: Block, k: int) -> list[tuple[float, Tensor, Tensor]]:
    """Lists up to ``k`` of the smallest singular values of a block, each at one of its places."""
    matrix = block.matrix
    if matrix.shape[0] > matrix.shape[1]:
        matrix = torch.linalg.qr(matrix, mode="r").R
    values, right = torch.linalg.svd(matrix)[1:]
    filled = torch.zeros(matrix.shape[1], dtype=torch.float64)
    filled[: len(values)] = values.cpu()
    found: list[tuple[float, Tensor, Tensor]] = []
    for rank in range(matrix.shape[1] - 1, -1, -1):
        for place in block.columns[: k - len(found)]:
            found.append((float(filled[rank]), place, right[rank]))
        if len(found) >= k:
            break
    return found


def _by_decomposition(operator: LinearOperator, k: int) -> _Columns:
    if operator.m >= operator.n:
        values, directions = smallest_singular(operator, gram_matrix(operator), k)
        return values[:k].cpu(), directions[:, :k]
    values, right = torch.linalg.svd(operator.to_dense().to(torch.float64))[1:]
    filled = torch.zeros(operator.n, dtype=torch.float64)
    filled[: len(values)] = values.cpu()
    return filled.flip(0)[:k], right.flip(0)[:k].T


def _by_projection(operator: LinearOperator, k: int) -> _Columns:
    """Takes noise to the null space, which has at least ``n - m`` dimensions."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(k, *operator.in_shape, generator=generator, dtype=torch.float64)
    harmless = null_space(operator).project(noise).reshape(k, -1).to(torch.float64)
    return torch.zeros(k, dtype=torch.float64), torch.linalg.qr(harmless.T).Q


def _by_iteration(
    operator: LinearOperator, k: int, max_iterations: int, tolerance: float
) -> _Columns:
    def normal(columns: NDArray[np.float64]) -> NDArray[np.float64]:
        batch = torch.from_numpy(np.ascontiguousarray(columns.T)).reshape(-1, *operator.in_shape)
        answer = operator.rmatvec(operator.matvec(batch.to(operator.device, operator.dtype)))
        columns_out: NDArray[np.float64] = answer.flatten(1).T.to("cpu", torch.float64).numpy()
        return columns_out

    square = ScipyOperator(
        (operator.n, operator.n), matvec=lambda x: normal(x.reshape(-1, 1)), matmat=normal
    )
    generator = np.random.default_rng(0)
    # A few directions more than asked for make the wanted ones converge faster.
    start = generator.standard_normal((operator.n, k + 3))
    norm = _norm(operator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the result says whether it converged
        values, vectors = lobpcg(
            square, start, largest=False, maxiter=max_iterations, tol=tolerance * norm**2
        )
    order = np.argsort(values)[:k]
    directions = torch.from_numpy(np.ascontiguousarray(vectors[:, order])).to(operator.device)
    return torch.from_numpy(np.sqrt(np.maximum(values[order], 0.0))), directions


def _measured(
    operator: LinearOperator, found: _Columns, tolerance: float, method: str
) -> LeastHarmful:
    """Measures responses and residuals of the directions with the operator itself."""
    directions = found[1].T.reshape(-1, *operator.in_shape).contiguous()
    given = directions.to(operator.dtype)
    images = operator.matvec(given)
    responses = images.flatten(1).to(torch.float64).norm(dim=1)
    pulled = operator.rmatvec(images).flatten(1).to(torch.float64)
    norm = max(_norm(operator), float(responses.max()), torch.finfo(torch.float64).tiny)
    off = pulled - responses.square().unsqueeze(1) * directions.flatten(1)
    residuals = off.norm(dim=1) / norm**2
    cutoff = singular_value_cutoff(norm, operator.shape, operator.dtype)
    return LeastHarmful(
        directions=directions,
        singular_values=torch.where(responses > cutoff, responses, 0.0).cpu(),
        residuals=residuals.cpu(),
        converged=bool((residuals <= tolerance).all()),
        method=method,
    )


def _norm(operator: LinearOperator, iterations: int = 30) -> float:
    """Estimates the largest singular value by power iteration, from below."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(operator.in_shape, generator=generator, dtype=torch.float64)
    x = x.to(operator.device, operator.dtype)
    norm = 0.0
    for _ in range(iterations):
        size = float(x.norm())
        if size == 0.0:
            break
        y = operator.matvec(x / size)
        norm = max(norm, float(y.norm()))
        x = operator.rmatvec(y)
    return norm
