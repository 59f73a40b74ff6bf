"""Whom a suspect is compared with, on what grounds, and what is remembered of the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import event

from cli import policy
from fingerprint import Fingerprint, Kinship, ModelSuspect, Suspect, Verification, narrowing
from fingerprint.errors import IncompatibleModel
from fingerprint.lab.modifications import fine_tuned
from fingerprint.lab.training import Settings
from fingerprint.probes import codec
from fingerprint.probes.codec import decode
from fingerprint.suspects import Identity
from registry import Registry, RegistryCorrupt, RegistryError, UnknownModel
from registry.policies import Policies
from registry.registration import Result, finished
from registry.verifying import Grounds, grounds
from tests.registry.conftest import put, result_of, tamper
from tests.support.digits import digits, network
from tests.support.extracted import fingerprint_of, loaded, model_of
from tests.support.fingerprints import make_deep, make_model


@pytest.fixture
def wide(family: Registry) -> Registry:
    """The family, and a model of other inputs."""
    model = make_model(5, shape=(3, 6, 6))
    family.commit(result_of(family, "wide", model))
    return family


class Endpoint(Suspect):
    """Answers as a model does, and says of itself only what it is told to."""

    def __init__(self, seed: int = 9, **identity: Any) -> None:
        self.model = make_model(seed)
        super().__init__(self.model.input, self.model.output, identity=Identity(**identity))

    def respond(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        return ModelSuspect(self.model).respond(inputs)


def compared(verification: Verification) -> set[str]:
    return {candidate.name for candidate in verification.candidates}


def grounds_of(registry: Registry, *against: str) -> Grounds:
    with registry._catalogue() as catalogue:
        return grounds(catalogue, make_model(9), against, Policies())


def test_a_suspect_is_compared_with_every_model_of_its_inputs(wide: Registry) -> None:
    assert compared(wide.verify(make_model(9))) == {"source", "derived", "other"}
    assert compared(wide.verify(make_model(9, shape=(3, 6, 6)))) == {"wide"}


def test_against_limits_the_comparison_and_not_the_correction(wide: Registry) -> None:
    assert compared(wide.verify(make_model(9), against=["other", "source", "other"])) == {
        "other",
        "source",
    }
    found = grounds_of(wide, "other")
    assert found.fingerprints.keys() == {"other"}
    assert set(found.compatible) == {"source", "derived", "other"}


def test_against_what_cannot_be_compared_is_refused_and_not_recorded(wide: Registry) -> None:
    with pytest.raises(UnknownModel, match="did you mean 'other'"):
        wide.verify(make_model(9), against=["othr"])
    with pytest.raises(IncompatibleModel, match="'wide'"):
        wide.verify(make_model(9), against=["source", "wide"])
    assert wide.verifications() == []


def test_kinship_and_calibration_are_of_the_same_moment(registry: Registry) -> None:
    put(registry, "source", 0, from_scratch=True)
    put(registry, "derived", 1, parent="source")
    put(registry, "other", 2, asked={"source": 0.9, "derived": 0.8})
    put(registry, "copy", 0, probes=12)
    found = grounds_of(registry)
    assert found.kinship == Kinship(
        parents={"derived": "source"},
        from_scratch=frozenset({"source"}),
        digests={model.name: model.model_digest for model in registry.models()},
    )
    ratios = {name: [one.ratio for one in all] for name, all in found.calibration.ratios.items()}
    assert ratios == {"source": [0.9], "derived": [0.8]}
    candidate = registry.verify(make_model(9), against=["source"]).candidates[0]
    assert candidate.margin_pairs == 1


def test_undeclared_kin_are_named_in_every_verdict_that_rests_on_them(registry: Registry) -> None:
    put(registry, "a", 0)
    put(registry, "b", 1, asked={"a": 0.305}, verdict="derived")
    verification = registry.verify(make_model(9), against=["a"])
    (line,) = [line for line in verification.warnings if "look related" in line]
    assert line.startswith("'a' and 'b' look related (harm ratio 0.3")
    assert line in registry.verifications()[-1].evidence["warnings"]
    assert not [w for w in registry.verify(make_model(9), against=["b"]).warnings if "look" in w]


def test_a_bare_module_takes_what_the_named_model_takes(family: Registry) -> None:
    assert compared(family.verify(make_model(9).module, against=["source"])) == {"source"}


def test_anything_that_answers_can_be_a_suspect_and_says_itself_who_it_is(
    family: Registry,
) -> None:
    assert compared(family.verify(Endpoint())) == {"source", "derived", "other"}
    assert family.verifications()[-1].suspect_digest is None
    family.verify(Endpoint(model_digest="ab" * 32))
    assert family.verifications()[-1].suspect_digest == "ab" * 32
    family.verify(make_model(0))
    assert family.verifications()[-1].suspect_digest == make_model(0).digest


def test_an_empty_registry_is_inconclusive_and_says_so(registry: Registry) -> None:
    verification = registry.verify(make_model())
    assert verification.verdict == "inconclusive"
    assert "no registered model takes inputs pixels:3x4x4" in verification.reason
    assert len(registry.verifications()) == 1


def test_every_verdict_is_recorded_with_all_its_evidence_and_its_number(family: Registry) -> None:
    verification = family.verify(make_model(9), against=["source"])
    second = family.verify(make_model(8), against=["other"])
    assert (verification.verification, second.verification) == (1, 2)
    first, _ = family.verifications()
    assert first.evidence == json.loads(json.dumps(verification.to_dict()))
    assert (first.number, first.verdict) == (1, verification.verdict)
    assert first.suspect_digest == make_model(9).digest
    assert json.dumps(first.to_dict(), allow_nan=False)
    family.check()


def test_verdicts_are_found_by_candidate_even_after_it_is_gone(family: Registry) -> None:
    family.verify(make_model(9), against=["other"])
    family.verify(make_model(9), against=["source"])
    family.remove("other")
    assert [found.number for found in family.verifications("other")] == [1]
    assert family.verifications("nobody") == []
    put(family, "new", 8)
    assert family.verify(make_model(9), against=["new"]).verification == 3
    family.check()


@pytest.mark.parametrize(("count", "transactions"), [(2, 3), (12, 4), (24, 4)])
def test_a_verification_takes_as_many_transactions_for_many_models_as_for_more(
    registry: Registry, count: int, transactions: int
) -> None:
    """One reads, one commits to the criteria, of many one reads the probes of few, one records."""
    for seed in range(count):
        put(registry, f"m{seed}", seed)
    opened: list[object] = []

    class Noting(Endpoint):
        def respond(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
            asked.append(len(opened))
            return super().respond(inputs)

    asked: list[int] = []
    event.listen(registry._engine, "begin", opened.append)
    registry.verify(Noting())
    assert len(opened) == transactions
    assert min(asked) == transactions - 1, "criteria are committed before anything is asked"
    assert max(asked) < transactions, "what is recorded is recorded after asking"


@pytest.mark.parametrize(
    ("stated", "expect", "forbid"), [(True, 0, 1), (False, 4, 4)], ids=["from scratch", "unstated"]
)
def test_what_its_owner_states_settles_whether_a_fine_tune_descends_from_a_model(
    registry: Registry, stated: bool, expect: int, forbid: int
) -> None:
    model = model_of("cnn")
    fingerprint = replace(fingerprint_of("cnn"), seed=registry.seed)
    registry.commit(finished(registry.plan(model, name="ours"), model, fingerprint))
    if stated:  # later, as the message of the policy says
        registry.commit(Result(task=registry.plan(model, name="ours", from_scratch=True)))
    tuned = fine_tuned(network("cnn"), digits(), Settings(epochs=1, lr=5e-4), seed=3)
    result = registry.verify(loaded(tuned))
    (candidate,) = result.candidates
    assert (result.best, candidate.verdict) == ("ours", "derived")
    assert candidate.relation == ("descends" if stated else "shares_origin")
    judged = policy.judge(result, expect=["ours"])
    assert judged.code == expect
    assert policy.judge(result, forbid=["ours"]).code == forbid
    assert all("--from-scratch" in reason for reason in judged.reasons)


def test_no_verdict_rests_on_a_damaged_registry(family: Registry) -> None:
    """What each column of each row would do to it is tried in ``test_rows``."""
    tamper(family, "UPDATE models SET from_scratch = true WHERE id = 1")
    asked: list[int] = []

    class Asked(Endpoint):
        def respond(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
            asked.append(len(inputs))
            return super().respond(inputs)

    with pytest.raises(RegistryCorrupt, match=r"models 1 \('source'\): is not what the chain"):
        family.verify(Asked())
    assert (asked, family.verifications()) == ([], [])


def test_an_interrupted_verification_records_nothing(family: Registry) -> None:
    class Interrupted(Endpoint):
        def respond(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        family.verify(Interrupted())
    assert family.verifications() == []


# One to many.


def crowd(registry: Registry, seeds: Iterable[int]) -> None:
    """Registers small models with answers to the panel."""
    for seed in seeds:
        model = make_model(seed)
        task = registry.plan(model, name=f"m{seed}")
        fingerprint = make_deep(model, seed=registry.seed, panel=24)
        registry.commit(finished(task, model, fingerprint))


@pytest.fixture
def nearest(monkeypatch: pytest.MonkeyPatch) -> int:
    """Leaves everyone out but the nearest."""
    monkeypatch.setattr(narrowing, "NEAREST", 3)
    monkeypatch.setattr(narrowing, "FLOOR", 1.0)
    return 3


def test_only_whom_the_panel_leaves_is_read_in_full_however_many_there_are(
    registry: Registry, nearest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    statements: list[str] = []

    def counted(blob: bytes) -> Fingerprint:
        decoded.append(1)
        return decode(blob)

    monkeypatch.setattr(codec, "decode", counted)
    event.listen(registry._engine, "before_cursor_execute", lambda *given: statements.append(""))
    done = []
    for begin, end in ((0, 6), (6, 18)):
        crowd(registry, range(begin, end))
        decoded.clear()
        statements.clear()
        found = registry.verify(make_model(2))
        assert "m2" in compared(found)
        assert found.queries == 24 + nearest * 2 * 6 * 4 + 6 + 1
        assert len(found.not_asked) == end - nearest
        done.append((len(decoded), len(statements)))
    assert done[0] == done[1]
    assert done[0][0] == nearest


def test_a_model_that_is_renewed_or_removed_meanwhile_is_not_judged_by_what_it_was(
    registry: Registry, nearest: int
) -> None:
    crowd(registry, range(6))

    class Slow(ModelSuspect):
        def respond(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
            if "m2" in {model.name for model in registry.models()}:
                registry.remove("m2")
            return super().respond(inputs)

    with pytest.raises(RegistryError, match="'m2' was removed or renewed"):
        registry.verify(Slow(make_model(2)))


def test_damage_to_the_probes_of_whoever_is_left_out_is_seen(
    registry: Registry, nearest: int
) -> None:
    crowd(registry, range(6))
    tamper(registry, "UPDATE probe_sets SET blob = substr(blob, 1, length(blob) - 1)")
    with pytest.raises(RegistryCorrupt, match="m0"):
        registry.verify(make_model(2))
