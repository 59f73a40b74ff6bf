"""The detection page says what the results file holds, and nothing that it does not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import pages
from benchmarks.detection import page, tables
from benchmarks.detection.findings import Findings
from benchmarks.detection.results import load, read
from benchmarks.markdown import cell, decimal, listing, percent, table
from fingerprint.errors import UsageError
from tests.benchmarks.detection.synthetic import document

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def committed() -> Findings:
    return Findings(load(page.RESULTS))


@pytest.fixture(scope="module")
def findings() -> Findings:
    # Exact copies and strong changes, a new head, students and adversarial training.
    return Findings(read(document(independents=4, rows=(0, 10, 19, 24, 28))))


def test_the_committed_page_holds_the_tables_of_the_committed_results(committed: Findings) -> None:
    named: list[str] = []
    for place in (ROOT / page.PAGE, (ROOT / page.PAGE).with_name(page.LOOKED_UP)):
        text = place.read_text(encoding="utf-8")
        assert pages.filled(text, page.tables(committed)) == text
        named += re.findall(r"<!-- table: (.+) -->", text)
    assert sorted(named) == sorted(page.tables(committed))


def test_reports_quote_the_committed_results() -> None:
    assert (ROOT / page.QUOTED).read_text(encoding="utf-8") == page.quoted()


def test_sentences_quote_only_counts_that_the_results_bear_out(committed: Findings) -> None:
    every = page.tables(committed)
    counts = "".join(every[name]() for name in ("counts", "224: counts", "digits: counts"))
    known = set(re.findall(r"\d+ of \d+", counts)) | _descend()
    short = (ROOT / "docs/measured.md").read_text(encoding="utf-8")
    begin = short.index("## Detection at 32 pixels")
    paragraph = short[begin : short.index("## Families at 32 pixels")]
    text = (ROOT / page.PAGE).read_text(encoding="utf-8")
    prose = re.sub(r"<!-- table: .*?<!-- end -->", "", text, flags=re.DOTALL)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for said, fewest, most in ((paragraph, 3, 3), (prose, 3, 100), (readme, 3, 3)):
        quoted = set(re.findall(r"\b\d+ of \d+", " ".join(said.split())))
        assert fewest <= len(quoted) <= most
        assert quoted <= known
    assert "(detection.md)" in paragraph
    assert "(power.md)" in paragraph


def _descend() -> set[str]:
    """How many copies of registered children, and what learned on from them, descend from them.

    By what the child learned: as A and B did, gently, with a new head, or both; and by what was
    done to it.
    """
    roles = {"copy", "other copy", "further"}
    found: dict[tuple[str, ...], list[bool]] = {}
    for one in json.loads(page.FAMILIES.read_text(encoding="utf-8"))["rows"]:
        if one["parent"] == "registered" and one["role"] in roles:
            kind = re.search(r"(, gentle)?(,? new head)?$", one["family"])
            assert kind is not None
            done = one["suspect"].rpartition(", ")[2]
            for key in ((one["role"],), (one["role"], kind[0]), (one["role"], kind[0], done)):
                found.setdefault(key, []).append(one["relation"] == "descends")
    assert {key[0] for key in found} == roles
    return {f"{sum(some)} of {len(some)}" for some in found.values()}


def test_the_limits_list_exactly_the_modifications_found_too_rarely(findings: Findings) -> None:
    said = tables.missed(findings)
    for name, group, pairs in findings.rows:
        found = findings.by_row[name, group].tpr1
        assert (f"| {name} |" in said) == (found.hits < 0.9 * len(pairs))
    assert "| pruned 80 % |" in said


def test_what_hardly_works_is_not_counted_among_what_keeps_half_of_the_accuracy() -> None:
    made = document(independents=1, rows=(0, 1))
    copies = [one for one in made["members"] if one["group"] == "shares weights"]
    for accuracy, missing in ((0.49, 1), (0.51, 0)):  # chance is 0.1, and sources have 0.9
        copies[0]["accuracy"] = accuracy
        kept = len(copies) - missing
        said = tables.counts(Findings(read(made)))
        assert f"accuracy above chance, *same* or *derived* | {kept} of {kept} |" in said


def test_the_ten_closest_independent_pairs_are_those_of_lowest_ratio(findings: Findings) -> None:
    others = sorted(findings.judged, key=lambda pair: pair.ratio())
    said = tables.closest(findings)
    rows = [f"| {pair.source} | {pair.suspect} |" for pair in others]
    places = [said.index(row) for row in rows[:10]]
    assert places == sorted(places)
    assert rows[10] not in said


def test_a_page_that_is_not_there_becomes_one_of_tables_and_its_plots_are_drawn(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    results = tmp_path / "results.json"
    invented = document(independents=1, rows=(0, 28))
    results.write_text(json.dumps(invented))
    out = tmp_path / "docs" / "page.md"
    page.main(["--results", str(results), "--out", str(out)])
    first = out.read_text()
    both = first + out.with_name(page.LOOKED_UP).read_text()
    assert all(both.count(f"<!-- table: {name} -->\n|") == 1 for name in tables.TABLES)
    assert sorted(path.name for path in out.parent.glob("detection/*.svg")) == [
        *("answers.svg", "calibration.svg", "queries.svg", "ratios.svg")
    ]
    assert page.write_page(Findings(read(invented)), out, tmp_path) == []
    assert out.read_text() == first


def test_a_results_file_without_pairs_gives_empty_tables() -> None:
    empty = Findings(read({**document(rows=(0,)), "pairs": [], "sources": []}))
    for name, make in tables.TABLES.items():
        assert make(empty).startswith("|"), name


@pytest.mark.parametrize(
    "text",
    [
        "<!-- table: nonsense -->\n<!-- end -->",
        "<!-- table: made -->\n",
        "<!-- end -->",
        "<!-- table: made -->\n<!-- table: made -->\n<!-- end -->",
    ],
)
def test_markers_that_name_nothing_or_do_not_pair_are_refused(text, findings) -> None:
    with pytest.raises(UsageError, match="expected"):
        pages.filled(text, page.tables(findings))


def test_rounding_never_makes_something_of_nothing_or_all_of_almost_all(findings) -> None:
    assert percent(0) == "0 %"
    assert percent(0.0004) == "0.04 %"
    assert percent(0.9999) == "99.9 %"
    assert percent(1) == "100 %"
    assert decimal(0.0028) == "0.0028"
    assert decimal(1e-9) == "1.0e-09"
    assert decimal(None) == "-"
    for found in findings.by_row.values():
        low, high = map(float, re.findall(r"\[([\d.]+), ([\d.]+)\]", cell(found.tpr1))[0])
        assert low <= found.tpr1.low
        assert high >= found.tpr1.high


def test_a_name_cannot_break_out_of_its_cell() -> None:
    assert table(("a",), [("x | y\n<b>",)]).splitlines()[-1] == "| x \\| y &lt;b> |"
    assert listing(["a", "b", "c"]) == "a, b and c"
