"""Operators that are block diagonal: windows that share no input with other windows.

A patch embedding is one small matrix repeated over patches, so its null space is one small
decomposition. Several such operators on the same input, with the same patches or with patches
that nest, are block diagonal again: windows that share inputs are merged into one block.

Inputs that no block reads are in the null space outright. Nothing of size ``n x n`` is ever held:
for 16 x 16 patches of a 3 x 224 x 224 input the whole space is one 768-row basis and the positions
of 196 patches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from fingerprint.spaces.kernel import MatrixKernel, matrix_kernel
from fingerprint.spaces.subspace import Subspace
from fingerprint.spaces.windows import Windows

__all__ = ["Block", "PatchSubspace", "decomposed_blocks", "disjoint_blocks", "merge_windows"]

_Integers = NDArray[np.int64]

_WIDEST_BLOCK = 4096
"""A wider block takes minutes to decompose; such operators are treated without structure."""


@dataclass(frozen=True, eq=False)
class Block:
    """One matrix repeated over disjoint sets of inputs.

    Attributes:
        matrix: Shape ``(p, q)``, float64.
        columns: Flat input positions, shape ``(L, q)``, each input at most once in all blocks
            of an operator.
    """

    matrix: Tensor
    columns: Tensor


def disjoint_blocks(groups: Windows, n: int) -> tuple[Block, ...] | None:
    """Returns the windows themselves where no two share an input, else None."""
    count = torch.zeros(n, dtype=torch.int64)
    for group in groups:
        count += torch.bincount(group.columns.reshape(-1).cpu(), minlength=n)
    if bool((count > 1).any()):
        return None
    return tuple(Block(group.matrix, group.columns) for group in groups)


def merge_windows(groups: Windows, n: int) -> tuple[Block, ...] | None:
    """Merges windows that share inputs into blocks that share none.

    Args:
        groups: The windows of an operator.
        n: Number of inputs.

    Returns:
        The blocks; None where that gains nothing: all windows hang together, as in most
        convolutions with overlap, or a block is wider than ``_WIDEST_BLOCK``.
    """
    inputs, components = _components(groups, n)
    sizes = np.bincount(inputs[inputs >= 0])
    if np.count_nonzero(sizes) < 2 or int(sizes.max()) > _WIDEST_BLOCK:
        return None
    return _assemble(groups, components)


def _components(groups: Windows, n: int) -> tuple[_Integers, list[_Integers]]:
    """Labels inputs and, group by group, windows by connected component; -1 if unread."""
    first, windows, inputs = n, [], []
    for group in groups:
        count, width = group.columns.shape
        windows.append(np.repeat(np.arange(first, first + count), width))
        inputs.append(group.columns.reshape(-1).cpu().numpy())
        first += count
    one, other = np.concatenate(windows), np.concatenate(inputs)
    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(first, first))
    labels = connected_components(graph, directed=False)[1].astype(np.int64)
    read = np.zeros(n, dtype=bool)
    read[other] = True
    ends = np.cumsum([len(group.columns) for group in groups])[:-1]
    return np.where(read, labels[:n], -1), np.split(labels[n:], ends)


def _assemble(groups: Windows, components: list[_Integers]) -> tuple[Block, ...]:
    """Builds one block for each kind of component, however often it occurs."""
    members: dict[int, list[tuple[int, _Integers]]] = {}
    for number, (group, labels) in enumerate(zip(groups, components, strict=True)):
        columns = group.columns.cpu().numpy()
        for window, label in enumerate(labels.tolist()):
            members.setdefault(label, []).append((number, columns[window]))
    kinds: dict[bytes, list[tuple[_Integers, list[tuple[int, _Integers]]]]] = {}
    for parts in members.values():
        inputs = np.unique(np.concatenate([columns for _, columns in parts]))
        local = [(number, np.searchsorted(inputs, columns)) for number, columns in parts]
        key = b"".join(number.to_bytes(8, "big") + at.tobytes() for number, at in local)
        kinds.setdefault(key, []).append((inputs, local))
    return tuple(
        _block(groups, occurrences[0][1], np.stack([inputs for inputs, _ in occurrences]))
        for occurrences in kinds.values()
    )


def _block(groups: Windows, local: list[tuple[int, _Integers]], columns: _Integers) -> Block:
    """Stacks the matrices of the windows of one component, over the inputs of all of them."""
    parts = []
    for number, at in local:
        matrix = groups[number].matrix
        part = matrix.new_zeros(matrix.shape[0], columns.shape[1])
        part[:, torch.from_numpy(at).to(matrix.device)] = matrix
        parts.append(part)
    joined = torch.cat(parts)
    return Block(joined, torch.from_numpy(columns).to(joined.device))


class PatchSubspace(Subspace):
    """The null space of disjoint blocks, with the inputs that none of them reads.

    Attributes:
        kernels: Row or null space of each block's matrix.
        columns: Flat input positions of each block, shape ``(L, q)``.
    """

    def __init__(
        self,
        kernels: Sequence[MatrixKernel],
        columns: Sequence[Tensor],
        in_shape: tuple[int, ...],
        *,
        note: str = "",
        device: torch.device | str = "cpu",
    ) -> None:
        """Takes the kernel of each block, where it stands, and how the structure was found."""
        self.kernels = tuple(kernels)
        self.columns = tuple(columns)
        rank = sum(k.rank * len(c) for k, c in zip(self.kernels, self.columns, strict=True))
        super().__init__(in_shape, math.prod(in_shape) - rank, note=note, device=device)

    def _project(self, rows: Tensor) -> Tensor:
        projected = rows.clone()
        for kernel, columns in zip(self.kernels, self.columns, strict=True):
            projected[:, columns] = kernel.project(rows[:, columns])
        return projected


def decomposed_blocks(blocks: Sequence[Block], dtype: torch.dtype) -> list[MatrixKernel]:
    """Decomposes each block once.

    Singular values of a block diagonal operator are those of all its blocks together, so the
    cutoff is relative to the largest of all.

    Args:
        blocks: Disjoint blocks.
        dtype: What the operator was computed in; sets the cutoff.
    """
    if len(blocks) == 1:
        return [matrix_kernel(blocks[0].matrix, dtype)]
    norms = [float(torch.linalg.matrix_norm(b.matrix, 2)) for b in blocks if b.matrix.numel()]
    largest = max(norms, default=0.0)
    return [matrix_kernel(block.matrix, dtype, largest=largest) for block in blocks]
