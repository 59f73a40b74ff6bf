"""However a model's process ends, there is a row that says so, and never one that passes."""

from __future__ import annotations

import json

import pytest

from cli.fleets.jobs import Ended, Job, Row, lost, row_of, worst

JOB = Job(verb="verify", model="/m/a.pt", name="a", seconds=60, folder="/m")


def _document(**values: object) -> bytes:
    return json.dumps({"verdict": "derived", "best": "ours", "reason": "why", **values}).encode()


def test_a_verdict_is_that_of_the_command() -> None:
    row = row_of(JOB, Ended(code=0, out=_document(), err="fp: warning: old\n", seconds=2.0))
    assert (row.outcome, row.exit_code, row.reason) == ("derived", 0, "why")
    assert row.warnings == ("old",)
    assert row.result is not None
    assert row.result["best"] == "ours"


def test_a_policy_that_failed_is_the_reason() -> None:
    row = row_of(JOB, Ended(code=1, out=_document(), err="fp: --forbid ours: it is derived\n"))
    assert (row.outcome, row.exit_code) == ("derived", 1)
    assert row.reason == "--forbid ours: it is derived"


@pytest.mark.parametrize(
    ("code", "outcome", "exit_code", "said"),
    [
        (None, "timed out", 5, "60 s"),
        (-9, "killed", 5, "memory"),
        (-11, "crashed", 70, "SIGSEGV"),
        (3, "refused", 3, "no model"),
        (5, "failed", 5, "no model"),
        (4, "no evidence", 4, "no model"),
        (2, "usage", 2, "no model"),
        (70, "crashed", 70, "no model"),
    ],
)
def test_without_a_verdict_the_row_says_why(
    code: int | None, outcome: str, exit_code: int, said: str
) -> None:
    row = row_of(JOB, Ended(code=code, err="fp: error: no model\n"))
    assert (row.outcome, row.exit_code) == (outcome, exit_code)
    assert said in row.reason
    assert row.result is None


@pytest.mark.parametrize("out", [b"", b"done\n", b"[1]", b"\xff" * 100, b"[" * 100_000])
def test_an_end_with_0_and_without_a_document_is_no_pass(out: bytes) -> None:
    row = row_of(JOB, Ended(code=0, out=out))
    assert (row.outcome, row.exit_code) == ("crashed", 70)


def test_nothing_a_process_says_reaches_a_terminal_as_it_is() -> None:
    out = _document(verdict="\x1b[2J", reason="a\x07")
    row = row_of(JOB, Ended(code=0, out=out, err="fp: warning: \x1b[31m\n"))
    assert "\x1b" not in row.outcome + row.reason + "".join(row.warnings)


def test_a_row_is_read_as_it_was_written() -> None:
    row = row_of(JOB, Ended(code=0, out=_document(), err="fp: warning: old\n", seconds=2.0))
    assert Row.from_dict(json.loads(json.dumps(row.to_dict()))) == row


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((0, 0), 0), ((0, 4), 4), ((4, 3), 3), ((3, 5), 5), ((5, 70), 70), ((70, 1, 0), 1), ((), 0)],
)
def test_the_exit_code_of_many_is_the_worst(codes: tuple[int, ...], expected: int) -> None:
    rows = [Row(model="m", name="n", outcome="o", exit_code=code) for code in codes]
    assert worst(rows) == expected


def test_what_no_worker_could_end_is_no_pass() -> None:
    assert worst([lost(JOB, "its workers died")]) == 5
