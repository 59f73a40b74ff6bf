"""Products written with fewer factors, and the simplest operator with the same null space.

    compose(A, B, C)    # A @ B @ C exactly, neighbours merged where that is cheap
    same_kernel(A)      # what may be dropped without changing the null space is dropped

Only rewrites that copy no more than the weights are made; nothing is ever made dense.
"""

from __future__ import annotations

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Product, Repeated, Stack
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.normalization import Diagonal
from fingerprint.operators.patch import as_patches
from fingerprint.operators.reshape import Pad, Permute, Reshape

__all__ = ["compose", "same_kernel"]


def compose(*factors: LinearOperator) -> LinearOperator:
    """Multiplies operators, leftmost first, merging neighbours.

    An input scale goes into the convolution or matrix behind it, zero padding into the
    convolution, reshapes into each other; convolutions without overlap become patches.

    Args:
        factors: At least one; nested products are opened.

    Returns:
        An operator equal to the product, a :class:`Product` if more than one factor is left.

    Raises:
        UsageError: Neighbouring shapes, dtypes or devices do not fit.
    """
    product = Product(*factors)
    done: list[LinearOperator] = []
    for factor in reversed(_flattened(product)):
        current = as_patches(factor) if isinstance(factor, Convolution) else factor
        while done and (merged := _merge(current, done[-1])) is not None:
            done.pop()
            current = merged
        if not (isinstance(current, Reshape) and current.is_identity and done):
            done.append(current)
    if len(done) > 1 and isinstance(done[0], Reshape) and done[0].is_identity:
        done.pop(0)
    return done[0] if len(done) == 1 else Product(*reversed(done))


def same_kernel(operator: LinearOperator) -> LinearOperator:
    """Returns a simpler operator with the same null space.

    Injective factors on the left are dropped (BatchNorm without zero scales, reshapes,
    padding), and so are members of a stack that repeat another one.

    Args:
        operator: Any operator.

    Returns:
        An operator on the same input; its outputs may differ from the original's.
    """
    if isinstance(operator, Stack):
        members = [same_kernel(member) for member in operator.operators]
        injective = [member for member in members if member.is_injective]
        if injective:
            return injective[0]
        opened = [part for member in members for part in _members(member)]
        return opened[0] if len(opened) == 1 else Stack(opened)
    if isinstance(operator, Repeated):
        return Repeated(same_kernel(operator.operator), operator.times)
    factors = _flattened(operator)
    while len(factors) > 1 and factors[0].is_injective:
        factors = factors[1:]
    first = factors[0]
    if isinstance(first, Stack | Repeated):
        factors = [same_kernel(first), *factors[1:]]
    return _on_split_axes(compose(*factors))


def _on_split_axes(operator: LinearOperator) -> LinearOperator:
    """Lets a repetition act on the axes that a reshape in front of it has merged."""
    match _flattened(operator):
        case [Repeated() as repeated, Reshape() as reshape]:
            inner = repeated.operator.in_shape
            lead = len(reshape.in_shape) - len(inner)
            if lead >= 0 and reshape.in_shape[lead:] == inner:
                return Repeated(repeated.operator, reshape.in_shape[:lead])
    return operator


def _members(operator: LinearOperator) -> tuple[LinearOperator, ...]:
    return operator.operators if isinstance(operator, Stack) else (operator,)


def _flattened(operator: LinearOperator) -> list[LinearOperator]:
    if isinstance(operator, Product):
        return [part for factor in operator.factors for part in _flattened(factor)]
    return [operator]


def _merge(left: LinearOperator, right: LinearOperator) -> LinearOperator | None:
    """Returns ``left @ right`` as one operator where that is cheap, else None."""
    if isinstance(right, Reshape):
        if isinstance(left, Reshape):
            return _reshape(left, right.in_shape, left.out_shape)
        if isinstance(left, Dense):
            return Dense(left.matrix, right.in_shape, left.out_shape)
    if isinstance(left, Reshape) and isinstance(right, Dense):
        return Dense(right.matrix, right.in_shape, left.out_shape)
    if isinstance(left, Permute) and isinstance(right, Permute):
        dims = [right.dims[dim] for dim in left.dims]
        return Permute(right.in_shape, dims, dtype=right.dtype, device=right.device)
    if isinstance(left, Convolution):
        return _into_convolution(left, right)
    if isinstance(right, Diagonal):
        if isinstance(left, Diagonal):
            return Diagonal(left.scale * right.scale, right.in_shape)
        if isinstance(left, Dense):
            columns = right.scale.expand(right.in_shape).reshape(-1)
            return Dense(left.matrix * columns, left.in_shape, left.out_shape)
    return None


def _reshape(like: Reshape, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> Reshape:
    return Reshape(in_shape, out_shape, dtype=like.dtype, device=like.device)


def _into_convolution(left: Convolution, right: LinearOperator) -> LinearOperator | None:
    """Puts an input scale per channel, or zero padding, into the convolution behind it."""
    weight, padding, in_shape = left.weight, left.padding, left.in_shape
    if isinstance(right, Diagonal) and right.is_channelwise:
        channels = right.scale.reshape(-1).expand(in_shape[0])
        per_group = channels.reshape(left.groups, 1, -1).expand(
            left.groups, weight.shape[0] // left.groups, -1
        )
        columns = per_group.reshape(weight.shape[:2] + (1,) * (weight.ndim - 2))
        weight = weight * columns
    elif isinstance(right, Pad) and right.amounts[0] == (0, 0):
        in_shape = right.in_shape
        padding = tuple(
            (before + more[0], after + more[1])
            for (before, after), more in zip(padding, right.amounts[1:], strict=True)
        )
    else:
        return None
    return as_patches(
        Convolution(
            weight,
            in_shape,
            stride=left.stride,
            padding=padding,
            dilation=left.dilation,
            groups=left.groups,
        )
    )
