"""The page on channels holds what was measured, and no copy is called independent with twins."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.channel.__main__ import RESULTS, page

_PAGE = Path(__file__).parents[2] / "docs" / "channel.md"


def test_the_page_holds_the_tables_of_the_committed_results() -> None:
    document = json.loads(RESULTS.read_text(encoding="utf-8"))
    text = _PAGE.read_text(encoding="utf-8")
    assert page(document) in text
    kin = [row for row in document["rows"] if row["what"] != "stranger"]
    assert len(kin) > 80
    assert not [row for row in kin if row["with"] == "independent"]
