"""The panel's benchmark: who is kin, and what its columns mean."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import panel
from fingerprint.network.spec import InputSpec


def network(seed: int, classes: int = 6) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Linear(64, classes)
        return nn.Sequential(*layers).eval()


def test_changes_of_a_network_lie_nearer_to_it_than_strangers() -> None:
    members = itertools.chain(panel.changed("one", network(1)), panel.changed("two", network(2, 2)))
    asked = panel.ask(members, (3, 8, 8), 24)
    found = panel.pairs(asked, panel.PAIRED, 96)
    assert len(found) == 2 * (len(asked) - 1)
    assert sum(pair.kin for pair in found) == len(asked) - 2
    assert {pair.classes for pair in found if not pair.kin} == {2}
    shown = dict(zip(panel.HEAD, panel.summary(found), strict=True))
    assert float(shown["AUC"]) > 0.9
    assert float(shown["strangers"]) == 0.0
    assert [row[0] for row in panel.by_change(found)][:2] == ["int8", "int4"]
    kinds = [row[0] for row in panel.by_classes(asked)]
    assert list(dict.fromkeys(kinds)) == list(panel.ANSWER_KINDS)


@pytest.mark.parametrize("shape", [(3, 32, 48), (1, 8, 8)])
@pytest.mark.parametrize("kind", panel.KINDS)
def test_each_kind_of_input_fits_the_shape(kind: str, shape: tuple[int, ...]) -> None:
    drawn = panel.inputs(InputSpec(shape=shape), kind, 3)
    assert (drawn.shape, drawn.dtype) == ((3, *shape), np.uint8)
    assert len(np.unique(drawn)) > 1


def test_blocks_are_an_eighth_of_the_shorter_side() -> None:
    (drawn,) = panel.inputs(InputSpec(shape=(3, 32, 48)), "blocks", 1)
    assert np.array_equal(drawn, drawn[:, ::4, ::4].repeat(4, 1).repeat(4, 2))
