"""A multiple of an operator, kept as such so that simplification does not undo it."""

from __future__ import annotations

from torch import Tensor

from fingerprint.operators.base import LinearOperator

__all__ = ["Scaled"]


class Scaled(LinearOperator):
    """``factor * operator``: brings the members of a stack to one scale.

    A stack decides the rank of all its members together, so one with small weights would drown
    in the cutoff of another; a diagonal factor would be dropped as injective.

    Attributes:
        operator: The operator.
        factor: A positive number.
    """

    def __init__(self, operator: LinearOperator, factor: float) -> None:
        super().__init__(
            operator.in_shape, operator.out_shape, dtype=operator.dtype, device=operator.device
        )
        self.operator = operator
        self.factor = factor

    @property
    def is_injective(self) -> bool:
        """Whether the operator is."""
        return self.operator.is_injective

    def matvec(self, x: Tensor) -> Tensor:
        """Applies the multiple: ``(..., *in_shape)`` -> ``(..., *out_shape)``."""
        return self.operator.matvec(x) * self.factor

    def rmatvec(self, y: Tensor) -> Tensor:
        """Applies its transpose: ``(..., *out_shape)`` -> ``(..., *in_shape)``."""
        return self.operator.rmatvec(y) * self.factor
