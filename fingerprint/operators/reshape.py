"""Maps that only move entries: reshape, permute, pad with zeros, select, gather.

They carry no numbers of their own, so dtype and device only say what ``to_dense`` uses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.batching import flatten_batch

__all__ = ["Gather", "Pad", "Permute", "Reshape", "Select"]

_CPU = torch.device("cpu")


class Reshape(LinearOperator):
    """The same entries in the same order, in another shape; the identity if the shapes agree."""

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = _CPU,
    ) -> None:
        """Takes both shapes.

        Raises:
            UsageError: They hold different numbers of entries.
        """
        if math.prod(in_shape) != math.prod(out_shape):
            raise UsageError(f"reshape: expected as many entries as {in_shape}, got {out_shape}")
        super().__init__(in_shape, out_shape, dtype=dtype, device=device)

    @property
    def is_orthogonal(self) -> bool:
        """Always."""
        return True

    @property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return self.in_shape == self.out_shape

    def matvec(self, x: Tensor) -> Tensor:
        """Reshapes: ``(..., *in_shape)`` -> ``(..., *out_shape)``."""
        flat, batch = flatten_batch(x, self.in_shape)
        return flat.reshape(*batch, *self.out_shape)

    def rmatvec(self, y: Tensor) -> Tensor:
        """Reshapes back."""
        flat, batch = flatten_batch(y, self.out_shape)
        return flat.reshape(*batch, *self.in_shape)


class Permute(LinearOperator):
    """Axes in another order, as ``Tensor.permute`` takes them.

    Attributes:
        dims: For each output axis, the input axis it was.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        dims: Sequence[int],
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = _CPU,
    ) -> None:
        """Takes the shape and the new order of its axes.

        Raises:
            UsageError: ``dims`` does not name every axis once.
        """
        if sorted(dims) != list(range(len(in_shape))):
            raise UsageError(f"permute: expected every axis of {in_shape} once, got {tuple(dims)}")
        out_shape = tuple(in_shape[dim] for dim in dims)
        super().__init__(in_shape, out_shape, dtype=dtype, device=device)
        self.dims = tuple(dims)

    @property
    def is_orthogonal(self) -> bool:
        """Always."""
        return True

    def matvec(self, x: Tensor) -> Tensor:
        """Permutes: ``(..., *in_shape)`` -> ``(..., *out_shape)``."""
        flat, batch = flatten_batch(x, self.in_shape)
        moved = flat.permute(0, *(dim + 1 for dim in self.dims))
        return moved.reshape(*batch, *self.out_shape)

    def rmatvec(self, y: Tensor) -> Tensor:
        """Permutes back."""
        flat, batch = flatten_batch(y, self.out_shape)
        order = sorted(range(len(self.dims)), key=self.dims.__getitem__)
        moved = flat.permute(0, *(place + 1 for place in order))
        return moved.reshape(*batch, *self.in_shape)


class Pad(LinearOperator):
    """Zeros before and after each axis; injective.

    Attributes:
        amounts: ``(before, after)`` for each axis of the input.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        amounts: Sequence[tuple[int, int]],
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = _CPU,
    ) -> None:
        """Takes the shape and how many zeros go where.

        Raises:
            UsageError: Not one pair per axis, or a negative amount (see :class:`Select`).
        """
        if len(amounts) != len(in_shape) or any(min(pair) < 0 for pair in amounts):
            raise UsageError(
                f"pad: expected a pair of non-negative amounts for each axis of {in_shape}, "
                f"got {tuple(amounts)}"
            )
        self.amounts = tuple((int(before), int(after)) for before, after in amounts)
        sizes = zip(in_shape, self.amounts, strict=True)
        out_shape = tuple(size + before + after for size, (before, after) in sizes)
        super().__init__(in_shape, out_shape, dtype=dtype, device=device)

    @property
    def is_injective(self) -> bool:
        """Always: the input is kept whole."""
        return True

    def matvec(self, x: Tensor) -> Tensor:
        """Pads: ``(..., *in_shape)`` -> ``(..., *out_shape)``."""
        flat, batch = flatten_batch(x, self.in_shape)
        widths = [amount for pair in reversed(self.amounts) for amount in pair]
        return functional.pad(flat, widths).reshape(*batch, *self.out_shape)

    def rmatvec(self, y: Tensor) -> Tensor:
        """Cuts the padding off."""
        flat, batch = flatten_batch(y, self.out_shape)
        inner = zip(self.amounts, self.in_shape, strict=True)
        window = tuple(slice(before, before + size) for (before, _), size in inner)
        return flat[(slice(None), *window)].reshape(*batch, *self.in_shape)


class Select(LinearOperator):
    """A slice of each axis, with a positive step.

    Attributes:
        slices: ``(start, stop, step)`` for each axis of the input.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        slices: Sequence[slice | tuple[int, int, int]],
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = _CPU,
    ) -> None:
        """Takes the shape and one slice per axis.

        Raises:
            UsageError: Not one slice per axis, a step that is not positive, or nothing left.
        """
        if len(slices) != len(in_shape):
            raise UsageError(f"select: expected a slice for each axis of {in_shape}, got {slices}")
        pairs = [(s if isinstance(s, slice) else slice(*s)) for s in slices]
        self.slices = tuple(s.indices(size) for s, size in zip(pairs, in_shape, strict=True))
        out_shape = tuple(len(range(*bounds)) for bounds in self.slices)
        if any(step < 1 for _, _, step in self.slices) or 0 in out_shape:
            raise UsageError(
                f"select: expected positive steps and non-empty slices of {in_shape}, got {slices}"
            )
        super().__init__(in_shape, out_shape, dtype=dtype, device=device)

    @property
    def is_injective(self) -> bool:
        """Whether the slices keep everything."""
        return self.in_shape == self.out_shape

    def matvec(self, x: Tensor) -> Tensor:
        """Selects: ``(..., *in_shape)`` -> ``(..., *out_shape)``."""
        flat, batch = flatten_batch(x, self.in_shape)
        return flat[self._index()].reshape(*batch, *self.out_shape)

    def rmatvec(self, y: Tensor) -> Tensor:
        """Puts the slice back among zeros."""
        flat, batch = flatten_batch(y, self.out_shape)
        x = flat.new_zeros(flat.shape[0], *self.in_shape)
        x[self._index()] = flat
        return x.reshape(*batch, *self.in_shape)

    def _index(self) -> tuple[slice, ...]:
        return (slice(None), *(slice(*bounds) for bounds in self.slices))


class Gather(LinearOperator):
    """Each output entry is one input entry, or zero: flip, roll, expand, reflecting padding.

    Attributes:
        index: Flat input position for each output entry, shape ``out_shape``, int64; -1 reads
            a zero.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        index: Tensor,
        *,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Takes the input shape and which entry each output reads.

        Raises:
            UsageError: A position outside the input.
        """
        size = math.prod(in_shape)
        if index.is_floating_point() or index.numel() == 0:
            raise UsageError(
                f"gather: expected integer positions, got {tuple(index.shape)} of {index.dtype}"
            )
        if int(index.min()) < -1 or int(index.max()) >= size:
            raise UsageError(
                f"gather: expected positions from -1 to {size - 1}, "
                f"got {int(index.min())} to {int(index.max())}"
            )
        super().__init__(in_shape, tuple(index.shape), dtype=dtype, device=index.device)
        self.index = index.detach().to(torch.int64)

    @property
    def is_injective(self) -> bool:
        """Whether every input entry is read."""
        seen = torch.zeros(self.n + 1, dtype=torch.bool, device=self.device)
        seen[self.index.reshape(-1)] = True  # -1 marks the spare last place
        return bool(seen[: self.n].all())

    @property
    def is_orthogonal(self) -> bool:
        """Whether it is a permutation of the entries."""
        return self.m == self.n and self.is_injective

    def matvec(self, x: Tensor) -> Tensor:
        """Reads: ``(..., *in_shape)`` -> ``(..., *out_shape)``."""
        flat, batch = flatten_batch(x, self.in_shape)
        with_zero = functional.pad(flat.flatten(1), (0, 1))
        return with_zero[:, self.index.reshape(-1)].reshape(*batch, *self.out_shape)

    def rmatvec(self, y: Tensor) -> Tensor:
        """Adds each output entry to the place it was read from."""
        flat, batch = flatten_batch(y, self.out_shape)
        x = flat.new_zeros(flat.shape[0], self.n + 1)
        places = self.index.reshape(-1) % (self.n + 1)
        x.index_add_(1, places, flat.flatten(1))
        return x[:, : self.n].reshape(*batch, *self.in_shape)
