"""The architectures by name, and a new head or no normalisation on each."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fingerprint.lab import networks
from fingerprint.lab.architectures import ARCHITECTURES, build
from fingerprint.lab.modifications import folded
from tests.fingerprint.lab.parts import images_for, unsettled


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_new_head_changes_the_number_of_answers_and_nothing_before_it(architecture: str) -> None:
    network = unsettled(architecture)
    images, before = images_for(architecture), copy.deepcopy(network.state_dict())
    assert network(images).shape == (len(images), 10)
    networks.replace_head(network, 4)
    assert network(images).shape == (len(images), 4)
    changed = {name for name, t in network.state_dict().items() if t.shape != before[name].shape}
    same = set(before) - changed
    assert len(changed) == 2
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in same)


@pytest.mark.parametrize("architecture", ["resnet8", "plain cnn", "separable cnn", "digits cnn"])
def test_folding_removes_normalisation_and_keeps_the_answers(architecture: str) -> None:
    network, images = unsettled(architecture), images_for(architecture)
    changed = folded(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in changed.modules())
    torch.testing.assert_close(changed(images), network(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "built"),
    [
        ("resnet8", lambda: build("resnet8", folded=True)),
        ("digits cnn", networks.folded_cnn),
    ],
)
def test_folded_weights_fit_a_network_built_folded(architecture, built) -> None:
    changed, other = folded(unsettled(architecture)), built().eval()
    other.load_state_dict(changed.state_dict())
    images = images_for(architecture)
    torch.testing.assert_close(other(images), changed(images))


def test_the_transformer_embeds_a_patch_in_fewer_numbers_than_it_has_pixels() -> None:
    embedding = networks.Vit().patch_embed
    assert embedding.out_channels < embedding.weight[0].numel()
