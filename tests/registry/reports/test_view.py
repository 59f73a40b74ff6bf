"""The view says what the evidence says, in words that nobody can misread, and nothing hostile."""

from __future__ import annotations

import base64
import io
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fingerprint.errors import MalformedFile
from fingerprint.evidence.calibration import Margin
from fingerprint.evidence.finding import Finding
from fingerprint.network.spec import InputSpec
from fingerprint.verification import Candidate, Relation, Verdict, Verification
from registry import Lineage, Pair, Registry
from registry.reports import words
from registry.reports.dossier import Committed, Dossier
from registry.reports.probes import are_pictures, of_source
from registry.reports.tables import strips
from registry.reports.view import View, view_of
from tests.registry.conftest import put
from tests.support.dossiers import dossier_of
from tests.support.extracted import fingerprint_of
from tests.support.fingerprints import make_model

ROOT = Path(__file__).parents[3]
MADE = "2026-01-31T12:00:00+00:00"


def viewed(dossier: Dossier, **changes: Any) -> View:
    """Returns the view of a dossier whose verdict is changed."""
    return view_of(
        replace(dossier, verification=replace(dossier.verification, **changes)), made=MADE
    )


def claimed(dossier: Dossier, verdict: Verdict, relation: Relation | None = None) -> dict[str, Any]:
    """Returns the changes that make the first candidate what is claimed."""
    first, *others = dossier.verification.candidates
    judged = replace(first, verdict=verdict, relation=relation)
    best = first.name if verdict in ("same", "derived") else None
    return {"verdict": verdict, "best": best, "candidates": (judged, *others)}


def texts(value: Any) -> Iterator[str]:
    """Yields every text that a value holds, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from texts(list(value.items()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from texts(getattr(value, field.name))


@pytest.mark.parametrize(
    ("verdict", "relation", "said"),
    [
        ("same", None, "The suspect answers as ours does: it is the same model."),
        ("derived", "descends", "The suspect is derived from ours: it descends from it."),
        ("derived", "shares_origin", "The suspect shares an origin with ours: one descends"),
        ("independent", None, "The suspect is independent of all 3 models it was compared with."),
        ("inconclusive", None, "Nothing can be concluded: this is neither a match nor a pass."),
    ],
)
def test_the_verdict_is_one_sentence(
    dossier: Dossier, verdict: Verdict, relation: Relation | None, said: str
) -> None:
    view = viewed(dossier, **claimed(dossier, verdict, relation))
    assert view.sentence.startswith(said)
    assert view.verdict == verdict
    assert view.question.startswith("Is the suspect one of the 3 registered models")
    assert view.unsaid
    assert len(view.candidates) == 3


def test_what_is_not_said_names_the_misreading_that_tempts_most(dossier: Dossier) -> None:
    origin = viewed(dossier, **claimed(dossier, "derived", "shares_origin"))
    assert "Which of the two came first" in origin.unsaid[0]
    stated = viewed(dossier, **claimed(dossier, "derived", "descends"))
    assert "its owner's statement that ours was trained from scratch" in stated.unsaid[0]
    first = dossier.verification.candidates[0]
    alone = tuple(
        replace(one, decides="kin") if one.speaks_for == "individual" else one
        for one in first.findings
    )
    measured = claimed(dossier, "derived", "descends")
    measured["candidates"] = (replace(measured["candidates"][0], findings=alone),)
    assert "probes that speak for ours alone" in viewed(dossier, **measured).unsaid[0]
    copied = Finding(test="copies", speaks_for="individual", statistic=0.0, decides="kin")
    measured["candidates"] = (replace(measured["candidates"][0], findings=(copied,)),)
    assert "answers that a copy of ours gives" in viewed(dossier, **measured).unsaid[0]


def test_what_was_not_tested_is_said(dossier: Dossier) -> None:
    silent = Finding(test="harm_ratio", depth="late", detail={"missing": "answers are missing"})
    every = tuple(
        replace(one, findings=(silent,), answer_kind="labels")
        for one in dossier.verification.candidates
    )
    view = viewed(dossier, candidates=every, not_asked=("a", "b"))
    said = "\n".join(view.untested)
    for part in ("The probes of a, b", "theirs, harm ratio (late): no evidence, answers are",
                 "gave labels", "Weights: they were not", "Whether answers equal"):  # fmt: skip
        assert part in said


def test_what_held_a_suspect_down_that_is_code_is_said(dossier: Dossier) -> None:
    facts = {**dossier.verification.suspect, "sandbox": "landlock"}
    assert ("Sandbox it ran in", "landlock") in viewed(dossier, suspect=facts).suspect
    assert "Sandbox it ran in" not in dict(viewed(dossier).suspect)


def test_error_rates_say_what_registered_models_vouch_for(dossier: Dossier) -> None:
    first = replace(dossier.verification.candidates[0], margin=0.5, margin_pairs=9)
    said = viewed(dossier, candidates=(first, *dossier.verification.candidates[1:])).error_rates
    assert "α = 0.001, over all 3 compatible models together" in said[0]
    # α + N / (n + 1)
    assert "α + 3/10 = 0.3" in said[1]
    assert "No independent registered model" in viewed(dossier).error_rates[1]


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [((3, 64, 64), ["32"]), ((3, 65, 40), ["224", "32"]), ((3, 320, 320), ["224", "32"])],
)
def test_the_benchmark_of_the_nearest_size_is_quoted_first(
    dossier: Dossier, shape: tuple[int, ...], sizes: list[str]
) -> None:
    spec = {"shape": list(shape), "kind": "pixels"}
    said = viewed(dossier, suspect={**dossier.verification.suspect, "input": spec}).error_rates
    quoted = [line for line in said if line.startswith("Benchmark of the release at ")]
    assert [line.split()[5] for line in quoted] == sizes
    known = json.loads((ROOT / "registry" / "reports" / words.BENCHMARKS).read_text("utf-8"))
    for line, size in zip(quoted, sizes, strict=True):
        assert f", {known[size]['networks']} " in line
        assert f"{known[size]['claimed']} independent pairs were called" in line
        assert f"{known[size]['found']} suspects that share weights" in line


def test_sounds_and_numbers_have_no_size_in_pixels(dossier: Dossier) -> None:
    spec = {"shape": [1, 16000], "kind": "float"}
    said = viewed(dossier, suspect={**dossier.verification.suspect, "input": spec}).error_rates
    assert not any("224" in line for line in said)


def test_of_answers_on_file_the_size_is_that_of_the_probes(
    dossier: Dossier, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {key: one for key, one in dossier.verification.suspect.items() if key != "input"}
    for largest, quoted in ((8, False), (7, True)):
        monkeypatch.setattr(words, "LARGE", largest)
        said = viewed(dossier, suspect=facts).error_rates
        assert any(line.startswith("Benchmark of the release at 224") for line in said) == quoted


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("default", "benchmark (2 models asked)"),
        ("registry", "lowest of 2 models asked"),
        ("linearity", "nearly linear"),
        ("copies", "pruned copy"),
        ("surrogates", "stand-ins"),
        ("references", "highest of 2 models"),
        ("x\x1b<b>", "x\\x1b<b>"),
    ],
)
def test_each_margin_says_where_it_comes_from(source: str, said: str) -> None:
    assert said in words.margin_from(Finding(test="t", margin=Margin(0.5, source, pairs=2)))


def test_the_log_names_every_input_that_was_asked(dossier: Dossier) -> None:
    view = viewed(dossier)
    assert view.asked is not None
    assert view.asked.inputs + view.asked.repeated == dossier.verification.queries
    assert ("Listed below", f"{view.asked.inputs} different inputs, 1 of them twice: all that was "
            "asked") in view.queries  # fmt: skip
    assert len(view.asked.panel) == 96
    named = {
        one for log in view.logs for row in log.rows for one in (row.base, row.probe, *row.controls)
    }
    assert len(named | set(view.asked.panel)) == view.asked.inputs
    # Old evidence, and evidence from elsewhere, may hold rows that no probe is left for.
    gone = replace(dossier, fingerprints={})
    assert "not known any more" in dict(viewed(gone).queries)["Which"]
    assert viewed(gone).logs == ()


def test_other_models_stand_beside_the_suspect_as_kin_or_strangers(dossier: Dossier) -> None:
    def pair(other: str, ratio: float) -> Pair:
        one = {"test": "harm_ratio", "depth": "stage1", "answer_kind": "logits", "ratio": ratio}
        return Pair(source="ours", other=other, ratios=(one,), verdict="independent")

    pairs = (pair("theirs", 0.9), pair("child", 0.2), replace(pair("theirs", 9.0), source="child"))
    first = strips(replace(dossier, pairs=pairs))[0]
    assert (first.candidate, first.depth) == ("ours", "stage1")
    assert (first.strangers, first.kin) == ((0.9,), (0.2,))
    assert first.source == pytest.approx(0.04)
    assert first.ratio == dossier.verification.candidates[0].findings[0].statistic


def test_only_descent_has_an_arrow_to_the_suspect(dossier: Dossier) -> None:
    family = viewed(dossier, **claimed(dossier, "derived", "descends")).family
    (edge,) = (one for one in family.lineage.edges if one.target == family.suspect)
    assert (edge.source, edge.directed) == ("ours", True)
    assert {node.name for node in family.lineage.nodes} == {"ours", "child", family.suspect}
    for relation in ("shares_origin", None):
        verdict: Verdict = "derived" if relation else "same"
        family = viewed(dossier, **claimed(dossier, verdict, relation)).family
        assert not any(one.directed for one in family.lineage.edges if one.target == family.suspect)
    family = viewed(dossier, **claimed(dossier, "independent")).family
    assert not any(one.target == family.suspect for one in family.lineage.edges)
    assert "joined to no registered model" in family.said


def test_a_model_may_be_called_what_the_suspect_is_called(tmp_path: Path) -> None:
    with Registry(tmp_path / "registry.db") as registry:
        put(registry, "this suspect")
        family = view_of(registry.dossier(registry.verify(make_model(0))), made=MADE).family
    assert family.suspect == "this suspect*"


def pixels(address: str) -> np.ndarray:
    """Returns what a ``data:`` address shows, shape ``(C, H, W)``."""
    kind, _, body = address.partition(",")
    assert kind == "data:image/png;base64"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))
    return shown[None] if shown.ndim == 2 else shown.transpose(2, 0, 1)


def test_pictures_are_the_very_inputs(dossier: Dossier) -> None:
    fingerprint = dossier.fingerprints["ours"]
    view = viewed(dossier)
    assert [one.depth for one in view.galleries] == ["stage1", "individual features"]
    for gallery in view.galleries:
        probes = [one for one in fingerprint.probes if one.kind == gallery.depth]
        assert len(gallery.shots) == 3
        for shot, probe in zip(gallery.shots, probes, strict=False):
            assert (pixels(shot.base) == fingerprint.bases[probe.base]).all()
            assert (pixels(shot.probe) == probe.harmless).all()
            delta = probe.harmless.astype(int) - fingerprint.bases[probe.base]
            assert (pixels(shot.difference) == 128 + shot.gain * delta).all()
            assert shot.largest == abs(delta).max()
            assert (pixels(shot.control) == fingerprint.controls).all(axis=(1, 2, 3)).any()
            assert shot.suspect.probe is not None


def test_pictures_can_be_left_out_and_are_where_there_are_none(dossier: Dossier) -> None:
    assert view_of(dossier, made=MADE, pictures=False).galleries == ()
    spec = InputSpec(shape=(192,), kind="float", bounds=(0.0, 255.0))
    fingerprint = dossier.fingerprints["ours"]
    assert are_pictures(fingerprint)
    assert not are_pictures(replace(fingerprint, input=spec))
    gone = view_of(replace(dossier, fingerprints={}), made=MADE)
    assert gone.galleries == ()
    assert "not at hand" in gone.no_pictures


def test_the_source_is_measured_as_the_suspect_is() -> None:
    fingerprint = fingerprint_of("cnn")
    moved = of_source(fingerprint)
    for depth in fingerprint.depths:
        registered = [one.harm_ratio for one in fingerprint.probes if one.kind == depth.name]
        measured = [one.ratio for one in moved[depth.name]]
        assert measured == pytest.approx(registered, rel=0.2)


def test_nothing_in_a_view_can_act_on_whatever_shows_it(hostile: Dossier) -> None:
    view = view_of(hostile, made=MADE)
    # Names in a lineage are keys; whoever draws them cleans them.
    drawn = replace(view.family, lineage=Lineage(nodes=()))
    for text in texts(replace(view, family=drawn)):
        assert not {unicodedata.category(one) for one in text} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_evidence_of_any_release_has_a_view(tmp_path: Path) -> None:
    with Registry(tmp_path / "registry.db") as registry:
        put(registry, "old", 0)
        view = view_of(registry.dossier(registry.verify(make_model(0))), made=MADE)
        assert view.galleries
        assert view.logs
        bare = Verification(
            suspect={"input": "none", "output": 3},
            verdict="same",
            reason="",
            best="gone",
            queries=0,
            candidates=(Candidate(name="gone", verdict="same", reason=""),),
        )
        view = view_of(registry.dossier(bare), made=MADE)
    assert view.candidates[0].state == "removed"
    assert view.candidates[0].digests == ()
    assert (view.galleries, view.strips, view.points) == ((), (), ())


@pytest.mark.parametrize("rows", [3, [3], [{"harm": "much"}], [{"harm": [1]}]])
def test_evidence_that_is_none_is_refused(dossier: Dossier, rows: Any) -> None:
    first, *others = dossier.verification.candidates
    found = tuple(replace(one, detail={"per_probe": rows}) for one in first.findings)
    with pytest.raises(MalformedFile, match="expected the harm of each probe"):
        viewed(dossier, candidates=(replace(first, findings=found), *others))


def test_an_empty_registry_has_a_view_that_says_so(tmp_path: Path) -> None:
    with Registry(tmp_path / "registry.db") as registry:
        view = view_of(registry.dossier(registry.verify(make_model(0))), made=MADE)
    assert view.question == "Whose is the suspect? No registered model takes its inputs."
    assert view.candidates == ()


def test_policies_are_shown_as_they_were_committed_to(tmp_path: Path) -> None:
    dossier = dossier_of(tmp_path / "registry.db", forbid=("ours", "theirs"), expect=("child",))
    view = view_of(dossier, made=MADE)
    outcomes = {one.name: one.outcome for one in view.policies}
    assert outcomes == {
        "forbid ours": "cannot be decided",
        "forbid theirs": "holds",
        "expect child": "fails",
    }
    facts = dict(view.commitment)
    assert facts["Policies"] == "forbid ours, forbid theirs, expect child"
    assert dossier.committed is not None
    assert facts["SHA-256 of the criteria"] == dossier.committed.digest
    assert facts["Entry"].endswith(f"the verdict has entry {dossier.committed.entry.seq + 1}")  # type: ignore[union-attr]
    assert facts["Judged again from them"] == "when this page was made: the same"
    assert facts["Models compared"] == "3 of 3 compatible: child, ours, theirs"


def test_what_was_not_committed_to_is_said_to_be_so(dossier: Dossier) -> None:
    assert view_of(dossier, made=MADE).policies == ()
    assert dict(view_of(dossier, made=MADE).commitment)["Policies"] == "none"
    nothing = view_of(replace(dossier, committed=None), made=MADE)
    assert nothing.commitment[0][1].startswith("nothing")
    bare = view_of(replace(dossier, committed=Committed(digest="ab" * 32)), made=MADE)
    assert dict(bare.commitment)["Entry"] == "none: the registry could not be written"
    assert "not kept" in dict(bare.commitment)["Answers"]
    assert {one.largest for one in bare.asked.panel} == {""}  # type: ignore[union-attr]


@pytest.mark.parametrize("document", [{"policies": 3}, {"policies": {"expect": []}}, {"alpha": 1}])
def test_criteria_that_are_none_are_refused(dossier: Dossier, document: Any) -> None:
    assert dossier.committed is not None
    damaged = replace(dossier, committed=replace(dossier.committed, criteria=document))
    with pytest.raises(MalformedFile, match="expected what a verdict rests on"):
        view_of(damaged, made=MADE)
