"""How many queries a claim takes: the least number that all larger ones bear out."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks import pages
from benchmarks.detection import page, power
from benchmarks.detection.decided import decided
from benchmarks.detection.findings import Findings
from benchmarks.detection.power import extrapolated, probes_needed
from benchmarks.detection.results import load, read
from fingerprint.evidence.orbits import swap_test
from tests.benchmarks.detection.synthetic import LENGTHS, document

ROOT = Path(__file__).parents[3]


def _with(claimed: list[int], p_value: float = 0.5) -> Findings:
    """One modification on three sources: two claimed throughout, one with these numbers."""
    invented = document(independents=1, rows=(7,))
    for pair in invented["pairs"]:
        odd = pair["suspect"] == "vit/pruned 20 %"
        for found in pair["power"].values():
            found["claimed"] = list(claimed) if odd else list(LENGTHS)
            found["p"]["48"] = p_value if odd else 1e-9
    return Findings(read(invented))


def _row(findings: Findings, name: str = "pruned 20 %") -> str:
    said = power.queries(findings)
    return next(line for line in said.splitlines() if line.startswith(f"| {name} |"))


def test_a_claim_that_larger_numbers_do_not_bear_out_is_none() -> None:
    def needed(claimed: list[int]) -> float:
        findings = _with(claimed)
        (pair,) = [p for p in findings.results.related() if p.suspect == "vit/pruned 20 %"]
        return probes_needed(pair, "logits", LENGTHS)

    assert needed([15, 24, 48]) == 15
    assert needed([15, 48]) == 48
    assert needed([15, 24]) == math.inf


def test_the_row_says_median_and_worst_and_stars_what_was_not_run() -> None:
    # 15 probes: 96 of the panel, one of it twice, 7 bases, 15 probes and 45 turns.
    assert "| 3 | 164 [164] |" in _row(_with([15, 24, 48]))
    assert "| 3 | 164 [313] |" in _row(_with([48]))
    assert "| 3 | 164 [not reached] |" in _row(_with([]))
    assert re.search(r"\| 3 \| 164 \[3\d0\*\] \|", _row(_with([], p_value=0.002)))
    assert "not reached" in _row(_with([], p_value=0.4))


def test_too_few_reached_is_not_called_typical() -> None:
    invented = document(independents=1, rows=(7,))
    for pair in invented["pairs"]:
        for found in pair["power"].values():
            found["claimed"] = list(LENGTHS) if pair["source"] == "vit" else []
    assert "| not reached [1 of 3: 164] |" in _row(Findings(read(invented)))


def test_among_many_candidates_a_claim_needs_a_smaller_p_value() -> None:
    said = power.crowds(_with([15, 24, 48], p_value=2e-5)).splitlines()
    assert said[2:] == [
        "| 1 | 0 of 3 | 0 of 3 | 3 of 3 |",
        "| 10 | 0 of 3 | 0 of 3 | 3 of 3 |",
        "| 100 | 0 of 3 | 0 of 3 | 2 of 3 |",
        "| 1000 | 0 of 3 | 0 of 3 | 2 of 3 |",
    ]


def test_extrapolating_finds_the_number_that_a_test_of_so_many_orbits_takes() -> None:
    rng = np.random.default_rng(0)
    logs = rng.normal(0.0, 1.0, size=(4000, 4))
    logs[:, 0] -= 0.35
    few, many = swap_test(logs[:100], 1.0).p_value, 1e-9
    said = extrapolated(norm.cdf(norm.ppf(few)), 100, many)
    # So many orbits really bring the p-value within a factor of the level asked for.
    p_value = swap_test(logs[: round(said)], 1.0).p_value
    assert norm.ppf(p_value) == pytest.approx(norm.ppf(many), rel=0.3)
    assert extrapolated(0.6, 100, 0.001) == extrapolated(None, 100, 0.001) == math.inf
    assert extrapolated(1e-5, 100, 0.001) == 100


def test_costs_add_up() -> None:
    findings = Findings(read(document(independents=1, rows=(7,))))
    assert "| 24 | 96 | 12 | 24 | 72 | 1 | 205 |" in power.costs(findings)
    assert "| more than 8 | at least " in power.candidates(findings)


def test_the_committed_page_holds_the_tables_of_the_committed_results() -> None:
    committed = Findings(load(page.RESULTS))
    text = (ROOT / page.PAGE).with_name(power.PAGE_NAME).read_text(encoding="utf-8")
    tables = page.power_tables(committed)
    assert pages.filled(text, tables) == text
    assert re.findall(r"<!-- table: (.+) -->", text) == list(tables)
    assert tables.keys() > power.TABLES.keys()


def test_each_committed_pair_is_counted_once_as_a_known_kind_of_suspect() -> None:
    for results in (load(page.RESULTS), load(page.LARGE)):
        lines = [line.split(" | ") for line in decided(Findings(results)).splitlines()[2:]]
        names = {line[0].removeprefix("| ") for line in lines}
        assert not names & {pair.modification for pair in results.related()}
        assert sum(int(line[1]) for line in lines) == sum(bool(p.verdicts) for p in results.pairs)
        for line in lines:
            for cell in line[2:]:
                assert sum(map(int, re.findall(r"(\d+) [a-z]", cell))) == int(line[1])


def test_the_page_quotes_only_numbers_of_its_tables() -> None:
    text = (ROOT / page.PAGE).with_name(power.PAGE_NAME).read_text(encoding="utf-8")
    tables = " ".join(re.findall(r"<!-- table: .*?<!-- end -->", text, flags=re.DOTALL))
    prose = re.sub(r"<!-- table: .*?<!-- end -->", "", text, flags=re.DOTALL)
    numbers = r"\b(?:\d+ of \d+|\d{3,})\b"
    claimed = {f"0 of {total}" for total in re.findall(r"independent \| (\d+) \| 0", tables)}
    known = {*re.findall(numbers, tables), *re.findall(r"\d+", tables), *claimed, "001"}
    assert set(re.findall(numbers, " ".join(prose.split()))) <= known
