"""Whole-network solutions on networks trained on real digits."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from fingerprint.errors import NoInformation
from fingerprint.solvers import Solution, centred, choose_method, solve_network
from fingerprint.solvers.gauss_newton import gauss_newton
from fingerprint.solvers.lbfgs import projected_lbfgs
from fingerprint.solvers.objective import Objective
from tests.fingerprint.solvers.problems import (
    BOX,
    Spy,
    assert_in_box,
    doubled,
    inputs,
    residuals,
)

Network = Callable[[Tensor], Tensor]
Solve = Callable[[Network, Tensor, Tensor], Solution]


def by_choice(network: Network, base: Tensor, start: Tensor) -> Solution:
    return solve_network(network, base, start, bounds=BOX)


def by_lbfgs(network: Network, base: Tensor, start: Tensor) -> Solution:
    """What is chosen for many outputs, on a network of few."""
    objective = Objective(network, base, BOX)
    return projected_lbfgs(objective, start, tolerance=1e-2, max_passes=150)


@pytest.fixture(params=["trained_cnn", "trained_vit", "trained_mlp"])
def trained(request: pytest.FixtureRequest) -> nn.Module:
    network: nn.Module = request.getfixturevalue(request.param)
    return network


def test_float64_solutions_are_harmless_to_rounding_and_inside_the_box(trained: nn.Module) -> None:
    network = doubled(trained)
    base, start = inputs(4)
    found = solve_network(network, base, start, bounds=BOX)
    assert bool(found.converged.all())
    actual = residuals(network, base, found.delta)
    assert actual.max() <= 1e-8
    np.testing.assert_allclose(found.residual, actual, atol=1e-11)
    assert_in_box(base, found)


def test_solutions_stay_near_their_start_and_far_from_nothing(trained: nn.Module) -> None:
    base, start = inputs(4)
    found = solve_network(doubled(trained), base, start, bounds=BOX)
    cosine = torch.cosine_similarity(found.delta.flatten(1), (start - base).flatten(1))
    assert float(cosine.min()) > 0.5
    unsolved = residuals(doubled(trained), base, start - base)
    assert unsolved.min() > 0.05  # there was something to solve


def test_l_bfgs_reaches_a_hundredth_in_float32(trained: nn.Module) -> None:
    base, start = inputs(4, dtype=torch.float32)
    found = by_lbfgs(trained, base, start)
    assert found.delta.dtype == torch.float32
    assert bool(found.converged.all())
    judged = residuals(doubled(trained), base.double(), found.delta.double())
    assert judged.max() <= 1e-2 * 1.01
    assert_in_box(base, found, slack=1e-6)


@pytest.mark.parametrize(("outputs", "method"), [(4, "gauss-newton"), (40, "l-bfgs")])
def test_bases_that_are_answered_alike_lead_to_one_point_to_the_last_digit(
    outputs: int, method: str
) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(16, outputs), nn.Tanh())
    network[0].weight.data[:, 8:] = 0.0  # bases that differ there have equal answers
    base, start = torch.rand(3, 16), torch.rand(3, 16) ** 6
    other = base.clone()
    other[:, 8:] = torch.rand(3, 8)
    found = [solve_network(network, x, start, bounds=BOX) for x in (base, other)]
    assert choose_method(outputs, 16) == method
    assert torch.equal(found[0].point, found[1].point)
    assert not torch.equal(found[0].point, start)
    rounded = [x + one.delta for x, one in zip((base, other), found, strict=True)]
    assert not torch.equal(*rounded)  # what adding δ to x again would give away


def test_the_solution_is_harmful_for_an_independent_network(
    trained_cnn: nn.Module, trained_independent_cnn: nn.Module
) -> None:
    base, start = inputs(6)
    found = solve_network(doubled(trained_cnn), base, start, bounds=BOX)
    other = residuals(doubled(trained_independent_cnn), base, found.delta)
    assert np.median(other) > 0.1


def test_no_step_leaves_the_box(trained_mlp: nn.Module) -> None:
    base, start = inputs(3)
    for solve in (by_choice, by_lbfgs):
        spy = Spy(doubled(trained_mlp))
        solve(spy, base, start)
        assert spy.lowest >= 0.0
        assert spy.highest <= 1.0


def test_starts_outside_the_box_begin_at_its_nearest_point(trained_mlp: nn.Module) -> None:
    base, start = inputs(2)
    network = doubled(trained_mlp)
    plain = solve_network(network, base, start, bounds=BOX)
    beyond = solve_network(network, base, 3 * start - 1, bounds=BOX)
    assert torch.equal(plain.delta, beyond.delta)


def test_a_probe_is_solved_the_same_alone_and_in_a_batch(trained_mlp: nn.Module) -> None:
    base, start = inputs(3)
    network = doubled(trained_mlp)
    together = solve_network(network, base, start, bounds=BOX)
    alone = solve_network(network, base[1:2], start[1:2], bounds=BOX)
    torch.testing.assert_close(together.delta[1:2], alone.delta, atol=1e-6, rtol=0)


@pytest.mark.parametrize("solve", [by_choice, by_lbfgs])
def test_a_network_that_dies_at_a_start_spares_the_other_probes(
    trained_mlp: nn.Module, solve: Solve
) -> None:
    alive = doubled(trained_mlp)

    def network(x: Tensor) -> Tensor:
        off = x.flatten(1).mean(1, keepdim=True) > 0.999  # no gradient, another answer
        return torch.where(off, torch.arange(10.0).double(), alive(x))

    base, start = inputs(2)
    start[0] = 1.0
    found = solve(network, base, start)
    assert found.converged.tolist() == [False, True]
    assert float(found.residual[0]) > 0.1
    assert_in_box(base, found)


def test_gauss_newton_works_in_float32_to_its_precision(trained_mlp: nn.Module) -> None:
    base, start = inputs(8, dtype=torch.float32)
    found = solve_network(trained_mlp, base, start, bounds=BOX, tolerance=1e-4)
    assert bool(found.converged.all())


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 1e10, 3e37])
def test_answers_equal_but_for_rounding_tell_no_classes_apart(size: float) -> None:
    def uneven(x: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(10).remainder(4).float() - 2
        row = size * (1 + torch.finfo(torch.float32).eps * steps)
        return row.expand(len(x), 10) + 0 * x.sum()

    base, start = (values.float() for values in inputs(2))
    with pytest.raises(NoInformation, match="equal values"):
        solve_network(uneven, base, start, bounds=BOX)


@pytest.mark.parametrize("size", [1e-30, 1e-10, 1e10, 1e30])
def test_answers_of_any_size_are_solved_as_those_of_size_one(
    size: float, trained_mlp: nn.Module
) -> None:
    base, start = (values.float() for values in inputs(2))
    one, other = (
        solve_network(lambda x, by=by: trained_mlp(x) * by, base, start, bounds=BOX, tolerance=1e-4)
        for by in (1.0, size)
    )
    assert bool(one.converged.all())
    assert bool(other.converged.all())
    assert float((one.delta - other.delta).abs().max()) < 1e-2


@pytest.mark.parametrize("solve", [by_choice, by_lbfgs])
@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_a_constant_network_carries_no_information(constant: float, solve: Solve) -> None:
    base, start = inputs(2)
    with pytest.raises(NoInformation, match="equal values"):
        solve(
            lambda x: torch.full((len(x), 10), constant, dtype=x.dtype) + 0 * x.sum(), base, start
        )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_of_non_finite_answers_carries_no_information(
    trained_mlp: nn.Module, value: float
) -> None:
    broken = copy.deepcopy(trained_mlp)
    with torch.no_grad():
        next(broken.parameters())[0] = value
    base, start = inputs(2, dtype=torch.float32)
    with pytest.raises(NoInformation, match="finite answers"):
        solve_network(broken, base, start, bounds=BOX)


def test_few_outputs_choose_gauss_newton_and_many_l_bfgs() -> None:
    assert choose_method(10, 3 * 32 * 32) == "gauss-newton"
    assert choose_method(32, 100) == "gauss-newton"
    assert choose_method(33, 100) == "l-bfgs"
    assert choose_method(1000, 3 * 224 * 224) == "l-bfgs"
    assert choose_method(32, 2**18) == "l-bfgs"  # a Jacobian of 64 MiB


def test_centring_removes_what_softmax_cannot_see() -> None:
    logits = torch.randn(3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = logits + torch.tensor([[1.0], [-5.0], [100.0]])
    torch.testing.assert_close(centred(moved), centred(logits))
    torch.testing.assert_close(centred(moved).softmax(1), logits.softmax(1))
    assert float(centred(moved).sum(1).abs().max()) < 1e-12


@pytest.fixture(scope="module")
def table() -> tuple[nn.Module, Tensor]:
    """A perceptron trained on the digits as tables of 64 numbers, and some of its rows.

    Its inputs are few and most of them lie on a side of the box.
    """
    rows, labels = load_digits(return_X_y=True)
    x, y = torch.from_numpy(rows) / 16, torch.from_numpy(labels)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)).double()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(500):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(network(x), y))
        optimizer.step()
    return network.requires_grad_(False), x[:16]


def test_starts_that_gauss_newton_is_caught_on_are_led_to_solutions(
    table: tuple[nn.Module, Tensor],
) -> None:
    network, base = table
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(base.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        alone = gauss_newton(Objective(network, base, BOX), start, tolerance=1e-8)
    assert int(alone.converged.sum()) < len(base), "nothing left to lead"
    found = solve_network(network, base, start, bounds=BOX)
    assert int(found.converged.sum()) > int(alone.converged.sum())
    actual = residuals(network, base, found.delta)
    np.testing.assert_array_equal(found.converged, actual <= 1e-8)
    np.testing.assert_array_less(actual, alone.residual + 1e-11)
    assert_in_box(base, found)
    # What Gauss-Newton solved by itself is its own solution still.
    torch.testing.assert_close(
        found.delta[alone.converged], alone.delta[alone.converged], rtol=0, atol=0
    )
    assert found.passes > alone.passes
