"""``fp probes export`` hands pictures out and says how many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.fakes import HOSTILE


def test_it_says_what_was_written_and_json_has_the_commitment(fp: Any, script: Any) -> None:
    result = fp("probes", "export", "ours", "theirs", "-o", "pictures")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == "fp: wrote 212 pictures of ours, theirs to pictures\n"
    (asked,) = script.named("export")
    assert (asked["names"], asked["target"]) == (["ours", "theirs"], Path("pictures"))
    document = json.loads(fp("probes", "export", "ours", "-o", "p", "--json").stdout)
    assert document == {
        "schema": 2,
        "export": "ab" * 6,
        "models": ["ours"],
        "pictures": 212,
        "commitment": "cd" * 32,
        "folder": "p",
    }


def test_a_name_and_a_folder_are_needed(fp: Any, script: Any) -> None:
    assert fp("probes", "export", "-o", "pictures").exit_code == 2
    assert fp("probes", "export", "ours").exit_code == 2
    assert script.named("export") == []


def test_names_are_cleaned(fp: Any) -> None:
    assert "\x1b" not in fp("probes", "export", HOSTILE, "-o", "pictures").stderr
