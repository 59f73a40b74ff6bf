"""The demo recognises what it made, and says so in one table and one exit code."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli.demo import run
from cli.demo.result import DemoResult, DemoRow, view
from cli.main import app
from fingerprint.errors import EnvironmentFailure, UsageError


def _row(**changes: Any) -> DemoRow:
    facts: dict[str, Any] = {
        "what": "weights rounded to int8",
        "expected": "derived",
        "verdict": "derived",
        "best": "cnn",
        "harm_ratio": 0.02,
        "harm_ratio_ci": (0.01, 0.03),
        "p_value": 1e-6,
        "queries": 54,
        "as_expected": True,
    }
    return DemoRow(**(facts | changes))


def _result(*rows: DemoRow) -> DemoResult:
    return DemoResult(registered=("cnn", "slim_cnn"), rows=rows, seconds=60.0, folder=None)


@pytest.mark.parametrize(("good", "code"), [(True, 0), (False, 1)])
def test_the_exit_code_says_whether_every_verdict_was_right(
    monkeypatch: pytest.MonkeyPatch, good: bool, code: int
) -> None:
    result = _result(_row(), _row(as_expected=good))
    monkeypatch.setattr(run, "run_demo", lambda **options: result)
    done = CliRunner().invoke(app, ["demo", "--json"])
    assert done.exit_code == code
    document = json.loads(done.stdout)
    assert document["as_expected"] is good
    assert document["rows"][0]["harm_ratio_ci"] == [0.01, 0.03]


def test_the_table_shows_the_evidence_and_marks_what_was_not_expected() -> None:
    stream = io.StringIO()
    missed = _row(what="same network, other seed", verdict="inconclusive", as_expected=False)
    Console(file=stream, width=200).print(view(_result(_row(), missed)))
    lines = stream.getvalue().splitlines()
    right = next(line for line in lines if "int8" in line)
    wrong = next(line for line in lines if "other seed" in line)
    assert "0.02 [0.01, 0.03]" in right
    assert "UNEXPECTED" in wrong
    assert "UNEXPECTED" not in right
    assert "1 of 2 verdicts as expected" in lines[-1]


def test_keep_never_writes_into_a_folder_that_exists(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--keep: expected a new folder"):
        run.run_demo(keep=tmp_path)


def test_keep_where_nothing_can_be_made_is_an_environment_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailure, match="--keep: cannot make"):
        run.run_demo(keep=tmp_path / "file" / "below")


@pytest.mark.slow
def test_the_demo_recognises_every_suspect_and_can_be_asked_again(tmp_path: Path) -> None:
    kept = tmp_path / "demo"
    stages: set[str] = set()
    result = run.run_demo(keep=kept, progress=lambda stage, done, total: stages.add(stage))
    wrong = [row for row in result.rows if not row.as_expected]
    assert wrong == []
    assert {row.expected for row in result.rows} == {"same", "derived", "independent"}
    assert "training the source" in stages
    assert "verifying" in stages
    again = CliRunner().invoke(
        app,
        [
            *("verify", str(kept / "int8.safetensors"), "--registry", str(kept / "demo.db")),
            *("--arch", "fingerprint.lab.networks:cnn", "--input-size", "1,16,16"),
            *("--expect", "cnn", "--forbid", "slim_cnn", "--json"),
        ],
    )
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["best"] == "cnn"
