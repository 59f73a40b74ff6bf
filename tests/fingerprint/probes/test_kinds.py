"""Kinds of probe, and that what becomes of one depends on no other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.errors import NoInformation
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from fingerprint.probes import kinds, solving
from fingerprint.probes.harmless_spaces import find_spaces
from fingerprint.probes.kinds import (
    KINDS,
    Agreement,
    LinearProbes,
    NetworkProbes,
    ProbeKind,
    agreement,
)
from fingerprint.probes.probe import ProbeRequest
from fingerprint.probes.public import public_bases
from fingerprint.probes.simulated import SEVERE, simulated_modifications
from fingerprint.probes.solving import Solver
from fingerprint.progress import silent
from tests.fingerprint.probes.networks import Exits
from tests.support.extracted import SEED, model_of

REQUESTS = [
    ProbeRequest(kind, base, draw)
    for draw, kind in enumerate(("network", "linear", "network"))
    for base in range(6)
]


def bases_of(model: Model) -> NDArray[np.uint8]:
    return public_bases(model.input, SEED, 6)


@pytest.fixture(scope="module")
def solver() -> Solver:
    model = model_of("vit")
    space = find_spaces(model).space
    assert space is not None
    agreed = agreement(model, simulated_modifications(model, SEVERE), bases_of(model))
    ways: Sequence[ProbeKind] = (
        NetworkProbes(model, agreed),
        LinearProbes(space, model.input.bounds),
    )
    return Solver(model, seed=SEED, start="binary", bases=bases_of(model), kinds=ways)


def test_each_kind_has_one_name() -> None:
    assert {name: kind.name for name, kind in KINDS.items()} == {
        "network": "network",
        "linear": "linear",
    }


def test_only_a_linear_probe_that_did_not_converge_had_no_room() -> None:
    rooms = {
        (name, converged): kind.has_room(converged=converged)
        for name, kind in KINDS.items()
        for converged in (False, True)
    }
    assert [key for key, room in rooms.items() if not room] == [("linear", False)]


@pytest.fixture(scope="module")
def usual(solver: Solver) -> dict[ProbeRequest, solving.Solved]:
    return {solved.request: solved for solved in solver.solve(REQUESTS)}


@pytest.mark.parametrize(("largest", "limit"), [(1, 0.2), (5, 0.01), (32, 0.01)])
def test_a_probe_depends_on_neither_the_order_nor_the_size_of_chunks(
    solver: Solver,
    usual: dict[ProbeRequest, solving.Solved],
    largest: int,
    limit: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(solving, "_LARGEST_CHUNK", largest)
    order = np.random.default_rng(largest).permutation(len(REQUESTS))
    # Alone, each takes as long as all of them together.
    shuffled = [REQUESTS[place] for place in order[: 6 if largest == 1 else None]]
    found = solver.solve(shuffled)
    assert [solved.request for solved in found] == shuffled
    for solved in found:
        # Single inputs are summed in another order, which eighty steps in float32 carry on.
        before = usual[solved.request]
        difference = np.linalg.norm(solved.harmless.astype(float) - before.harmless)
        delta = before.harmless.astype(float) - solver.bases[solved.request.base]
        assert difference < limit * np.linalg.norm(delta)
        assert solved.converged == before.converged


# Where a model and modified copies agree.


def with_exits(darkest: float) -> Model:
    torch.manual_seed(0)
    return load_model(Exits(darkest).eval(), input_size=(1, 16, 16))


def copies_of(model: Model) -> tuple[Model, ...]:
    return simulated_modifications(model, SEVERE)


def depth_of(model: Model, bases: NDArray[np.uint8]) -> str | None:
    found = agreement(model, copies_of(model), bases)
    return found.depth if found else None


def test_they_agree_in_their_features_where_every_base_has_them() -> None:
    model = with_exits(0.3)
    light = np.full((2, 1, 16, 16), 150, np.uint8)
    dark = np.full((2, 1, 16, 16), 30, np.uint8)
    assert depth_of(model, light) == "features"
    assert depth_of(model, dark) == "logits"
    assert depth_of(model, np.concatenate([light, dark])) == "logits"


def test_they_agree_nowhere_where_the_answers_of_a_copy_are_no_numbers() -> None:
    model = model_of("mlp")
    broken = model.to(dtype=model.dtype)
    for weight in broken.module.parameters():
        weight.data[:] = torch.nan
    assert agreement(model, (broken,), bases_of(model)) is None


def test_features_are_looked_for_once(solver: Solver, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: Model) -> None:
        raise AssertionError

    monkeypatch.setattr(kinds, "penultimate", refuse)
    assert len(solver.solve(REQUESTS[:6])) == 6


def test_a_start_that_a_copy_stops_answering_on_the_way_changes_no_neighbour() -> None:
    model = with_exits(0.0)

    def breaks(x: Tensor) -> Tensor:
        if bool((x.detach().flatten(1).mean(dim=1) > 0.9).any()):
            raise NoInformation("expected features, got none")
        answers: Tensor = model(x) + 0.01 * x.flatten(1)[:, :4]
        return answers

    probes = NetworkProbes(model, Agreement("logits", (model, breaks)))
    base = torch.full((3, 1, 16, 16), 0.5, dtype=torch.float64)
    noise = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    start = noise.double()
    start[1] = 0.95 + 0.05 * noise[1]
    together = probes.solve(base, start, silent)
    for place in range(3):
        alone = probes.solve(base[place : place + 1], start[place : place + 1], silent)
        torch.testing.assert_close(together.point[place], alone.point[0], atol=1e-4, rtol=0)
    unmoved = NetworkProbes(model).solve(base[1:2], start[1:2], silent)
    torch.testing.assert_close(together.point[1], unmoved.point[0], atol=1e-4, rtol=0)
