"""Every error is one line on stderr and the exit code of its branch, never a traceback."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

import registry.errors
from cli.errors import ExitCode, exit_code
from fingerprint import errors
from tests.cli.fakes import HOSTILE

EXPECTED = {
    errors.UsageError: 2,
    errors.InputRefused: 3,
    errors.NoEvidence: 4,
    errors.EnvironmentFailure: 5,
}
DOCUMENTED = {
    "UsageError": 2,
    "InputRefused": 3,
    "UnsafeFile": 3,
    "MalformedFile": 3,
    "IncompatibleModel": 3,
    "UnknownArchitecture": 3,
    "NoInformation": 3,
    "NoEvidence": 4,
    "AmbiguousArchitecture": 4,
    "EnvironmentFailure": 5,
}


def _tree(root: type[Exception]) -> Iterator[type[Exception]]:
    for child in root.__subclasses__():
        yield child
        yield from _tree(child)


def _instance(kind: type[Exception]) -> Exception:
    """Makes an error without knowing what its class asks for."""
    error = kind.__new__(kind)
    Exception.__init__(error, "expected this, got that; do so")
    return error


@pytest.mark.parametrize("kind", sorted(set(_tree(errors.FingerprintError)), key=repr))
def test_every_error_class_has_the_exit_code_of_its_branch(
    fp: Any, script: Any, kind: type[Exception]
) -> None:
    script.error = _instance(kind)
    result = fp("verify", "suspect.pt")
    code = next(code for branch, code in EXPECTED.items() if issubclass(kind, branch))
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr == "fp: error: expected this, got that; do so\n"


@pytest.mark.parametrize(("name", "code"), DOCUMENTED.items())
def test_the_documented_exit_codes_hold(name: str, code: int) -> None:
    assert exit_code(_instance(getattr(errors, name))) == code


def test_the_registrys_errors_keep_their_branches() -> None:
    assert exit_code(registry.errors.UnknownModel("x")) == ExitCode.USAGE
    assert exit_code(registry.errors.NameTaken("x")) == ExitCode.REFUSED
    assert exit_code(registry.errors.RegistryCorrupt("x", ())) == ExitCode.ENVIRONMENT


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 5, "No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 5, "/x: Permission denied"),
        (MemoryError(), 5, "not enough memory: allocation"),
        (type("OutOfMemoryError", (RuntimeError,), {})("cuda\nx"), 5, "not enough memory: cuda"),
        (TimeoutError("too slow"), 5, "too slow"),
    ],
    ids=["disk", "permission", "memory", "gpu memory", "time"],
)
def test_what_the_surroundings_refuse_is_an_environment_failure(
    fp: Any, script: Any, error: Exception, code: int, line: str
) -> None:
    script.error = error
    result = fp("verify", "suspect.pt")
    assert (result.exit_code, result.stderr) == (code, f"fp: error: {line}\n")


def test_a_defect_is_one_line_that_says_how_to_see_the_traceback(fp: Any, script: Any) -> None:
    script.error = ZeroDivisionError("by zero")
    result = fp("verify", "suspect.pt")
    assert result.exit_code == 70
    assert result.stderr.count("\n") == 1
    assert "ZeroDivisionError: by zero" in result.stderr
    assert "FP_DEBUG=1" in result.stderr


def test_fp_debug_shows_the_traceback_and_keeps_the_code(
    fp: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FP_DEBUG", "1")
    script.error = errors.UnsafeFile("a gadget")
    result = fp("verify", "suspect.pt")
    assert result.exit_code == 3
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("fp: error: a gadget\n")


def test_ctrl_c_is_130_and_says_nothing(fp: Any, script: Any) -> None:
    script.error = KeyboardInterrupt()
    result = fp("verify", "suspect.pt")
    assert (result.exit_code, result.output) == (130, "")


def test_a_message_from_a_hostile_file_stays_one_inert_line(fp: Any, script: Any) -> None:
    script.error = errors.MalformedFile(f"tensor {HOSTILE}: truncated")
    result = fp("verify", "suspect.pt")
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr
    assert "\u202e" not in result.stderr


def test_the_registry_is_closed_when_the_work_fails(fp: Any, script: Any) -> None:
    script.error = errors.NoInformation("dead")
    fp("register", "x.pt")
    assert script.named("close") == [{}]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nope"],
        ["nope"],
        ["verify"],
        ["verify", "x.pt", "--nope"],
        ["verify", "x.pt", "--alpha", "2"],
        ["verify", "x.pt", "--alpha", "a"],
        ["verify", "x.pt", "y.pt"],
        ["register", "x.pt", "--probes", "0"],
        ["register", "x.pt", "--probes", "1"],
        ["register", "x.pt", "--input-size", "3,-1,2"],
        ["register", "x.pt", "--parent", "nobody"],
        ["show", "nobody"],
        ["remove", "nobody", "--yes"],
        ["list", "--json=yes"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_usage_and_one_line(fp: Any, arguments: list[str]) -> None:
    result = fp(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("fp: error: ")
    assert result.stderr.count("\n") == 1
