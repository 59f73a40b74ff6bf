"""Late probes of a model with relatives: they are not harmless for those."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fingerprint.distances import answer_distance
from fingerprint.lab.modifications import fine_tuned, pruned
from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.probes.extraction import extract
from tests.fingerprint.probes.extraction.plainly import ratios
from tests.support.digits import digits, network
from tests.support.extracted import SEED, loaded, model_of


def test_individual_probes_lie_outside_a_relatives_harmless_set() -> None:
    parent = network("cnn")
    child = fine_tuned(parent, digits(), seed=5)
    fingerprint = extract(loaded(child), seed=SEED, relatives={"parent": loaded(parent)}, probes=24)
    individual = [probe for probe in fingerprint.probes if probe.kind.startswith("individual")]
    assert len(individual) == 16
    assert [depth.speaks_for for depth in fingerprint.depths][-1] == "individual"
    assert fingerprint.relatives == (loaded(parent).digest,)
    rows = [fingerprint.probes.index(probe) for probe in individual]
    own, other = (np.median(ratios(module, fingerprint)[rows]) for module in (child, parent))
    assert own < 0.3
    assert other > 0.6
    rough = fingerprint.rough_copy_ratio
    assert rough is not None
    again = np.log(ratios(pruned(child, share=0.45), fingerprint)[rows]).mean()
    assert rough == pytest.approx(np.exp(again), rel=0.05)
    likes = ((), ("running",), (_HEAD,), ("running", _HEAD))
    near = [
        np.log(ratios(_like(child, parent, shared), fingerprint)[rows]).mean() for shared in likes
    ]
    assert fingerprint.relatives_ratio == pytest.approx(np.exp(min(near)), rel=0.05)


def test_what_copies_and_the_nearest_relative_answer_is_kept() -> None:
    parent = network("cnn")
    child = fine_tuned(parent, digits(), seed=5)
    made = extract(loaded(child), seed=SEED, relatives={"parent": loaded(parent)}, probes=6)
    assert made.copies is not None
    place = made.copies.names.index("pruned by 30 %")
    asked = made.panel[:32]
    told = run(loaded(pruned(child)), asked)
    np.testing.assert_allclose(made.copies.answers[place], told, atol=1e-4)
    likes = ((), ("running",), (_HEAD,), ("running", _HEAD))
    forms = [_like(child, parent, shared) for shared in likes]
    own, rows = made.panel_answers[:32], [run(loaded(form), asked) for form in forms]
    nearest = int(np.argmin([np.median(answer_distance(row, own, "logits")) for row in rows]))
    np.testing.assert_allclose(made.copies.nearest, rows[nearest], atol=1e-4)
    beside = run(loaded(pruned(forms[nearest])), asked)
    np.testing.assert_allclose(made.copies.nearest_copies[place], beside, atol=1e-4)


def test_a_copy_whose_answers_are_not_finite_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: Model) -> Model:
        module = copy.deepcopy(model.module)
        next(module.parameters()).data.fill_(torch.nan)
        return replace(model, module=module)

    def made(model: Model) -> dict[str, Callable[[], Model]]:
        return {"plain": lambda: model, "broken": lambda: broken(model)}

    monkeypatch.setattr("fingerprint.probes.extraction.room.copies_of", made)
    child = fine_tuned(network("cnn"), digits(), seed=5)
    relatives = {"parent": model_of("cnn")}
    found = extract(loaded(child), seed=SEED, relatives=relatives, probes=6).copies
    assert found is not None
    assert found.names == ("plain",)
    monkeypatch.setattr("fingerprint.probes.extraction.room.copies_of", lambda model: {})
    assert extract(loaded(child), seed=SEED, relatives=relatives, probes=6).copies is None


def test_copies_are_not_asked_where_nobody_knows_how_near_a_sibling_comes() -> None:
    class Two(nn.Module):
        """Two heads: none of them is the last layer."""

        def __init__(self, body: nn.Module) -> None:
            super().__init__()
            self.body, self.other = body, nn.Linear(256, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.body(x)[:, :4], self.other(x.flatten(1))], dim=1)

    child = Two(fine_tuned(network("cnn"), digits(), seed=5)).eval()
    relatives = {"parent": model_of("cnn")}
    made = extract(loaded(child), seed=SEED, relatives=relatives, probes=6)
    assert made.copies is None
    assert extract(model_of("cnn", 1), seed=SEED, probes=6).copies is None


_HEAD = "head."


def _like(child: nn.Module, parent: nn.Module, parts: tuple[str, ...]) -> nn.Module:
    """Returns the parent with some of the child's state."""
    found, state = copy.deepcopy(parent), child.state_dict()
    shared = {name: state[name] for name in state if any(part in name for part in parts)}
    assert bool(shared) == bool(parts)
    found.load_state_dict({**parent.state_dict(), **shared})
    return found


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_a_relative_may_be_of_another_precision(dtype: torch.dtype) -> None:
    tuned = network("cnn", 1)
    parent = model_of("cnn").to(dtype=dtype)
    made = extract(loaded(tuned), seed=SEED, probes=6, relatives={"parent": parent})
    assert {depth.speaks_for for depth in made.depths} == {"individual"}
