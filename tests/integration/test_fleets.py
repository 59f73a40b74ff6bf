"""Many real models at once: whatever one of them does to its process, the others are done."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from torch import nn

from cli.fleets import scheduling
from cli.fleets.jobs import Job, worst
from fingerprint.lab.networks import mlp
from registry import Registry
from registry.ledger import origin
from tests.support.digits import network
from tests.support.postgresql import Server

HERE = "tests.integration.test_fleets"
OPTIONS = ("--input-size", "1,16,16", "--probes", "6")
ROOT = Path(__file__).parents[2]


# Factories for --arch, which run in the processes of the models.


def hangs() -> nn.Module:
    time.sleep(3600)
    return mlp()


def is_killed() -> nn.Module:
    """Ends as it would where memory runs out: the system kills it."""
    os.kill(os.getpid(), signal.SIGKILL)
    return mlp()


def crashes() -> nn.Module:
    os.kill(os.getpid(), signal.SIGSEGV)
    return mlp()


def leaves() -> nn.Module:
    os._exit(0)


def loses_its_worker() -> nn.Module:
    """Kills the Dask worker that it is for, the first time, and would then go on for ever."""
    import psutil

    (folder,) = (Path(one) for one in (os.environ["FP_TEST_FOLDER"],))
    first = folder / "first"
    if not first.exists():
        first.write_text(str(os.getpid()))
        worker = psutil.Process().parent().parent()
        worker.kill()
        time.sleep(3600)
    return mlp()


# Tools.


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in json.loads(self.out)["models"]}

    @property
    def outcomes(self) -> dict[str, str]:
        return {name: row["outcome"] for name, row in self.rows.items()}


def fp(registry: Path | str, *arguments: object, **environment: str) -> Done:
    """Runs ``fp`` as a program, as its workers are begun by it."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "FP_REGISTRY": str(registry), **environment},
        timeout=500,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three networks, and what is none."""
    folder = tmp_path_factory.mktemp("models")
    for seed in range(3):
        weights = network("mlp", seed).state_dict()
        copies = {key: value.contiguous() for key, value in weights.items()}
        save_file(copies, folder / f"digits_{seed}.safetensors")
    (folder / "broken.pt").write_bytes(b"no network")
    return folder


def _list(folder: Path, models: Path, **factories: str) -> Path:
    """Writes a list of the first network, built by each of these factories."""
    lines = [
        {"model": str(models / "digits_0.safetensors"), "name": name, "arch": f"{where}"}
        for name, where in factories.items()
    ]
    path = folder / "models.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def _entries(registry: Path) -> int:
    with sqlite3.connect(registry) as connection:
        query = "select count(*) from chain where action = 'register'"
        return int(connection.execute(query).fetchone()[0])


ALONE = ("--arch", "fingerprint.lab.networks:mlp", *OPTIONS)


@pytest.mark.slow
def test_whatever_one_model_does_the_others_are_registered(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = tmp_path / "audit.db"
    monkeypatch.chdir(ROOT)

    def job(name: str, arch: str, seconds: float = 3600) -> Job:
        return Job(
            verb="register",
            model=str(models / "digits_0.safetensors"),
            name=name,
            words=(f"--arch={arch}", "--input-size=1,16,16", "--probes=6", f"--name={name}"),
            registry=str(registry),
            seconds=seconds,
            folder=str(ROOT),
        )

    jobs = [
        job("hangs", f"{HERE}:hangs", seconds=5),
        *(job(one, f"{HERE}:{one}") for one in ("is_killed", "crashes", "leaves")),
        job("good", "fingerprint.lab.networks:mlp"),
    ]
    with scheduling.one_by_one() as run:
        rows = {row.name: row for row in run(jobs)}
    assert {name: row.outcome for name, row in rows.items()} == {
        "hangs": "timed out",
        "is_killed": "killed",
        "crashes": "crashed",
        "leaves": "crashed",
        "good": "registered",
    }
    assert worst(rows.values()) == 70
    assert "5 s" in rows["hangs"].reason
    with Registry(registry) as opened:
        assert [one.name for one in opened.models()] == ["good"]


@pytest.mark.slow
def test_a_second_run_registers_what_is_missing_and_suspects_are_recognised(
    tmp_path: Path, models: Path
) -> None:
    registry = tmp_path / "audit.db"
    first = fp(registry, "register", models / "digits_0.safetensors", *ALONE)
    assert first.code == 0
    done = fp(registry, "register", "--each", models, "--workers", "1", *ALONE)
    assert done.outcomes == {
        "broken": "refused",
        "digits_0": "known",
        "digits_1": "registered",
        "digits_2": "registered",
    }
    assert done.code == 3
    assert done.rows["digits_1"]["result"]["name"] == "digits_1"
    assert _entries(registry) == 3
    suspects = fp(
        registry, "verify", "--each", models, "--forbid", "digits_1", "--workers", "1", *ALONE[:4]
    )
    assert suspects.code == 1
    assert suspects.outcomes["digits_1.safetensors"] == "same"
    assert suspects.rows["digits_1.safetensors"]["exit_code"] == 1
    assert suspects.rows["digits_1.safetensors"]["result"]["best"] == "digits_1"
    assert suspects.rows["broken.pt"]["exit_code"] == 3


def _needs_dask() -> None:
    pytest.importorskip("distributed", reason="needs the extra fleet")
    pytest.importorskip("cryptography", reason="needs the extra fleet")


def _alive(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.fleet
def test_a_model_whose_worker_is_killed_is_registered_once(tmp_path: Path, models: Path) -> None:
    _needs_dask()
    registry = tmp_path / "audit.db"
    path = _list(tmp_path, models, unlucky=f"{HERE}:loses_its_worker")
    with path.open("a") as stream:
        for seed in (1, 2):
            model = str(models / f"digits_{seed}.safetensors")
            arch = "fingerprint.lab.networks:mlp"
            stream.write("\n" + json.dumps({"model": model, "arch": arch}))
    done = fp(
        registry, "register", "--list", path, "--workers", "2", *OPTIONS,
        FP_TEST_FOLDER=str(tmp_path),
    )  # fmt: skip
    assert done.outcomes == dict.fromkeys(("unlucky", "digits_1", "digits_2"), "registered")
    assert done.code == 0
    assert "Traceback" not in done.err
    assert _entries(registry) == 3
    with Registry(registry) as opened:
        opened.check()
    # The process that its worker left behind ends as well.
    left = int((tmp_path / "first").read_text())
    while _alive(left):
        time.sleep(0.1)


@contextmanager
def _cluster(folder: Path) -> Iterator[str]:
    """Begins a cluster of somebody's, without GPUs; its workers have this environment."""
    _needs_dask()
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        local_directory=str(folder / "dask"),
    ) as found:
        yield str(found.scheduler_address)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    with _cluster(tmp_path) as address:
        yield address


@pytest.mark.fleet
def test_a_cluster_does_the_work_or_it_is_said_why_not(
    tmp_path: Path, models: Path, cluster: str
) -> None:
    registry = tmp_path / "audit.db"
    register = ("register", "--each", models, "--scheduler", cluster, *ALONE)
    done = fp(registry, *register)
    assert done.outcomes == {
        "broken": "refused",
        **dict.fromkeys(("digits_0", "digits_1", "digits_2"), "registered"),
    }
    assert _entries(registry) == 3
    gpus = fp(registry, *register, "--device", "cuda")
    assert gpus.code == 5
    assert "dask worker --resources GPU=1" in gpus.err
    assert gpus.err.count("\n") == 1


@pytest.mark.fleet
@pytest.mark.postgresql
def test_a_cluster_registers_into_a_database_that_its_workers_name(
    tmp_path: Path, models: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.run("createdb", "fleet")
    url = server.url("fleet")
    Registry(url).close()
    monkeypatch.setenv("FP_REGISTRY", url)
    with _cluster(tmp_path) as address:
        register = ("register", "--each", models, "--scheduler", address, *ALONE)
        done = fp(url, *register)
        assert done.outcomes == {
            "broken": "refused",
            **dict.fromkeys(("digits_0", "digits_1", "digits_2"), "registered"),
        }, done.err
        again = fp(url, *register)
    assert set(again.outcomes.values()) == {"refused", "known"}
    with Registry(url) as opened:
        opened.check()
        assert {one.name for one in opened.models()} == {"digits_0", "digits_1", "digits_2"}
        assert sum(one.action == "register" for one in opened.entries()) == 3


@pytest.mark.fleet
def test_jobs_for_gpus_take_a_gpu_each(tmp_path: Path) -> None:
    _needs_dask()
    from distributed import Client, LocalCluster

    registry = str(tmp_path / "audit.db")
    job = Job(
        verb="verify", model="none.pt", name="none", registry=registry, seconds=3600, folder="."
    )
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=4,
            resources={"GPU": 1},
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as found,
        scheduling.elsewhere(found.scheduler_address, device="cuda") as run,
        Client(found) as client,
    ):
        rows = run([job])
        assert next(rows).exit_code == 2
        used = client.run_on_scheduler(
            lambda dask_scheduler: [one.resources for one in dask_scheduler.workers.values()]
        )
        assert used == [{"GPU": 1}]


@pytest.mark.fleet
def test_nobody_at_the_schedulers_address_is_one_line(tmp_path: Path, models: Path) -> None:
    _needs_dask()
    done = fp(
        tmp_path / "audit.db", "register", "--each", models, "--scheduler", "tcp://127.0.0.1:9",
        *ALONE,
    )  # fmt: skip
    assert done.code == 5
    assert done.err.startswith("fp: error: --scheduler tcp://127.0.0.1:9: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("there", [False, True])
def test_a_worker_never_takes_another_registry_for_the_one_that_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], there: bool
) -> None:
    from cli.fleets.nursery import sees

    path = tmp_path / "audit.db"
    monkeypatch.setenv("FP_REGISTRY", str(path))
    if there:
        Registry(path).close()
    assert not sees(origin("of another").digest)
    assert path.exists() is there
    assert "registry on this worker" in capsys.readouterr().err
    if there:
        with Registry(path) as opened:
            assert sees(origin(opened.seed).digest)
