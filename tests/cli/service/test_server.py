"""A real server on loopback: killed in the middle of its jobs, it goes on and does each once."""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import trustme
from numpy.typing import NDArray
from safetensors.torch import save_file
from typer.testing import CliRunner

from cli.main import app
from registry import Registry
from tests.cli.service.test_jobs import FED, LOADING, SHAPE, answers_of
from tests.support.digits import network
from tests.support.postgresql import Server
from tests.support.servers import oip_server

ROOT = Path(__file__).parents[3]
PATIENCE = 240.0
"""Seconds until something that must happen has not; machines may be slow."""


def until(happened: Callable[[], Any]) -> Any:
    """Waits until something has happened, and returns it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = happened()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen")


class Gate:
    """A network that answers so many inputs, and the others when it is opened.

    Attributes:
        opened: Lets everything through.
        answered: How often it answered each input.
    """

    def __init__(self, most: int) -> None:
        self.most, self.opened = most, threading.Event()
        self.answered: Counter[bytes] = Counter()
        self.waiting = False
        self._answer = answers_of(0)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if sum(self.answered.values()) >= self.most:
            self.waiting = True
            self.opened.wait(PATIENCE)
        self.answered.update(one.tobytes() for one in values)
        rows: NDArray[np.float32] = self._answer(values)
        return rows


def certified(folder: Path, authority: trustme.CA) -> list[str]:
    """Writes a certificate for loopback and its key, and returns the options that name them."""
    made = authority.issue_cert("127.0.0.1")
    made.private_key_pem.write_to_path(folder / "key.pem")
    for blob in made.cert_chain_pems:
        blob.write_to_path(folder / "certificate.pem", append=True)
    return ["--certificate", str(folder / "certificate.pem"), "--key", str(folder / "key.pem")]


class Serving:
    """``fp serve`` in a process of its own."""

    def __init__(
        self,
        database: Path | str,
        secret: str,
        authority: trustme.CA | None = None,
        folder: Path | None = None,
    ) -> None:
        arguments = [
            "--registry",
            str(database),
            "--port",
            "0",
            "--workers",
            "2",
            "--rate",
            "99999",
        ]
        verify: Any = True
        if authority is not None:
            verify = ssl.create_default_context()
            authority.configure_trust(verify)
            arguments += certified(Path(database).parent, authority)
        if folder is not None:
            arguments += ["--folder", str(folder)]
        arguments += ["--allow-private", "--allow-code", "fingerprint.lab.networks"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "serve", *arguments],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert "serving" in line, line
        headers = {"Authorization": f"Bearer {secret}"}
        url = line.rpartition(" at ")[2].strip()
        self.client = httpx2.Client(base_url=url, headers=headers, timeout=PATIENCE, verify=verify)
        self.url = url

    def post(self, path: str, status: int, **options: Any) -> dict[str, Any]:
        answer = self.client.post(path, **options)
        assert answer.status_code == status, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def upload(self, file: Path) -> str:
        where = f"/v1/uploads?filename={file.name}"
        return str(self.post(where, 201, content=file.read_bytes())["id"])

    def job(self, identifier: str) -> dict[str, Any]:
        document: dict[str, Any] = self.client.get(f"/v1/jobs/{identifier}").json()
        return document

    def ended(self, identifier: str) -> dict[str, Any]:
        def job() -> Any:
            found = self.job(identifier)
            return found if found["state"] not in ("queued", "running") else None

        found: dict[str, Any] = until(job)
        return found

    def end(self, number: signal.Signals) -> int:
        self.client.close()
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server")
    for name, seed in (("ours", 0), ("theirs", 1)):
        save_file(network("mlp", seed).state_dict(), folder / f"{name}.safetensors")
    return folder / "registry.db"


@pytest.fixture(scope="module")
def secret(database: Path) -> str:
    return token(database)


def token(registry: Path | str, *more: str) -> str:
    """Returns the secret of a token that may do everything."""
    arguments = ["token", "add", "alice", "--role", "admin", "-q", "--registry", str(registry)]
    result = CliRunner().invoke(app, [*arguments, *more], prog_name="fp")
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


@contextmanager
def served(
    database: Path | str,
    secret: str,
    *,
    authority: trustme.CA | None = None,
    folder: Path | None = None,
) -> Iterator[Serving]:
    serving = Serving(database, secret, authority, folder)
    try:
        yield serving
    finally:
        if serving.process.poll() is None:
            serving.end(signal.SIGKILL)


def children(process: subprocess.Popen[str]) -> list[int]:
    """Returns the processes that a process has started, where the system says."""
    listed = [one / "children" for one in Path(f"/proc/{process.pid}/task").glob("*")]
    if not listed or not listed[0].is_file():
        pytest.skip("needs /proc, to see who is there")
    return [int(one) for file in listed for one in file.read_text().split()]


def written(database: Path, action: str, job: str) -> list[dict[str, Any]]:
    with Registry(database) as registry:
        registry.check()
        found = [one.payload for one in registry.entries() if one.action == action]
    return [one for one in found if one["by"].get("job") == job]


def test_killed_in_the_middle_of_jobs_a_server_goes_on_and_does_each_once(
    database: Path, secret: str
) -> None:
    ours, theirs = (database.with_name(f"{name}.safetensors") for name in ("ours", "theirs"))
    gate = Gate(most=40)
    with oip_server(gate, SHAPE) as endpoint:
        with served(database, secret) as serving:
            wish = {"upload": serving.upload(ours), "from_scratch": True, "loading": LOADING}
            first = serving.post("/v1/models", 202, json=wish)
            assert serving.ended(first["id"])["result"]["model"] == "ours"
            asking = {"concurrency": 1, "per_request": 1, "timeout": 300}
            wish = {"address": f"{endpoint.url}/v2/models/ours", "asking": asking, "loading": FED}
            verifying = serving.post("/v1/verifications", 202, json=wish)["id"]
            wish = {"upload": serving.upload(theirs), "loading": LOADING}
            registering = serving.post("/v1/models", 202, json=wish)["id"]
            until(lambda: gate.waiting and serving.job(registering)["progress"])
            assert serving.end(signal.SIGKILL) == -signal.SIGKILL
        assert written(database, "verify", verifying) == []
        gate.opened.set()
        with served(database, secret) as serving:
            verified, registered = serving.ended(verifying), serving.ended(registering)
            assert verified["state"] == "done", verified
            assert verified["interrupted"] == 1
            assert verified["result"]["verdict"] == "same"
            assert registered["state"] == "done", registered
            number = verified["result"]["verification"]
            page = serving.client.get(f"/verdicts/{number}")
            assert "is the same as" in page.text or "same" in page.text
            assert serving.client.get("/").text.count("/verdicts/") >= 1
            assert serving.end(signal.SIGTERM) == 128 + signal.SIGTERM
    (entry,) = written(database, "verify", verifying)
    assert entry["number"] == number
    assert len(written(database, "register", registering)) <= 1
    with Registry(database) as registry:
        assert [one.name for one in registry.models()] == ["ours", "theirs"]
        assert len(registry.verifications()) == 1
    # What was answered before was kept: nothing but the trial, and what is meant to be asked twice.
    repeated = sum(count - 1 for count in gate.answered.values())
    assert repeated < 30


@pytest.mark.postgresql
def test_a_registry_on_a_server_is_served_and_survives_the_one_who_serves(
    database: Path, server: Server, tmp_path: Path
) -> None:
    server.run("createdb", "served")
    url, folder = server.url("served"), tmp_path / "service"
    secret = token(url, "--folder", str(folder))
    ours = database.with_name("ours.safetensors")
    with served(url, secret, folder=folder) as serving:
        wish = {"upload": serving.upload(ours), "loading": LOADING}
        job = serving.ended(serving.post("/v1/models", 202, json=wish)["id"])
        assert job["state"] == "done", job
        assert serving.end(signal.SIGKILL) == -signal.SIGKILL
    with served(url, secret, folder=folder) as serving:
        assert serving.job(job["id"])["result"]["model"] == "ours"
        wish = {"upload": serving.upload(ours), "loading": LOADING}
        verified = serving.ended(serving.post("/v1/verifications", 202, json=wish)["id"])
        assert verified["state"] == "done", verified
        assert verified["result"]["verdict"] == "same"
        assert "/verdicts/1" in serving.client.get("/").text
        assert serving.end(signal.SIGTERM) == 128 + signal.SIGTERM
    with Registry(url) as registry:
        registry.check()
        assert [one.name for one in registry.models()] == ["ours"]
        by = [one.payload["by"]["job"] for one in registry.entries() if one.action == "verify"]
    assert by == [verified["id"]]


def test_a_running_job_can_be_stopped_and_its_files_go(database: Path, secret: str) -> None:
    gate, authority = Gate(most=1), trustme.CA()
    with (
        oip_server(gate, SHAPE) as endpoint,
        served(database, secret, authority=authority) as serving,
    ):
        assert serving.url.startswith("https://")
        asking = {"token": "s3cr3t", "timeout": 300}
        wish = {"address": f"{endpoint.url}/v2/models/ours", "asking": asking, "loading": FED}
        if not serving.client.get("/v1/models").json()["models"]:
            upload = serving.upload(database.with_name("ours.safetensors"))
            made = {"upload": upload, "loading": LOADING}
            serving.ended(serving.post("/v1/models", 202, json=made)["id"])
        job = serving.post("/v1/verifications", 202, json=wish)["id"]
        until(lambda: gate.waiting)
        running = children(serving.process)
        assert running
        serving.post(f"/v1/jobs/{job}/cancel", 202)
        assert serving.ended(job)["state"] == "cancelled"
        until(lambda: not children(serving.process))
        gate.opened.set()
        private = database.with_name("registry.db.service") / "jobs" / job
        until(lambda: not private.exists())
        # One folder has one server.
        second = subprocess.run(
            [sys.executable, "-m", "cli", "serve", "--registry", str(database), "--port", "0"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert second.returncode == 5, second.stderr
        assert "another fp serve has this folder" in second.stderr
        assert serving.end(signal.SIGTERM) == 128 + signal.SIGTERM
    assert written(database, "verify", job) == []
    (stopped,) = written(database, "cancel", job)
    assert stopped["by"]["token"] == "alice"


def test_a_certificate_that_is_none_is_said_in_one_line(database: Path) -> None:
    wrong = database.with_name("wrong.pem")
    wrong.write_text("no certificate")
    where = ("--registry", str(database.with_name("other.db")), "--port", "0")
    arguments = ["serve", *where, "--certificate", str(wrong), "--key", str(wrong)]
    result = CliRunner().invoke(app, arguments, prog_name="fp")
    assert result.exit_code == 5
    assert result.stderr.splitlines()[-1].startswith("fp: error: --certificate, --key: ")
