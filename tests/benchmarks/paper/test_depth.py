"""The growth of what is harmless is that of Jacobians computed another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.paper import depth
from fingerprint.lab import networks
from fingerprint.lab.data import Data, digits


@pytest.fixture(scope="module")
def data() -> Data:
    return digits(6)


@pytest.fixture(scope="module")
def found(data: Data) -> depth.Growth:
    torch.manual_seed(0)
    return depth.growth(networks.Mlp(6, hidden=9).eval(), data)


@pytest.mark.parametrize("network", [networks.Mlp(6, hidden=9), networks.Cnn(2)])
def test_the_layers_one_after_the_other_are_the_network(network) -> None:
    network.eval()
    x = torch.rand(3, 1, 6, 6)
    value = x
    for _, layer in depth.steps(network):
        value = layer(value)
    torch.testing.assert_close(value, network(x))


def test_dimensions_never_fall_and_begin_with_the_linear_space(found: depth.Growth) -> None:
    by_image = np.array(found.dimensions).T
    assert (np.diff(by_image, axis=1) >= 0).all()
    assert (by_image[:, 0] == 0).all()
    assert (by_image[:, 1] == 36 - 9).all()
    assert found.outputs == (36, 9, 9, 64, 64, 10)
    assert all(all(row) for row in found.agreeing)
    assert max(found.leaks) < 1e-12


def test_the_last_dimension_is_that_of_the_whole_jacobian(data, found) -> None:
    torch.manual_seed(0)
    network = networks.Mlp(6, hidden=9).double().eval()
    for number, dimension in enumerate(found.dimensions[-1]):
        image = torch.from_numpy(data.test_images[number]).double()[None] / 255
        jacobian = torch.autograd.functional.jacobian(network, image).reshape(10, 36)
        assert dimension == 36 - np.linalg.matrix_rank(jacobian.numpy())


def test_steps_into_the_linear_space_reach_as_far_as_is_tried() -> None:
    torch.manual_seed(0)
    network = networks.Mlp(6, hidden=9).double().eval()
    right = torch.linalg.svd(network.layers[1].weight)[2]
    image = torch.rand(1, 6, 6, dtype=torch.float64)
    assert set(depth.reach(network, image, right[9:], seed=0)) == {4.0}
    assert max(depth.reach(network, image, right[:9], seed=0)) < 1e-6


def test_tables_and_picture_hold_every_layer(found, tmp_path) -> None:
    (table,) = depth.tables({"perceptron": found})
    assert [row[0] for row in table.rows] == list(found.layers)
    assert table.rows[1][2:5] == ("27", "27", "27")
    depth.draw({"perceptron": found}, tmp_path / "depth.svg")
    assert (tmp_path / "depth.svg").exists()
