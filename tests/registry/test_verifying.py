"""Whom a suspect is compared with, and what is remembered of the verdict."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fingerprint.errors import IncompatibleModel
from fingerprint.suspects import ModelSuspect, Suspect
from registry import Registry, RegistryCorrupt, UnknownModel
from registry.screenings import Pair, related_warnings
from tests.registry.conftest import put, tamper
from tests.registry.fake_library import FakeLibrary
from tests.support.fingerprints import make_fingerprint, make_model

DOMAIN = make_model().input.domain


@pytest.fixture
def wide(family: Registry) -> Registry:
    """The family, and a model of other inputs."""
    model = make_model(5, shape=(3, 6, 6))
    family.store(make_fingerprint(model, seed=family.seed), model, name="wide")
    return family


def pair(source: str, other: str, ratio: float, verdict: str = "independent") -> Pair:
    return Pair(source=source, other=other, harm_ratio=ratio, verdict=verdict)


def compared(library: FakeLibrary) -> set[str]:
    return set(library.verified[-1][1])


def test_a_suspect_is_compared_with_every_model_of_its_inputs(
    wide: Registry, library: FakeLibrary
) -> None:
    wide.verify(make_model(9))
    assert compared(library) == {"source", "derived", "other"}
    wide.verify(make_model(9, shape=(3, 6, 6)))
    assert compared(library) == {"wide"}


def test_against_limits_the_comparison(wide: Registry, library: FakeLibrary) -> None:
    wide.verify(make_model(9), against=["other", "source", "other"])
    assert compared(library) == {"other", "source"}


def test_against_an_unknown_name_is_refused(wide: Registry, library: FakeLibrary) -> None:
    with pytest.raises(UnknownModel, match="did you mean 'other'"):
        wide.verify(make_model(9), against=["othr"])
    assert library.verified == []


def test_against_a_model_of_other_inputs_is_refused(wide: Registry, library: FakeLibrary) -> None:
    with pytest.raises(IncompatibleModel, match="'wide'"):
        wide.verify(make_model(9), against=["source", "wide"])
    assert library.verified == []


def test_the_level_and_the_measured_pairs_are_passed_on(
    family: Registry, library: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratios = {"source": [0.9], "derived": [1.1, 1.2]}
    monkeypatch.setattr(family, "pair_ratios", {DOMAIN: ratios}.__getitem__)
    verification = family.verify(make_model(9), alpha=0.01)
    assert verification.warnings == ()
    _, _, options = library.verified[-1]
    assert options["alpha"] == 0.01
    found = options["calibration"].ratios
    assert {name: [pair.ratio for pair in pairs] for name, pairs in found.items()} == ratios
    assert set(options["compatible"]) == {"source", "derived", "other"}
    assert options["kinship"].parents == {"derived": "source"}


def test_undeclared_kin_are_named_in_every_verdict_that_rests_on_them(
    family: Registry, library: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = (pair("source", "other", 0.305, "derived"), pair("derived", "other", 0.9))
    monkeypatch.setattr(family, "pairs", {DOMAIN: pairs}.__getitem__)
    verification = family.verify(make_model(9))
    (line,) = verification.warnings
    assert line.startswith("'source' and 'other' look related (harm ratio 0.3")
    assert family.verifications()[-1].evidence["warnings"] == [line]


def test_many_undeclared_kin_are_counted_after_a_few() -> None:
    lines = related_warnings(
        pair("source", f"copy {index}", 0.001 * index, "same") for index in range(9)
    )
    assert len(lines) == 6
    assert "'copy 4'" in lines[4]
    assert lines[5].startswith("4 more pairs look related")


def test_a_bare_module_takes_what_the_named_model_takes(
    family: Registry, library: FakeLibrary
) -> None:
    model = make_model(9)
    library.files[model.module] = model  # type: ignore[index]
    assert family.verify(model.module, against=["source"]).verdict == "independent"
    ((_, options),) = library.loaded
    assert options["input_size"] == [3, 4, 4]


def test_anything_that_answers_can_be_a_suspect(family: Registry, library: FakeLibrary) -> None:
    class Endpoint(Suspect):
        def respond(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
            raise AssertionError("the library asks, not the registry")

    model = make_model()
    family.verify(Endpoint(model.input, model.output))
    assert compared(library) == {"source", "derived", "other"}
    assert family.verifications()[-1].suspect_digest is None
    family.verify(ModelSuspect(model))
    assert family.verifications()[-1].suspect_digest == model.digest


def test_an_empty_registry_is_inconclusive_and_says_so(
    registry: Registry, library: FakeLibrary
) -> None:
    verification = registry.verify(make_model())
    assert verification.verdict == "inconclusive"
    assert "no registered model takes inputs pixels:3x4x4" in verification.reason
    assert len(registry.verifications()) == 1


def test_every_verdict_is_recorded_with_all_its_evidence(
    family: Registry, library: FakeLibrary
) -> None:
    library.ratios = {"source": 0.3}
    verification = family.verify(make_model(9), against=["source"])
    family.verify(make_model(8), against=["other"])
    first, second = family.verifications()
    assert verification.verification == 1
    assert first.evidence == json.loads(
        json.dumps(replace(verification, verification=None).to_dict())
    )
    assert (first.number, first.verdict, first.best) == (1, "derived", "source")
    assert first.suspect_digest == make_model(9).digest
    assert second.verdict == "independent"
    assert first.to_dict()["candidates"] == first.evidence["candidates"]
    assert json.dumps(first.to_dict(), allow_nan=False)
    family.check()


def test_verdicts_are_found_by_candidate_even_after_it_is_gone(
    family: Registry, library: FakeLibrary
) -> None:
    family.verify(make_model(9), against=["other"])
    family.verify(make_model(9), against=["source"])
    family.remove("other")
    assert [found.number for found in family.verifications("other")] == [1]
    assert [found.number for found in family.verifications("nobody")] == []
    family.check()


def test_evidence_that_is_not_a_number_is_kept_as_null(
    family: Registry, library: FakeLibrary
) -> None:
    library.ratios = {"source": float("inf")}
    family.verify(make_model(9), against=["source"])
    assert family.verifications()[0].evidence["candidates"][0]["harm_ratio"] is None
    family.check()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE probe_sets SET blob = x'00' WHERE model_id = 1",
        "DELETE FROM chain WHERE seq = 2",
        "UPDATE chain SET payload = '{}' WHERE seq = 1",
        "UPDATE fingerprints SET commitment = 'x' WHERE model_id = 2",
        "UPDATE models SET digest = 'x' WHERE id = 3",
    ],
)
def test_no_verdict_rests_on_a_damaged_registry(
    family: Registry, library: FakeLibrary, statement: str
) -> None:
    tamper(family.path, statement)
    with pytest.raises(RegistryCorrupt):
        family.verify(make_model(9))
    assert library.verified == []
    assert family.verifications() == []


def test_a_model_put_in_from_outside_is_no_candidate(
    family: Registry, library: FakeLibrary
) -> None:
    """Somebody copies a whole model from another registry into this one's file."""
    columns = "name, digest, architecture, domain, input, output, load_options, warnings, created"
    tamper(
        family.path,
        f"INSERT INTO models (id, {columns}) SELECT 9, 'planted', {columns[6:]} FROM models "
        "WHERE id = 1",
        "INSERT INTO probe_sets SELECT 9, sha256, blob FROM probe_sets WHERE model_id = 1",
    )
    with pytest.raises(RegistryCorrupt, match=r"models 9 \('planted'\): has no entry"):
        family.verify(make_model(9))


def test_a_failing_verification_records_nothing(
    family: Registry, library: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fingerprint.verify", fail)
    with pytest.raises(KeyboardInterrupt):
        family.verify(make_model(9))
    assert family.verifications() == []


def test_verdicts_are_numbered_in_order_and_never_twice(
    family: Registry, library: FakeLibrary
) -> None:
    for seed in range(3):
        family.verify(make_model(seed + 5), against=["other"])
    assert [found.number for found in family.verifications()] == [1, 2, 3]
    put(family, "new", 8)
    family.verify(make_model(9), against=["new"])
    assert family.verifications()[-1].number == 4
