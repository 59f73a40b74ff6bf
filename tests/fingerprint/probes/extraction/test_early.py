"""Early probes: harmless to what the first layers make of them, weak and enlarged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from torch import Tensor, nn

from fingerprint.network.depths import depths_of
from fingerprint.probes.extraction import extract
from fingerprint.probes.extraction.early import early_kind
from fingerprint.probes.harmless_spaces import find_spaces
from fingerprint.probes.kinds import FeatureProbes
from tests.fingerprint.probes.extraction.plainly import answers
from tests.support.digits import network
from tests.support.extracted import SEED, fingerprint_of, model_of


def test_early_features_stay_as_they_are() -> None:
    """Behind them anything may change: a new head makes no difference to what was solved."""
    fingerprint, module = fingerprint_of("vit"), network("vit")
    early = [probe for probe in fingerprint.probes if probe.kind == "linear"]
    assert len(early) == 16
    layer = next(part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear))
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, __, given: seen.append(given))
    bases = fingerprint.bases[[probe.base for probe in early]]
    for images in (bases, np.stack([probe.harmless for probe in early])):
        answers(module, images)
    hook.remove()
    moved = (seen[1] - seen[0]).flatten(1).norm(dim=1)
    assert float((moved / seen[0].flatten(1).norm(dim=1)).max()) < 0.02


@pytest.mark.parametrize("large", [True, False])
def test_early_probes_of_large_inputs_are_harmless_at_the_depth_before_as_well(
    large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of("cnn")
    depths = depths_of(model)
    second = FeatureProbes(depths[1], contrast=32 / 255, passes=20)
    monkeypatch.setattr("fingerprint.probes.extraction.planning.early_kinds", lambda *_: (second,))
    monkeypatch.setattr("fingerprint.probes.extraction.planning.depths_of", lambda _: depths)
    monkeypatch.setattr("fingerprint.probes.pilot.Tried.usable", True)
    if large:
        monkeypatch.setattr("fingerprint.probes.turns._LARGE", 0)
    fingerprint = extract(model, seed=SEED, probes=12)
    assert fingerprint.depths[0].name == depths[1].name
    assert fingerprint.parameters["harmless_earlier_too"] == [depths[0].name] * large
    assert set(fingerprint.parameters["enlarged"]) == {depths[1].name}


@pytest.mark.parametrize(("share", "passes"), [(0.05, 150), (0.2, 100), (0.5, 60)])
def test_the_dearer_a_depth_the_fewer_passes_it_gets(share: float, passes: int) -> None:
    model = model_of("cnn")
    depth = replace(depths_of(model)[1], share=share)
    tried = FeatureProbes(depth, contrast=16 / 255)
    kind = early_kind(tried, (depth,), find_spaces(model), ())
    assert isinstance(kind, FeatureProbes)
    assert kind.passes == passes
    assert kind.enlarged > kind.contrast
