"""The page on channels holds what was measured, and no copy is called independent with twins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from benchmarks.channel import robust
from benchmarks.channel.__main__ import RESULTS, page
from benchmarks.channel.channels import CHANNELS
from fingerprint.network.spec import InputSpec
from fingerprint.probes.bases import dead_leaves

_PAGE = Path(__file__).parents[2] / "docs" / "channel.md"


def test_the_page_holds_the_tables_of_the_committed_results() -> None:
    document = json.loads(RESULTS.read_text(encoding="utf-8"))
    text = _PAGE.read_text(encoding="utf-8")
    assert page(document) in text
    kin = [row for row in document["rows"] if row["what"] != "stranger"]
    assert len(kin) > 80
    assert not [row for row in kin if row["with"] == "independent"]


def test_the_page_holds_what_probes_solved_over_a_channel_came_to() -> None:
    document = json.loads(robust.RESULTS.read_text(encoding="utf-8"))
    assert robust.page(document) in _PAGE.read_text(encoding="utf-8")


def test_the_simulated_channels_are_near_the_real_ones() -> None:
    spec = InputSpec(shape=(3, 32, 32))
    noise = np.random.default_rng(0).integers(-16, 17, (4, 3, 32, 32))
    pictures = np.clip(dead_leaves(spec, "seed", 4) + noise, 0, 255).astype(np.uint8)
    for simulated, name in robust.SIMULATED:
        shown = CHANNELS[name](pictures).astype(float)
        made = simulated(torch.from_numpy(pictures / np.float32(255))).numpy() * 255
        assert abs(made - shown).mean() < 0.25 * abs(shown - pictures).mean()
