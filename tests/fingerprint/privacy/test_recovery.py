"""What comes back of hidden images is what conditional means and ridge regressions say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fingerprint import load_model
from fingerprint.errors import UsageError
from fingerprint.privacy import GaussianPrior, Regression, completed, hide, recover
from fingerprint.solvers import linear_space
from fingerprint.spaces.subspace import Subspace
from tests.support.digits import digits
from tests.support.spaces import columns, span

SIZE = (1, 16, 16)


def _space(n: int = 6, dimension: int = 3) -> Subspace:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(n, dimension, generator=generator, dtype=torch.float64)
    return span(torch.linalg.qr(matrix).Q)


def _gaussian(count: int, n: int = 6, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(n, n, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return torch.randn(count, n, generator=generator, dtype=torch.float64) @ mix + 2


def _mse(first: Tensor, second: Tensor) -> float:
    return float((first - second).square().mean())


def test_least_squares_is_the_smallest_image_with_the_harmful_part() -> None:
    space, images = _space(), _gaussian(4)
    matrix = torch.eye(6, dtype=torch.float64) - columns(space) @ columns(space).T
    plain = np.linalg.lstsq(matrix.numpy(), (images @ matrix).T.numpy(), rcond=1e-9)[0].T
    found = completed(space, images, torch.zeros(6, dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), plain, atol=1e-10)


def test_the_prior_is_the_conditional_mean_of_its_gaussian() -> None:
    space, public = _space(), _gaussian(40)
    prior = GaussianPrior.fit(public)
    hidden = _gaussian(5, seed=2)
    rows = prior.directions
    covariance = rows.T @ torch.diag(prior.variances) @ rows + prior.noise * torch.eye(6)
    harmful = torch.linalg.svd(columns(space), full_matrices=True)[0][:, 3:]  # orthogonal rest
    seen = harmful.T @ (hidden - prior.mean).T
    # With V z + ε, ε is not shared between parts: E[ε|h] adds nothing in the harmless part.
    signal = rows.T @ torch.diag(prior.variances) @ rows
    gain = signal @ harmful @ torch.linalg.inv(harmful.T @ covariance @ harmful)
    expected = prior.mean + (gain @ seen).T
    expected = completed(space, hidden, torch.zeros(6, dtype=torch.float64)) + space.project(
        expected
    )
    torch.testing.assert_close(prior.complete(space, hidden), expected, atol=1e-8, rtol=1e-8)


def test_the_prior_does_better_than_guessing_the_mean() -> None:
    space, public, images = _space(), _gaussian(500), _gaussian(50, seed=3)
    prior = GaussianPrior.fit(public)
    learned = prior.complete(space, images)
    assert _mse(learned, images) < 0.8 * _mse(completed(space, images, prior.mean), images)


def test_the_regression_finds_a_linear_relation_and_its_error_left_out() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 3, generator=generator, dtype=torch.float64)
    truth = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    noise = torch.randn(60, 4, generator=generator, dtype=torch.float64)
    images = (features @ truth + 0.1 * noise + 1).reshape(60, 1, 2, 2)
    found = Regression.fit(features[:50], images[:50])
    assert _mse(found.predict(features[50:]), images[50:]) < 0.02
    assert 0.005 < found.error < 0.02


def test_the_error_left_out_is_that_of_fitting_without_each_row() -> None:
    features, images = _gaussian(12, 3), _gaussian(12, 4, seed=5)
    found = Regression.fit(features, images)
    kernel = (
        found.known @ found.known.T
        if found.width is None
        else torch.exp(-torch.cdist(found.known, found.known).square() / (2 * found.width**2))
    )
    wanted = images - images.mean(dim=0)
    # The ridge it chose follows from the weights: (K + r) w = y.
    ridge = float(((wanted - kernel @ found.weights) / found.weights).median())
    errors = []
    for row in range(12):
        keep = [place for place in range(12) if place != row]
        system = kernel[keep][:, keep] + ridge * torch.eye(11)
        weights = torch.linalg.solve(system, wanted[keep])
        errors.append((wanted[row] - kernel[row, keep] @ weights).square())
    assert found.error == pytest.approx(float(torch.stack(errors).mean()), rel=1e-3)


@pytest.mark.parametrize("fit", [GaussianPrior.fit, lambda x: Regression.fit(x, x)])
def test_too_few_public_images_are_refused(fit: Any) -> None:
    with pytest.raises(UsageError, match="at least 4 public images, got 3"):
        fit(_gaussian(3))


def test_the_linear_method_gives_much_of_a_digit_back(trained_vit: nn.Module) -> None:
    """The paper says the original cannot be determined; its harmful part is sent as it is."""
    model, data = load_model(trained_vit, input_size=SIZE), digits()
    images = data.test_images[:6]
    hidden = np.stack([one.image for one in hide(model, images, seed="a", method="linear")])
    found = recover(model, hidden, method="linear", public=data.train_images[:300])
    assert [one.attack for one in found] == ["least squares", "mean image", "Gaussian prior"]
    truth = torch.from_numpy(images) / 255.0
    space = linear_space(model).space
    assert space is not None
    kept = space.complement(truth) - space.complement(torch.from_numpy(hidden) / 255.0)
    assert float(kept.abs().max()) < 0.01  # rounding to 8 bits
    # Digits are enlarged from 8x8, so 64 numbers are all there is, and the transformer reads 128.
    assert _mse(found[-1].images, truth.double()) < 1e-3
    assert _mse(found[-1].images, truth.double()) < 0.1 * _mse(found[1].images, truth.double())


def test_the_network_method_gives_back_what_the_answer_tells(trained_cnn: nn.Module) -> None:
    model, data = load_model(trained_cnn, input_size=SIZE), digits()
    images = data.test_images[:6]
    hidden = np.stack([one.image for one in hide(model, images, seed="a", method="network")])
    assert recover(model, hidden, method="network") == ()
    (found,) = recover(model, hidden, method="network", public=data.train_images[:300])
    (plain,) = recover(model, images, method="network", public=data.train_images[:300])
    assert found.attack == "regression"
    # The hidden image and the original give the attacker the same.
    assert _mse(found.images, plain.images) < 1e-3
    truth = torch.from_numpy(images) / 255.0
    mean = torch.from_numpy(data.train_images[:300] / 255.0).mean(dim=0)
    assert _mse(found.images, truth.double()) < _mse(mean.expand_as(truth), truth.double())


def test_the_linear_method_is_not_attacked_where_it_could_not_have_hidden_anything(
    trained_cnn: nn.Module,
) -> None:
    model = load_model(trained_cnn, input_size=SIZE)
    with pytest.raises(UsageError, match="linear harmless space, got none"):
        recover(model, digits().test_images[:2], method="linear")
