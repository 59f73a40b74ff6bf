"""Jobs with real networks: what each kind does, what is refused, and that each is done once."""

from __future__ import annotations

import csv
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from fingerprint import load_model
from fingerprint.errors import EnvironmentFailure, FingerprintError, InputRefused, UnsafeFile
from fingerprint.network.run import run
from fingerprint.progress import silent
from registry import Registry
from tests.support.digits import network
from tests.support.servers import Said, Seen, Server, oip_server

if TYPE_CHECKING:
    from cli.service.jobs import Job, Jobs
    from cli.service.service import Service

ARCH = "fingerprint.lab.networks:mlp"
SHAPE = (1, 16, 16)
FED = {"input_size": list(SHAPE), "mean": [0.5], "std": [0.5]}
LOADING = {"arch": ARCH, **FED}


@dataclass(frozen=True)
class Site:
    """A service that does its jobs in this process, when it is told to."""

    service: Service
    folder: Path

    @property
    def jobs(self) -> Jobs:
        return self.service.jobs

    def kept(self, path: Path) -> str:
        """Puts a file where an upload would be, and returns what it is called."""
        import anyio

        async def chunks() -> Any:
            yield path.read_bytes()

        return anyio.run(self.service.uploads.receive, "alice", path.name, chunks()).id

    def asked(self, kind: Any, **wish: Any) -> Job:
        """Asks for a job, as a request would."""
        from cli.service.wishes import RegisterWish, VerifyWish, plain, wish_from

        made: Any = RegisterWish if kind == "register" else VerifyWish
        values = plain(wish_from(made, wish))
        upload = wish.get("upload") or wish.get("answers")
        return self.service.ask(kind, "alice", values, upload=upload)

    def done(self, kind: Any, **wish: Any) -> dict[str, Any]:
        """Asks for a job, and does it."""
        from cli.service.work import work

        self.asked(kind, **wish)
        job = self.jobs.take()
        assert job is not None
        try:
            result = work(job, self.service.settings, self.service.store, silent)
        except FingerprintError:
            self.jobs.end(job.id, "failed", problem={})
            raise
        self.jobs.end(job.id, "done", result=result)
        return result

    def written(self, action: str) -> list[dict[str, Any]]:
        """Returns what the chain says of one kind of action."""
        return [one.payload for one in self.service.registry.entries() if one.action == action]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service with one registered model, which was uploaded."""
    from cli.service.service import Service
    from cli.service.settings import Settings
    from cli.service.store import Store

    folder = tmp_path_factory.mktemp("jobs")
    for name, module in (("ours", network("mlp")), ("theirs", network("mlp", 1))):
        save_file(module.state_dict(), folder / f"{name}.safetensors")
    settings = Settings(
        registry=str(folder / "registry.db"),
        folder=folder / "service",
        code=("fingerprint.lab.networks",),
        allow_private=True,
    )
    with (
        mock.patch("secrets.token_hex", side_effect=_hex()),
        Registry(settings.registry) as registry,
    ):
        service = Service(settings=settings, registry=registry, store=Store(settings.folder))
        made = Site(service, folder)
        upload = made.kept(folder / "ours.safetensors")
        result = made.done("register", upload=upload, from_scratch=True, loading=LOADING)
        assert result["model"] == "ours"
        yield made


def _hex() -> Any:
    """Draws the same seed whichever test comes first, and names that differ."""
    number = 0
    while True:
        number += 1
        yield f"{number:016x}" if number > 1 else "5e" * 32


def answers_of(seed: int) -> Any:
    """Returns what a network answers to tensors."""
    module = network("mlp", seed)

    def answer(values: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            rows: NDArray[np.float32] = module(torch.tensor(values, dtype=torch.float32)).numpy()
        return rows

    return answer


def test_what_is_registered_says_who_asked_for_it(site: Site) -> None:
    (entry,) = site.written("register")
    assert entry["by"]["token"] == "alice"
    model = site.service.registry.model("ours")
    assert model.from_scratch
    assert model.file_path is not None
    assert site.service.store.folder in Path(model.file_path).parents


def test_a_suspect_that_is_uploaded_is_verified_and_policies_are_judged(site: Site) -> None:
    upload = site.kept(site.folder / "ours.safetensors")
    result = site.done("verify", upload=upload, forbid=["ours"], loading=LOADING)
    assert (result["verdict"], result["best"], result["exit_code"]) == ("same", "ours", 1)
    assert result["reasons"] == ["--forbid ours: the suspect has its very weights"]
    assert site.written("verify")[-1]["by"]["token"] == "alice"
    assert site.written("verify")[-1]["number"] == result["verification"]


def test_a_stranger_is_not_called_ours_and_no_evidence_is_no_pass(site: Site) -> None:
    upload = site.kept(site.folder / "theirs.safetensors")
    result = site.done("verify", upload=upload, expect="ours", loading=LOADING)
    assert result["best"] is None
    assert result["exit_code"] == {"independent": 1, "inconclusive": 4}[result["verdict"]]


def test_a_suspect_behind_an_address_is_asked_with_the_token_that_was_given(site: Site) -> None:
    with oip_server(answers_of(0), SHAPE) as server:
        job = site.asked(
            "verify", address=f"{server.url}/v2/models/ours", asking={"tries": 1}, loading=FED
        )
        private = site.service.store.private(job.id)
        private.mkdir(parents=True)
        (private / "token").write_text("s3cr3t")
        from cli.service.work import work

        taken = site.jobs.take()
        assert taken is not None
        with mock.patch.dict("os.environ"):
            result = work(taken, site.service.settings, site.service.store, silent)
        site.jobs.end(job.id, "done", result=result)
        assert result["verdict"] == "same"
        assert {one.headers.get("authorization") for one in server.seen} == {"Bearer s3cr3t"}


def test_answers_that_people_wrote_down_are_judged(site: Site) -> None:
    registry = site.service.registry
    handout = site.folder / "handout"
    registry.export_probes(["ours"], handout)
    model = load_model(
        site.folder / "ours.safetensors", arch=ARCH, input_size=SHAPE, mean=(0.5,), std=(0.5,)
    )
    files = sorted((handout / "pictures").iterdir())
    pixels = np.stack([np.asarray(Image.open(file), np.uint8)[None] for file in files])
    rows = run(model, pixels)
    table = site.folder / "answers.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [[file.name, *map(float, row)] for file, row in zip(files, rows, strict=True)]
        )
    result = site.done("verify", answers=site.kept(table))
    assert (result["verdict"], result["best"]) == ("same", "ours")


def test_weights_are_fetched_from_an_address(site: Site) -> None:
    body = (site.folder / "theirs.safetensors").read_bytes()

    def answer(seen: Seen) -> Said:
        return Said(body=body) if seen.path == "/team/fetched.safetensors" else Said(status=404)

    with Server(answer) as server:
        uri = f"{server.url}/team/fetched.safetensors"
        result = site.done("register", uri=uri, probes=6, loading=LOADING)
        assert result["model"] == "fetched"
        with pytest.raises(EnvironmentFailure, match="HTTP 404"):
            site.done("register", uri=f"{server.url}/nothing.pt", loading=LOADING)
    site.service.registry.remove("fetched")


def test_private_addresses_are_asked_only_where_the_operator_allows_it(
    site: Site, tmp_path: Path
) -> None:
    from cli.service.fetching import fetched

    with (
        Server(lambda seen: Said(body=b"x")) as server,
        pytest.raises(InputRefused, match="expected a public address"),
    ):
        fetched(
            f"{server.url}/x.pt", tmp_path, most=9, seconds=9, allow_private=False, progress=silent
        )
    assert server.seen == []


class Planted:
    """A pickle that would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def test_an_upload_that_would_run_code_is_refused_and_has_run_none(site: Site) -> None:
    target = site.folder / "planted"
    file = site.folder / "evil.pt"
    file.write_bytes(pickle.dumps(Planted(target)))
    for kind in ("verify", "register"):
        with pytest.raises((UnsafeFile, InputRefused)):
            site.done(kind, upload=site.kept(file), loading=LOADING)
    assert not target.exists()


def test_a_job_that_wrote_its_verdict_and_was_killed_before_it_said_so_is_done(site: Site) -> None:
    from cli.service.work import found, work

    job = site.asked(
        "verify",
        upload=site.kept(site.folder / "ours.safetensors"),
        expect="ours",
        loading=LOADING,
    )
    assert found(site.service.registry, job) is None
    taken = site.jobs.take()
    assert taken is not None
    result = work(taken, site.service.settings, site.service.store, silent)
    before = len(site.written("verify"))
    again = work(taken, site.service.settings, site.service.store, silent)
    assert len(site.written("verify")) == before
    assert {**again, "notes": []} == {**result, "notes": []}
    assert again["exit_code"] == 0
    site.jobs.end(job.id, "done", result=result)


def test_a_model_that_was_registered_and_not_said_so_is_registered_once(site: Site) -> None:
    from cli.service.work import found

    job = next(one for one in site.jobs.latest("alice", 100)[::-1] if one.kind == "register")
    assert found(site.service.registry, job) == {"model": "ours", "notes": []}


def test_a_job_ends_once_and_one_that_always_dies_is_not_begun_again(site: Site) -> None:
    upload = site.kept(site.folder / "ours.safetensors")
    job = site.asked("verify", upload=upload, loading=LOADING)
    for _ in range(4):
        assert site.jobs.take() is not None
        assert site.jobs.put_back(job.id, counted=True)
    assert site.jobs.take() is not None
    assert site.jobs.put_back(job.id, counted=False)
    assert site.jobs.take() is not None
    assert not site.jobs.put_back(job.id, counted=True)
    site.jobs.end(job.id, "failed", problem={"status": 422})
    site.jobs.end(job.id, "done", result={})
    ended = site.jobs.get(job.id)
    assert (ended.state, ended.result, ended.interrupted) == ("failed", None, 4)


def test_what_a_job_says_of_files_does_not_say_where_they_lie(site: Site) -> None:
    from cli.service.problems import problem_of

    folder = site.service.store.folder
    error = InputRefused(f"{folder}/files/0123456789abcdef/net.pt: expected weights")
    assert problem_of(error, folder=folder).detail == "net.pt: expected weights"


def test_a_token_that_a_killed_server_left_without_a_job_is_removed(site: Site) -> None:
    from cli.service.supervisor import Supervisor

    store = site.service.store
    job = site.asked("verify", upload=site.kept(site.folder / "ours.safetensors"), loading=LOADING)
    for name in (job.id, "left"):
        store.private(name).mkdir(parents=True)
        (store.private(name) / "token").write_text("secret")
    supervisor = Supervisor(site.service.settings, store, site.service.registry)
    with mock.patch.object(Supervisor, "_tend"):
        supervisor.start()
        supervisor.stop()
    assert (store.private(job.id) / "token").is_file()
    assert not store.private("left").exists()
    site.jobs.cancel(job.id)


def test_where_memory_runs_out_a_job_goes_before_its_server() -> None:
    command = [sys.executable, "-P", "-m", "cli.service.child"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as child:
        score = Path(f"/proc/{child.pid}/oom_score_adj")
        try:
            if not score.is_file():
                pytest.skip("needs /proc, where the system says who goes first")
            until = time.monotonic() + 60
            while score.read_text() != "1000\n" and time.monotonic() < until:
                time.sleep(0.05)
            assert score.read_text() == "1000\n"
        finally:
            child.kill()


def test_verdicts_and_reports_do_not_say_where_files_lie(site: Site) -> None:
    from starlette.testclient import TestClient

    from cli.service.app import application

    upload = site.kept(site.folder / "ours.safetensors")
    number = site.done("verify", upload=upload, loading=LOADING)["verification"]
    with mock.patch("secrets.token_hex", return_value="5e" * 6):
        secret = site.service.tokens.make("reader", ("reader",))
    client = TestClient(application(site.service))
    headers = {"Authorization": f"Bearer {secret}"}
    for path in ("", "/report"):
        said = client.get(f"/v1/verifications/{number}{path}", headers=headers).text
        assert "ours.safetensors" in said
        assert str(site.folder) not in said


@pytest.mark.parametrize("change", ["gone", "another"])
def test_weights_that_were_not_compared_do_not_say_where_files_lie(site: Site, change: str) -> None:
    registered = Path(str(site.service.registry.model("ours").file_path))
    kept = registered.read_bytes()
    upload = site.kept(site.folder / "ours.safetensors")
    registered.unlink()
    if change == "another":
        registered.write_bytes((site.folder / "theirs.safetensors").read_bytes())
    try:
        number = site.done("verify", upload=upload, loading=LOADING)["verification"]
    finally:
        registered.unlink(missing_ok=True)
        registered.write_bytes(kept)
    (found,) = site.service.verdict(number).evidence["weights"]
    assert found["verdict"] == "not_compared"
    assert f"({registered.name}" in found["reason"]
    assert str(site.folder) not in found["reason"]
