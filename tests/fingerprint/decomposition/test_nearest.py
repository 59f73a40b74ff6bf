"""The nearest harmless perturbation, where it can be known by other means."""

from __future__ import annotations

import scipy.linalg
import torch
from torch import Tensor

from fingerprint.decomposition.nearest import nearest_harmless
from fingerprint.solvers import choose_method

BOX = (0.0, 1.0)


def _problem(classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """A matrix, a base and a perturbation that leave the box room on all sides."""
    generator = torch.Generator().manual_seed(classes)
    matrix = torch.randn(classes, 60, generator=generator, dtype=torch.float64)
    base = 0.4 + 0.2 * torch.rand(3, 60, generator=generator, dtype=torch.float64)
    delta = 0.1 * torch.randn(3, 60, generator=generator, dtype=torch.float64)
    return matrix, base, delta


def _projected(matrix: Tensor, delta: Tensor) -> Tensor:
    """Projects on what leaves the centred answers alone, by scipy."""
    basis = torch.from_numpy(scipy.linalg.null_space((matrix - matrix.mean(dim=0)).numpy()))
    return delta @ basis @ basis.T


def test_a_linear_network_has_the_projection_as_its_nearest() -> None:
    matrix, base, delta = _problem(8)
    found = nearest_harmless(lambda x: x @ matrix.T, base, delta, bounds=BOX)
    assert bool(found.converged.all())
    torch.testing.assert_close(found.delta, _projected(matrix, delta), atol=1e-6, rtol=0)


def test_a_network_curved_after_its_linear_part_has_the_same_nearest() -> None:
    # An injective function adds no harmless perturbation (Theorem 2), but bends the residual.
    matrix, base, delta = _problem(6)
    square = torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def network(x: Tensor) -> Tensor:
        hidden = torch.tanh(x @ matrix.T / 4)
        logits: Tensor = hidden @ square.T
        return torch.cat([logits, -logits.sum(dim=1, keepdim=True)], dim=1)

    found = nearest_harmless(network, base, delta, bounds=BOX)
    basis = torch.from_numpy(scipy.linalg.null_space(matrix.numpy()))
    assert bool(found.converged.all())
    torch.testing.assert_close(found.delta, delta @ basis @ basis.T, atol=1e-3, rtol=0)


def test_what_is_harmless_already_stays() -> None:
    matrix, base, delta = _problem(8)
    harmless = _projected(matrix, delta)
    found = nearest_harmless(lambda x: x @ matrix.T, base, harmless, bounds=BOX)
    torch.testing.assert_close(found.delta, harmless, atol=1e-6, rtol=0)


def test_it_stays_inside_the_box() -> None:
    matrix, base, delta = _problem(8)
    moved = (base + 20 * delta).clamp(*BOX)
    found = nearest_harmless(lambda x: x @ matrix.T, base, moved - base, bounds=BOX)
    point = base + found.delta
    assert float(point.min()) >= -1e-12
    assert float(point.max()) <= 1 + 1e-12
    assert bool(found.converged.all())


def test_many_outputs_are_solved_without_a_jacobian() -> None:
    matrix, base, delta = _problem(40)
    found = nearest_harmless(lambda x: x @ matrix.T, base, delta, bounds=BOX)
    assert choose_method(40, 60) == "l-bfgs"
    assert bool((found.residual[found.converged] <= 1e-2).all())
    assert bool(found.converged.all())
    shorter = (delta - found.delta).norm(dim=1) < delta.norm(dim=1)
    assert bool(shorter.all())
