"""The null space of an operator too large to decompose: projections by iteration.

``P x = x - A⁺A x``, where the part that is taken away is the shortest ``z`` with ``A z = A x``.
Conjugate gradients on the normal equations find it from products with ``A`` and its transpose
alone; started from zero they never leave the row space, so what is subtracted is always
orthogonal to the null space, however early they stop.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from fingerprint.operators.base import LinearOperator
from fingerprint.spaces.rank import relative_cutoff
from fingerprint.spaces.subspace import Subspace

__all__ = ["IterativeProjection", "MatrixFreeSubspace", "ProjectionWarning", "row_space_part"]

MAX_ITERATIONS = 2000

_ROUGH = 1e-3


class ProjectionWarning(RuntimeWarning):
    """A projection stopped before it met its tolerance; the message names what was reached."""


@dataclass(frozen=True, eq=False)
class IterativeProjection:
    """What an iteration found.

    Attributes:
        row_part: The part in the row space, shape ``(B, n)``.
        response: ``‖A(x - row_part)‖ / (‖A‖ ‖x‖)`` for each vector, shape ``(B,)``, float64.
        iterations: Products with ``A`` and its transpose.
        converged: Whether every response is within the tolerance.
    """

    row_part: Tensor
    response: Tensor
    iterations: int
    converged: bool


class MatrixFreeSubspace(Subspace):
    """The null space of an operator, known by products with it only.

    Attributes:
        operator: The operator.
        tolerance: A projection ``p`` of ``x`` has ``‖A p‖ <= tolerance ‖A‖ ‖x‖``.
        max_iterations: Where an iteration gives up, with a :class:`ProjectionWarning`.
    """

    def __init__(
        self,
        operator: LinearOperator,
        *,
        dimension: int | None = None,
        note: str = "",
        tolerance: float | None = None,
        max_iterations: int = MAX_ITERATIONS,
    ) -> None:
        """Takes the operator; nothing is computed yet.

        Args:
            operator: Any operator.
            dimension: Its nullity, if known.
            note: Why the dimension is unknown, or how it was found.
            tolerance: Largest response of a projection; by default the share of the largest
                singular value at which singular values count as zero.
            max_iterations: Most iterations of one projection.
        """
        cutoff = relative_cutoff(operator.shape, operator.dtype)
        self.operator = operator
        self.tolerance = cutoff if tolerance is None else tolerance
        self.max_iterations = max_iterations
        super().__init__(
            operator.in_shape,
            dimension,
            note=note,
            dtype=operator.dtype,
            device=operator.device,
            accuracy=self.tolerance**0.5,
        )

    def rough(self) -> MatrixFreeSubspace:
        """Returns the same space with a tolerance for steps that are corrected later."""
        return MatrixFreeSubspace(
            self.operator,
            dimension=self.dimension,
            note=self.note,
            tolerance=max(self.tolerance, _ROUGH),
            max_iterations=self.max_iterations,
        )

    def _project(self, rows: Tensor) -> Tensor:
        found = row_space_part(
            self.operator, rows, tolerance=self.tolerance, max_iterations=self.max_iterations
        )
        if not found.converged:
            warnings.warn(
                f"projection: expected a relative response of {self.tolerance:.1e}, reached "
                f"{float(found.response.max()):.1e} after {found.iterations} iterations",
                ProjectionWarning,
                stacklevel=3,
            )
        return rows - found.row_part


def row_space_part(
    operator: LinearOperator, rows: Tensor, *, tolerance: float, max_iterations: int
) -> IterativeProjection:
    """Finds the shortest ``z`` with ``A z = A x`` by conjugate gradients (CGLS).

    Args:
        operator: The operator ``A``.
        rows: The vectors ``x``, shape ``(B, n)``, in the operator's dtype.
        tolerance: Stop when ``‖A(x - z)‖ <= tolerance ‖A‖ ‖x‖`` for every vector. The norm of
            ``A`` is estimated from the products, from below.
        max_iterations: Stop then in any case.
    """
    sizes = rows.norm(dim=1)
    part = torch.zeros_like(rows)
    residual = _forward(operator, rows)
    norm = _largest_ratio(residual, rows)
    direction = gradient = _backward(operator, residual)
    energy = gradient.square().sum(dim=1)
    done = 0
    while done < max_iterations and bool((residual.norm(dim=1) > tolerance * norm * sizes).any()):
        image = _forward(operator, direction)
        norm = max(norm, _largest_ratio(image, direction))
        step = _ratio(energy, image.square().sum(dim=1))
        part = part + step * direction
        residual = residual - step * image
        gradient = _backward(operator, residual)
        before, energy = energy, gradient.square().sum(dim=1)
        direction = gradient + _ratio(energy, before) * direction
        done += 1
    # The recursion's residual drifts from the true one, so the report measures again. The factor
    # allows for that rounding.
    true = _forward(operator, rows - part).norm(dim=1)
    scale = norm * sizes
    response = torch.where(scale > 0, true / scale.clamp(min=torch.finfo(scale.dtype).tiny), 0.0)
    converged = bool((response <= 2.0 * tolerance).all())
    return IterativeProjection(part, response.to(torch.float64), done, converged)


def _forward(operator: LinearOperator, rows: Tensor) -> Tensor:
    return operator.matvec(rows.reshape(-1, *operator.in_shape)).reshape(-1, operator.m)


def _backward(operator: LinearOperator, rows: Tensor) -> Tensor:
    return operator.rmatvec(rows.reshape(-1, *operator.out_shape)).reshape(-1, operator.n)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """Divides, giving 0 where a vector is finished and both are zero; shape ``(B, 1)``."""
    return torch.where(below > 0, above / below.clamp(min=1e-300), 0.0).unsqueeze(1)


def _largest_ratio(image: Tensor, rows: Tensor) -> float:
    """Returns the largest ``‖image‖ / ‖row‖``, a lower bound of the operator's norm."""
    return float(_ratio(image.norm(dim=1), rows.norm(dim=1)).max()) if len(rows) else 0.0
