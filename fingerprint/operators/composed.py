"""Operators made of operators: products, stacks, sums, and one operator repeated.

Product(A, B)           # A @ B: B acts first
Stack((A, B))           # [A; B]: both read the same input
Sum((A, B))             # A + B
Repeated(A, (T,))       # one A for each of T slices: I ⊗ A
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.batching import flatten_batch

__all__ = ["Product", "Repeated", "Stack", "Sum"]


class Product(LinearOperator):
    """A chain ``factors[0] @ factors[1] @ ...``: the last factor acts first.

    For null spaces: injective factors on the left may be dropped (``same_kernel`` does), and
    orthogonal factors on the right only rotate the null space.

    Attributes:
        factors: At least one, leftmost first.
    """

    def __init__(self, *factors: LinearOperator) -> None:
        """Takes the factors, leftmost first.

        Raises:
            UsageError: There is none, or neighbouring shapes, dtypes or devices do not fit.
        """
        if not factors:
            raise UsageError("product: expected at least one operator, got none")
        for left, right in itertools.pairwise(factors):
            if left.in_shape != right.out_shape:
                raise UsageError(
                    f"product: expected the right factor to give {left.in_shape}, "
                    f"got {right.out_shape}"
                )
        _same_numbers("product", factors)
        last = factors[-1]
        super().__init__(last.in_shape, factors[0].out_shape, dtype=last.dtype, device=last.device)
        self.factors = tuple(factors)

    @property
    def is_injective(self) -> bool:
        """Whether every factor is."""
        return all(factor.is_injective for factor in self.factors)

    @property
    def is_orthogonal(self) -> bool:
        """Whether every factor is."""
        return all(factor.is_orthogonal for factor in self.factors)

    def matvec(self, x: Tensor) -> Tensor:
        """Applies the factors from right to left."""
        for factor in reversed(self.factors):
            x = factor.matvec(x)
        return x

    def rmatvec(self, y: Tensor) -> Tensor:
        """Applies the transposes from left to right."""
        for factor in self.factors:
            y = factor.rmatvec(y)
        return y

    def __repr__(self) -> str:
        return " @ ".join(f"({factor!r})" for factor in self.factors)


class Stack(LinearOperator):
    """Several operators that read the same input; its null space is their intersection.

    Attributes:
        operators: At least one, all with the same input shape.
        dim: Axis along which outputs are concatenated; None flattens and appends them.
    """

    def __init__(self, operators: Sequence[LinearOperator], dim: int | None = None) -> None:
        """Takes the operators, top first.

        Raises:
            UsageError: There is none, their inputs differ, or their outputs do not line up.
        """
        _same_inputs("stack", operators)
        shapes = [operator.out_shape for operator in operators]
        if dim is None:
            out_shape: tuple[int, ...] = (sum(operator.m for operator in operators),)
        else:
            rests = {shape[:dim] + shape[dim + 1 :] for shape in shapes}
            if len(rests) != 1 or any(not 0 <= dim < len(shape) for shape in shapes):
                raise UsageError(
                    f"stack: expected outputs that differ only on axis {dim}, got {shapes}"
                )
            total = sum(shape[dim] for shape in shapes)
            out_shape = (*shapes[0][:dim], total, *shapes[0][dim + 1 :])
        first = operators[0]
        super().__init__(first.in_shape, out_shape, dtype=first.dtype, device=first.device)
        self.operators = tuple(operators)
        self.dim = dim

    @property
    def is_injective(self) -> bool:
        """Whether one of them is."""
        return any(operator.is_injective for operator in self.operators)

    def matvec(self, x: Tensor) -> Tensor:
        """Applies each: ``(..., *in_shape)`` -> ``(..., *out_shape)``."""
        flat, batch = flatten_batch(x, self.in_shape)
        outputs = [operator.matvec(flat) for operator in self.operators]
        if self.dim is None:
            outputs = [output.flatten(1) for output in outputs]
        joined = torch.cat(outputs, dim=1 if self.dim is None else 1 + self.dim)
        return joined.reshape(*batch, *self.out_shape)

    def rmatvec(self, y: Tensor) -> Tensor:
        """Adds the transposes' results: ``(..., *out_shape)`` -> ``(..., *in_shape)``."""
        flat, batch = flatten_batch(y, self.out_shape)
        axis = 0 if self.dim is None else self.dim
        sizes = [o.m if self.dim is None else o.out_shape[axis] for o in self.operators]
        x = flat.new_zeros(len(flat), *self.in_shape)
        for operator, part in zip(
            self.operators, torch.split(flat, sizes, dim=1 + axis), strict=True
        ):
            x = x + operator.rmatvec(part.reshape(len(flat), *operator.out_shape))
        return x.reshape(*batch, *self.in_shape)

    def __repr__(self) -> str:
        return f"[{'; '.join(map(repr, self.operators))}]"


class Sum(LinearOperator):
    """Several operators on the same input, their outputs added.

    Attributes:
        operators: At least one, all of the same shapes.
    """

    def __init__(self, operators: Sequence[LinearOperator]) -> None:
        """Takes the summands.

        Raises:
            UsageError: There is none, or their shapes differ.
        """
        _same_inputs("sum", operators)
        shapes = {operator.out_shape for operator in operators}
        if len(shapes) != 1:
            raise UsageError(f"sum: expected one output shape, got {sorted(shapes)}")
        first = operators[0]
        super().__init__(first.in_shape, first.out_shape, dtype=first.dtype, device=first.device)
        self.operators = tuple(operators)

    def matvec(self, x: Tensor) -> Tensor:
        """Applies each and adds."""
        y = self.operators[0].matvec(x)
        for operator in self.operators[1:]:
            y = y + operator.matvec(x)
        return y

    def rmatvec(self, y: Tensor) -> Tensor:
        """Applies each transpose and adds."""
        x = self.operators[0].rmatvec(y)
        for operator in self.operators[1:]:
            x = x + operator.rmatvec(y)
        return x

    def __repr__(self) -> str:
        return " + ".join(f"({operator!r})" for operator in self.operators)


class Repeated(LinearOperator):
    """One operator on each slice of the leading axes: ``I ⊗ A``, such as a linear layer on tokens.

    Its null space is the operator's, once for each slice.

    Attributes:
        operator: What acts on one slice.
        times: Leading axes, in front of the operator's own shapes.
    """

    def __init__(self, operator: LinearOperator, times: tuple[int, ...]) -> None:
        """Takes the operator and the leading axes.

        Raises:
            UsageError: An axis of no size.
        """
        if any(size < 1 for size in times):
            raise UsageError(f"repeat: expected positive sizes, got {times}")
        super().__init__(
            (*times, *operator.in_shape),
            (*times, *operator.out_shape),
            dtype=operator.dtype,
            device=operator.device,
        )
        self.operator = operator
        self.times = tuple(times)

    @property
    def is_injective(self) -> bool:
        """Whether the operator is."""
        return self.operator.is_injective

    @property
    def is_orthogonal(self) -> bool:
        """Whether the operator is."""
        return self.operator.is_orthogonal

    def matvec(self, x: Tensor) -> Tensor:
        """Applies the operator to each slice."""
        flat, batch = flatten_batch(x, self.in_shape)
        return self.operator.matvec(flat).reshape(*batch, *self.out_shape)

    def rmatvec(self, y: Tensor) -> Tensor:
        """Applies the transpose to each slice."""
        flat, batch = flatten_batch(y, self.out_shape)
        return self.operator.rmatvec(flat).reshape(*batch, *self.in_shape)

    def __repr__(self) -> str:
        return f"Repeated({self.operator!r}, {self.times})"


def _same_numbers(name: str, operators: Sequence[LinearOperator]) -> None:
    kinds = {(operator.dtype, operator.device) for operator in operators}
    if len(kinds) > 1:
        raise UsageError(f"{name}: expected one dtype and device, got {sorted(map(str, kinds))}")


def _same_inputs(name: str, operators: Sequence[LinearOperator]) -> None:
    if not operators:
        raise UsageError(f"{name}: expected at least one operator, got none")
    shapes = {operator.in_shape for operator in operators}
    if len(shapes) > 1:
        raise UsageError(f"{name}: expected one input shape, got {sorted(shapes)}")
    _same_numbers(name, operators)
