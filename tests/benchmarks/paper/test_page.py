"""The page of the paper holds the tables of the findings, and its sentences what they bear out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import pages
from benchmarks.paper import figure3, page
from benchmarks.paper.experiment import (
    Findings,
    Options,
    Table,
    publish,
    read_findings,
    read_options,
)
from fingerprint.errors import MalformedFile

ROOT = Path(__file__).parents[3]
FINDINGS = Findings(
    name="figure3",
    tables=(Table(caption="Errors", headings=("kind", "ε|2"), rows=(("noise", "<1>"),)),),
    numbers={"rmse": [1e-15]},
)


def _committed(name: str) -> dict:
    return read_findings(ROOT / f"docs/paper/{name}.json").numbers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "paper"
    out.mkdir()
    publish(FINDINGS, Options(data=None, work=tmp_path, out=out))
    return out


def test_the_committed_page_holds_the_tables_of_the_committed_findings() -> None:
    text = (ROOT / page.PAGE).read_text(encoding="utf-8")
    made = page.tables(ROOT / "docs/paper")
    assert pages.filled(text, made) == text
    assert re.findall(r"<!-- table: (.+) -->", text) == list(made)
    for picture in re.findall(r"!\[[^]]+\]\(([^)]+)\)", text):
        assert (ROOT / "docs" / picture).is_file(), picture


def test_harmless_perturbations_of_any_size_move_no_logit() -> None:
    exact = [
        one
        for one in _committed("figure3")["series"]
        if one["kind"] == figure3.HARMLESS and one["precision"] == "float64"
    ]
    assert len(exact) == 2
    for one in exact:
        assert max(one["rmse"]) <= 1e-13
        assert set(one["accuracy"]) == {one["natural"]}


def test_all_members_of_a_family_are_answered_alike() -> None:
    families = [one for one in _committed("figure4")["families"] if not one["after_rounding"]]
    assert len(families) == 4
    for one in families:
        assert max(one["moved"]) <= 1e-12
        assert set(one["same_class"]) == {1.0}


def test_what_is_harmless_for_one_network_is_noticed_by_another() -> None:
    rows = [one for one in _committed("figure5")["crossed"] if one["way"] == "linear"]
    noise = [one["relative"] for one in rows if one["source"] == "Gaussian noise"]
    own = [one["largest"] for one in rows if one["source"] == one["asked"]]
    others = [
        one["relative"] for one in rows if one["source"] not in (one["asked"], "Gaussian noise")
    ]
    assert max(own) <= 1e-12
    # As much as half of what noise of the same size does counts as noticed.
    assert min(others) >= min(noise) / 2


def test_more_is_harmless_after_every_layer() -> None:
    for one in _committed("depth").values():
        for image in zip(*one["dimensions"], strict=True):
            assert list(image) == sorted(image)
        assert all(all(row) for row in one["agreeing"])
        assert max(one["leaks"]) < 1e-14


def test_findings_are_read_back_as_they_were_published(folder: Path, capsys) -> None:
    found = read_findings(folder / "figure3.json")
    assert (found.name, found.tables, found.numbers) == (
        "figure3",
        FINDINGS.tables,
        {"rmse": [1e-15]},
    )
    assert "torch" in found.machine
    assert 0 <= found.seconds < 60


def test_numbers_that_are_no_numbers_are_refused_and_leave_the_old_file(folder: Path) -> None:
    before = (folder / "figure3.json").read_bytes()
    broken = Findings(name="figure3", numbers={"rmse": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        publish(broken, Options(data=None, work=folder, out=folder))
    assert (folder / "figure3.json").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["figure3.json"]


def test_a_row_has_a_cell_for_each_heading() -> None:
    with pytest.raises(ValueError, match="one cell for each heading"):
        Table(caption="c", headings=("a", "b"), rows=(("1",),))


def test_a_page_that_is_not_there_holds_what_was_measured_and_grows(folder: Path) -> None:
    out = folder.parent / "docs" / "paper.md"
    page.main(["--out", str(folder), "--page", str(out)])
    assert "| noise | &lt;1> |" in out.read_text()
    publish(Findings(name="depth"), Options(data=None, work=folder, out=folder))
    page.main(["--out", str(folder), "--page", str(out)])
    assert "<!-- table: depth/measured -->" in out.read_text()


def test_a_damaged_file_is_named_in_one_line(folder: Path) -> None:
    (folder / "figure2.json").write_text("{")
    with pytest.raises(MalformedFile, match=r"figure2.json: expected findings of an experiment"):
        page.tables(folder)


def test_findings_on_digits_leave_the_committed_ones_alone(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    images, digits = read_options("", ["--data", "somewhere"]), read_options("", [])
    assert images.out == Path("docs/paper")
    assert digits.out.is_relative_to(digits.work)
    assert images.work != digits.work
    assert images.work.is_dir()
