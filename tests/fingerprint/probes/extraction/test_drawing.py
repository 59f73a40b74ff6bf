"""Drawing: not again where it does not help, and refused where nothing holds."""

from __future__ import annotations

import pytest
from torch import nn

from fingerprint.errors import NoInformation
from fingerprint.network.loading import load_model
from fingerprint.probes.extraction import extract
from tests.support.extracted import SEED, model_of


def test_a_copy_among_the_others_is_reported_as_undeclared_kin() -> None:
    fingerprint = extract(model_of("mlp"), seed=SEED, others={"twin": model_of("mlp")})
    assert fingerprint.parameters["not_told_from"] == ["twin"]
    assert any("'twin'" in line and "leave it out" in line for line in fingerprint.warnings)
    alone = extract(model_of("mlp"), seed=SEED)
    assert fingerprint.redrawn == alone.redrawn, "redrawing does not help against a copy"


def test_a_network_with_more_outputs_than_inputs_has_nothing_to_ignore() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 40))
    with pytest.raises(NoInformation, match="too few inputs for its outputs"):
        extract(load_model(module, input_size=(1, 2, 2)), seed=SEED)
