"""The architectures of the zoo."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from benchmarks.detection import networks
from tests.benchmarks.detection.zoo_parts import images_for, unsettled


@pytest.mark.parametrize("architecture", networks.ARCHITECTURES)
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
    folded = networks.fold(copy.deepcopy(network))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(images), network(images), rtol=1e-4, atol=1e-5)


def test_folded_weights_fit_a_network_built_folded() -> None:
    folded = networks.fold(unsettled("resnet8"))
    built = networks.build("resnet8", folded=True)
    built.load_state_dict(folded.state_dict())
    torch.testing.assert_close(built(images_for("resnet8")), folded(images_for("resnet8")))
