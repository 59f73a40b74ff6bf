"""What people read says the verdict, the evidence and why."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from cli import render
from fingerprint.evidence.calibration import Margin
from fingerprint.evidence.finding import Finding
from registry import Pair, RecordedVerification
from tests.cli.fakes import candidate, facts, finding, registered, verification


def _text(view: RenderableType) -> str:
    stream = io.StringIO()
    Console(file=stream, width=200, markup=False).print(view)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.327, "0.33"),
        (1.0, "1.00"),
        (1.2e-7, "1.2e-07"),
        (0.0, "0"),
        (None, "-"),
        (250.0, "2.5e+02"),
    ],
)
def test_numbers_keep_the_digits_that_matter(value: float | None, shown: str) -> None:
    assert render.number(value) == shown


def test_a_verification_shows_verdict_reason_evidence_and_cost() -> None:
    text = _text(render.verification(verification(candidate(), candidate("theirs", "independent"))))
    assert "Verdict: derived from ours" in text
    assert "the answers say so" in text
    assert "0.33 [0.27, 0.39]" in text
    assert "1.2e-07" in text
    assert "79%" in text
    assert "54 queries" in text
    assert "; answers: logits\n" in text
    assert text.index("ours") < text.index("theirs")


@pytest.mark.parametrize(
    ("source", "pairs", "said"),
    [
        (
            "default",
            0,
            "margin of ours 0.74 (default); no independent models were asked its probes; default",
        ),
        (
            "default",
            5,
            "margin of ours 0.74 (default); 5 independent models were asked its probes: by "
            "themselves they vouch for a false-positive rate of 1 in 6; default",
        ),
        (
            "registry",
            5,
            "margin of ours 0.74 from 5 independent models that were asked its probes: by "
            "themselves they vouch for a false-positive rate of 1 in 6; default",
        ),
        (
            "registry",
            1,
            "margin of ours 0.74 from 1 independent model that was asked its probes: by itself "
            "it vouches for a false-positive rate of 1 in 2; default",
        ),
        (
            "surrogates",
            0,
            "margin of ours 0.74 (surrogates); no independent models were asked its probes; "
            "default",
        ),
    ],
)
def test_one_line_says_how_much_the_registry_knows(source: str, pairs: int, said: str) -> None:
    best = candidate(
        margin=0.74, margin_source=source, margin_pairs=pairs, margin_floor=1 / (pairs + 1)
    )
    text = " ".join(_text(render.verification(verification(best))).split())
    assert f"{said} margins rest on the benchmark in docs/detection.md" in text


def test_only_the_closest_of_many_pairs_are_shown() -> None:
    pairs = [
        Pair(
            source="b",
            other=f"a{index}",
            ratios=({"ratio": 0.5 + index / 100},),
            verdict="inconclusive",
        )
        for index in range(30)
    ]
    text = _text(render.pairs_table(pairs))
    assert "30 independent models" in text
    assert "a9" in text
    assert "a10" not in text
    assert "No independent model registered later" in _text(render.pairs_table([]))


def test_the_same_model_is_said_to_be_it_not_from_it() -> None:
    assert "Verdict: same as ours" in _text(
        render.verification(verification(candidate(verdict="same")))
    )


def test_a_common_origin_is_not_called_descent() -> None:
    text = _text(render.verification(verification(candidate(relation="shares_origin"))))
    assert "Verdict: derived, shares an origin with ours" in text
    assert "derived (origin)" in text
    assert "derived (descends)" in _text(render.verification(verification(candidate())))


def test_models_that_were_ruled_out_are_named() -> None:
    text = _text(render.verification(verification(candidate(), not_asked=("far", "farther"))))
    assert "ruled out unasked: far, farther" in text


def test_missing_evidence_is_a_dash_not_a_number() -> None:
    blind = candidate(
        verdict="inconclusive",
        harm_ratio=None,
        harm_ratio_ci=None,
        p_value=None,
        margin=None,
        margin_source=None,
        label_agreement=None,
        relation=None,
    )
    row = next(
        line
        for line in _text(render.verification(verification(blind))).splitlines()
        if "ours" in line
    )
    assert row.split() == ["ours", "inconclusive", "-", "-", "24", "-"]


def test_without_candidates_there_is_no_table() -> None:
    text = _text(render.verification(verification()))
    assert "Verdict: inconclusive" in text
    assert "harm ratio" not in text


def test_an_empty_registry_says_how_to_fill_it() -> None:
    assert "fp register" in _text(render.models_table([]))


def test_a_model_is_shown_with_all_its_facts() -> None:
    model = registered(parent="base", warnings=("mean was assumed",))
    text = _text(render.model_facts(model))
    facts = (
        "ours",
        "my_networks:small",
        "base",
        "/models/ours.safetensors",
        model.model_digest,
        "cd" * 32,
        model.commitment,
        "3x32x32 pixels",
        "10 logits",
        "network: 3062 dimensions of 3072, rank 10 (at one base)",
        "24, 2 redrawn",
        "median 0.001, largest 0.0034",
        "other",
        "7.25",
        "mean was assumed",
    )
    for fact in facts:
        assert fact in text, fact


def test_a_space_of_unknown_dimension_says_so() -> None:
    space = {"kind": "linear", "dimension": None, "input_dimension": 9, "rank": None}
    text = _text(render.model_facts(registered(facts=facts(spaces=[space]))))
    assert "linear: dimension not computed of 9" in text


def test_recorded_verdicts_are_listed_newest_first() -> None:
    records = [
        RecordedVerification(
            number=number,
            recorded="2026-01-02T03:04:05+00:00",
            suspect_digest=None,
            verdict="derived",
            best="ours",
            queries=54,
            evidence=verification(candidate(relation="shares_origin")).to_dict(),
        )
        for number in (7, 8)
    ]
    text = _text(render.verifications_table(records))
    assert "derived (origin)" in text
    assert (
        text.index(" 8 ") < text.index(" 7 ")
        if " 8 " in text
        else text.index("8") < text.index("7")
    )


@pytest.mark.parametrize("width", [80, 200])
def test_times_are_shown_as_people_write_them(width: int) -> None:
    models = [
        registered(name, role="reference", current=False, renew="its parent was registered later")
        for name in ("ours", "a_finetune_with_a_long_name")
    ]
    console = Console(file=io.StringIO(), width=width)
    console.print(render.models_table(models))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("2026-01-02 03:04") == 2
    assert "more)" not in text
    assert max(map(len, text.splitlines())) <= width


def test_times_are_of_utc_and_what_is_none_is_shown_as_it_is() -> None:
    assert render.when("2026-11-25T19:25:56.123456Z") == "2026-11-25 19:25"
    assert render.when("2026-11-25T19:25:56+02:00") == "2026-11-25 17:25"
    assert render.when("yesterday\x1b") == "yesterday\\x1b"


def test_rare_labels_have_a_line_that_speaks_of_mistakes_and_never_of_weights() -> None:
    found = Finding(
        test="rare_labels",
        statistic=0.875,
        interval=(0.7, 0.97),
        p_value=1 / 9,
        margin=Margin(0.25, "references", pairs=8, floor=1 / 9),
        used=24,
        detail={"shares": True},
    )
    silent = Finding(test="rare_labels", detail={"missing": "expected at least 8 references"})
    shown = candidate("ours", findings=(finding(), found))
    other = candidate("theirs", "independent", findings=(finding(), silent))
    text = _text(render.verification(verification(shown, other)))
    (line,) = [
        one for one in text.replace("\n", " ").split("theirs: ") if "its rare mistakes" in one
    ]
    assert "ours: the suspect shares its rare mistakes: it agrees on 88% of 24 pictures" in line
    assert "others on 25% at most (p-value 0.11; 8 references allow none below 0.11)" in line
    assert "weights" not in line.lower()
    assert "theirs: rare labels say nothing: expected at least 8 references" in text
