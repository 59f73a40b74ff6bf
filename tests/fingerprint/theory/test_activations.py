"""Lemmas 1.1 and 1.2, judged by running the layers on grids of features and perturbations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fingerprint.errors import UsageError
from fingerprint.theory import harmless_set, set_of_call
from tests.fingerprint.solvers.problems import doubled

INJECTIVE: dict[str, nn.Module] = {
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "leaky relu": nn.LeakyReLU(0.1),
    "elu": nn.ELU(0.5),
    "celu": nn.CELU(2.0),
    "selu": nn.SELU(),
    "softplus": nn.Softplus(),
    "softsign": nn.Softsign(),
    "log-sigmoid": nn.LogSigmoid(),
    "tanhshrink": nn.Tanhshrink(),
    "prelu": nn.PReLU(init=0.25, dtype=torch.float64),
    "rrelu": nn.RReLU().eval(),
}

FLAT: dict[str, nn.Module] = {
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "hardtanh": nn.Hardtanh(-1.5, 2.0),
    "hardsigmoid": nn.Hardsigmoid(),
    "threshold": nn.Threshold(0.5, -3.0),
    "threshold with a value above it": nn.Threshold(0.5, 2.0),
    "hardshrink": nn.Hardshrink(1.0),
    "softshrink": nn.Softshrink(1.25),
    "leaky relu with slope 0": nn.LeakyReLU(0.0),
    "elu with alpha 0": nn.ELU(0.0),
    "folding leaky relu": nn.LeakyReLU(-0.5),
    "hardswish": nn.Hardswish(),
}

TURNING: dict[str, nn.Module] = {
    "gelu": nn.GELU(),
    "gelu by tanh": nn.GELU(approximate="tanh"),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
}

GRID = torch.arange(-8.0, 8.125, 0.125, dtype=torch.float64)


# Below -5 torch's own GELU has few digits left to compare.
MIDDLE = GRID[GRID.abs() <= 5]


def same(layer: nn.Module, z: Tensor, delta: Tensor) -> Tensor:
    """Which entries the layer answers alike, to the last digits."""
    with torch.no_grad():
        return (layer(z + delta) - layer(z)).abs() <= 1e-13


def assert_judged_on_grid(layer: nn.Module, values: Tensor = GRID) -> None:
    """Asks of every z and δ of the grid whether δ is harmless, and asks the layer."""
    for value in values[::3]:
        z = value.reshape(1)
        found = harmless_set(layer, z).contains(GRID.reshape(-1, 1))
        expected = same(layer, z, GRID)
        assert torch.equal(found, expected), (layer, float(value), GRID[found != expected])


@pytest.mark.parametrize("name", INJECTIVE)
def test_lemma_1_1_an_injective_layer_notices_everything_but_zero(name: str) -> None:
    layer = INJECTIVE[name]
    assert_judged_on_grid(layer)
    found = harmless_set(layer, GRID)
    assert found.free == found.dimension == 0
    assert not found.sample(torch.Generator()).any()
    assert found.contains(torch.zeros_like(GRID))


@pytest.mark.parametrize("name", [*FLAT, *TURNING])
def test_lemma_1_2_membership_is_what_the_layer_says(name: str) -> None:
    layer = (FLAT | TURNING)[name]
    assert_judged_on_grid(layer, MIDDLE if name in TURNING else GRID)


@pytest.mark.parametrize("name", FLAT)
def test_free_entries_are_those_that_move_without_being_noticed(name: str) -> None:
    layer = FLAT[name]
    step = 1e-6
    moves = same(layer, GRID, torch.full_like(GRID, step))
    moves |= same(layer, GRID, torch.full_like(GRID, -step))
    assert harmless_set(layer, GRID).free == int(moves.sum())


@pytest.mark.parametrize("name", [*FLAT, *TURNING])
def test_samples_are_not_noticed_whatever_their_size(name: str) -> None:
    layer = (FLAT | TURNING)[name]
    found = harmless_set(layer, GRID)
    generator = torch.Generator().manual_seed(0)
    for size in (0.1, 10.0, 1000.0):
        drawn = found.sample(generator, size=size, count=(50,))
        assert bool(same(layer, GRID, drawn).all())
        assert bool(found.contains(drawn).all())
        assert float(drawn.abs().max()) > 0.1 * min(size, 1.0)


def test_lemma_1_1_otherwise_depends_on_the_features() -> None:
    """ReLU is not injective, and yet nothing but 0 is harmless where all features are positive."""
    z = GRID[GRID > 0]
    assert harmless_set(nn.ReLU(), z).dimension == 0
    assert harmless_set(nn.ReLU(), -z).dimension == len(z)


def test_lemma_1_1_floats_saturate_where_the_lemma_does_not() -> None:
    z, delta = torch.tensor([40.0]), torch.tensor([10.0])
    assert torch.equal(torch.sigmoid(z + delta), torch.sigmoid(z))
    assert not harmless_set(nn.Sigmoid(), z).contains(delta)


@pytest.mark.parametrize("name", TURNING)
def test_gelu_silu_and_mish_have_one_other_preimage_of_each_negative_value(name: str) -> None:
    layer = TURNING[name]
    fine = torch.arange(-36.0, 9.0, 2.0**-9, dtype=torch.float64) + 2.0**-11
    found = harmless_set(layer, MIDDLE)
    with torch.no_grad():
        values = layer(fine)[None] - layer(MIDDLE)[:, None]
    crossings = ((values[:, 1:] > 0) != (values[:, :-1] > 0)).sum(dim=1)
    assert torch.equal(crossings, torch.where(MIDDLE < 0, 2, 1))
    assert found.free == 0
    drawn = found.sample(torch.Generator().manual_seed(0), count=(20,))
    jumped = (drawn != 0).any(dim=0)
    assert torch.equal(jumped, MIDDLE < 0)
    nearby = torch.full_like(MIDDLE, 1e-5)
    assert not bool(same(layer, MIDDLE, nearby).any())


def test_float32_features_jump_within_float32() -> None:
    z = GRID.float()
    drawn = harmless_set(nn.SiLU(), z).sample(torch.Generator().manual_seed(0), count=(9,))
    assert drawn.dtype == torch.float32
    difference = nn.functional.silu(z + drawn) - nn.functional.silu(z)
    assert float(difference.abs().max()) < 1e-6


def test_lemma_1_2_at_the_features_of_a_trained_network(trained_mlp: nn.Module) -> None:
    """Members leave the whole network's answer untouched, to the last bit; others do not."""
    layers = doubled(trained_mlp).layers
    assert isinstance(layers, nn.Sequential)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 1, 16, 16, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        z = layers[:2](x)
        found = harmless_set(layers[2], z)
        assert found.free == int((z <= 0).sum())
        assert 10 < found.free < 96
        members = found.sample(generator, size=100.0, count=(8,))[:, 0]
        eight = z.expand(8, -1)
        assert torch.equal(layers[2:](eight + members), layers[2:](eight))
        others = members + (z > 0) * 1e-3
        assert not found.contains(others[:, None]).any()
        assert not (layers[2:](eight + others) == layers[2:](eight)).all(dim=1).any()


def test_functional_calls_and_layers_are_one_thing() -> None:
    z = GRID.reshape(1, -1)
    calls = [
        ("relu", (), {"inplace": True}, nn.ReLU()),
        ("hardtanh", (-2.0,), {"max_val": 3.0}, nn.Hardtanh(-2.0, 3.0)),
        ("clamp", (), {"min": 0}, nn.ReLU()),
        ("leaky_relu", (0.0,), {}, nn.ReLU()),
        ("threshold", (0.0, 0.0), {}, nn.ReLU()),
        ("gelu", (), {"approximate": "tanh"}, nn.GELU("tanh")),
        ("softplus", (2, 20), {}, nn.Softplus(2)),
    ]
    for function, args, kwargs, layer in calls:
        one, two = set_of_call(function, z, args, kwargs), harmless_set(layer, z)
        assert one.free == two.free
        assert torch.equal(*(each.sample(torch.Generator().manual_seed(0)) for each in (one, two)))


@pytest.mark.parametrize("slope", [-0.5, 0.0, 0.5])
def test_prelu_may_have_a_slope_for_each_channel(slope: float) -> None:
    layer = nn.PReLU(2, dtype=torch.float64)
    with torch.no_grad():
        layer.weight[1] = slope
    z = GRID[:128].reshape(1, 2, 64)
    found = harmless_set(layer, z)
    assert found.free == (int((z[0, 1] <= 0).sum()) if slope == 0 else 0)
    drawn = found.sample(torch.Generator().manual_seed(0))
    assert bool(same(layer, z, drawn).all())
    assert bool(drawn.any()) == (slope <= 0)


def test_a_constant_notices_nothing() -> None:
    found = set_of_call("clamp", GRID, (1.0, 1.0))
    assert found.free == len(GRID)
    drawn = found.sample(torch.Generator().manual_seed(0), size=1e6)
    assert bool(torch.isfinite(drawn).all())
    assert bool((drawn != 0).all())
    assert bool(found.contains(drawn))


def test_shapes_batches_and_strides_do_not_matter() -> None:
    z = GRID[:120].reshape(4, 6, 5).permute(2, 0, 1)
    assert not z.is_contiguous()
    found = harmless_set(nn.ReLU(), z)
    drawn = found.sample(torch.Generator().manual_seed(0), count=(2, 3))
    assert drawn.shape == (2, 3, 5, 4, 6)
    inside = found.contains(drawn)
    assert inside.shape == (2, 3)
    assert bool(inside.all())
    drawn[1, 2] += 100.0
    np.testing.assert_array_equal(found.contains(drawn).flatten().numpy(), [True] * 5 + [False])


def test_a_softplus_that_jumps_down_is_refused_because_values_come_twice() -> None:
    layer, pair = nn.Softplus(threshold=1.0), torch.tensor([0.8415, 1.2], dtype=torch.float64)
    assert float(layer(pair).diff().abs()) < 1e-3
    with pytest.raises(UsageError, match="threshold of at least 20"):
        harmless_set(layer, pair)


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (torch.tensor([1.0, float("nan")]), "finite"),
        (torch.tensor([1.0, float("-inf")]), "finite"),
        (torch.tensor([1, 2]), "floating-point"),
    ],
)
def test_features_that_are_no_features_are_refused(z: Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        harmless_set(nn.ReLU(), z)


@pytest.mark.parametrize("bad", [torch.zeros(3), torch.full((2,), torch.nan)])
def test_perturbations_that_do_not_fit_are_refused(bad: Tensor) -> None:
    with pytest.raises(UsageError, match="expected"):
        harmless_set(nn.ReLU(), torch.ones(2)).contains(bad)


def test_layers_of_which_nothing_is_known_are_refused() -> None:
    class Negated(nn.ReLU):
        def forward(self, x: Tensor) -> Tensor:
            return -super().forward(x)

    z = torch.ones(1, 4)
    for layer in (nn.GLU(), Negated(), nn.LSTM(4, 4), nn.Dropout()):
        with pytest.raises(UsageError, match="expected"):
            harmless_set(layer, z)
    with pytest.raises(UsageError, match="got glu"):
        set_of_call("glu", z)
    with pytest.raises(UsageError, match="arguments"):
        set_of_call("relu", z, (), {"slope": 1})


def test_empty_features_have_an_empty_set() -> None:
    found = harmless_set(nn.ReLU(), torch.zeros(0, 3))
    assert found.free == 0
    assert bool(found.contains(torch.zeros(0, 3)))
