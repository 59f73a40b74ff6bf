"""A verdict can be judged again from what is kept, and rests on what was committed to before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fingerprint import ModelSuspect, narrowing
from fingerprint.errors import NoEvidence
from fingerprint.lab.modifications import fine_tuned
from fingerprint.lab.training import Settings
from fingerprint.suspects import Journal
from registry import Registry, RegistryCorrupt, UnknownVerification, differences
from registry.criteria import digest_of
from registry.registration import finished
from tests.registry.conftest import put, tamper, verdict
from tests.registry.test_verifying import Endpoint, crowd
from tests.support.digits import digits, network
from tests.support.extracted import fingerprint_of, loaded, model_of
from tests.support.fingerprints import make_model


def test_criteria_stand_in_the_chain_before_the_first_question(family: Registry) -> None:
    seen: list[str] = []

    class Looking(Endpoint):
        def respond(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
            with family._books() as books:
                seen.append(str(books.entries[-1].payload.get("commitment")))
            return super().respond(inputs)

    result = family.verify(Looking(), alpha=0.01)
    assert result.commitment is not None
    assert set(seen) == {result.commitment.digest}
    proof = family.proof(1)
    assert (proof.commitment, proof.committed) == (seen[0], result.commitment.entry)
    assert digest_of(proof.criteria) == seen[0]
    assert proof.criteria["alpha"] == 0.01
    assert proof.criteria["candidates"] == {
        model.name: model.commitment for model in family.models()
    }
    assert proof.criteria["questions"]["inputs"] + 1 == result.queries
    assert proof.entry == family.head()
    assert result.to_dict() == json.loads(json.dumps(proof.recorded.evidence))


def test_whoever_is_interrupted_is_still_committed(family: Registry) -> None:
    class Interrupted(Endpoint):
        def respond(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
            raise KeyboardInterrupt

    before = family.head()
    with pytest.raises(KeyboardInterrupt):
        family.verify(Interrupted())
    assert family.head() != before
    family.check()


@pytest.mark.parametrize("changed", ["alpha", "against", "suspect", "registry", "policy"])
def test_other_criteria_are_another_commitment(family: Registry, changed: str) -> None:
    first = family.verify(make_model(9)).commitment
    assert first is not None
    again = family.verify(make_model(9)).commitment
    assert again is not None
    assert (again.digest == first.digest, again.entry == first.entry) == (True, False)
    suspect = make_model(9)
    options = {
        "alpha": {"alpha": 0.01},
        "against": {"against": ["other"]},
        "policy": {"forbid": ["other"]},
    }
    if changed == "suspect":
        suspect = make_model(8)
    if changed == "registry":
        put(family, "new", 7, asked={"source": 0.8})
    other = family.verify(suspect, **options.get(changed, {})).commitment  # type: ignore[arg-type]
    assert other is not None
    assert other.digest != first.digest


@pytest.mark.parametrize("seed", [0, 9])
def test_the_answers_that_are_kept_give_the_same_verdict(family: Registry, seed: int) -> None:
    result = family.verify(make_model(seed))
    assert differences(result.to_dict(), family.judge_again(1)) == ()


def test_what_was_registered_since_changes_nothing(family: Registry) -> None:
    result = family.verify(make_model(9))
    put(family, "new", 7, asked={"source": 0.1, "derived": 0.1})
    assert differences(result.to_dict(), family.judge_again(1)) == ()


def test_candidates_that_the_panel_ruled_out_are_not_needed_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrowing, "NEAREST", 3)
    monkeypatch.setattr(narrowing, "FLOOR", 1.0)
    crowd(registry, range(8))
    result = registry.verify(Endpoint(2))
    assert len(result.not_asked) == 5
    registry.remove(result.not_asked[0])
    assert differences(result.to_dict(), registry.judge_again(1)) == ()


@pytest.mark.slow
def test_a_real_verdict_is_judged_again_to_the_last_digit(registry: Registry) -> None:
    model = model_of("cnn")
    fingerprint = replace(fingerprint_of("cnn"), seed=registry.seed)
    task = registry.plan(model, name="ours", from_scratch=True)
    registry.commit(finished(task, model, fingerprint))
    result = registry.verify(
        loaded(fine_tuned(network("cnn"), digits(), Settings(epochs=1, lr=5e-4), seed=3))
    )
    assert (result.verdict, result.candidates[0].relation) == ("derived", "descends")
    again = registry.judge_again(1)
    assert again.candidates == result.candidates
    assert differences(result.to_dict(), again) == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE answers SET blob = replace(blob, substr(blob, -4), x'00000000')",
        'UPDATE answers SET facts = \'{"ruled_out":["source"],"flags":{},"doubt":""}\'',
        "UPDATE answers SET commitment = 'ab' || substr(commitment, 3)",
        "UPDATE criteria SET document = replace(document, '0.001', '0.5')",
        "UPDATE verifications SET verdict = 'same'",
        "UPDATE verifications SET evidence = replace(evidence, 'inconclusive', 'same')",
        "DELETE FROM criteria",
        "DELETE FROM answers",
        "UPDATE probe_sets SET blob = blob || 'x'",
        "DELETE FROM chain WHERE action = 'commit'",
    ],
)
def test_nothing_is_judged_again_from_rows_that_were_changed(
    family: Registry, statement: str
) -> None:
    family.verify(make_model(9))
    tamper(family, statement)
    with pytest.raises(RegistryCorrupt):
        family.judge_again(1)


def test_what_is_said_otherwise_is_named(family: Registry) -> None:
    result = family.verify(make_model(9))
    first = result.candidates[0]
    lines = differences(
        replace(
            result, verdict="same", best=first.name, candidates=(replace(first, p_value=0.5),)
        ).to_dict(),
        result,
    )
    assert f"verdict: stated same, judged again {result.verdict}" in lines
    assert any(line.startswith(f"p_value of {first.name!r}: stated 0.5") for line in lines)
    assert sum("judged again, not stated" in line for line in lines) == 2


def test_probes_that_were_made_anew_are_no_ground_any_more(family: Registry) -> None:
    family.verify(make_model(9))
    family.remove("other")
    with pytest.raises(NoEvidence, match=r"'other'.*removed or renewed since; verify again"):
        family.judge_again(1)
    put(family, "other", 5)
    with pytest.raises(NoEvidence, match="'other'"):
        family.judge_again(1)


def test_a_verdict_whose_answers_were_not_kept_cannot_be_judged_again(family: Registry) -> None:
    family.record(verdict(), suspect_digest=None)
    with pytest.raises(NoEvidence, match="verification 1: expected its answers to be kept"):
        family.judge_again(1)
    with pytest.raises(UnknownVerification, match="none of the 1 recorded ones is number 7"):
        family.proof(7)


def named(seed: int = 9) -> Endpoint:
    return Endpoint(seed, label="https://models.example/m")


def test_a_journal_begins_with_the_commitment(family: Registry, tmp_path: Path) -> None:
    path = tmp_path / "audit.journal"
    result = family.verify(Journal(named(), path))
    assert result.commitment is not None
    first: dict[str, Any] = json.loads(path.read_text().splitlines()[0])
    assert first["commitment"] == result.commitment.digest
    again = family.verify(Journal(named(), path))
    assert again.commitment is not None
    assert (again.commitment.digest, again.commitment.begun_under) == (first["commitment"], None)
    assert again.warnings == result.warnings


def test_a_journal_that_was_begun_under_other_criteria_says_so(
    family: Registry, tmp_path: Path
) -> None:
    path = tmp_path / "audit.journal"
    first = family.verify(Journal(named(), path)).commitment
    later = family.verify(Journal(named(), path), alpha=0.05)
    assert first is not None
    assert later.commitment is not None
    assert later.commitment.begun_under == first.digest != later.commitment.digest
    assert any("begun under other criteria" in line for line in later.warnings)


def test_a_journal_of_an_earlier_release_is_gone_on_with(family: Registry, tmp_path: Path) -> None:
    path = tmp_path / "audit.journal"
    family.verify(Journal(named(), path))
    first, *rest = path.read_text().splitlines(keepends=True)
    header = json.loads(first)
    del header["commitment"]
    path.write_text(json.dumps(header) + "\n" + "".join(rest))
    endpoint = named()
    result = family.verify(Journal(endpoint, path))
    assert endpoint.queries == 0
    assert result.commitment is not None
    assert result.commitment.begun_under is None


def test_answers_that_are_too_large_are_not_kept(
    family: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.criteria._MOST", 100)
    result = family.verify(ModelSuspect(make_model(9)))
    assert result.verification == 1
    with pytest.raises(NoEvidence, match="too large"):
        family.judge_again(1)
    family.check()
