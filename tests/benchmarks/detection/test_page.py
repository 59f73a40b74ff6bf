"""The detection page says what the results file holds, and nothing that it does not."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.detection import page, reliability, sections
from benchmarks.detection.findings import Findings
from benchmarks.detection.results import evaluate, load, query_score, read
from benchmarks.detection.wording import cell, decimal, listing, percent, table
from fingerprint.errors import EnvironmentFailure, MalformedFile, UsageError
from tests.benchmarks.detection.synthetic import document

# Exact copies and strong changes, a new head, students and adversarial training.
ROWS = (0, 5, 10, 16, 19, 22, 24, 27, 28)


@pytest.fixture(scope="module")
def invented() -> dict:
    return document(independents=6, rows=ROWS)


@pytest.fixture(scope="module")
def findings(invented) -> Findings:
    return Findings(read(invented))


@pytest.fixture(scope="module")
def text(findings) -> str:
    return page.page_text(findings)


def _changed(invented: dict, change) -> Findings:
    document = copy.deepcopy(invented)
    members = {member["name"]: member for member in document["members"]}
    for pair in document["pairs"]:
        change(pair, members[pair["suspect"]])
    return Findings(read(document))


def _sharing(invented: dict) -> list[dict]:
    groups = {member["name"]: member["group"] for member in invented["members"]}
    return [
        pair
        for pair in invented["pairs"]
        if pair["related"] and groups[pair["suspect"]] == "shares weights"
    ]


def test_the_headline_counts_those_below_the_second_lowest_independent_ratio(
    invented, findings, text
):
    others = [pair for pair in invented["pairs"] if not pair["related"]]
    assert 100 <= len(others) < 200
    limit = sorted(pair["verdicts"]["logits"]["ratio"] for pair in others)[1]
    related = _sharing(invented)
    hits = sum(pair["verdicts"]["logits"]["ratio"] < limit for pair in related)
    assert findings.by_group["shares weights"].tpr1.hits == hits
    assert f"{hits} of {len(related)} (" in text
    assert f"Thresholds come from {len(others)} independent pairs" in text


def test_a_source_with_itself_is_no_evidence_that_copies_are_found(invented, findings):
    assert all(pair.source != pair.suspect for pair in findings.results.related())
    assert len(findings.results.related("shares weights")) == len(_sharing(invented))


def test_a_threshold_that_cannot_be_resolved_is_said_to_be_so():
    few = Findings(read(document(independents=1, rows=(0, 28))))
    assert len(few.judged) < 100
    assert "**Too few pairs:**" in sections.answer(few)
    for said in (sections.readme_paragraph(few), sections.answer(few)):
        assert "that no independent pair passes" in " ".join(said.split())


def test_a_wrong_accusation_is_counted_and_named(invented, findings, text):
    assert "No independent pair was called *same* or *derived*." in text

    def accuse(pair, member):
        if pair["source"] == "resnet20" and member["base"] == "vit":
            pair["verdicts"]["logits"]["verdict"] = "derived"

    wrong = _changed(invented, accuse)
    assert len(wrong.accused) == 10  # the base network and its nine copies
    assert wrong.wrong_clusters[0] == 1
    said = reliability.how_often_wrong(wrong)
    assert "No independent pair was called" not in said
    assert "*vit as resnet20*" in said
    assert f"**Wrong:** 10 of {len(wrong.judged)}" in sections.answer(wrong)


def test_the_limits_list_exactly_the_modifications_found_too_rarely(findings, text):
    limits = text[text.index("## 8.") : text.index("## 9.")]
    for name, group, pairs in findings.rows:
        found = findings.by_row[name, group].tpr1
        assert (f"| {name} |" in limits) == (found.hits < 0.9 * len(pairs))
    assert "| pruned 80 % |" in text
    assert "Found in fewer than 90 % of pairs" in limits


def test_finding_everything_is_claimed_only_where_everything_was_found(invented, text):
    def find(pair, member):
        if pair["related"]:
            pair["verdicts"]["logits"]["ratio"] = 0.01

    claim = "Every one of the"
    assert (claim in text) is False
    assert claim in sections.by_modification(_changed(invented, find))
    assert "Every modification was found" in reliability.limits(_changed(invented, find))


def test_the_ten_closest_independent_pairs_are_those_of_lowest_ratio(invented, findings):
    others = [pair for pair in invented["pairs"] if not pair["related"]]
    others.sort(key=lambda pair: pair["verdicts"]["logits"]["ratio"])
    said = reliability.how_often_wrong(findings)
    rows = [f"| {pair['source']} | {pair['suspect']} |" for pair in others]
    places = [said.index(row) for row in rows[:10]]
    assert places == sorted(places)
    assert rows[10] not in said


def test_an_answer_that_a_method_cannot_give_is_a_miss_and_no_false_alarm(invented):
    def silence(pair, member):
        pair["scores"]["SAC"] = dict.fromkeys(pair["scores"]["SAC"])

    findings = _changed(invented, silence)
    related, others = findings.results.related(), findings.results.independent()
    found = evaluate(related, others, query_score("SAC", 24))
    assert (found.unanswered, found.excluded, found.independents) == (len(related), len(others), 0)
    assert found.tpr1.value is None
    assert "| SAC | - | - | - |" in sections.by_queries(findings)


def test_what_was_never_measured_is_left_out_of_a_method(invented):
    def skip(pair, member):
        if member["name"].startswith("plain"):
            del pair["scores"]["AKH"]

    findings = _changed(invented, skip)
    kept = [pair for pair in _sharing(invented) if not pair["suspect"].startswith("plain")]
    assert findings.compared["shares weights", "AKH", 24].tpr1.total == len(kept)


@pytest.mark.parametrize(
    ("ours", "words"), [(9.0, "ours finds more"), (-9.0, "the baseline finds")]
)
def test_who_finds_more_is_read_off_the_numbers(invented, ours, words):
    def shift(pair, member):
        if pair["related"]:
            pair["scores"]["harmless"] = dict.fromkeys(pair["scores"]["harmless"], ours)

    said = sections.by_queries(_changed(invented, shift))
    lines = [line for line in said.splitlines() if line.startswith("With 24 queries ours")]
    assert len(lines) == 3
    assert words in lines[0]


@pytest.mark.parametrize(
    ("power", "words"), [(0.5, "uniform or larger"), (3.0, "too small"), (None, "no p-value")]
)
def test_p_values_are_called_honest_only_inside_the_band(invented, power, words):
    place = iter(range(10_000))
    count = sum(not pair["related"] for pair in invented["pairs"])

    def replace(pair, member):
        if not pair["related"]:
            level = (next(place) + 1) / count
            pair["p_margin"] = None if power is None else level**power

    said = reliability.calibration(_changed(invented, replace))
    line = next(line for line in said.splitlines() if line.startswith("**p with the margin"))
    assert words in line


def test_a_results_file_without_pairs_claims_nothing(invented, tmp_path):
    pytest.importorskip("matplotlib")
    empty = Findings(read({**invented, "pairs": [], "sources": [], "designs": []}))
    said = page.page_text(empty)
    assert said.count("not measured.") >= 3
    assert "Not measured yet" in sections.readme_paragraph(empty)
    assert "Every one of the" not in said
    assert "Every modification" not in said
    page.write_page(empty, tmp_path / "detection.md")


def test_an_answer_without_evidence_is_no_detection(invented):
    def mute(pair, member):
        if pair["related"]:
            pair["verdicts"]["logits"] = {"verdict": "inconclusive", "ratio": None, "queries": 55}

    findings = _changed(invented, mute)
    assert findings.by_group["shares weights"].tpr1.hits == 0
    assert "inconclusive" in page.page_text(findings)


def test_equal_results_give_equal_bytes_and_every_plot_that_is_linked(tmp_path):
    pytest.importorskip("matplotlib")
    for run in ("first", "second"):
        small = Findings(read(document(independents=1, rows=(0, 28))))
        page.write_page(small, tmp_path / run / "detection.md")
    files = sorted(path.relative_to(tmp_path / "first") for path in tmp_path.glob("first/**/*.*"))
    for path in files:
        assert (tmp_path / "first" / path).read_bytes() == (tmp_path / "second" / path).read_bytes()
    linked = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (tmp_path / "first/detection.md").read_text())
    assert len(linked) == 4
    assert sorted(linked) == [path.as_posix() for path in files if path.suffix == ".svg"]


def test_the_page_is_written_without_matplotlib():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import benchmarks.detection.page, benchmarks.detection.metrics"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_readme_paragraph_stands_between_its_markers_however_often_it_is_written(
    findings, tmp_path
):
    readme = tmp_path / "README.md"
    marks = "<!-- detection:begin -->\nold\n<!-- detection:end -->"
    readme.write_text(f"before\n\n{marks}\n\nafter\n")
    for _ in range(2):
        page.write_readme(findings, readme, tmp_path / "docs" / "detection.md")
    said = readme.read_text()
    paragraph = sections.readme_paragraph(findings)
    assert said == f"before\n\n{marks.replace('old', paragraph)}\n\nafter\n"
    found = findings.by_group["shares weights"].tpr1
    flowing = " ".join(paragraph.split())
    assert f"{found.hits} of {found.total} suspects" in flowing
    assert f"0 of {len(findings.judged)} independent pairs" in flowing
    assert "(docs/detection.md)" in flowing
    assert max(map(len, paragraph.splitlines())) <= 100


@pytest.mark.parametrize(
    "text",
    ["none", "<!-- detection:begin -->", "<!-- detection:end --> <!-- detection:begin -->"],
)
def test_a_readme_without_both_markers_is_refused(text):
    with pytest.raises(UsageError, match="once each"):
        page.with_paragraph(text, "new")


def test_the_command_writes_what_it_is_told_and_refuses_other_files(invented, tmp_path):
    pytest.importorskip("matplotlib")
    results = tmp_path / "results.json"
    with pytest.raises(EnvironmentFailure, match="make detection"):
        load(results)
    results.write_text(json.dumps({**invented, "schema": 2}))
    with pytest.raises(MalformedFile, match="expected schema 1, got 2"):
        load(results)
    with pytest.raises(SystemExit, match="expected schema 1"):
        page.main(["--results", str(results), "--out", str(tmp_path / "page.md")])
    results.write_text(json.dumps({**invented, "members": []}))
    with pytest.raises(MalformedFile, match="complete"):
        load(results)
    results.write_text(json.dumps({**invented, "pairs": invented["pairs"][:12]}))
    page.main(["--results", str(results), "--out", str(tmp_path / "docs" / "page.md")])
    assert (tmp_path / "docs" / "page.md").read_text().startswith("# What the tool")
    assert (tmp_path / "docs" / "detection" / "ratios.svg").exists()


def test_rounding_never_makes_something_of_nothing_or_all_of_almost_all(findings):
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


def test_a_name_cannot_break_out_of_its_cell():
    assert table(("a",), [("x | y\n<b>",)]).splitlines()[-1] == "| x \\| y &lt;b> |"
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert Path(page.RESULTS).name == "results.json"
