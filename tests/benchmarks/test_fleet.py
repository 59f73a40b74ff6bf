"""The benchmark of many models: the page shows what is committed, and what was ended goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import fleet
from benchmarks.pages import filled
from cli.fleets import scheduling
from cli.fleets.jobs import Ended, Job, Row, row_of
from registry import Registry
from tests.registry.conftest import put

ROOT = Path(__file__).parents[2]


def test_the_page_shows_the_committed_results() -> None:
    results = json.loads((ROOT / "benchmarks" / "fleet.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "fleets.md").read_text(encoding="utf-8")
    assert filled(text, fleet.tables(results)) == text
    killed = results["killed"]["found"]
    # What the page says in words.
    assert killed["killed"] > 0
    assert killed["models"] == killed["registered once"] == killed["entries in the chain"]
    assert killed["lost"] == 0


def test_what_was_ended_goes_on_with_the_models_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def run(jobs: Sequence[Job]) -> Iterator[Row]:
        for job in jobs:
            if len(asked) == 2:
                asked.append("ended")
                raise KeyboardInterrupt
            asked.append(job.name)
            with Registry(job.registry) as registry:
                put(registry, job.name, int(job.name[-1]))
            done = Ended(code=0, out=json.dumps({"name": job.name}).encode(), seconds=0.0)
            yield row_of(job, done)

    @contextmanager
    def here(*, workers: int) -> Iterator[scheduling.Run]:
        yield run

    monkeypatch.setattr(scheduling, "here", here)
    files = [tmp_path / f"net{index}.safetensors" for index in range(3)]
    with pytest.raises(KeyboardInterrupt):
        fleet.survived(files, tmp_path, workers=1, every=1e9)
    found = fleet.survived(files, tmp_path, workers=1, every=1e9)
    assert asked[:4] == ["net0", "net1", "ended", "net2"]
    assert sum(found["rows"].values()) == found["registered once"] == 3
    assert (found["lost"], found["entries in the chain"]) == (0, 3)


def test_a_model_that_is_missing_is_lost(tmp_path: Path) -> None:
    with Registry(tmp_path / "registry.db") as registry:
        put(registry, "there")
    files = [Path("there.safetensors"), Path("gone.safetensors")]
    found = fleet.counted(files, tmp_path / "registry.db")
    assert (found["registered once"], found["lost"]) == (1, 1)
