"""What a process in a sandbox cannot do, by each backend that this machine has."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fingerprint.errors import EnvironmentFailure, InputRefused, UnsafeFile
from fingerprint.sandbox import backends, confinement
from fingerprint.sandbox.backends import BACKENDS, UNCONFINED, Backend, chosen, trouble
from fingerprint.sandbox.process import Confined
from tests.support.hostile import ATTEMPTS

_BACKENDS = pytest.mark.parametrize("backend", BACKENDS, ids=lambda one: one.kept, indirect=True)


def started(backend: Backend, **options: Any) -> Confined:
    return Confined(
        "tests.support.hostile", runs="somebody's code", backend=backend, threads=1, **options
    )


def tried(process: Confined, what: str, victim: Path) -> Any:
    header = {"request": "attempt", "what": what, "path": str(victim), "pid": os.getpid()}
    return process.request(header)[0]["errno"]


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    held: Backend = request.param
    if trouble(held):
        pytest.skip(f"{held.name}: {trouble(held)}")
    return held


@pytest.fixture
def process(backend: Backend) -> Iterator[Confined]:
    one = started(backend)
    yield one
    one.close()


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_bytes(b"whole")
    return path


@_BACKENDS
def test_every_attempt_is_refused_and_nothing_is_changed(process: Confined, victim: Path) -> None:
    before = os.stat(victim)
    # What is not there to be read cannot be found either, where folders are not shown at all.
    refusals = {errno.EPERM, errno.EACCES, errno.ENOENT, errno.ENOSYS}
    for what in ATTEMPTS:
        assert tried(process, what, victim) in refusals, what
    assert os.listdir(victim.parent) == ["victim"]
    assert victim.read_bytes() == b"whole"
    after = os.stat(victim)
    assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (
        before.st_mode,
        before.st_mtime_ns,
        before.st_nlink,
    )


def test_without_a_sandbox_the_same_attempts_do_something(victim: Path) -> None:
    process = started(UNCONFINED)
    done = [
        what
        for what in ("reads what is the user's", "opens a local socket", "forks", "signals another")
        if tried(process, what, victim) is None
    ]
    assert len(done) == 4


@_BACKENDS
def test_what_networks_need_works(process: Confined) -> None:
    assert process.request({"request": "computes"})[0]["sum"] == 1000


@_BACKENDS
def test_it_does_not_know_the_variables_of_whoever_started_it(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMEBODYS_TOKEN", "secret")
    names = started(backend).request({"request": "environment"})[0]["names"]
    assert "SOMEBODYS_TOKEN" not in names


@_BACKENDS
def test_memory_beyond_the_limit_is_the_reason(backend: Backend) -> None:
    process = started(backend, memory=2**30)
    with pytest.raises(UnsafeFile, match="more than 1 GiB of memory"):
        process.request({"request": "fills"})


@_BACKENDS
@pytest.mark.parametrize("what", ["sleeps", "spins"])
def test_what_takes_too_long_is_ended_and_says_so_from_then_on(
    process: Confined, what: str
) -> None:
    process.request({"request": "computes"})  # it is there
    process.seconds = 0.5
    for _ in range(2):
        with pytest.raises(EnvironmentFailure, match=r"took more than 0\.5 s and was ended"):
            process.request({"request": what})


def test_what_is_ended_just_after_it_answered_says_so_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Last(threading.Timer):
        """Is over at the moment at which the answer is there."""

        def cancel(self) -> None:
            super().cancel()
            self.function()

    process = started(UNCONFINED)
    monkeypatch.setattr(threading, "Timer", Last)
    assert process.request({"request": "computes"})[0]["sum"] == 1000
    for _ in range(2):
        with pytest.raises(EnvironmentFailure, match="took more than 600 s and was ended"):
            process.request({"request": "computes"})


@_BACKENDS
def test_its_death_is_told_in_one_line(backend: Backend) -> None:
    for what, how in (("ends", "with code 3"), ("aborts", "ended by signal|ended with code 134")):
        with pytest.raises(EnvironmentFailure, match=how) as caught:
            started(backend).request({"request": what})
        assert str(caught.value).isprintable()


@_BACKENDS
def test_what_it_says_is_not_believed(process: Confined) -> None:
    with pytest.raises(InputRefused) as caught:
        process.request({"request": "lies"})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    inputs = np.zeros((2, 3), np.float32)
    for shape, size in (
        ([5, 2], 40),
        ([2, 10**30], 40),
        ("x", 40),
        ([], 40),
        ([2, 2], 15),
        ([2, 0], 0),
    ):
        with pytest.raises(EnvironmentFailure, match="something else than answers"):
            process.ask({"sent": shape, "bytes": size}, inputs)
    assert process.ask({"sent": [2, 5], "bytes": 40}, inputs).shape == (2, 5)


def test_the_first_backend_that_holds_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        backends, "trouble", lambda one: "it does not" if one is BACKENDS[0] else ""
    )
    assert chosen(required=True) is BACKENDS[1]
    assert chosen(required=True, wanted=False) is UNCONFINED


def test_without_any_nothing_that_needs_one_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "trouble", lambda one: "it does not")
    assert chosen(required=False) is UNCONFINED
    with pytest.raises(UnsafeFile, match=r"none holds on this machine.*--no-sandbox") as caught:
        chosen(required=True)
    assert all(one.name in str(caught.value) for one in BACKENDS)
    assert "\n" not in str(caught.value)


def test_a_process_that_is_not_held_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    for step in ("restrict_files", "refuse_other_calls", "_limit"):
        monkeypatch.setattr(confinement, step, lambda *arguments: None)
    with pytest.raises(OSError, match=r"does not hold: .* reads the root folder"):
        confinement.keep_to_packages(confinement.LANDLOCK)
    with pytest.raises(OSError, match=r"does not hold: .* opens files for writing"):
        confinement.give_up(confinement.LANDLOCK, 0)


def test_one_that_does_not_start_is_none() -> None:
    def start(arguments: Any) -> Any:
        raise OSError(errno.EPERM, "not permitted")

    assert "not permitted" in trouble(Backend(name="none", kept="namespaces", start=start))
