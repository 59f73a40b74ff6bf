"""Definition 1 and Lemma 1, on trained networks: nothing that is lost comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fingerprint.errors import UsageError
from fingerprint.operators import Dense
from fingerprint.solvers import solve_network
from fingerprint.spaces import null_space
from fingerprint.theory import first_unnoticed, growth, is_harmless, two_layer
from tests.fingerprint.solvers.problems import doubled, inputs, small_network
from tests.fingerprint.theory.test_decomposition import random

Layers = list[Callable[[Tensor], Tensor]]


@pytest.fixture(scope="module")
def mlp(trained_mlp: nn.Module) -> nn.Module:
    return doubled(trained_mlp)


@pytest.fixture(scope="module")
def cnn(trained_cnn: nn.Module) -> nn.Module:
    return doubled(trained_cnn)


def layers_of(network: Any) -> Layers:
    """The trained networks cut into their layers."""
    if hasattr(network, "layers") and isinstance(network.layers, nn.Sequential):
        return [layer.forward for layer in network.layers]
    cut: Layers = []
    for convolution, norm in network.layers():
        cut += [convolution, norm, network.relu]
    return [*cut, network.pool, lambda z: z.flatten(1), network.head]


def digit(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 1, 16, 16, generator=generator, dtype=torch.float64)


def judged_dimensions(layers: Layers, x: Tensor) -> list[int]:
    """``n`` minus NumPy's rank of the Jacobian that backward differentiation writes out."""
    found = []
    for end in range(1, len(layers) + 1):

        def composed(v: Tensor, end: int = end) -> Tensor:
            for layer in layers[:end]:
                v = layer(v)
            return v

        jacobian: Any = torch.autograd.functional.jacobian(composed, x)
        matrix = jacobian.reshape(-1, x.numel()).numpy()
        found.append(x.numel() - int(np.linalg.matrix_rank(matrix)))
    return found


def test_definition_1_for_a_linear_layer_is_its_null_space(mlp: Any) -> None:
    layer, x = mlp.layers[1], digit().reshape(1, 256)
    space = null_space(Dense(layer.weight.detach()))
    noise = random(20, 256)
    for size in (1.0, 1e3, 1e6):
        assert bool(is_harmless(layer, x, size * space.project(noise)).all())
        assert not is_harmless(layer, x, size * noise).any()
    assert not is_harmless(layer, x, 1e-9 * noise).any()


def test_definition_1_in_float32_allows_the_rounding_of_float32(trained_mlp: nn.Module) -> None:
    weight = trained_mlp.layers[1].weight.detach()  # type: ignore[union-attr, index]
    space = null_space(Dense(weight.double()))
    x, noise = digit().float(), random(20, 1, 16, 16)
    harmless = space.project(noise.reshape(20, 256)).reshape(noise.shape).float()
    for size in (1.0, 100.0):
        assert bool(is_harmless(trained_mlp, x, size * harmless).all())
        assert not is_harmless(trained_mlp, x, size * noise.float()).any()


def test_zero_is_harmless_for_everything(cnn: nn.Module) -> None:
    assert bool(is_harmless(cnn, digit(), torch.zeros(2, 1, 16, 16)).all())
    assert first_unnoticed(layers_of(cnn), digit(), torch.zeros(2, 1, 16, 16)) == [0, 0]


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_lemma_1_the_sets_grow_with_depth(name: str, request: pytest.FixtureRequest) -> None:
    network = request.getfixturevalue(name)
    layers, x = layers_of(network), digit()
    found = growth(layers, x)
    assert found == sorted(found)
    assert found[-1] > found[0]
    assert found[-1] == growth([network], x)[-1] == 256 - 10
    if name == "mlp":
        assert found == judged_dimensions(layers, x)


def test_lemma_1_in_a_convolutional_network_dimensions_are_numpys() -> None:
    """Strides, max pooling, GELU and softmax, at a size where Jacobians are quickly judged."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 3, 3, stride=2),
            nn.GELU(),
            nn.MaxPool2d(2, 1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(48, 6),
            nn.LayerNorm(6),
            nn.Softmax(dim=1),
        ).double()
    layers: Layers = list(network)
    x = random(1, 1, 11, 11)
    found = growth(layers, x)
    assert found == sorted(found)
    assert found == judged_dimensions(layers, x)
    assert found[-1] == growth([network], x)[-1]
    # Softmax leaves one of the directions that layer normalisation has not taken already.
    assert found[-3:] == [121 - 6, 121 - 5, 121 - 5]


def test_lemma_1_what_one_layer_loses_stays_lost(mlp: Any) -> None:
    """Members of P⁽⁰⁾, of P⁽¹⁾ only, of P only, and of none are told apart by where they go."""
    layers, x = layers_of(mlp), digit()
    flat = x.reshape(256)
    space = null_space(Dense(mlp.layers[1].weight.detach()))
    generator = torch.Generator().manual_seed(0)
    by_linear = space.project(random(256))
    by_relu = two_layer(mlp.layers[1], mlp.layers[2], flat).sample(generator)
    base, start = inputs(1)
    by_all = solve_network(mlp, base, start, bounds=(0.0, 1.0), tolerance=1e-14).delta
    deltas = torch.stack([by_linear, by_relu, random(256)]).reshape(3, 1, 16, 16)
    # Layer 0 flattens, layer 1 is linear, layer 2 is ReLU.
    assert first_unnoticed(layers, x, deltas) == [1, 2, None]
    # The solver works up to the mean of the logits, which softmax behind the last layer loses.
    answered = [*layers, lambda z: z.softmax(dim=1)]
    assert first_unnoticed(answered, base, by_all) == [len(layers)]
    before, after = x, x + deltas[:2]
    for number, layer in enumerate(layers):
        with torch.no_grad():
            before, after = layer(before), layer(after)
        gone = ((after - before).abs().flatten(1).amax(dim=1) < 1e-12).tolist()
        assert gone == [number >= 1, number >= 2]


def test_lemma_1_the_union_is_the_last_of_the_sets(mlp: nn.Module) -> None:
    """Harmless for the network means gone behind some layer, at the latest the last."""
    layers, x = layers_of(mlp), digit()
    space = null_space(Dense(mlp.layers[1].weight.detach()))  # type: ignore[union-attr, index]
    candidates = torch.cat([space.project(random(3, 256)), random(3, 256)])
    candidates = candidates.reshape(6, 1, 16, 16)
    harmless = is_harmless(mlp, x, candidates)
    somewhere = [found is not None for found in first_unnoticed(layers, x, candidates)]
    assert harmless.tolist() == somewhere == [True] * 3 + [False] * 3


def test_a_smooth_network_with_more_inputs_than_outputs_has_a_manifold() -> None:
    network, x = small_network(), random(1, 12)
    assert growth([network], x)[-1] == 12 - 5
    assert growth(list(network), x) == [0, 0, 7]  # type: ignore[call-overload]


def test_more_outputs_than_inputs_and_constants_are_counted_too() -> None:
    wide = nn.Linear(4, 9).double()
    assert growth([wide], random(1, 4)) == [0]
    constant = growth([lambda z: torch.ones(len(z), 3, dtype=z.dtype) + 0 * z[:, :1]], random(1, 4))
    assert constant == [4]
    assert growth([lambda z: z * 0, wide], random(1, 4)) == [4, 4]
    assert growth([torch.ones_like], random(1, 4)) == [4]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(1, 3, 64, 64, dtype=torch.float64), "at most 3072"),
        (torch.zeros(2, 8, dtype=torch.float64), "one input"),
        (torch.zeros(1, 8), "float64"),
        (torch.full((1, 8), torch.nan, dtype=torch.float64), "finite"),
    ],
)
def test_inputs_whose_jacobian_is_not_written_out_are_refused(x: Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        growth([nn.Identity()], x)


@pytest.mark.parametrize(
    "delta", [torch.zeros(8), torch.zeros(2, 7), torch.full((1, 8), torch.inf)]
)
def test_perturbations_that_do_not_fit_are_refused(delta: Tensor) -> None:
    x = torch.zeros(1, 8, dtype=torch.float64)
    with pytest.raises(UsageError, match="perturbation: expected"):
        is_harmless(nn.Identity(), x, delta)
    with pytest.raises(UsageError, match="perturbation: expected"):
        first_unnoticed([nn.Identity()], x, delta)
