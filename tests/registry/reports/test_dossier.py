"""A dossier holds what a verdict rested on, and says where that is no longer there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingerprint.errors import UsageError
from registry import Registry, RegistryCorrupt
from registry.criteria import digest_of
from registry.registration import finished
from registry.reports.dossier import Dossier
from tests.registry.conftest import tamper
from tests.registry.places import Place
from tests.support.dossiers import dossier_of, put_deep
from tests.support.fingerprints import make_deep, make_model


def test_a_recorded_verdict_comes_with_its_entry_and_what_was_asked(place: Place) -> None:
    given = dossier_of(place)
    with Registry(place) as registry:
        found = registry.dossier(1)
        models = {one.name: one for one in registry.models()}
    assert found.verification.to_dict() == given.verification.to_dict()
    assert found.entry is not None
    assert (found.entry.action, found.entry.payload["number"]) == ("verify", 1)
    assert found.head.digest == found.entry.digest
    assert found.suspect_digest == "5d" * 32
    for name, standing in found.standings.items():
        assert standing.state == "as asked"
        assert standing.commitment == models[name].commitment
        assert standing.model_digest == models[name].model_digest
        assert standing.file_sha256 == models[name].file_sha256
    assert list(found.fingerprints) == [one.name for one in found.verification.candidates]
    assert found.subject == found.verification.candidates[0].name


def test_what_was_made_anew_or_removed_since_is_not_what_was_asked(place: Place) -> None:
    before = dossier_of(place)
    with Registry(place) as registry:
        model = make_model(0, path="/models/0.safetensors", shape=(3, 8, 8))
        made = make_deep(model, seed=registry.seed, panel=96, bases=5)
        registry.commit(finished(registry.plan(model, again="ours"), model, made))
        registry.remove("child")
        registry.remove("theirs")
        put_deep(registry, "theirs", 7)
        found = registry.dossier(1)
    states = {name: one.state for name, one in found.standings.items()}
    assert states == {"ours": "made anew", "child": "removed", "theirs": "removed"}
    assert found.fingerprints == {}
    assert found.subject is None
    # What the chain had noted by then is still told.
    assert {name: one.commitment for name, one in found.standings.items()} == {
        name: one.commitment for name, one in before.standings.items()
    }


def test_a_verdict_that_was_not_recorded_has_no_entry(place: Place, dossier: Dossier) -> None:
    dossier_of(place)
    with Registry(place) as registry:
        found = registry.dossier(replace(dossier.verification, verification=None))
    assert (found.entry, found.recorded) == (None, "")
    assert found.subject == dossier.subject


@pytest.mark.parametrize("number", [0, 2, 10**18])
def test_a_number_that_no_verdict_has_is_a_usage_error(place: Place, number: int) -> None:
    dossier_of(place)
    with Registry(place) as registry, pytest.raises(UsageError, match="no verdict has the number"):
        registry.dossier(number)


def test_evidence_that_was_changed_behind_its_back_makes_no_report(place: Place) -> None:
    dossier_of(place)
    tamper(place, "UPDATE verifications SET verdict = 'independent'")
    with Registry(place) as registry, pytest.raises(RegistryCorrupt, match="verifications 1"):
        registry.dossier(1)


def test_what_was_committed_to_is_there_and_the_verdict_is_judged_again(place: Place) -> None:
    given = dossier_of(place)
    with Registry(place) as registry:
        found = registry.dossier(1).committed
        stated = given.verification.commitment
        assert found is not None
        assert stated is not None
        assert found.entry is not None
        assert given.entry is not None
        assert (found.digest, found.entry.seq) == (stated.digest, given.entry.seq - 1)
        assert digest_of(found.criteria) == found.digest
        assert found.again == ()
        assert found.answers is not None
        assert found.answers_sha256 == registry.proof(1).answers_sha256
        registry.remove("child")
        (line,) = registry.dossier(1).committed.again  # type: ignore[union-attr]
        assert "'child'" in line


def test_criteria_that_were_changed_since_make_no_report(place: Place) -> None:
    dossier_of(place)
    tamper(place, "UPDATE criteria SET document = replace(document, '0.001', '0.5')")
    with Registry(place) as registry, pytest.raises(RegistryCorrupt):
        registry.dossier(1)
