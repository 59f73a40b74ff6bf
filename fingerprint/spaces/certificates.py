"""What can be proved of overlapping windows without decomposing the whole operator.

Both certificates are one-sided: they say yes only when it is certain, and None otherwise. They
cost one small decomposition for each kind of window, so they work at any input size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fingerprint.spaces.rank import numerical_rank
from fingerprint.spaces.window_group import WindowGroup, distinct

__all__ = ["free_inputs", "full_row_rank"]


def free_inputs(groups: tuple[WindowGroup, ...], n: int, dtype: torch.dtype) -> Tensor | None:
    """Finds the null space where every window alone determines what it reads.

    If the matrix of a window has full column rank, a harmless perturbation must vanish on all
    inputs of that window. If that holds for every window, the null space is exactly the inputs
    that no window reads. A 3 x 3 convolution of an RGB image into 27 or more channels is the
    usual case, whatever its stride and padding.

    Args:
        groups: All windows of the operator; they may overlap.
        n: Number of inputs.
        dtype: What the operator was computed in.

    Returns:
        Booleans of shape ``(n,)``, True for free inputs; None when some window does not
        determine its inputs.
    """
    free = torch.ones(n, dtype=torch.bool, device=groups[0].columns.device if groups else None)
    for group in groups:
        read = (group.matrix != 0).any(dim=0)
        if not _full_rank(group.matrix[:, read], dtype, columns=True):
            return None
        free[group.columns[:, read].reshape(-1)] = False
    return free


def full_row_rank(groups: tuple[WindowGroup, ...], n: int, dtype: torch.dtype) -> int | None:
    """Finds the rank where every window has enough inputs that no other window reads.

    If ``yᵀA = 0``, then ``y`` of a window vanishes as soon as the window's own inputs have full
    row rank. If that holds for every window, the rows of ``A`` are independent.

    Args:
        groups: All windows of the operator; they may overlap.
        n: Number of inputs.
        dtype: What the operator was computed in.

    Returns:
        The rank, equal to the number of outputs; None when it is not certain.
    """
    count = torch.zeros(n, dtype=torch.int64)
    for group in groups:
        count += torch.bincount(group.columns.reshape(-1).cpu(), minlength=n)
    outputs = 0
    for group in groups:
        own = (count == 1)[group.columns.cpu()]
        for pattern in distinct(own)[0]:
            if not _full_rank(
                group.matrix[:, pattern.to(group.matrix.device)], dtype, columns=False
            ):
                return None
        outputs += group.rows.numel()
    return outputs


def _full_rank(matrix: Tensor, dtype: torch.dtype, *, columns: bool) -> bool:
    p, q = matrix.shape
    wanted, other = (q, p) if columns else (p, q)
    if wanted > other:
        return False
    if wanted == 0:
        return True
    return numerical_rank(torch.linalg.svdvals(matrix), (p, q), dtype) == wanted
