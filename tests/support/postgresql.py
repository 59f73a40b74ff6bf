"""A PostgreSQL server of the tests' own: in a temporary folder, as an ordinary user, on no port.

Debian's binaries are used where they are installed, or where ``make test-postgresql`` unpacked
them. Nothing of it outlives the tests, so nothing is written through to the disk.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Server", "running", "server"]

# Where `make test-postgresql` unpacks what is not installed.
UNPACKED = Path(__file__).parents[2] / ".postgresql"
ORDINARY = "nobody"
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "autovacuum": "off",
}


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        binaries: Where its programs are.
        sockets: The folder of its socket.
        environment: What its programs need.
    """

    binaries: Path
    sockets: Path
    environment: dict[str, str] = field(repr=False)

    def url(self, database: str, user: str = "postgres") -> str:
        """Returns the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://{user}@/{database}?host={self.sockets}"

    def run(self, program: str, *words: str, user: str = "postgres") -> str:
        """Runs one of its programs against it and returns what it printed."""
        command = [str(self.binaries / program), "-h", str(self.sockets), "-U", user, *words]
        finished = subprocess.run(
            command, capture_output=True, text=True, check=False, env=self.environment, timeout=120
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout


@contextmanager
def running() -> Iterator[Server]:
    """Starts a server and ends it; the tests that want it are skipped where there is none."""
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="fp-postgresql-"))
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **_libraries(binaries)}
    user: dict[str, Any] = {"env": environment, "cwd": folder}
    if os.geteuid() == 0:
        # It refuses to run as root.
        shutil.chown(folder, ORDINARY)
        user |= {"user": ORDINARY, "extra_groups": []}
    try:
        _initialise(binaries, folder / "data", user)
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        words: list[str | Path] = ["-D", folder / "data", "-k", folder, *options]
        with (folder / "log").open("wb") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [binaries / "postgres", *words], stdout=log, stderr=log, **user
            )
        try:
            _wait(process, folder)
            yield Server(binaries, folder, environment)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server of the tests' own."""
    pytest.importorskip("psycopg", reason="needs the extra postgresql")
    with running() as started:
        yield started


def _binaries() -> Path:
    roots = (Path("/"), UNPACKED)
    found = [one for root in roots for one in root.glob("usr/lib/postgresql/*/bin/postgres")]
    if not found:
        pytest.skip("needs a PostgreSQL server: `make test-postgresql` fetches Debian's")
    return max(found, key=lambda one: int(one.parents[1].name)).parent


def _libraries(binaries: Path) -> dict[str, str]:
    if UNPACKED not in binaries.parents:
        return {}
    folders = {str(one.parent) for one in UNPACKED.glob("usr/lib/**/*.so.*")}
    return {"LD_LIBRARY_PATH": ":".join(sorted(folders))}


def _initialise(binaries: Path, data: Path, user: dict[str, Any]) -> None:
    words = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]
    try:
        made = subprocess.run(
            [binaries / "initdb", "-D", data, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            **user,
        )
    except PermissionError:
        pytest.skip(f"{user.get('user', getpass.getuser())} may not run what is in {binaries}")
    assert made.returncode == 0, made.stderr


def _wait(process: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, (folder / "log").read_text()
        # The last line of this file says when connections are taken.
        pid_file = folder / "data" / "postmaster.pid"
        if pid_file.exists() and "ready" in pid_file.read_text():
            return
        time.sleep(0.05)
    raise AssertionError((folder / "log").read_text())
