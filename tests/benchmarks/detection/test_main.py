"""The benchmark's steps do not trip over each other's files."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.detection import __main__ as steps


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that would have been run."""
    found: list[list[str]] = []

    def record(command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        found.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", record)
    return found


def test_what_a_run_writes_is_not_taken_for_a_card_of_the_zoo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, commands: list[list[str]]
) -> None:
    monkeypatch.setattr(sys, "argv", ["detection", "--work", str(tmp_path)])
    steps.main()
    assert [command[2] for command in commands] == [
        f"benchmarks.detection.{step}" for step in ("zoo", "measure", "page")
    ]
    written = [Path(one) for command in commands for one in command if one.endswith(".json")]
    assert written
    assert tmp_path not in {path.parent for path in written}


def test_with_images_every_page_is_written_in_an_order_that_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, commands: list[list[str]]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["detection", "--work", str(tmp_path / "work"), "--data", str(tmp_path)]
    )
    steps.main()
    said = [command[2].removeprefix("benchmarks.") for command in commands]
    assert said[0] == "detection.zoo"
    assert said.index("detection.page") > max(
        said.index(step) for step in ("detection.measure", "families", "detection.large.measure")
    )
    assert said[-1] == "rare_labels", "it quotes the results file"
    assert {
        command[2] for command in commands if importlib.util.find_spec(command[2]) is None
    } == set()
