"""The page of the paper says what the findings hold, as text and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmarks.paper.experiment import (
    Findings,
    Options,
    Picture,
    Table,
    publish,
    read_findings,
    read_options,
)
from benchmarks.paper.page import EXPERIMENTS, escaped, page_text, write_page

FINDINGS = Findings(
    name="figure3",
    title="Figure 3 | <b>whole</b>",
    setting="Digits, *all* of them.",
    tables=(Table(caption="Errors_1", headings=("kind", "ε|2"), rows=(("noise", "`1`"),)),),
    pictures=(
        Picture(file="there.svg", caption="Is there."),
        Picture(file="gone.svg", caption="Is not."),
        Picture(file="../outside.svg", caption="Elsewhere."),
    ),
    notes=("1. not a list", "# not a heading"),
    numbers={"rmse": [1e-15]},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Findings of one experiment, with one of their three pictures."""
    out = tmp_path / "paper"
    out.mkdir()
    publish(FINDINGS, Options(data=None, work=tmp_path, out=out))
    (out / "there.svg").write_text("<svg/>")
    (tmp_path / "outside.svg").write_text("<svg/>")
    return out


def _rendered(markdown: str) -> list:
    return MarkdownIt("commonmark").enable("table").parse(markdown)


def _shown(markdown: str) -> str:
    """Returns what a reader sees of one paragraph; other constructs show as their kind."""
    tokens = _rendered(markdown)
    if [token.type for token in tokens] != ["paragraph_open", "inline", "paragraph_close"]:
        return f"not one paragraph: {[token.type for token in tokens]}"
    children = tokens[1].children or []
    text = ("text", "text_special")
    return "".join(t.content if t.type in text else f"<{t.type}>" for t in children)


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("ab1 \n\\`*_{}[]()<>|~&$#-+=.!:/\"'ε"), min_size=1))
def test_any_text_reads_as_itself(text: str) -> None:
    line = " ".join(text.split())
    shown = _shown(escaped(text)) if line else ""
    assert shown == line


@pytest.mark.parametrize(
    "text", ["1. a", "12) a", "# a", "---", "- a", "+", "===", "&lt;", "<b>", "![a](b)", "1."]
)
def test_nothing_opens_a_construct(text: str) -> None:
    assert _shown(escaped(text)) == text


def test_numbers_stay_plain_in_the_source() -> None:
    assert escaped("0.1226") == "0.1226"
    assert escaped("-3e-15, 51.2 %") == "-3e-15, 51.2 %"


def test_findings_are_read_back_as_they_were_published(folder: Path) -> None:
    findings, machine, seconds = read_findings(folder / "figure3.json")
    assert findings == FINDINGS
    assert "torch" in machine
    assert 0 <= seconds < 60


def test_publishing_prints_the_table(tmp_path, capsys) -> None:
    publish(FINDINGS, Options(data=None, work=tmp_path, out=tmp_path))
    assert "| noise | `1` |" in capsys.readouterr().out


def test_numbers_that_are_no_numbers_are_refused_and_leave_the_old_file(folder: Path) -> None:
    before = (folder / "figure3.json").read_bytes()
    broken = Findings(name="figure3", title="t", setting="s", numbers={"rmse": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        publish(broken, Options(data=None, work=folder, out=folder))
    assert (folder / "figure3.json").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["figure3.json", "there.svg"]


def test_a_row_has_a_cell_for_each_heading() -> None:
    with pytest.raises(ValueError, match="one cell for each heading"):
        Table(caption="c", headings=("a", "b"), rows=(("1",),))


def test_the_page_shows_the_findings_and_says_what_is_missing(folder: Path) -> None:
    text = page_text(folder, "paper")
    assert "## Figure 3 \\| \\<b\\>whole\\</b\\>" in text
    assert "| noise | \\`1\\` |" in text
    assert "![Is there.](paper/there.svg)" in text
    for name in ("gone", "../outside"):
        assert f"The picture {name}.svg is missing" in text
        assert f"({name}.svg)" not in text
    for name in set(EXPERIMENTS) - {"figure3"}:
        assert f"- {name}: missing" in text
    assert text == page_text(folder, "paper")


def test_sections_stand_in_the_order_of_the_page_and_others_follow(folder: Path) -> None:
    document = json.loads((folder / "figure3.json").read_text())
    for name in ("zeta", "depth", "figure2"):
        document["name"] = document["title"] = name
        (folder / f"{name}.json").write_text(json.dumps(document))
    text = page_text(folder, "paper")
    places = [text.index(f'<a id="{name}">') for name in ("figure2", "figure3", "depth", "zeta")]
    assert places == sorted(places)


def test_cells_stay_in_their_table(folder: Path) -> None:
    tokens = _rendered(page_text(folder, "paper"))
    assert sum(token.type == "th_open" for token in tokens) == 2
    assert sum(token.type == "td_open" for token in tokens) == 2
    assert sum(token.type == "heading_open" for token in tokens) == 2


def test_a_damaged_file_is_named_in_one_line(folder: Path, tmp_path: Path) -> None:
    (folder / "figure2.json").write_text("{")
    with pytest.raises(ValueError, match=r"figure2.json: expected findings of an experiment"):
        write_page(folder, tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()


def test_pictures_are_linked_from_where_the_page_is(folder: Path, tmp_path: Path) -> None:
    write_page(folder, tmp_path / "docs" / "page.md")
    assert "](../paper/there.svg)" in (tmp_path / "docs" / "page.md").read_text()


def test_options_name_a_folder_of_weights_for_each_kind_of_data(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = read_options("Says something.\n\nMore.", ["--data", "somewhere"])
    assert images.work != read_options("", []).work
    assert images.work.is_dir()
    assert images.out.is_dir()
