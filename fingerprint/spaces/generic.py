"""The dimension of a harmless space as the paper counts it, from the sizes of a layer alone.

A matrix of random entries has full rank with probability one, and then ``n - rank`` is
``max(0, n - m)`` (Corollaries 1 and 2). The matrix of a layer is not random: kernels may repeat,
a stride may leave inputs unread, and padding may leave a window fewer inputs than it has
kernels. :func:`~fingerprint.spaces.null_space.null_space` counts exactly.
"""

from __future__ import annotations

from fingerprint.operators.base import LinearOperator

__all__ = ["generic_dimension"]


def generic_dimension(operator: LinearOperator) -> int:
    """Returns ``max(0, n - m)``: the paper's formula, a lower bound of the true dimension.

    It is the true one where the operator has full rank. Corollary 1 takes that for granted of
    convolutions with linearly independent kernels no smaller than their stride, which does not
    suffice: ResNet's first layer at stride 7 on 32 x 32 images is one (its corner windows read
    48 inputs and give 64 outputs), and so is a 3 x 3 mean with padding 1 on them.

    Args:
        operator: The layer seen as a map ``(n,) -> (m,)``.
    """
    return max(0, operator.n - operator.m)
