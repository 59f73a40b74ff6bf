"""The perturbations a linear layer notices least, where nothing is entirely harmless.

The unit vector of least ``‖A δ‖`` is the right singular vector of the smallest singular value
(Lemma 2 of the paper). Where the null space is not trivial, its vectors come first, with
singular value zero.

    found = least_harmful(operator, k=4)
    found.directions        # (4, *in_shape), orthonormal, least noticed first
    found.singular_values   # (4,): their responses
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.spaces.blocks import Block, disjoint_blocks, merge_windows
from fingerprint.spaces.kernel import smallest_singular
from fingerprint.spaces.null_space import MAX_SVD_SIDE, check_finite
from fingerprint.spaces.rank import gram_matrix, singular_value_cutoff
from fingerprint.spaces.windows import frobenius_norm, windows

__all__ = ["LeastHarmful", "least_harmful"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LeastHarmful:
    """Unit directions of least response, least first.

    Attributes:
        directions: Orthonormal, shape ``(k, *in_shape)``, float64.
        singular_values: ``‖A δ‖`` of each, shape ``(k,)``; zero where it counts as zero.
        method: ``blocks`` or ``decomposition``.
    """

    directions: Tensor
    singular_values: Tensor
    method: str


def least_harmful(operator: LinearOperator, k: int = 1) -> LeastHarmful:
    """Finds the ``k`` orthonormal directions of least response, exactly.

    Args:
        operator: The layer seen as a map ``(n,) -> (m,)``: patches of any number, or one of up to
            ``MAX_SVD_SIDE`` inputs.
        k: How many directions.

    Raises:
        UsageError: ``k`` is not between 1 and ``n``, or the operator is too large.
        NoInformation: The operator holds NaN or infinity.
    """
    if not 1 <= k <= operator.n:
        raise UsageError(f"least harmful: expected k between 1 and {operator.n}, got {k}")
    check_finite(operator)
    directions, method = _by_blocks(operator, k), "blocks"
    if directions is None:
        directions, method = _by_decomposition(operator, k), "decomposition"
    shaped = directions.T.reshape(-1, *operator.in_shape).contiguous()
    responses = operator.matvec(shaped.to(operator.dtype)).flatten(1).to(torch.float64).norm(dim=1)
    cutoff = singular_value_cutoff(frobenius_norm(operator), operator.shape, operator.dtype)
    return LeastHarmful(
        directions=shaped,
        singular_values=torch.where(responses > cutoff, responses, 0.0).cpu(),
        method=method,
    )


def _by_blocks(operator: LinearOperator, k: int) -> Tensor | None:
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
    return directions


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


def _by_decomposition(operator: LinearOperator, k: int) -> Tensor:
    if operator.n > MAX_SVD_SIDE:
        raise UsageError(
            f"least harmful: expected patches, or at most {MAX_SVD_SIDE} inputs, "
            f"got {operator!r}; project noise on its null space"
        )
    if operator.m >= operator.n:
        return smallest_singular(operator, gram_matrix(operator), k)[1][:, :k]
    right: Tensor = torch.linalg.svd(operator.to_dense().to(torch.float64))[2]
    return right.flip(0)[:k].T
