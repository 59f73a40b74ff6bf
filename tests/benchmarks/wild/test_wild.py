"""What is said of files as packages ship them, and that its page holds what was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import pages
from benchmarks.wild.asking import fault
from benchmarks.wild.files import alike, listed_files
from benchmarks.wild.tables import summary, tables

ROOT = Path(__file__).parents[3]
RESULTS = json.loads((ROOT / "benchmarks/wild/results.json").read_text(encoding="utf-8"))


def test_files_of_one_network_have_one_size_at_which_one_of_them_is_registered() -> None:
    files = listed_files()
    assert len({file.name for file in files}) == len(files)
    registered = {file.network: file for file in files if file.registered}
    for file in files:
        if file.network in registered:
            assert registered[file.network].sizes[0] in file.sizes


@pytest.mark.parametrize(
    ("first", "second", "related"),
    [
        ("open_nsfw", "open_nsfw", True),
        ("PP-OCRv3 detection, Chinese", "PP-OCRv3 detection, English", None),
        ("PP-OCRv3 detection, Chinese", "PP-OCRv4 detection", False),
    ],
)
def test_networks_are_alike_by_their_names(first: str, second: str, related: bool | None) -> None:
    assert alike(first, second) is alike(second, first) is related


@pytest.mark.parametrize(
    ("related", "verdict", "said"),
    [
        (False, "derived", "false accusation"),
        (False, "same", "false accusation"),
        (False, "inconclusive", ""),
        (True, "same", ""),
        (True, "inconclusive", "not found"),
        (True, "independent", "taken for a stranger"),
        (True, "ruled out", "taken for a stranger"),
        (None, "derived", ""),
    ],
)
def test_only_what_is_known_can_be_wrong(related: bool | None, verdict: str, said: str) -> None:
    assert fault(related, verdict) == said


def test_the_committed_page_holds_the_tables_of_the_committed_results() -> None:
    text = (ROOT / "docs/wild.md").read_text(encoding="utf-8")
    made = tables(RESULTS)
    assert pages.filled(text, made) == text
    assert re.findall(r"<!-- table: (.+) -->", text) == list(made)


def test_the_short_page_quotes_what_was_measured() -> None:
    short = " ".join((ROOT / "docs/measured.md").read_text(encoding="utf-8").split())
    assert summary(RESULTS["rows"]) in short
