"""Servers that others wrote are asked as ours are: the answers are the network's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from cli.main import app
from fingerprint import load_model
from fingerprint.lab.networks import mlp
from fingerprint.network.run import to_tensor
from fingerprint.network.spec import InputSpec
from fingerprint.suspects.endpoints.oip import OpenInference
from registry import Registry
from tests.support.endpoints import close, connected
from tests.support.foreign_servers import INTERPRETER, running

SPEC = InputSpec(shape=(1, 16, 16), mean=(0.5,), std=(0.5,))
STARTS_WITHIN = 120.0
Serve = Callable[[str], str]

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(
        not INTERPRETER, reason="needs servers of others: 'make test-servers' installs them"
    ),
]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """The network that is served."""
    torch.manual_seed(0)
    return mlp().eval()


@pytest.fixture(scope="module")
def serve(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts each kind of server once, and says where it is."""
    running: dict[str, tuple[str, Any]] = {}

    def start(kind: str) -> str:
        if kind not in running:
            folder = tmp_path_factory.mktemp(kind)
            held = folder / "weights.npz"
            np.savez(held, *[value.numpy() for value in network.state_dict().values()])
            server = served(kind, folder, held)
            running[kind] = server.__enter__(), server
        return running[kind][0]

    yield start
    for _, server in running.values():
        server.__exit__(None, None, None)


@contextmanager
def served(kind: str, folder: Path, weights: Path) -> Iterator[str]:
    """Runs a server in a process group of its own until the block ends."""
    program = Path(__file__).parent / f"serve_{kind}.py"

    def command(port: int) -> list[str]:
        return [INTERPRETER, str(program), str(port)]

    environment = {**os.environ, "WEIGHTS": str(weights)}
    with running(command, folder, environment, within=STARTS_WITHIN) as address:
        yield address


def pixels(count: int = 11) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, *SPEC.shape), dtype=np.uint8)


def expected(network: nn.Module) -> NDArray[np.float32]:
    with torch.no_grad():
        rows: NDArray[np.float32] = network(SPEC.normalise(to_tensor(pixels(), SPEC))).numpy()
    return rows


@pytest.mark.parametrize(
    ("kind", "adapter", "path"),
    [
        ("kserve", "oip", "/v2/models/ours"),
        ("kserve", "kserve-v1", "/v1/models/ours"),
        ("mlflow", "mlflow", ""),
    ],
)
def test_answers_are_the_networks_own(
    serve: Serve, network: nn.Module, kind: str, adapter: str, path: str
) -> None:
    endpoint = connected(
        serve(kind) + path, adapter, known=SPEC, mean=(0.5,), std=(0.5,), limits={"timeout": 60}
    )
    close(endpoint.answer(pixels()), expected(network))
    assert endpoint.failure == ""


def test_binary_tensors_are_read_and_written(
    serve: Serve, network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    # KServe's server reads them and does not say so, as Triton and OpenVINO do.
    monkeypatch.setattr(OpenInference, "_reads_binary", lambda self, fetch: True)
    endpoint = connected(
        serve("kserve") + "/v2/models/ours", "oip", known=SPEC, mean=(0.5,), std=(0.5,)
    )
    close(endpoint.answer(pixels()), expected(network))
    assert endpoint.failure == ""


@pytest.mark.parametrize("several", [False, True])
def test_a_server_of_no_protocol_is_described_by_a_file(
    serve: Serve, network: nn.Module, several: bool, tmp_path: Path
) -> None:
    file = tmp_path / "litserve.toml"
    inputs, scores = ('"{tensors}"', "scores") if several else ('["{tensor}"]', "scores[0]")
    file.write_text(
        f'[body]\njson = {{ input = {{ x = {inputs} }} }}\n[answer]\nscores = "$.result.{scores}"\n'
    )
    endpoint = connected(
        serve("litserve") + "/predict",
        f"generic:{file}",
        known=SPEC,
        mean=(0.5,),
        std=(0.5,),
        limits={"timeout": 60},
    )
    close(endpoint.answer(pixels()), expected(network))


def test_a_model_behind_kserve_is_recognised(
    serve: Serve, network: nn.Module, tmp_path: Path
) -> None:
    weights = tmp_path / "ours.safetensors"
    save_file(network.state_dict(), weights)
    arch = "fingerprint.lab.networks:mlp"
    model = load_model(weights, arch=arch, input_size=SPEC.shape, mean=(0.5,), std=(0.5,))
    with Registry(tmp_path / "registry.db") as opened:
        opened.register(model, probes=24)
    result = CliRunner().invoke(
        app,
        [
            *("verify", serve("kserve") + "/v2/models/ours", "--adapter", "oip"),
            *("--mean", "0.5", "--std", "0.5", "--allow-private", "--expect", "ours"),
            *("--registry", str(tmp_path / "registry.db")),
        ],
        prog_name="fp",
    )
    assert result.exit_code == 0
    assert "Verdict: same as ours" in result.stdout
