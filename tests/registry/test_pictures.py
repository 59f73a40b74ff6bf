"""Rare labels of real networks in a registry: loaded from files, asked last, and kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import save_file

from fingerprint import Journal, Model, ModelSuspect, Suspect, Verification, load_model
from fingerprint.errors import UsageError
from fingerprint.evidence.finding import Finding
from fingerprint.lab.modifications import fine_tuned
from fingerprint.lab.networks import Mlp, mlp
from fingerprint.lab.training import Settings, trained
from registry import Registry
from registry.registration import finished
from tests.support.digits import digits
from tests.support.fingerprints import make_fingerprint

ARCH = "fingerprint.lab.networks:mlp"
CODE = ("fingerprint.lab.networks",)
REFERENCES = 8
FEW = 500
"""Training pictures of each of 1437: few enough for mistakes."""


def networks_of(seed: int) -> Mlp:
    images = digits()
    begin = seed * 80
    few = replace(
        images,
        train_images=images.train_images[begin : begin + FEW],
        train_labels=images.train_labels[begin : begin + FEW],
    )
    return trained(mlp, few, Settings(epochs=6), seed=seed)


def saved(network: Mlp, path: Path) -> Model:
    save_file(network.state_dict(), path)
    return load_model(path, arch=ARCH, input_size=(1, 16, 16))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, Model]:
    names = ("ours", *(f"r{place}" for place in range(REFERENCES)))
    return {
        name: saved(networks_of(seed), folder / f"{name}.safetensors")
        for seed, name in enumerate(names)
    }


@pytest.fixture
def filled(registry: Registry, models: dict[str, Model]) -> Registry:
    for name, model in models.items():
        task = registry.plan(model, name=name, reference=name != "ours")
        registry.commit(finished(task, model, make_fingerprint(model, seed=registry.seed)))
    return registry


def ask(registry: Registry, suspect: Model | Suspect, **options: Any) -> Verification:
    given: dict[str, Any] = {
        "data": digits().test_images,
        "code": CODE,
        "against": ["ours"],
    } | options
    return registry.verify(suspect, **given)


def rare(verification: Verification) -> Finding:
    (candidate,) = [one for one in verification.candidates if one.name == "ours"]
    (found,) = [one for one in candidate.findings if one.test == "rare_labels"]
    return found


def test_a_gentle_fine_tune_shares_rare_mistakes_and_a_stranger_does_not(
    filled: Registry, folder: Path
) -> None:
    copy = fine_tuned(networks_of(0), digits(), Settings(epochs=1, lr=1e-5), seed=5)
    assert isinstance(copy, Mlp)
    found = rare(ask(filled, saved(copy, folder / "copy.safetensors")))
    stranger = rare(ask(filled, saved(networks_of(11), folder / "stranger.safetensors")))
    assert found.detail["shares"]
    assert not stranger.detail["shares"]
    assert found.statistic is not None
    assert stranger.statistic is not None
    assert found.statistic > stranger.statistic
    assert len(found.detail["references"]) == REFERENCES
    evidence = filled.verifications()[0].evidence
    kept = evidence["candidates"][0]["findings"][-1]
    assert kept == json.loads(json.dumps(found.to_dict()))
    filled.check()


def test_it_changes_nothing_but_the_findings_and_the_queries(
    filled: Registry, models: dict[str, Model]
) -> None:
    for suspect in (models["ours"], models["r0"]):
        with_data, without = ask(filled, suspect), ask(filled, suspect, data=None)
        assert with_data.queries == without.queries + 24
        (one,) = with_data.candidates
        (other,) = without.candidates
        assert replace(one, findings=one.findings[:-1]) == other
        assert (with_data.verdict, with_data.best) == (without.verdict, without.best)


def test_references_are_not_asked_about(filled: Registry, models: dict[str, Model]) -> None:
    found = ask(filled, models["ours"], against=())
    tests = {one.name: [each.test for each in one.findings] for one in found.candidates}
    assert tests.keys() == models.keys()
    assert [name for name, some in tests.items() if "rare_labels" in some] == ["ours"]


def test_a_budget_that_ends_at_the_pictures_leaves_the_verdict_as_it_is(
    filled: Registry, models: dict[str, Model], tmp_path: Path
) -> None:
    plain = ask(filled, models["r0"], data=None)
    suspect = ModelSuspect(models["r0"])
    path = tmp_path / "journal"
    cut = ask(filled, Journal(suspect, path, max_queries=plain.queries + 3))
    assert (cut.verdict, cut.reason, cut.queries) == (
        plain.verdict,
        plain.reason,
        plain.queries + 3,
    )
    assert rare(cut).missing == "21 of 24 pictures were not answered"
    before = suspect.queries
    whole = ask(filled, Journal(suspect, path))
    assert suspect.queries == before + 21, "the journal keeps the pictures too"
    assert rare(whole) == rare(ask(filled, models["r0"]))


def test_a_suspect_that_failed_before_is_not_asked_pictures(
    filled: Registry, models: dict[str, Model]
) -> None:
    found = ask(filled, Journal(ModelSuspect(models["r0"]), max_queries=3))
    assert found.queries == 3
    assert rare(found).missing == "24 of 24 pictures were not answered"


class Silent(ModelSuspect):
    """Answers everything but somebody's pictures."""

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        rows = super().respond(inputs)
        known = {one.tobytes() for one in digits().test_images}
        rows[[one.tobytes() in known for one in inputs]] = np.nan
        return rows


def test_answers_of_nan_say_nothing(filled: Registry, models: dict[str, Model]) -> None:
    found = ask(filled, Silent(models["ours"]))
    assert rare(found).missing == "24 of 24 pictures were not answered"
    assert rare(found).statistic is None


def test_a_model_whose_file_is_gone_or_whose_code_is_not_named_is_absent(
    filled: Registry, models: dict[str, Model]
) -> None:
    found = rare(ask(filled, models["r0"], code=()))
    assert "code, which is not run unasked" in found.missing
    path = Path(str(filled.model("r3").file_path))
    content = path.read_bytes()
    try:
        path.unlink()
        found = rare(ask(filled, models["r0"]))
    finally:
        path.write_bytes(content)
    assert "got 7" in found.missing
    assert "could not be loaded" in found.detail["absent"]["r3"]


@pytest.mark.parametrize(
    ("data", "pictures"),
    [
        (np.zeros((300, 1, 8, 8), np.uint8), 24),
        (np.zeros((0, 1, 16, 16), np.uint8), 24),
        (np.zeros((300, 16, 16), np.uint8), 24),
        (np.zeros((300, 1, 16, 16), np.float32), 24),
        (np.zeros((300, 1, 16, 16), np.uint8), 0),
    ],
)
def test_pictures_that_cannot_be_asked_are_refused_before_anybody_is(
    filled: Registry, models: dict[str, Model], data: NDArray[Any], pictures: int
) -> None:
    suspect = ModelSuspect(models["ours"])
    with pytest.raises(UsageError, match=r"data: expected uint8|pictures: expected at least 1"):
        ask(filled, suspect, data=data, pictures=pictures)
    assert (suspect.queries, filled.verifications()) == (0, [])
