"""Both parts of a perturbation, judged by the trained networks themselves and by plain algebra."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn

from fingerprint import Model, load_model
from fingerprint.decomposition import adversarial, precise, split
from fingerprint.errors import NoInformation, UsageError
from fingerprint.lab.training import pixels
from fingerprint.solvers import effects, linear_space
from tests.fingerprint.solvers.problems import answers, exact
from tests.support.digits import digits


@pytest.fixture(scope="module")
def images() -> Tensor:
    return pixels(digits().test_images[:6]).double()


@pytest.fixture(scope="module")
def mlp(trained_mlp: nn.Module) -> Model:
    return exact(trained_mlp)


@pytest.fixture(scope="module")
def cnn(trained_cnn: nn.Module) -> Model:
    return exact(trained_cnn)


def test_theorem_4_on_a_trained_network_with_a_linear_space(mlp: Model, images: Tensor) -> None:
    delta = adversarial(mlp, images, epsilon=0.1).delta
    parts = split(mlp, images, delta, space=linear_space(mlp).space)
    natural, whole = answers(mlp, images), answers(mlp, images + delta)
    assert float((whole - natural).norm(dim=1).min()) > 1.0
    # f(x + δ_a) = f(x), f(x + δ_b) = f(x + δ), and the parts are orthogonal.
    torch.testing.assert_close(answers(mlp, images + parts.harmless), natural, atol=1e-11, rtol=0)
    torch.testing.assert_close(answers(mlp, images + parts.harmful), whole, atol=1e-11, rtol=0)
    inner = (parts.harmless * parts.harmful).flatten(1).sum(dim=1)
    assert float(inner.abs().max()) < 1e-12
    assert float(parts.harmless.flatten(1).norm(dim=1).min()) > 0.1
    remaining = effects(mlp, images + delta, images + parts.harmful)
    assert max(effect.relative for effect in remaining) < 1e-12
    assert bool(parts.converged.all())


def test_the_linear_split_is_that_of_scipys_null_space(mlp: Model, images: Tensor) -> None:
    delta = torch.randn(
        images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    parts = split(mlp, images, delta, space=linear_space(mlp).space)
    first = next(mlp.module.parameters()).detach().numpy()
    basis = scipy.linalg.null_space(first)
    expected = (delta.flatten(1).numpy() @ basis) @ basis.T
    np.testing.assert_allclose(parts.harmless.flatten(1).numpy(), expected, atol=1e-12)


def test_an_image_splits_into_what_is_read_and_what_is_not(mlp: Model, images: Tensor) -> None:
    parts = split(mlp, torch.zeros_like(images), images, space=linear_space(mlp).space)
    torch.testing.assert_close(
        answers(mlp, parts.harmful), answers(mlp, images), atol=1e-11, rtol=0
    )
    assert float(parts.harmful.flatten(1).norm(dim=1).max()) < float(
        images.flatten(1).norm(dim=1).max()
    )


def test_on_other_networks_the_harmless_part_is_harmless_for_the_whole_network(
    cnn: Model, images: Tensor
) -> None:
    delta = adversarial(cnn, images, epsilon=0.1).delta
    parts = split(cnn, images, delta)
    assert bool(parts.converged.all())
    natural = answers(cnn, images)
    moved = answers(cnn, images + parts.harmless) - natural
    moved -= moved.mean(dim=1, keepdim=True)
    assert float((moved.norm(dim=1) / natural.norm(dim=1)).max()) < 1e-7
    torch.testing.assert_close(parts.harmless + parts.harmful, delta)
    # Zero is harmless too: what is nearer than zero leaves a shorter harmful part.
    sizes = parts.harmful.flatten(1).norm(dim=1) / delta.flatten(1).norm(dim=1)
    assert float(sizes.max()) < 0.95


def test_on_other_networks_the_harmful_part_does_not_act_as_the_whole_does(
    cnn: Model, images: Tensor
) -> None:
    delta = adversarial(cnn, images, epsilon=0.1).delta
    parts = split(cnn, images, delta)
    whole, harmful = answers(cnn, images + delta), answers(cnn, images + parts.harmful)
    gap = (harmful - whole).norm(dim=1) / whole.norm(dim=1)
    assert float(gap.median()) > 0.1


def test_the_model_is_made_exact_where_that_helps_and_left_alone(trained_cnn: nn.Module) -> None:
    model = load_model(trained_cnn, input_size=(1, 16, 16))
    assert precise(model).dtype == torch.float64
    assert model.dtype == torch.float32
    wide = nn.Sequential(nn.Flatten(), nn.Linear(16, 40))
    many = load_model(wide.eval(), input_size=(1, 4, 4))
    assert precise(many) is many
    narrow = nn.Sequential(nn.Flatten(), nn.Linear(64, 40))
    spaced = load_model(narrow.eval(), input_size=(1, 8, 8))
    assert precise(spaced, linear_space(spaced)).dtype == torch.float64


def test_the_solver_refuses_inputs_outside_the_box_and_the_projection_does_not(
    cnn: Model, mlp: Model, images: Tensor
) -> None:
    delta = torch.full_like(images, 2.0)
    with pytest.raises(UsageError, match="inside the box"):
        split(cnn, images, delta)
    assert bool(split(mlp, images, delta, space=linear_space(mlp).space).converged.all())


@pytest.mark.parametrize("shape", [(0, 1, 16, 16), (2, 1, 16, 16), (6, 256)])
def test_batches_that_do_not_belong_together_are_usage_errors(
    cnn: Model, images: Tensor, shape: tuple[int, ...]
) -> None:
    with pytest.raises(UsageError, match="two batches"):
        split(cnn, images, torch.zeros(shape))


def test_a_constant_network_carries_no_information() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    nn.init.zeros_(network[1].weight)
    model = load_model(network.eval(), input_size=(1, 4, 4))
    nn.init.zeros_(model.module[1].bias)  # type: ignore[index, union-attr]
    with pytest.raises(NoInformation):
        split(model, torch.rand(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
