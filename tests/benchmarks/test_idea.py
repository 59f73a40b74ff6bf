"""The picture of the method is drawn from what was measured, and is where it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import idea
from tests.support.fingerprints import make_fingerprint, make_model

ROOT = Path(__file__).parents[2]


def test_equal_measurements_give_an_equal_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    fingerprint = make_fingerprint(make_model())
    rows = [
        idea.Row("the source", "same", 0.1, 0.5),
        idea.Row("a stranger", "independent", 0.5, 0.5),
    ]
    for name in ("first.svg", "second.svg"):
        idea.draw(fingerprint, rows, tmp_path / name)
    first = (tmp_path / "first.svg").read_bytes()
    assert first.startswith(b"<?xml")
    assert first == (tmp_path / "second.svg").read_bytes()


def test_the_picture_is_there_where_it_is_shown() -> None:
    assert (ROOT / idea.OUT).is_file()
    assert f"({idea.OUT.as_posix()})" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"({idea.OUT.relative_to('docs').as_posix()})" in (ROOT / "docs/index.md").read_text(
        encoding="utf-8"
    )
