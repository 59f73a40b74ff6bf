"""Signals, closed pipes, odd locales and a read-only home end quietly, with the right code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FAKE_FP = [sys.executable, "-m", "tests.cli.fake_fp"]


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*FAKE_FP, "0", *arguments],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
def test_a_signal_during_work_ends_at_once_with_its_code_and_no_traceback(
    number: signal.Signals, code: int
) -> None:
    # A process that began in the background ignores Ctrl-C, and what it starts inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _assert_ended_by(number, code)
    finally:
        signal.signal(signal.SIGINT, before)


def _assert_ended_by(number: signal.Signals, code: int) -> None:
    with subprocess.Popen(
        [*FAKE_FP, "60", "verify", "x.pt"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"working\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=50)
    assert process.returncode == code
    assert (out, err) == (b"", b"")


@pytest.mark.parametrize(
    "arguments", [["list"], ["list", "--json"], ["verify", "x.pt"], ["--help"]], ids=" ".join
)
def test_a_reader_that_has_gone_away_causes_no_traceback(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*FAKE_FP, "0", *arguments], stdout=writer, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writer)
    assert done.stderr == b""


def test_a_closed_pipe_does_not_change_what_the_exit_code_says() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    codes = []
    try:
        for policy in ("--expect", "--forbid"):
            command = [*FAKE_FP, "0", "verify", "x.pt", policy, "ours"]
            codes.append(subprocess.run(command, stdout=writer, stderr=writer, check=False))
    finally:
        os.close(writer)
    assert [done.returncode for done in codes] == [0, 1]


def test_closed_standard_streams_are_survived() -> None:
    command = " ".join([*FAKE_FP, "0", "verify", "x.pt", "--forbid", "ours"])
    done = subprocess.run(["sh", "-c", f"{command} <&- >&- 2>&-"], check=False)
    assert done.returncode == 1


@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}],
    ids=str,
)
def test_a_locale_that_cannot_spell_a_name_shows_it_escaped(environment: dict[str, str]) -> None:
    done = _run("show", "имя-моделі", **environment)
    assert done.returncode == 2
    assert done.stderr.startswith(b"fp: error: ")
    assert done.stderr.count(b"\n") == 1


def test_no_bars_are_drawn_off_a_terminal() -> None:
    done = _run("verify", "x.pt")
    assert done.returncode == 0
    assert done.stderr == b""


def test_nothing_is_written_to_a_home_that_is_read_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    for arguments in (["--help"], ["--version"], ["verify", "x.pt"]):
        assert _run(*arguments, HOME=str(home)).returncode == 0
    assert list(home.iterdir()) == []


def test_other_libraries_warnings_do_not_reach_the_user() -> None:
    program = (
        "import sys, warnings; sys.argv = ['fp', '--version'];"
        "from cli.__main__ import main; main(); warnings.warn('noise')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stderr == b""


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_stream_closed_before_the_start_is_no_reason_for_a_traceback(closed: str) -> None:
    number = {"stdout": 1, "stderr": 2}[closed]
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {number}>&-', "sh", *FAKE_FP, "0", "list"],
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("options", [["--json"], []], ids=["json", "table"])
def test_what_a_networks_code_prints_goes_to_stderr(options: list[str]) -> None:
    quiet, noisy = (_run("verify", "x.pt", *options, FP_TEST_NOISE=noise) for noise in ("", "1"))
    assert (noisy.returncode, noisy.stdout) == (quiet.returncode, quiet.stdout)
    assert noisy.stdout
    for line in (b"printed", b"around the stream", b"around Python", b"another program"):
        assert line in noisy.stderr


def test_stdout_is_given_back_after_a_command() -> None:
    program = (
        "import sys; sys.argv = ['fp', '0', 'list'];"
        "from tests.cli.fake_fp import _main as main\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "print('afterwards', flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.endswith(b"afterwards\n")
    assert done.stderr == b""
