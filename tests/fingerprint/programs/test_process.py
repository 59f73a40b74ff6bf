"""Files that are code: what they answer, and what they do not get to do."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fingerprint.errors import EnvironmentFailure, FingerprintError, InputRefused, UnsafeFile
from fingerprint.programs import process
from fingerprint.programs.process import ProgramProcess
from fingerprint.sandbox import backends
from fingerprint.sandbox.backends import BACKENDS, trouble
from fingerprint.suspects import load_program
from tests.support.programs import (
    exported,
    hostile_program,
    hostile_script,
    scripted,
    traced,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"
)

SHAPE = (1, 8, 8)
needs_sandbox = pytest.mark.skipif(
    all(map(trouble, BACKENDS)),
    reason="; ".join(f"{one.name}: {trouble(one)}" for one in BACKENDS),
)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4 * 36, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.convolution(x)).flatten(1))


class Several(Small):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        logits = self.head(torch.relu(self.convolution(x)).flatten(1))
        return {"label": logits.argmax(1), "logits": logits}


@pytest.fixture(scope="module")
def small() -> nn.Module:
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module")
def good(small: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(small, tmp_path_factory.mktemp("good") / "good.pt2", *SHAPE)


def answers(module: nn.Module, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        return module((torch.from_numpy(pixels) / 255 - 0.5) / 0.25).numpy()


STATED: dict[str, Any] = {"mean": (0.5,), "std": (0.25,)}
PIXELS = np.random.default_rng(0).integers(0, 256, (20, *SHAPE), dtype=np.uint8)


@needs_sandbox
@pytest.mark.parametrize("way", ["scripted", "traced"])
def test_torchscript_answers_as_the_network_does(
    way: str, small: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "suspect.pt"
    scripted(small, path) if way == "scripted" else traced(small, path, *SHAPE)
    suspect = load_program(path, input_size=SHAPE, **STATED)
    np.testing.assert_allclose(suspect.answer(PIXELS), answers(small, PIXELS), atol=1e-5)
    facts = suspect.facts()
    assert facts["sandbox"] in {one.name for one in BACKENDS}
    assert (facts["architecture"], facts["model_digest"]) == ("program", None)
    assert suspect.identity.file_sha256 == suspect.network.file.sha256
    assert suspect.network.file.format == "torchscript"


@needs_sandbox
@pytest.mark.slow
def test_an_exported_program_says_what_it_takes(small: nn.Module, good: Path) -> None:
    suspect = load_program(good, **STATED)
    assert suspect.input.shape == SHAPE
    np.testing.assert_allclose(suspect.answer(PIXELS), answers(small, PIXELS), atol=1e-5)


@needs_sandbox
def test_of_several_outputs_the_one_with_scores_is_found(tmp_path: Path) -> None:
    module = Several().eval()
    suspect = load_program(scripted(module, tmp_path / "s.pt"), input_size=SHAPE, **STATED)
    assert suspect.field == "logits"
    with torch.no_grad():
        expected = module((torch.from_numpy(PIXELS) / 255 - 0.5) / 0.25)["logits"].numpy()
    np.testing.assert_allclose(suspect.answer(PIXELS), expected, atol=1e-5)


class Finds(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = x[x > 0.5]
        return torch.stack([bright, 2 * bright], dim=1)


@needs_sandbox
def test_a_list_of_another_size_for_each_input_answers_with_statistics(tmp_path: Path) -> None:
    suspect = load_program(scripted(Finds(), tmp_path / "s.pt"), input_size=SHAPE)
    counts = (PIXELS > 127.5).reshape(len(PIXELS), -1).sum(axis=1)
    found = suspect.answer(PIXELS)
    np.testing.assert_array_equal(found[:, 0], counts)
    np.testing.assert_allclose(found[:, 2::2], 2 * found[:, 1::2], rtol=1e-5)
    assert suspect.facts()["graph"]["pooled"] is True


@needs_sandbox
def test_a_network_in_half_precision_gets_such_inputs(tmp_path: Path) -> None:
    module = Small().eval().bfloat16()
    suspect = load_program(scripted(module, tmp_path / "half.pt"), input_size=SHAPE, **STATED)
    with torch.no_grad():
        inputs = ((torch.from_numpy(PIXELS) / 255 - 0.5) / 0.25).bfloat16()
        expected = module(inputs).float().numpy()
    np.testing.assert_allclose(suspect.answer(PIXELS), expected, atol=0.05)


@needs_sandbox
@pytest.mark.parametrize("what", ["writes", "saves"])
def test_torchscript_that_writes_a_file_does_not(what: str, tmp_path: Path) -> None:
    path = hostile_script(what, tmp_path / "hostile.pt", tmp_path / "out")
    with contextlib.suppress(InputRefused):  # torch.save fails without a word
        load_program(path, input_size=SHAPE)
    assert os.listdir(tmp_path) == ["hostile.pt"]


@needs_sandbox
def test_torchscript_that_fills_memory_is_refused_for_it(tmp_path: Path) -> None:
    path = hostile_script("fills", tmp_path / "hostile.pt", tmp_path / "out")
    network = ProgramProcess(str(path), memory=2**30)
    with pytest.raises(UnsafeFile, match="more than 1 GiB of memory"):
        network.outputs(np.zeros((1, *SHAPE), np.float32))


@needs_sandbox
def test_torchscript_that_never_ends_is_ended(tmp_path: Path) -> None:
    path = hostile_script("spins", tmp_path / "hostile.pt", tmp_path / "out")
    network = ProgramProcess(str(path))
    network.process.seconds = 0.5
    for _ in range(2):
        with pytest.raises(EnvironmentFailure, match=r"TorchScript archive took more than 0\.5 s"):
            network.outputs(np.zeros((1, *SHAPE), np.float32))


@needs_sandbox
def test_one_that_takes_too_long_for_all_it_is_asked_is_ended(
    small: nn.Module, tmp_path: Path
) -> None:
    network = ProgramProcess(str(scripted(small, tmp_path / "s.pt")), time_limit=1e6)
    network.outputs(np.zeros((1, *SHAPE), np.float32))
    network.process.time_limit = 1e-9  # which it has taken, on any machine
    for _ in range(2):
        with pytest.raises(EnvironmentFailure, match=r"1e-09 s for all it was asked.*--time-limit"):
            network.outputs(np.zeros((1, *SHAPE), np.float32))


PAYLOADS = {
    "writes": ("open({out!r}, 'w').write('x')", "Operation not permitted"),
    "opens a socket": ("__import__('socket').socket().connect(('127.0.0.1', 9))", "not permitted"),
    "forks": ("__import__('os').fork()", "not permitted"),
    "starts a program": ("__import__('os').execv('/bin/true', ['true'])", "ermi"),
    "fills memory": ("[bytearray(2**26) for _ in range(2**20)]", "more than 2 GiB of memory"),
    "sleeps": ("__import__('time').sleep(1e6)", "took more than 20 s and was ended"),
    "ends": ("__import__('os')._exit(7)", "ended with code 7"),
}


@needs_sandbox
@pytest.mark.slow
@pytest.mark.parametrize("what", PAYLOADS)
def test_what_an_exported_program_runs_when_it_is_loaded_comes_to_nothing(
    what: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, said = PAYLOADS[what]
    path = tmp_path / "hostile.pt2"
    hostile_program(good, path, line.format(out=str(tmp_path / "out")))
    known = process.Confined

    def confined(*arguments: Any, **options: Any) -> Any:
        made = known(*arguments, **{**options, "memory": 2 * 2**30})
        made.seconds = 20.0 if what == "sleeps" else made.seconds
        return made

    monkeypatch.setattr(process, "Confined", confined)
    with pytest.raises(FingerprintError, match=said) as caught:
        load_program(path)
    assert str(caught.value).isprintable()
    assert str(caught.value).startswith(str(path))
    assert os.listdir(tmp_path) == ["hostile.pt2"]


@pytest.mark.slow
def test_without_a_sandbox_the_same_file_writes_and_that_is_said(
    good: Path, tmp_path: Path
) -> None:
    line = PAYLOADS["writes"][0].format(out=str(tmp_path / "out"))
    path = hostile_program(good, tmp_path / "hostile.pt2", f"{line}; globals().update(x=1)")
    with pytest.raises(InputRefused):
        load_program(path, sandbox=False)
    assert (tmp_path / "out").exists()


def test_where_no_sandbox_holds_nothing_is_run(
    small: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "trouble", lambda one: "it does not hold")
    monkeypatch.setattr(process, "Confined", None)
    path = scripted(small, tmp_path / "suspect.pt")
    with pytest.raises(UnsafeFile, match=r"expected a sandbox .* --no-sandbox") as caught:
        load_program(path, input_size=SHAPE)
    assert str(caught.value).isprintable()


def test_without_one_it_runs_where_that_is_asked_for_and_says_so(
    small: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "trouble", lambda one: "it does not hold")
    suspect = load_program(
        scripted(small, tmp_path / "s.pt"), input_size=SHAPE, sandbox=False, **STATED
    )
    assert suspect.facts()["sandbox"] == "none"
    assert any("without a sandbox" in line for line in suspect.warnings)


LIES: list[Any] = [
    None,
    "x",
    [{"name": "x", "type": "tensor(float)", "shape": [None, -1]}],
    [{"name": "x", "type": "tensor(float)", "shape": [True]}],
    [{"name": "x" * 1000, "type": "tensor(float)", "shape": None}],
    [{"name": 3, "type": "tensor(float)", "shape": None}],
    [{"name": "x"}],
    [["x"]],
    [{"name": "x", "type": "t", "shape": None}] * 1000,
]


@pytest.mark.parametrize("said", LIES, ids=range(len(LIES)))
def test_what_its_process_says_it_takes_is_not_believed(
    said: Any, small: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Liar:
        def __init__(self, *arguments: Any, **options: Any) -> None:
            pass

        def request(self, *arguments: Any) -> tuple[dict[str, Any], bytes]:
            return {"inputs": said, "runtime": "\x1b[2J"}, b""

        def close(self) -> None:
            pass

    monkeypatch.setattr(process, "Confined", Liar)
    with pytest.raises(UnsafeFile, match="something else"):
        ProgramProcess(str(scripted(small, tmp_path / "s.pt")), sandbox=False)


def test_one_that_takes_several_tensors_is_refused(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a + b

    path = tmp_path / "two.pt"
    torch.jit.script(Two()).save(str(path))
    with pytest.raises(InputRefused, match="one tensor, it takes a, b"):
        ProgramProcess(str(path), sandbox=False)
