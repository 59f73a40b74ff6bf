"""``fp report`` finds the verdict that is meant and writes it as one page, whole or not at all."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from registry import RecordedVerification
from tests.cli.fakes import candidate, verification


def recorded(number: int, **suspect: str) -> RecordedVerification:
    """Returns a verdict as the registry remembers it."""
    result = replace(verification(candidate()), suspect=suspect, verification=number)
    return RecordedVerification(
        number=number,
        recorded="2026-01-02T03:04:05+00:00",
        suspect_digest=None,
        verdict=result.verdict,
        best=result.best,
        queries=result.queries,
        evidence=result.to_dict(),
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    pytest.importorskip("matplotlib")
    return tmp_path / "report.html"


def asked(script: Any) -> list[Any]:
    """Returns the verdicts that were gathered."""
    return [one["verdict"] for one in script.named("dossier")]


def test_a_number_is_that_verdict(fp: Any, script: Any, page: Path) -> None:
    result = fp("report", "17", "-o", str(page))
    assert result.exit_code == 0
    assert asked(script) == [17]
    assert result.stdout == "The suspect is derived from ours: it descends from it.\n"
    assert result.stderr == f"fp: wrote {page}\n"
    assert "The suspect is derived from ours" in page.read_text()


def test_a_name_or_a_file_is_the_latest_verdict_on_it(
    fp: Any, script: Any, page: Path, tmp_path: Path
) -> None:
    suspect = tmp_path / "suspect.bin"
    suspect.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    script.recorded = [recorded(3, file_sha256=sha256), recorded(4), recorded(5)]
    assert fp("report", "ours", "-o", str(page)).exit_code == 0
    assert fp("report", str(suspect), "-o", str(page)).exit_code == 0
    assert asked(script) == [5, 3]


def test_an_address_or_a_folder_is_the_latest_verdict_on_it(
    fp: Any, script: Any, page: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "suspect"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    save_file({"w": torch.ones(2, 2)}, folder / "model.safetensors")
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    address = "https://models.example/v2/models/m"
    script.recorded = [recorded(3, address=address), recorded(4, file_sha256=sha256), recorded(5)]
    for wanted in (address, str(folder)):
        result = fp("report", wanted, "-o", str(page))
        assert result.exit_code == 0, result.stderr
    assert asked(script) == [3, 4]


def test_a_registered_name_comes_before_a_folder_that_is_called_so(
    fp: Any, script: Any, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours").mkdir()
    script.recorded = [recorded(5)]
    assert fp("report", "ours", "-o", str(page)).exit_code == 0
    assert asked(script) == [5]


def test_what_has_no_verdict_is_told_how_to_get_one(
    fp: Any, script: Any, page: Path, tmp_path: Path
) -> None:
    suspect = tmp_path / "suspect.bin"
    suspect.write_bytes(b"weights")
    for wanted in ("ours", str(suspect)):
        result = fp("report", wanted, "-o", str(page))
        assert result.exit_code == 2
        assert "'fp verify SUSPECT --report FILE' gives one" in result.stderr
    assert fp("report", "nobody", "-o", str(page)).exit_code == 2
    assert fp("report", "9" * 5000, "-o", str(page)).exit_code != 70
    assert not page.exists()


def test_json_says_which_verdict_it_is(fp: Any, script: Any, page: Path) -> None:
    script.result = replace(script.result, verification=17)
    document = json.loads(fp("report", "17", "-o", str(page), "--json").stdout)
    assert document == {
        "schema": 2,
        "verification": 17,
        "verdict": "derived",
        "report": str(page),
    }


def test_bad_places_are_refused_before_any_work(
    fp: Any, script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert fp("report", "17", "-o", str(tmp_path / "report.png")).exit_code == 2
    assert fp("report", "17", "-o", str(tmp_path / "none" / "report.html")).exit_code == 5
    assert fp("verify", "s.pt", "--report", str(tmp_path / "report.txt")).exit_code == 2
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for command in (("report", "17", "-o"), ("verify", "s.pt", "--report")):
        result = fp(*command, str(tmp_path / "report.html"))
        assert result.exit_code == 5
        assert "needs matplotlib; pip install 'nullprint[plot]'" in result.stderr
    assert script.named("dossier") == script.named("verify") == []
    assert not list(tmp_path.iterdir())


def test_verify_writes_its_verdict_as_a_page(fp: Any, script: Any, page: Path) -> None:
    result = fp("verify", "suspect.pt", "--report", str(page), "--forbid", "ours")
    assert result.exit_code == 1
    assert asked(script) == [script.result]
    assert "Verdict: derived" in result.stdout
    assert f"fp: wrote {page}" in result.stderr
    assert "The suspect is derived from ours" in page.read_text()


def test_without_a_report_nothing_is_gathered(fp: Any, script: Any) -> None:
    assert fp("verify", "suspect.pt").exit_code == 0
    assert asked(script) == []
