"""``fp verify`` asks once, shows the verdict and ends with the code its policies call for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fingerprint.errors import NoEvidence
from fingerprint.suspects import Journal
from fingerprint.weights.finding import WeightsFinding, not_compared
from tests.cli.fakes import candidate, verification
from tests.support.fingerprints import make_model


@pytest.mark.parametrize(
    ("verdict", "arguments", "code"),
    [
        ("derived", [], 0),
        ("independent", [], 0),
        ("inconclusive", [], 4),
        ("derived", ["--expect", "ours"], 0),
        ("same", ["--expect", "ours"], 0),
        ("independent", ["--expect", "ours"], 1),
        ("inconclusive", ["--expect", "ours"], 4),
        ("derived", ["--forbid", "ours"], 1),
        ("independent", ["--forbid", "ours"], 0),
        ("inconclusive", ["--forbid", "ours"], 4),
        ("independent", ["--forbid", "ours", "--forbid", "theirs"], 4),
    ],
)
def test_the_exit_code_follows_verdict_and_policies(
    fp: Any, script: Any, verdict: Any, arguments: list[str], code: int
) -> None:
    script.result = verification(candidate("ours", verdict))
    result = fp("verify", "suspect.pt", *arguments)
    assert result.exit_code == code
    assert f"Verdict: {verdict}" in result.stdout


def test_an_empty_registry_is_inconclusive_whether_told_by_value_or_by_error(
    fp: Any, script: Any
) -> None:
    script.models = ()
    script.result = verification()
    assert fp("verify", "suspect.pt").exit_code == 4
    script.error = NoEvidence("the registry is empty")
    assert fp("verify", "suspect.pt").exit_code == 4


def test_a_policy_that_fails_says_which_on_stderr(fp: Any) -> None:
    result = fp("verify", "suspect.pt", "--forbid", "ours")
    assert result.stderr == "fp: --forbid ours: the suspect is derived from it\n"


@pytest.mark.parametrize("option", ["--against", "--expect", "--forbid"])
def test_an_unknown_name_is_a_usage_error_before_any_work(
    fp: Any, script: Any, option: str
) -> None:
    result = fp("verify", "suspect.pt", option, "nobody")
    assert result.exit_code == 2
    assert "nobody" in result.stderr
    assert script.named("load") == script.named("verify") == []


def test_without_names_the_registry_chooses(fp: Any, script: Any) -> None:
    fp("verify", "suspect.pt", "--forbid", "ours")
    (asked,) = script.named("verify")
    assert list(asked["against"]) == []


def test_policies_are_handed_on_to_be_committed_to(fp: Any, script: Any) -> None:
    fp("verify", "suspect.pt", "--forbid", "ours", "--expect", "theirs")
    (asked,) = script.named("verify")
    assert (asked["expect"], asked["forbid"]) == (["theirs"], ["ours"])


def test_against_limits_but_never_leaves_out_a_model_that_a_policy_names(
    fp: Any, script: Any
) -> None:
    fp("verify", "suspect.pt", "--against", "theirs", "--against", "theirs", "--expect", "ours")
    (asked,) = script.named("verify")
    assert asked["against"] == ["theirs", "ours"]


def test_alpha_is_passed_on(fp: Any, script: Any) -> None:
    fp("verify", "suspect.pt", "--alpha", "0.01")
    fp("verify", "suspect.pt")
    assert [asked["alpha"] for asked in script.named("verify")] == [0.01, 0.001]


def test_json_is_the_documented_document(fp: Any, script: Any) -> None:
    document = json.loads(fp("verify", "suspect.pt", "--json").stdout)
    assert document == json.loads(json.dumps(script.result.to_dict()))
    assert document["schema"] == 2
    assert document.keys() >= {
        *("suspect", "verification", "verdict", "reason", "best", "alpha", "queries"),
        *("candidates", "not_asked", "warnings", "seconds"),
    }
    (judged,) = document["candidates"]
    assert judged.keys() >= {
        *("name", "verdict", "relation", "reason", "harm_ratio", "harm_ratio_ci", "p_value"),
        *("margin", "margin_source", "answer_kind", "label_agreement", "findings"),
    }
    (found,) = judged["findings"]
    assert found.keys() >= {
        *("test", "depth", "speaks_for", "statistic", "interval", "p_value", "margin"),
        *("margin_source", "margin_pairs", "margin_floor", "decides", "used", "detail"),
    }


def test_a_journal_or_a_budget_goes_around_the_suspect(
    fp: Any, script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = make_model()
    monkeypatch.setattr("fingerprint.network.load_model", lambda source, **options: model)
    path = tmp_path / "journal"
    fp("verify", "suspect.pt", "--journal", str(path), "--max-queries", "7")
    fp("verify", "suspect.pt", "--max-queries", "9")
    fp("verify", "suspect.pt")
    first, second, plain = (asked["suspect"] for asked in script.named("verify"))
    assert isinstance(first, Journal)
    assert (first.path, first.max_queries, first.suspect.facts()) == (path, 7, model.to_dict())
    assert isinstance(second, Journal)
    assert (second.path, second.max_queries) == (None, 9)
    assert plain is model
    assert fp("verify", "suspect.pt", "--max-queries", "0").exit_code == 2


def test_a_failed_policy_still_prints_the_whole_document(fp: Any) -> None:
    result = fp("verify", "suspect.pt", "--json", "--forbid", "ours")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["verdict"] == "derived"


def test_weights_have_a_line_of_their_own_and_no_say(fp: Any, script: Any) -> None:
    finding = WeightsFinding(
        name="ours", verdict="shared", reason="9 of 9 tested units agree", p_value=1e-9, layers=3
    )
    missing = not_compared("theirs", "its file has changed since")
    script.result = replace(
        verification(candidate("ours", "independent")), weights=(finding, missing)
    )
    result = fp("verify", "suspect.pt", "--forbid", "ours")
    assert result.exit_code == 0
    assert "Verdict: independent" in result.stdout
    assert "weights of ours: shared, 9 of 9 tested units agree" in result.stdout
    assert "weights not compared (its file has changed since): theirs" in result.stdout


def test_black_box_compares_no_weights(fp: Any, script: Any) -> None:
    fp("verify", "suspect.pt")
    fp("verify", "suspect.pt", "--black-box")
    assert [asked["weights"] for asked in script.named("verify")] == [True, False]


def test_pictures_are_passed_on_as_the_suspect_takes_them(
    fp: Any, script: Any, tmp_path: Path
) -> None:
    for name, size in (("a.png", (40, 32)), ("b.jpg", (32, 32))):
        Image.new("RGB", size, (9, 9, 9)).save(tmp_path / name)
    assert fp("verify", "suspect.pt", "--data", str(tmp_path)).exit_code == 0
    fp("verify", "suspect.pt")
    first, without = script.named("verify")
    assert (first["data"].shape, first["data"].dtype) == ((2, 3, 32, 32), np.uint8)
    assert without["data"] is None


def test_a_folder_without_pictures_is_a_usage_error(fp: Any, script: Any, tmp_path: Path) -> None:
    assert fp("verify", "suspect.pt", "--data", str(tmp_path)).exit_code == 2
    assert fp("verify", "suspect.pt", "--data", str(tmp_path / "gone")).exit_code == 2
    assert script.named("verify") == []


def test_answers_that_were_written_down_are_the_suspect(fp: Any, script: Any) -> None:
    result = fp("verify", "answers.csv")
    assert result.exit_code == 0
    (read,), (asked,) = script.named("answers"), script.named("verify")
    assert read["source"] == Path("answers.csv")
    assert asked["suspect"].models == ("theirs",)
    assert asked["against"] == []
    assert script.named("load") == []
    assert result.stderr.splitlines() == [
        "fp: answers: labels; 7 of 212 pictures",
        "fp: warning: 3 are missing",
    ]


@pytest.mark.parametrize("suffix", [".CSV", ".tsv", ".txt", ".json", ".jsonl", ".xlsx"])
def test_answers_are_told_from_weights_by_their_suffix(fp: Any, script: Any, suffix: str) -> None:
    fp("verify", f"answers{suffix}", "--against", "ours")
    assert script.named("verify")[0]["against"] == ["ours"]
    assert script.named("load") == []


@pytest.mark.parametrize(
    "options",
    [["--arch", "timm:resnet18"], ["--journal", "j"], ["--max-queries", "3"], ["--data", "d"]],
)
def test_what_says_how_to_ask_means_nothing_where_answers_are_there(
    fp: Any, script: Any, options: list[str]
) -> None:
    result = fp("verify", "answers.csv", *options)
    assert result.exit_code == 2
    assert "the answers are there already" in result.stderr
    assert script.named("answers") == script.named("verify") == []
