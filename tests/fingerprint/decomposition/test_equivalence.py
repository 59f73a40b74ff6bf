"""All members of a family have one effect, asked of trained networks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fingerprint import Model
from fingerprint.decomposition import adversarial, family
from fingerprint.errors import UsageError
from fingerprint.lab.training import pixels
from fingerprint.solvers import linear_space
from tests.fingerprint.solvers.problems import answers, exact
from tests.support.digits import digits

FACTORS = (1.0, 4.0, 100.0)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return pixels(digits().test_images[:4]).double()


@pytest.fixture(scope="module")
def vit(trained_vit: nn.Module) -> Model:
    return exact(trained_vit)


@pytest.fixture(scope="module")
def cnn(trained_cnn: nn.Module) -> Model:
    return exact(trained_cnn)


def test_theorem_5_members_of_any_norm_mislead_alike(vit: Model, images: Tensor) -> None:
    delta = adversarial(vit, images, epsilon=0.15).delta
    found = family(vit, images, delta, FACTORS, space=linear_space(vit).space)
    own = delta.flatten(1).norm(dim=1)
    whole = answers(vit, images + delta)
    misled = whole.argmax(dim=1) != answers(vit, images).argmax(dim=1)
    assert int(misled.sum()) >= 3
    for place, factor in enumerate(FACTORS):
        member = found.members[:, place]
        torch.testing.assert_close(member.flatten(1).norm(dim=1), factor * own, rtol=1e-9, atol=0)
        torch.testing.assert_close(
            answers(vit, images + member), whole, atol=1e-12 * max(factor, 10.0), rtol=1e-11
        )
    assert max(effect.relative for row in found.effects for effect in row) < 1e-11
    # They are different perturbations, not one stretched: hardly anything but the effect is shared.
    cosine = torch.cosine_similarity(found.members[:, 2].flatten(1), delta.flatten(1))
    assert float(cosine.abs().max()) < 0.1


def test_a_stretched_perturbation_is_no_member(vit: Model, images: Tensor) -> None:
    delta = adversarial(vit, images, epsilon=0.15).delta
    whole, stretched = answers(vit, images + delta), answers(vit, images + 4 * delta)
    assert float(((stretched - whole).norm(dim=1) / whole.norm(dim=1)).min()) > 0.1


def test_members_of_adversarial_perturbations_are_unlike_members_of_noise(
    vit: Model, images: Tensor
) -> None:
    delta = adversarial(vit, images, epsilon=0.15).delta
    noise = torch.randn(
        delta.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    noise *= (delta.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)).view(-1, 1, 1, 1)
    space = linear_space(vit).space
    natural = answers(vit, images).argmax(dim=1)
    changed = []
    for given in (delta, noise):
        members = family(vit, images, given, (50.0,), space=space).members[:, 0]
        changed.append(int((answers(vit, images + members).argmax(dim=1) != natural).sum()))
    assert changed[0] >= 3
    assert changed[1] == 0


def test_networks_without_a_linear_space_have_families_inside_the_box(
    cnn: Model, images: Tensor
) -> None:
    delta = adversarial(cnn, images, epsilon=0.1).delta
    found = family(cnn, images, delta, (2.0, 6.0))
    assert bool(found.converged.all())
    whole = answers(cnn, images + delta)
    for member in found.members.unbind(dim=1):
        moved = answers(cnn, images + member) - whole
        moved -= moved.mean(dim=1, keepdim=True)
        assert float((moved.norm(dim=1) / whole.norm(dim=1)).max()) < 1e-7
        assert float((images + member).min()) >= -1e-12
        assert float((images + member).max()) <= 1 + 1e-12
    sizes = found.members.flatten(2).norm(dim=2)
    assert bool((sizes[:, 1] > 1.2 * sizes[:, 0]).all())


def test_where_the_box_has_no_room_the_norm_falls_short(cnn: Model, images: Tensor) -> None:
    delta = adversarial(cnn, images[:1], epsilon=0.1).delta
    found = family(cnn, images[:1], delta, (1e6,))
    assert float(found.members.norm()) <= 16.0  # the diagonal of the box


def test_the_seed_decides_and_torchs_own_numbers_are_left_alone(vit: Model, images: Tensor) -> None:
    space, delta = linear_space(vit).space, 0.1 * torch.ones_like(images)
    state = torch.random.get_rng_state()
    drawn = [
        family(vit, images, delta, (2.0,), space=space, seed=seed).members for seed in (1, 1, 2)
    ]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("factors", [(), (0.5,), (1.0, float("nan")), (float("inf"),)], ids=str)
def test_factors_that_make_no_sense_are_usage_errors(
    vit: Model, images: Tensor, factors: tuple[float, ...]
) -> None:
    with pytest.raises(UsageError, match="multiples"):
        family(vit, images, 0.1 * torch.ones_like(images), factors, space=linear_space(vit).space)


def test_a_perturbation_of_zero_has_no_family_of_multiples(vit: Model, images: Tensor) -> None:
    with pytest.raises(UsageError, match="zero"):
        family(vit, images, torch.zeros_like(images), (2.0,), space=linear_space(vit).space)
