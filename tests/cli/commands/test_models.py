"""``fp list``, ``show`` and ``remove``: look after what is registered."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest


def test_list_shows_every_model_on_a_line_of_its_own(fp: Any) -> None:
    lines = fp("list").stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("ours", "theirs"))] == [
        "ours",
        "theirs",
    ]


def test_list_of_nothing_is_an_answer(fp: Any, script: Any) -> None:
    script.models = ()
    assert fp("list").exit_code == 0
    assert json.loads(fp("list", "--json").stdout) == {"schema": 2, "models": []}


def test_list_json_holds_the_facts_of_each_model(fp: Any) -> None:
    document = json.loads(fp("list", "--json").stdout)
    assert [model["name"] for model in document["models"]] == ["ours", "theirs"]
    first = document["models"][0]
    assert (document["schema"], first["probes"], first["passes"]) == (2, 24, 960)
    assert (first["role"], first["fingerprint"]) == ("model", "current")


def test_list_says_who_is_a_reference_and_what_should_be_renewed(fp: Any, script: Any) -> None:
    plain = fp("list").stdout
    assert not any(heading in plain for heading in ("role", "fingerprint", "renew"))
    reason = "its parent 'base' was registered after it"
    script.changes = {"role": "reference", "current": False, "renew": reason}
    shown = fp("list").stdout
    assert all(heading in shown for heading in ("role", "fingerprint", "renew, because"))
    assert shown.count("reference") == shown.count(" old ") == shown.count(reason) == 2
    first = json.loads(fp("list", "--json").stdout)["models"][0]
    assert (first["role"], first["fingerprint"], first["renew"]) == ("reference", "old", reason)


def test_list_names_the_command_that_makes_a_fingerprint_anew(fp: Any, script: Any) -> None:
    assert fp("list").stderr == ""
    script.changes = {"current": False}
    assert "2 fingerprints are old" in (said := fp("list").stderr)
    assert "'fp register --again NAME'" in said
    script.models = ("ours",)
    assert "'fp register --again ours'" in fp("list").stderr


def test_show_json_adds_the_fingerprint_and_the_recorded_verdicts(fp: Any) -> None:
    document = json.loads(fp("show", "ours", "--json").stdout)
    assert document["name"] == "ours"
    assert document["schema"] == 2
    assert document["fingerprint"]["state"] == "current"
    assert len(document["fingerprint"]["per_probe"]) == 4
    assert document["verifications"] == []
    (pair,) = document["pairs"]
    assert (pair["source"], pair["other"], pair["harm_ratio"]) == ("ours", "theirs", 0.93)
    assert pair["ratios"][0].keys() == {"test", "depth", "answer_kind", "ratio"}


def test_show_names_the_models_that_set_the_margin_of_this_one(fp: Any) -> None:
    lines = fp("show", "ours").stdout.splitlines()
    assert ["theirs", "0.93", "independent"] in [line.split() for line in lines]
    assert json.loads(fp("show", "theirs", "--json").stdout)["pairs"] == []


def test_remove_off_a_terminal_needs_yes(fp: Any, script: Any) -> None:
    result = fp("remove", "ours", input="y\n")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert script.named("remove") == []


def test_remove_with_yes_removes_and_says_so_on_stderr(fp: Any, script: Any) -> None:
    result = fp("remove", "ours", "--yes")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "fp: removed ours\n"
    assert script.named("remove") == [{"name": "ours"}]


def test_remove_json_says_what_happened(fp: Any) -> None:
    document = json.loads(fp("remove", "ours", "--yes", "--json").stdout)
    assert document == {"schema": 2, "name": "ours", "removed": True}


@pytest.mark.parametrize(
    ("answer", "said"), [(b"y\n", b"removed ours"), (b"n\n", b"kept ours"), (b"\n", b"kept ours")]
)
def test_remove_asks_on_a_terminal_and_only_yes_removes(answer: bytes, said: bytes) -> None:
    terminal, inside = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "tests.cli.fake_fp", "0", "remove", "ours"],
            stdin=inside,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            os.write(terminal, answer)
            out, err = process.communicate(timeout=60)
    finally:
        os.close(terminal)
        os.close(inside)
    assert process.returncode == 0
    assert b"Remove ours and its probes? [y/N]" in err
    assert said in err
    assert out == b""
