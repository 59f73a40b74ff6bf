"""The null space of a block diagonal operator: one small kernel, repeated.

Inputs that no block reads are in the space outright. Nothing of size ``n x n`` is ever held: for
16 x 16 patches of a 3 x 224 x 224 input the whole space is one 768-row basis and the positions
of 196 patches.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fingerprint.spaces.blocks import Block
from fingerprint.spaces.matrix_kernel import MatrixKernel, matrix_kernel
from fingerprint.spaces.subspace import Subspace, check_basis_fits

__all__ = ["PatchSubspace"]


class PatchSubspace(Subspace):
    """The null space of disjoint blocks, with the inputs that none of them reads.

    Attributes:
        blocks: The blocks, each repeated over its places.
        kernels: Row or null space of each block's matrix.
    """

    def __init__(
        self,
        blocks: tuple[Block, ...],
        in_shape: tuple[int, ...],
        *,
        matrix_dtype: torch.dtype,
        device: torch.device | str = "cpu",
        note: str = "",
    ) -> None:
        """Decomposes each block once.

        Args:
            blocks: Disjoint blocks.
            in_shape: Shape of one vector.
            matrix_dtype: What the operator was computed in; sets the cutoff.
            device: Where the blocks are.
            note: How the structure was found.
        """
        self.blocks = blocks
        self.kernels = _decompose(blocks, matrix_dtype)
        rank = sum(k.rank * len(b.columns) for k, b in zip(self.kernels, blocks, strict=True))
        super().__init__(in_shape, None, note=note, device=device)
        self.dimension = self.n - rank

    def _project(self, rows: Tensor) -> Tensor:
        projected = rows.clone()
        for block, kernel in zip(self.blocks, self.kernels, strict=True):
            projected[:, block.columns] = kernel.project(rows[:, block.columns])
        return projected

    def basis(self) -> Tensor:
        """Returns an orthonormal basis, shape ``(n, dimension)``; for small inputs.

        Raises:
            UsageError: It would not fit in memory.
        """
        assert self.dimension is not None  # set from the ranks above
        check_basis_fits(self.n, self.dimension)
        basis = torch.zeros(self.n, self.dimension, dtype=self.dtype, device=self.device)
        free = torch.ones(self.n, dtype=torch.bool, device=self.device)
        done = 0
        for block, kernel in zip(self.blocks, self.kernels, strict=True):
            free[block.columns.reshape(-1)] = False
            columns = kernel.basis()
            for place in block.columns:
                basis[place, done : done + columns.shape[1]] = columns
                done += columns.shape[1]
        alone = free.nonzero().squeeze(1)
        basis[alone, torch.arange(done, done + len(alone), device=self.device)] = 1.0
        return basis


def _decompose(blocks: tuple[Block, ...], dtype: torch.dtype) -> tuple[MatrixKernel, ...]:
    if len(blocks) == 1:
        return (matrix_kernel(blocks[0].matrix, dtype),)
    # Singular values of a block diagonal operator are those of all its blocks together, so the
    # cutoff is relative to the largest of all.
    norms = [float(torch.linalg.matrix_norm(b.matrix, 2)) for b in blocks if b.matrix.numel()]
    largest = max(norms, default=0.0)
    return tuple(matrix_kernel(block.matrix, dtype, largest=largest) for block in blocks)
