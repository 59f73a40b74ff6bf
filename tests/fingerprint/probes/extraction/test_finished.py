"""The finished fingerprint: 8-bit images, the answers to them, probes that the source ignores."""

from __future__ import annotations

import numpy as np
import torch

from fingerprint.probes.bases import ROOM
from fingerprint.probes.extraction import extract_with
from fingerprint.probes.panel import PANEL
from fingerprint.probes.settings import ExtractionSettings
from tests.fingerprint.probes.extraction.plainly import ratios
from tests.support.digits import network
from tests.support.extracted import SEED, SIZE, fingerprint_of, model_of


def test_every_probe_is_an_8_bit_image_of_its_own_with_room_to_be_turned(kind: str) -> None:
    fingerprint = fingerprint_of(kind)
    assert fingerprint.harmless.dtype == np.uint8
    assert fingerprint.harmless.shape == (24, *SIZE)
    assert len({probe.harmless.tobytes() for probe in fingerprint.probes}) == 24
    assert [probe.base for probe in fingerprint.probes] == [*range(16), *range(8)]
    bases = fingerprint.bases[[probe.base for probe in fingerprint.probes]].astype(int)
    assert np.abs(fingerprint.harmless - bases).max() <= round(255 * ROOM) + 1
    assert fingerprint.turns == (0, 1, 4, 5), "two of each kind"
    assert [depth.speaks_for for depth in fingerprint.depths] == ["family", "family"]


def test_the_recorded_answers_are_those_to_the_images_that_are_sent(kind: str) -> None:
    fingerprint, module = fingerprint_of(kind), network(kind)
    controls = np.concatenate([probe.control_answers for probe in fingerprint.probes])
    for images, recorded in (
        (fingerprint.bases, fingerprint.base_answers),
        (fingerprint.harmless, np.stack([probe.answer for probe in fingerprint.probes])),
        (fingerprint.controls, controls),
        (fingerprint.panel, fingerprint.panel_answers),
    ):
        with torch.no_grad():
            given = module(torch.from_numpy(images).float() / 255).numpy()
        np.testing.assert_allclose(given, recorded, atol=1e-3)


def test_the_source_ignores_what_was_solved_and_notices_it_turned(kind: str) -> None:
    fingerprint = fingerprint_of(kind)
    found = ratios(network(kind), fingerprint)
    assert np.median(found) < 0.3
    recorded = [probe.harm_ratio for probe in fingerprint.probes]
    np.testing.assert_allclose(recorded, found, rtol=0.05, atol=1e-3)
    assert fingerprint.source_harm_ratio["max"] == max(recorded)


def test_answers_alone_are_asked_and_nothing_is_solved() -> None:
    settings = ExtractionSettings(answers_only=True)
    fingerprint = extract_with(settings, model_of("cnn"), seed=SEED)
    assert (fingerprint.probes, len(fingerprint.panel_answers)) == ((), PANEL)
    assert fingerprint.cost["passes"] == 0
