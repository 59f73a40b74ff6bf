"""One command runs the experiments in order, each in its own process, then writes the page."""

from __future__ import annotations

import subprocess

import pytest

from benchmarks.paper import __main__ as runner
from benchmarks.paper.page import EXPERIMENTS


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Records the command lines instead of running them; ``figure5`` fails."""
    commands: list[list[str]] = []

    def run(command, **keywords):
        commands.append(command[2:])
        return subprocess.CompletedProcess(
            command, 3 if "benchmarks.paper.figure5" in command else 0
        )

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_an_unknown_experiment_is_refused(started, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        runner.main(["--only", "figure9"])
    assert ended.value.code == 2
    assert "figure2" in capsys.readouterr().err
    assert started == []


def test_only_what_was_asked_for_runs_and_then_the_page(started) -> None:
    runner.main(["--only", "depth", "--only", "figure2", "--data", "d", "--out", "o"])
    modules = [command[0] for command in started]
    assert modules == [f"benchmarks.paper.{name}" for name in ("figure2", "depth", "page")]
    assert started[0][1:] == ["--out", "o", "--device", "cpu", "--data", "d"]
    assert "--data" not in started[-1]


def test_the_first_failure_ends_the_run_with_its_code(started, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        runner.main([])
    assert ended.value.code == 3
    assert len(started) == EXPERIMENTS.index("figure5") + 1
    assert "--only figure5" in capsys.readouterr().err
