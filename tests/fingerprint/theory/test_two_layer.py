"""Theorem 2 and Lemma 1.6: two layers, judged by running both and by SciPy on matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn

from fingerprint.errors import UsageError
from fingerprint.operators import Dense
from fingerprint.spaces import null_space
from fingerprint.theory import harmless_set, two_layer
from tests.fingerprint.solvers.problems import doubled
from tests.fingerprint.theory.test_decomposition import random


def linear(m: int, n: int, *, seed: int = 0, rank: int | None = None) -> nn.Linear:
    layer = nn.Linear(n, m).double()
    with torch.no_grad():
        layer.bias.copy_(random(m, seed=seed + 1))
        weight = random(m, n, seed=seed)
        if rank is not None:
            weight = random(m, rank, seed=seed) @ random(rank, n, seed=seed + 2)
        layer.weight.copy_(weight)
    return layer


def generator() -> torch.Generator:
    """Other numbers than those of the weights."""
    return torch.Generator().manual_seed(123)


def run(first: nn.Module, second: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        answer: Tensor = second(first(x))
    return answer


def test_theorem_2_for_relu_is_a_polyhedron() -> None:
    """Every δ of a fine grid in the plane: the layers and the closed form say the same."""
    first, second = linear(3, 2, seed=4), nn.ReLU()
    with torch.no_grad():
        first.weight[2] = torch.tensor([1.0, -2.0])
        first.bias.copy_(torch.tensor([-2.0, -1.0, -3.0]))
    x = torch.tensor([0.25, 0.5], dtype=torch.float64)
    with torch.no_grad():
        assert bool((first(x[None]) < 0).all())
    side = torch.linspace(-6.0, 6.0, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    found = two_layer(first, second, x)
    same = (run(first, second, x + grid) == run(first, second, x[None])).all(dim=1)
    assert torch.equal(found.contains(grid), same)
    assert 100 < int(same.sum()) < len(grid) - 100
    assert found.dimension == 2


def test_theorem_2_relu_holds_the_active_rows_only() -> None:
    """Dimension n − rank of the active rows; members of any size where nothing bounds them."""
    first, second = linear(8, 12), nn.ReLU()
    x = random(12, seed=9)
    with torch.no_grad():
        active = (first(x) > 0).numpy()
    assert 0 < active.sum() < 8
    found = two_layer(first, second, x)
    rows = first.weight.detach().numpy()[active]
    assert found.dimension == 12 - np.linalg.matrix_rank(rows)
    assert found.dimension > 12 - 8
    drawn = found.sample(generator(), size=30.0, count=(200,))
    assert bool(found.contains(drawn).all())
    change = run(first, second, x + drawn) - run(first, second, x[None])
    assert float(change.abs().max()) < 1e-12
    assert np.linalg.matrix_rank(drawn.numpy()) == found.dimension
    assert float(drawn.norm(dim=1).max()) > 20
    outside = drawn + 1e-6 * torch.from_numpy(rows[0])
    assert not found.contains(outside).any()
    change = run(first, second, x + outside) - run(first, second, x[None])
    assert float(change.abs().amax(dim=1).min()) > 1e-7


@pytest.mark.parametrize("layer", [nn.Sigmoid(), nn.Tanh(), nn.LeakyReLU(0.2), nn.ELU()])
def test_theorem_2_an_injective_function_adds_nothing(layer: nn.Module) -> None:
    first, x = linear(5, 9), random(9, seed=1)
    found, alone = two_layer(first, layer, x), null_space(Dense(first.weight.detach()))
    assert found.dimension == alone.dimension == 4
    drawn = found.sample(generator(), size=1e3, count=(20,))
    assert bool((alone.complement(drawn).norm(dim=1) <= 1e-12 * drawn.norm(dim=1)).all())
    assert bool(found.contains(alone.project(1e3 * random(20, 9, seed=77))).all())
    assert not found.contains(random(20, 9)).any()
    torch.testing.assert_close(
        run(first, layer, x + drawn), run(first, layer, x.expand(20, -1)), atol=1e-11, rtol=0
    )


def test_theorem_2_at_the_two_extremes_of_relu() -> None:
    first, x = linear(5, 9), random(9, seed=1)
    for sign, expected in ((1.0, 4), (-1.0, 9)):
        with torch.no_grad():
            first.bias.copy_(sign * 100.0 * torch.ones(5))
        assert two_layer(first, nn.ReLU(), x).dimension == expected


def test_no_dimension_is_said_where_a_part_of_the_second_set_is_known() -> None:
    second = nn.LayerNorm(5).double()
    assert two_layer(linear(5, 9), second, random(9)).dimension == 5
    with torch.no_grad():
        second.weight[:3] = 0.0
    assert two_layer(linear(5, 9), second, random(9)).dimension is None


SECONDS: dict[str, tuple[nn.Module, nn.Module, tuple[int, ...]]] = {
    "softmax": (linear(5, 9), nn.Softmax(dim=-1), (9,)),
    "softmax behind a narrow layer": (linear(7, 3), nn.Softmax(dim=-1), (3,)),
    "layer norm": (linear(5, 9), nn.LayerNorm(5).double(), (9,)),
    "average pooling": (nn.Conv2d(2, 3, 3, padding=1).double(), nn.AvgPool2d(2), (2, 4, 4)),
    "batch norm": (
        nn.Conv2d(2, 3, 3, padding=1).double(),
        nn.BatchNorm2d(3).double().eval(),
        (2, 4, 4),
    ),
    "max pooling": (nn.Conv2d(2, 3, 3, padding=1).double(), nn.MaxPool2d(2), (2, 4, 4)),
    "overlapping max pooling": (
        nn.Conv2d(2, 3, 3, padding=1).double(),
        nn.MaxPool2d(3, 1),
        (2, 5, 4),
    ),
}


@pytest.mark.parametrize("name", SECONDS)
def test_theorem_2_for_softmax_pooling_and_normalisation(name: str) -> None:
    """The dimension is that of the kernel of the Jacobian of both, which autograd finds."""
    first, second, shape = SECONDS[name]
    x = random(*shape, seed=3)
    found = two_layer(first, second, x)
    jacobian: Any = torch.autograd.functional.jacobian(lambda v: second(first(v[None])), x)
    kernel = scipy.linalg.null_space(jacobian.reshape(-1, x.numel()).numpy(), rcond=1e-10)
    assert found.dimension == kernel.shape[1]
    drawn = found.sample(generator(), size=3.0, count=(50,))
    assert bool(found.contains(drawn).all())
    change = run(first, second, x + drawn) - run(first, second, x[None])
    assert float(change.abs().max()) < 1e-11
    assert np.linalg.matrix_rank(drawn.reshape(50, -1).numpy()) == found.dimension
    strangers = random(50, *shape)
    change = run(first, second, x + strangers) - run(first, second, x[None])
    noticed = change.abs().flatten(1).amax(dim=1) > 1e-11
    assert torch.equal(found.contains(strangers), ~noticed)


@pytest.mark.parametrize(
    ("n", "d", "m"), [(12, 8, 5), (5, 8, 12), (12, 5, 8), (8, 12, 5), (8, 5, 5)]
)
def test_lemma_1_6_two_linear_layers_are_their_product(n: int, d: int, m: int) -> None:
    first, second, x = linear(d, n), linear(m, d, seed=5), random(n, seed=1)
    product = second.weight.detach().numpy() @ first.weight.detach().numpy()
    kernel = scipy.linalg.null_space(product)
    found = two_layer(first, second, x)
    assert found.dimension == kernel.shape[1]
    assert bool(found.contains(torch.from_numpy(100.0 * kernel.T)).all())
    assert not found.contains(random(9, n)).any()
    alone = two_layer(first, nn.Identity(), x)
    assert alone.dimension is not None
    if n > d <= m:  # the second layer is injective: the paper's first scenario
        assert found.dimension == alone.dimension
    if n > d > m:  # its second one, in which the set does grow
        assert found.dimension > alone.dimension
    assert bool(found.contains(alone.sample(generator())))


def test_lemma_1_6_dimensions_alone_do_not_decide() -> None:
    """n, m > d, where the paper has P = P⁽⁰⁾; but the second layer is rank deficient."""
    n, d, m = 9, 5, 7
    first, second, x = linear(d, n), linear(m, d, seed=5, rank=3), random(n, seed=1)
    alone, both = two_layer(first, nn.Identity(), x), two_layer(first, second, x)
    assert (alone.dimension, both.dimension) == (4, 6)
    drawn = both.sample(generator(), size=10.0)
    assert not alone.contains(drawn)
    change = run(first, second, (x + drawn)[None]) - run(first, second, x[None])
    assert float(change.abs().max()) < 1e-12


def test_a_harmless_feature_pulls_back_to_a_harmless_input() -> None:
    first, second, x = linear(4, 9), nn.MaxPool1d(2), random(9, seed=1)
    with torch.no_grad():
        z = first(x[None])
    found = two_layer(first, second, x)
    features = harmless_set(second, z).sample(generator(), size=5.0)
    weight = first.weight.detach()
    delta = torch.linalg.lstsq(weight, features.T).solution.squeeze(1)
    assert found.contains(delta)
    change = run(first, second, (x + delta)[None]) - run(first, second, x[None])
    assert float(change.abs().max()) < 1e-12
    assert not null_space(Dense(weight)).contains(delta)


def test_theorem_2_in_a_trained_network(trained_mlp: nn.Module) -> None:
    layers = doubled(trained_mlp).layers
    assert isinstance(layers, nn.Sequential)
    x = torch.rand(256, generator=generator(), dtype=torch.float64)
    found = two_layer(layers[1], layers[2], x)
    with torch.no_grad():
        active = (layers[1](x) > 0).numpy()
        rows = layers[1].weight.numpy()[active]
        assert found.dimension == 256 - np.linalg.matrix_rank(rows) == 256 - active.sum()
        drawn = found.sample(generator(), size=2.0, count=(10,))
        change = layers[1:](x + drawn) - layers[1:](x[None])
        assert float(change.abs().max()) < 1e-11
        linear_part = layers[1](x + drawn) - layers[1](x[None])
        assert float(linear_part.abs().amax(dim=1).min()) > 1e-3


def test_a_feature_exactly_at_its_bound_lets_one_side_move() -> None:
    first, x = linear(3, 6), torch.zeros(6, dtype=torch.float64)
    with torch.no_grad():
        first.bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    found = two_layer(first, nn.ReLU(), x)
    drawn = found.sample(generator(), count=(40,))
    assert bool((drawn.abs().amax(dim=1) > 1e-3).all())
    change = run(first, nn.ReLU(), x + drawn) - run(first, nn.ReLU(), x[None])
    assert float(change.abs().max()) < 1e-12
    assert found.free == 0


def test_layers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="expected"):
        two_layer(linear(5, 9), nn.ReLU(), random(8))
    with pytest.raises(UsageError, match="expected"):
        two_layer(nn.ReLU(), nn.ReLU(), random(8))
