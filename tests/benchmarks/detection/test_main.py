"""The benchmark's steps do not trip over each other's files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.detection import __main__ as steps


def test_what_a_run_writes_is_not_taken_for_a_card_of_the_zoo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[list[str]] = []

    def record(command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", record)
    monkeypatch.setattr(sys, "argv", ["detection", "--work", str(tmp_path)])
    steps.main()
    assert [command[2].rpartition(".")[2] for command in commands] == ["zoo", "measure", "page"]
    written = [Path(one) for command in commands for one in command if one.endswith(".json")]
    assert written
    assert tmp_path not in {path.parent for path in written}
