"""Other weights, the same function."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fingerprint.lab.symmetries import equivalent
from tests.fingerprint.lab.parts import images_for, unsettled

KINDS = ["resnet20", "plain cnn", "vit", "digits cnn", "digits vit"]


@pytest.mark.parametrize("architecture", KINDS)
@pytest.mark.parametrize(("reordered", "rescaled"), [(True, False), (False, True), (True, True)])
def test_answers_stay_although_the_weights_are_others(
    architecture: str, reordered: bool, rescaled: bool
) -> None:
    network, images = unsettled(architecture), images_for(architecture)
    changed = equivalent(network, seed=1, reordered=reordered, rescaled=rescaled)
    answers = network(images)
    assert answers.std(dim=0).max() > 1e-3  # else any network would agree
    torch.testing.assert_close(changed(images), answers, rtol=1e-4, atol=1e-5)
    pairs = zip(network.parameters(), changed.parameters(), strict=True)
    kernels = [(old, new) for old, new in pairs if old.dim() > 1]
    moved = sum(not torch.equal(old, new) for old, new in kernels)
    assert moved >= len(kernels) // 2
    assert not reordered or moved == len(kernels)


def test_a_network_without_known_symmetries_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a plain CNN"):
        equivalent(nn.Linear(2, 2), seed=0, reordered=True)
