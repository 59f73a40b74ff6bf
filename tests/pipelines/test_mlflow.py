"""Versions on a real MLflow server: registered, verified by URI, and gated."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from typer.testing import CliRunner

from cli.main import app
from fingerprint.errors import EnvironmentFailure, UnsafeFile, UsageError
from fingerprint.lab.networks import cnn
from fingerprint.mlflow import fetched, gate, register_version
from fingerprint.sandbox.backends import BACKENDS, trouble
from registry import Registry
from tests.pipelines.server import NEEDED, mlflow_server
from tests.support.digits import network
from tests.support.foreign_servers import INTERPRETER

HOW = {"arch": "fingerprint.lab.networks:cnn", "input_size": (1, 16, 16)}
OPTIONS = ("--arch", "fingerprint.lab.networks:cnn", "--input-size", "1,16,16")
EXAMPLE = Path(__file__).parents[2] / "examples" / "mlflow_gate.py"

pytestmark = [
    pytest.mark.pipelines,
    pytest.mark.skipif(
        not INTERPRETER or importlib.util.find_spec("mlflow") is None, reason=NEEDED
    ),
]


class Store:
    """A server with one registered model, ``cats``, whose versions the tests make."""

    def __init__(self, folder: Path) -> None:
        from mlflow import MlflowClient

        self.client: Any = MlflowClient()
        self.folder = folder
        self.run = self.client.create_run("0").info.run_id
        self.client.create_registered_model("cats")

    def version(self, what: nn.Module | dict[str, Any]) -> str:
        """Saves a network as MLflow has one of torch, and returns the URI of its version."""
        saved = self.folder / f"saved-{len(list(self.folder.iterdir()))}"
        (saved / "data").mkdir(parents=True)
        flavors = {"pytorch": {"model_data": "data"}, "python_function": {"loader_module": "x"}}
        (saved / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
        torch.save(what, saved / "data" / "model.pth")
        self.client.log_artifacts(self.run, str(saved), saved.name)
        source = f"runs:/{self.run}/{saved.name}"
        made = self.client.create_model_version("cats", source, self.run)
        return f"models:/cats/{made.version}"

    def tags(self, uri: str) -> dict[str, str]:
        found = self.client.get_model_version("cats", uri.rpartition("/")[2]).tags
        return {key.removeprefix("nullprint."): value for key, value in found.items()}

    def alias(self, name: str) -> str | None:
        version = self.client.get_registered_model("cats").aliases.get(name)
        return None if version is None else f"models:/cats/{version}"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", address)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        (folder / "saved").mkdir()
        yield Store(folder / "saved")


@pytest.fixture(scope="module")
def ours(store: Store) -> str:
    """The version that is registered."""
    return store.version(network("cnn").state_dict())


@pytest.fixture(scope="module")
def stranger(store: Store) -> str:
    return store.version(network("cnn", 1).state_dict())


@pytest.fixture(scope="module")
def audit(store: Store, ours: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry that holds it, which its version says."""
    folder = tmp_path_factory.mktemp("registry")
    with Registry(folder / "audit.db") as registry:
        done = register_version(registry, ours, folder=folder / "models", from_scratch=True, **HOW)
        assert store.tags(ours) == {
            "name": "cats-1",
            "digest": done.model.model_digest,
            "fingerprint": done.model.commitment,
            "verdict": "inconclusive",  # there was nobody to compare it with
            "best": "",
            "verification": str(done.verification.verification),
        }
        # It is found again where it was put, so that others can be screened against it.
        assert registry.load_again("cats-1", code=["fingerprint.lab.networks"]).digest
    return folder / "audit.db"


def fp(registry: Path, *arguments: str) -> Any:
    return CliRunner().invoke(
        app, list(arguments), prog_name="fp", env={"FP_REGISTRY": str(registry)}
    )


def left(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if one.name.startswith("mlflow-"))


def test_done_twice_it_is_the_same_and_says_so(store: Store, audit: Path, ours: str) -> None:
    models = audit.parent / "models"
    before = left(models)
    with Registry(audit) as registry:
        again = register_version(registry, ours, folder=models, **HOW)
    assert (again.verification.verdict, again.verification.best) == ("same", "cats-1")
    assert store.tags(ours)["verdict"] == "same"
    assert left(models) == before  # the second copy is not needed


def test_an_alias_moves_for_a_stranger_and_not_for_what_is_forbidden(
    store: Store, audit: Path, ours: str, stranger: str
) -> None:
    with Registry(audit) as registry:
        refused = gate(registry, ours, alias="release", forbid=["cats-1"], **HOW)
        assert not refused.passed
        assert refused.reasons == ("forbid cats-1: the suspect has its very weights",)
        assert store.alias("release") is None
        assert store.tags(ours)["policy"] == "failed: forbid cats-1"

        passed = gate(registry, stranger, alias="release", forbid=["cats-1"], **HOW)
        assert passed.passed, passed.reasons
        assert store.alias("release") == stranger
        assert store.tags(stranger)["policy"] == "passed: forbid cats-1"
        assert store.tags(stranger)["verdict"] == "independent"

        # A later refusal leaves the alias where it was.
        assert not gate(registry, stranger, alias="release", expect=["cats-1"], **HOW).passed
        assert store.alias("release") == stranger
        assert store.tags(stranger)["policy"] == "failed: expect cats-1"


def test_an_alias_is_a_model_and_a_stage_can_be_gated(store: Store, audit: Path, ours: str) -> None:
    store.client.set_registered_model_alias("cats", "challenger", ours.rpartition("/")[2])
    with Registry(audit) as registry:
        gated = gate(registry, "models:/cats@challenger", stage="Staging", expect=["cats-1"], **HOW)
    assert gated.passed
    assert str(gated.uri) == ours
    assert store.client.get_model_version("cats", "1").current_stage == "Staging"


def test_without_evidence_nothing_passes(store: Store, audit: Path, stranger: str) -> None:
    dead = store.version({key: value * 0 for key, value in cnn().state_dict().items()})
    pickled = store.version(network("cnn"))
    with Registry(audit) as registry:
        gated = gate(registry, dead, alias="dead", forbid=["cats-1"], **HOW)
        assert gated.outcome == "inconclusive"
        assert store.tags(dead)["policy"] == "inconclusive: forbid cats-1"
        with pytest.raises(UnsafeFile, match="whole pickled module"):
            gate(registry, pickled, alias="dead", forbid=["cats-1"], **HOW)
        assert store.tags(pickled)["policy"] == "inconclusive: UnsafeFile"
        with pytest.raises(UsageError, match="no-such"):
            gate(registry, stranger, alias="dead", forbid=["no-such"], **HOW)
    with Registry("sqlite://") as empty, pytest.raises(UsageError):
        gate(empty, stranger, alias="dead", forbid=["cats-1"], **HOW)
    assert store.alias("dead") is None


@pytest.mark.skipif(all(map(trouble, BACKENDS)), reason="no sandbox holds on this machine")
def test_what_mlflow_itself_saves_of_a_network_is_asked_in_the_sandbox(
    store: Store, audit: Path
) -> None:
    pytest.importorskip("pandas", reason=NEEDED)
    from mlflow.pytorch import log_model

    logged = log_model(
        network("cnn"),
        name="cats",
        input_example=np.zeros((2, 1, 16, 16), np.float32),
        registered_model_name="cats",
        pip_requirements=[],
    )
    program = f"models:/cats/{logged.registered_model_version}"
    with Registry(audit) as registry:
        gated = gate(registry, program, alias="code", forbid=["cats-1"])
    assert (gated.outcome, gated.verification.verdict) == ("failed", "same")
    assert gated.verification.suspect["sandbox"]
    assert gated.verification.suspect["file"].endswith(f"/{program}/data/model.pt2")
    assert store.tags(program)["digest"].startswith("sha256:")
    assert store.alias("code") is None


def test_uris_are_models_and_suspects_of_fp(
    store: Store, audit: Path, ours: str, stranger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = audit.parent / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: audit.parent / "data")
    source = store.client.get_model_version("cats", "1").source
    for uri in (ours, source):
        done = fp(audit, "verify", uri, *OPTIONS, "--forbid", "cats-1", "--json")
        assert done.exit_code == 1, done.stderr
        assert json.loads(done.stdout)["verdict"] == "same"
        assert f"fetched {uri} from MLflow" in done.stderr
    done = fp(audit, "register", ours, *OPTIONS, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "cats-1"
    done = fp(audit, "register", stranger, *OPTIONS, "--from-scratch", "--json", "--answers-only")
    assert done.exit_code == 0, done.stderr
    registered = json.loads(done.stdout)
    assert registered["name"] == f"cats-{stranger.rpartition('/')[2]}"
    assert Path(registered["file"]).is_file()
    assert left(temporary) == []
    assert len(left(audit.parent / "data" / "mlflow")) == 1


def test_what_a_run_left_and_what_was_logged_are_tagged_where_they_are(store: Store) -> None:
    weights = store.folder / "weights.pt"
    torch.save(network("cnn").state_dict(), weights)
    store.client.log_artifact(store.run, str(weights), "a")
    logged = store.client.create_logged_model("0", name="logged")
    store.client.log_model_artifacts(logged.model_id, str(weights.parent / "saved-0"))
    store.client.finalize_logged_model(logged.model_id, "READY")
    uri = f"runs:/{store.run}/a/weights.pt"
    with fetched(uri) as found:
        assert Path(found.path).read_bytes() == weights.read_bytes()
    assert not Path(found.path).exists()
    with Registry("sqlite://") as registry:
        left = store.folder.parent / "left"
        model = register_version(registry, uri, folder=left, **HOW).model
        logs = register_version(
            registry, f"models:/{logged.model_id}", folder=left, name=model.name, **HOW
        )
    assert logs.verification.verdict == "same"
    tags = store.client.get_run(store.run).data.tags
    assert tags["nullprint.a/weights.pt.digest"] == model.model_digest
    tags = store.client.get_logged_model(logged.model_id).tags
    assert tags["nullprint.digest"] == model.model_digest


@pytest.mark.parametrize(
    "uri",
    ["models:/cats/999", "models:/dogs/1", "models:/cats@nobody", "models:/m-" + "0" * 32],
)
def test_what_is_not_there_is_a_wrong_call(store: Store, audit: Path, uri: str) -> None:
    done = fp(audit, "verify", uri, *OPTIONS)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"fp: error: {uri}: the MLflow server knows nothing like that")
    assert len(done.stderr.splitlines()) == 1


def test_a_server_that_is_not_there_is_the_environments_fault(
    store: Store, audit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = fp(audit, "verify", "models:/cats/1", *OPTIONS)
    assert done.exit_code == 5
    assert "did not do what it was asked" in done.stderr
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    done = fp(audit, "verify", "models:/cats/1", *OPTIONS)
    assert (done.exit_code, "set MLFLOW_TRACKING_URI" in done.stderr) == (2, True)


def test_what_the_server_lists_is_bounded(
    store: Store, ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fingerprint.mlflow.server._MAX_BYTES", 10)
    with pytest.raises(UnsafeFile, match="expected at most"), fetched(ours):
        pass
    monkeypatch.undo()
    monkeypatch.setattr("fingerprint.mlflow.server._MAX_FILES", 1)
    with pytest.raises(UnsafeFile, match="expected at most 1 files"), fetched(ours):
        pass
    monkeypatch.undo()
    full = SimpleNamespace(free=10)
    monkeypatch.setattr("fingerprint.mlflow.server.shutil.disk_usage", lambda path: full)
    with pytest.raises(EnvironmentFailure, match="do not fit"), fetched(ours):
        pass


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (ModuleNotFoundError("no boto3", name="boto3"), "pip install boto3"),
        (ValueError("the token is hunter2"), "cannot be fetched from MLflow: ValueError"),
        (ConnectionError(104, "reset"), "Connection reset by peer"),
    ],
)
def test_whatever_a_store_raises_is_one_line_without_its_words(
    store: Store, ours: str, raised: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(uri: object) -> None:
        raise raised

    monkeypatch.setattr("fingerprint.mlflow.server._sizes", fail)
    with pytest.raises(EnvironmentFailure, match=said) as caught, fetched(ours):
        pass
    assert "hunter2" not in str(caught.value)


@pytest.fixture
def step() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mlflow_gate", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_gates_in_a_pipeline(
    step: ModuleType, store: Store, audit: Path, ours: str, stranger: str
) -> None:
    def run(uri: str, *policy: str) -> int:
        code: int = step.main([uri, "--registry", str(audit), "--alias", "live", *OPTIONS, *policy])
        return code

    assert run(ours, "--forbid", "cats-1") == 1
    assert store.alias("live") is None
    assert run(stranger, "--forbid", "cats-1") == 0
    assert store.alias("live") == stranger
    assert run("models:/cats/999", "--forbid", "cats-1") == 2
    assert step.main(["models:/cats/1", "--registry", str(audit) + "x", "--alias", "live"]) == 5
    assert store.alias("live") == stranger
