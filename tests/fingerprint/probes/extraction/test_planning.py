"""Planning: public bases, one depth where there is one, linear parts of models that are gone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fingerprint.errors import UsageError
from fingerprint.network.loading import load_model
from fingerprint.probes.bases import grained_leaves
from fingerprint.probes.extraction import extract
from fingerprint.probes.panel import PANEL
from tests.support.digits import digits
from tests.support.extracted import SEED, SIZE, fingerprint_of, model_of


def test_bases_are_those_that_anyone_can_derive_from_the_seed(kind: str) -> None:
    fingerprint = fingerprint_of(kind)
    np.testing.assert_array_equal(fingerprint.bases, grained_leaves(model_of(kind).input, SEED, 16))
    assert len(fingerprint.panel_answers) == len(fingerprint.panel) == PANEL


def test_images_can_be_the_bases_with_their_contrast_reduced() -> None:
    images = digits().test_images[:30]
    pixels = np.round(255 * np.asarray(images)).astype(np.uint8).reshape(-1, *SIZE)
    fingerprint = extract(model_of("mlp"), seed=SEED, probes=6, images=pixels)
    assert fingerprint.parameters["bases"] == "images"
    assert fingerprint.bases.min() >= 47
    assert fingerprint.bases.max() <= 208


def test_too_few_images_are_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="expected at least 6"):
        extract(model_of("mlp"), seed=SEED, probes=6, images=np.zeros((2, *SIZE), np.uint8))


def test_a_network_whose_early_depth_is_what_its_head_reads_has_probes_there_alone() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 8, 3, stride=2, padding=1)
    module = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    fingerprint = extract(load_model(module, input_size=(1, 12, 12)), seed=SEED, probes=12)
    assert [depth.name for depth in fingerprint.depths] == ["features"]
    assert len(fingerprint.probes) == 12


def test_a_linear_part_alone_is_enough_to_screen_linear_probes() -> None:
    other = fingerprint_of("vit")
    fingerprint = extract(model_of("vit", 1), seed=SEED, other_linear={"gone": other.linear_part})
    assert fingerprint.screened_against == ("gone",)
    assert not [line for line in fingerprint.warnings if "'gone'" in line]
