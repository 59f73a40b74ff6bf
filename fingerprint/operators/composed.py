"""Operators made of operators: products, sums on the same input, and one operator repeated.

    Product(A, B)           # A @ B: B acts first
    stacked([A, B])         # [A; B]
    Repeated(A, (T,))       # one A for each of T slices: I ⊗ A
    compose(A, B, C)        # A @ B @ C, neighbours merged where that is cheap
    same_kernel(A)          # what may be dropped without changing the null space is dropped

Only rewrites that copy no more than the weights are made; nothing is ever made dense.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.entries import Diagonal, Entries, simplest
from fingerprint.operators.pooling import Pooling

__all__ = [
    "Product",
    "Repeated",
    "Sum",
    "compose",
    "entry_map",
    "factors_of",
    "same_kernel",
    "stacked",
]


class Product(LinearOperator):
    """A chain ``factors[0] @ factors[1] @ ...``: the last factor acts first.

    What one factor gives may have another shape than the next one takes, if it has as many
    entries: they are taken in order.

    Attributes:
        factors: At least one, leftmost first.
    """

    def __init__(self, *factors: LinearOperator, out_shape: tuple[int, ...] | None = None) -> None:
        """Takes the factors, leftmost first, and the shape of outputs if it is another.

        Raises:
            UsageError: There is none, or neighbouring sizes, dtypes or devices do not fit.
        """
        if not factors:
            raise UsageError("product: expected at least one operator, got none")
        for left, right in itertools.pairwise(factors):
            if left.n != right.m:
                raise UsageError(
                    f"product: expected the right factor to give {left.n} entries, "
                    f"got {right.out_shape}"
                )
        _same_numbers("product", factors)
        first, last = factors[0], factors[-1]
        super().__init__(
            last.in_shape,
            first.out_shape if out_shape is None else out_shape,
            dtype=last.dtype,
            device=last.device,
        )
        self.factors = tuple(factors)

    @property
    def is_injective(self) -> bool:
        """Whether every factor is."""
        return all(factor.is_injective for factor in self.factors)

    @property
    def is_orthogonal(self) -> bool:
        """Whether every factor is."""
        return all(factor.is_orthogonal for factor in self.factors)

    def _forward(self, x: Tensor) -> Tensor:
        for factor in reversed(self.factors):
            x = factor.matvec(x.reshape(len(x), *factor.in_shape))
        return x

    def _transpose(self, y: Tensor) -> Tensor:
        for factor in self.factors:
            y = factor.rmatvec(y.reshape(len(y), *factor.out_shape))
        return y

    def __repr__(self) -> str:
        return " @ ".join(f"({factor!r})" for factor in self.factors)


class Sum(LinearOperator):
    """Several operators on the same input, their outputs added, each at its own rows.

    Attributes:
        operators: At least one, all of the same input shape.
        rows: Flat output positions of each operator's outputs, int64, shape ``(m_i,)``.
    """

    def __init__(
        self,
        operators: Sequence[LinearOperator],
        rows: Sequence[Tensor] | None = None,
        out_shape: tuple[int, ...] | None = None,
    ) -> None:
        """Takes the summands; without rows they must have the same output shape.

        Raises:
            UsageError: There is none, or their inputs or outputs do not fit.
        """
        if not operators:
            raise UsageError("sum: expected at least one operator, got none")
        inputs = {operator.in_shape for operator in operators}
        if len(inputs) > 1:
            raise UsageError(f"sum: expected one input shape, got {sorted(inputs)}")
        _same_numbers("sum", operators)
        first = operators[0]
        if rows is None:
            shapes = {operator.out_shape for operator in operators}
            if len(shapes) > 1:
                raise UsageError(f"sum: expected one output shape, got {sorted(shapes)}")
            rows = [torch.arange(first.m, device=first.device)] * len(operators)
        out_shape = first.out_shape if out_shape is None else tuple(out_shape)
        super().__init__(first.in_shape, out_shape, dtype=first.dtype, device=first.device)
        self.operators = tuple(operators)
        self.rows = tuple(rows)

    @property
    def is_apart(self) -> bool:
        """Whether no two operators share a row: then it is a stack."""
        every = torch.cat(self.rows)
        return int(torch.bincount(every, minlength=self.m).max()) <= 1

    @property
    def is_injective(self) -> bool:
        """Whether one member of a stack is."""
        return any(operator.is_injective for operator in self.operators) and self.is_apart

    def _forward(self, x: Tensor) -> Tensor:
        y = x.new_zeros(len(x), self.m)
        for operator, rows in zip(self.operators, self.rows, strict=True):
            y.index_add_(1, rows, operator.matvec(x).flatten(1))
        return y

    def _transpose(self, y: Tensor) -> Tensor:
        flat = y.flatten(1)
        x = y.new_zeros(len(y), *self.in_shape)
        for operator, rows in zip(self.operators, self.rows, strict=True):
            x = x + operator.rmatvec(flat[:, rows].reshape(len(y), *operator.out_shape))
        return x

    def __repr__(self) -> str:
        return f"[{'; '.join(map(repr, self.operators))}]"


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

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator.matvec(x)

    def _transpose(self, y: Tensor) -> Tensor:
        return self.operator.rmatvec(y)

    def __repr__(self) -> str:
        return f"Repeated({self.operator!r}, {self.times})"


def stacked(operators: Sequence[LinearOperator]) -> Sum:
    """Returns operators one above the other: the null space is the intersection of theirs.

    Raises:
        UsageError: There is none, or their inputs, dtypes or devices differ.
    """
    ends = list(itertools.accumulate(operator.m for operator in operators))
    rows = [
        torch.arange(end - operator.m, end, device=operator.device)
        for operator, end in zip(operators, ends, strict=True)
    ]
    return Sum(operators, rows, (ends[-1],) if ends else ())


def compose(*factors: LinearOperator, out_shape: tuple[int, ...] | None = None) -> LinearOperator:
    """Multiplies operators, leftmost first, merging neighbours.

    Maps of entries go into each other and into the matrix behind them, a scale for each channel
    and zero padding into the convolution behind them.

    Args:
        factors: At least one; nested products are opened.
        out_shape: Shape of outputs; that of the leftmost factor if omitted.

    Returns:
        An operator equal to the product, a :class:`Product` if more than one factor is left.

    Raises:
        UsageError: Neighbouring sizes, dtypes or devices do not fit.
    """
    product = Product(*factors)
    shape = product.out_shape if out_shape is None else out_shape
    done: list[LinearOperator] = []
    for factor in reversed(factors_of(product)):
        current = factor
        while done and (merged := _merge(current, done[-1])) is not None:
            done.pop()
            current = merged
        done.append(current)
    kept = [f for f in done if not (isinstance(f, Entries) and f.is_identity)] or done[:1]
    if len(kept) == 1 and kept[0].in_shape == product.in_shape:
        (only,) = kept
        if only.out_shape == shape:
            return only
        if isinstance(only, Entries):
            return Entries(only.in_shape, only.source, only.scale, out_shape=shape)
        if isinstance(only, Dense):
            return Dense(only.matrix, only.in_shape, shape)
    if kept[0].in_shape != product.in_shape:
        start = Entries.identity(product.in_shape, kept[0].in_shape, device=product.device)
        kept.insert(0, start)
    return Product(*reversed(kept), out_shape=shape)


def same_kernel(operator: LinearOperator) -> LinearOperator:
    """Returns a simpler operator with the same null space.

    Injective factors on the left are dropped: batch norm without zero scales, and whatever keeps
    all entries.

    Args:
        operator: Any operator.

    Returns:
        An operator on the same input; its outputs may differ from the original's.
    """
    if isinstance(operator, Sum) and operator.is_apart:
        members = [same_kernel(member) for member in operator.operators]
        injective = [member for member in members if member.is_injective]
        return injective[0] if injective else stacked(members)
    if isinstance(operator, Repeated):
        return Repeated(same_kernel(operator.operator), operator.times)
    factors = factors_of(operator)
    while len(factors) > 1 and factors[0].is_injective:
        factors = factors[1:]
    if len(factors) == 1 and factors[0] is not operator:
        return same_kernel(factors[0])
    return compose(*factors)


def factors_of(operator: LinearOperator) -> list[LinearOperator]:
    """Returns the factors of a product, of products in it too; the operator itself if none."""
    if isinstance(operator, Product):
        return [part for factor in operator.factors for part in factors_of(factor)]
    return [operator]


def entry_map(operator: LinearOperator) -> Entries | None:
    """Returns the operator as a map of entries; None when it mixes them."""
    if isinstance(operator, Diagonal):
        return operator.entries()
    return operator if isinstance(operator, Entries) else None


def _merge(left: LinearOperator, right: LinearOperator) -> LinearOperator | None:
    """Returns ``left @ right`` as one operator where that is cheap, else None."""
    moved = entry_map(right)
    if moved is None:
        return None
    if moved.is_identity and moved.in_shape == left.in_shape:
        return left
    if (last := entry_map(left)) is not None:
        return simplest(last.after(moved))
    if isinstance(left, Pooling) and moved.is_identity:
        last_axes = len(left.factors)
        fits = moved.in_shape[-last_axes:] == left.in_shape[-last_axes:]
        return Pooling(left.factors, moved.in_shape) if fits else None
    if isinstance(left, Repeated) and moved.is_identity:
        lead = len(moved.in_shape) - len(left.operator.in_shape)
        if lead >= 0 and moved.in_shape[lead:] == left.operator.in_shape:
            return Repeated(left.operator, moved.in_shape[:lead])
    if isinstance(left, Dense) and moved.is_identity:
        return Dense(left.matrix, moved.in_shape, left.out_shape)
    if isinstance(left, Dense):
        matrix = left.matrix.new_zeros(left.matrix.shape[0], moved.n + 1)
        # Columns that read nothing go to the spare last place.
        places = moved.source % (moved.n + 1)
        matrix.index_add_(1, places, left.matrix * moved.factors)
        return Dense(matrix[:, : moved.n].contiguous(), moved.in_shape, left.out_shape)
    return _into_convolution(left, moved) if isinstance(left, Convolution) else None


def _into_convolution(left: Convolution, right: Entries) -> Convolution | None:
    """Puts an input scale for each channel, and zero padding, into the convolution behind it."""
    shape = right.in_shape
    if len(shape) != len(left.in_shape) or shape[0] != left.in_shape[0]:
        return None
    source = right.source.reshape(left.in_shape)
    inside = source >= 0
    box = [slice(None)]
    padding = []
    for axis, (size, whole) in enumerate(zip(shape[1:], left.in_shape[1:], strict=True), start=1):
        others = [a for a in range(len(shape)) if a != axis]
        first = int(inside.any(dim=tuple(others)).to(torch.int8).argmax())
        box.append(slice(first, first + size))
        padding.append((first, whole - size - first))
    every = torch.arange(right.n, device=right.device).reshape(shape)
    scale = right.factors.reshape(left.in_shape)[tuple(box)]
    if min(min(pair) for pair in padding) < 0 or int(inside.sum()) != right.n:
        return None
    if not torch.equal(source[tuple(box)], every):
        return None
    diagonal = simplest(Entries(shape, every, scale))
    weight = left.weight
    if isinstance(diagonal, Diagonal):
        if not diagonal.is_channelwise:
            return None
        channels = diagonal.scale.reshape(-1).expand(shape[0]).reshape(left.groups, 1, -1)
        rows = channels.expand(-1, weight.shape[0] // left.groups, -1)
        weight = weight * rows.reshape(weight.shape[:2] + (1,) * (weight.ndim - 2))
    sums = zip(left.padding, padding, strict=True)
    total = [(before + more[0], after + more[1]) for (before, after), more in sums]
    merged = Convolution(
        weight,
        shape,
        stride=left.stride,
        padding=total,
        dilation=left.dilation,
        groups=left.groups,
    )
    # A window that padding behind adds would be one more output.
    return merged if merged.out_shape == left.out_shape else None


def _same_numbers(name: str, operators: Sequence[LinearOperator]) -> None:
    kinds = {(operator.dtype, operator.device) for operator in operators}
    if len(kinds) > 1:
        raise UsageError(f"{name}: expected one dtype and device, got {sorted(map(str, kinds))}")
