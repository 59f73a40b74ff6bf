"""An ONNX file is a source where its converted copy is shown to be right, else it is only asked."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fingerprint import extract, verify
from fingerprint.errors import IncompatibleModel
from fingerprint.network.depths import depths_of
from fingerprint.network.model import Model
from fingerprint.network.run import run, to_tensor
from fingerprint.suspects import load_onnx, load_onnx_model, onnx_model
from tests.support.digits import digits, network
from tests.support.extracted import SEED, loaded, model_of
from tests.support.onnx_files import (
    Rearranged,
    bytes_inside,
    channels_last,
    export,
    graph,
    onnx,
    save,
    value,
)

pytestmark = pytest.mark.onnx
pytest.importorskip("onnx2pytorch", reason="pip install 'nullprint[onnx]'")

PICTURES = digits().test_images[:9]


def gradient(model: Model) -> Tensor:
    x = to_tensor(PICTURES, model.input).requires_grad_()
    total = (model(x) * torch.arange(model.output.classes)).sum()
    found: Tensor = torch.autograd.grad(total, x)[0]
    return found


def check_alike(found: Model, wanted: Model) -> None:
    np.testing.assert_allclose(run(found, PICTURES), run(wanted, PICTURES), rtol=1e-4, atol=1e-4)
    right = gradient(wanted)
    torch.testing.assert_close(
        gradient(found), right, rtol=1e-3, atol=1e-4 * float(right.abs().max())
    )


@pytest.mark.parametrize(
    ("kind", "dynamo", "dynamic"),
    [
        ("cnn", False, True),
        ("cnn", True, False),
        ("vit", False, False),
        ("vit", True, True),
        ("vit", True, False),
        ("mlp", True, True),
    ],
)
def test_answers_and_gradients_are_those_of_the_network(
    kind: str, dynamo: bool, dynamic: bool, tmp_path: Path
) -> None:
    example = torch.zeros(1 if not dynamic else 2, 1, 16, 16)
    file = export(
        network(kind), tmp_path / "a.onnx", dynamo=dynamo, dynamic=dynamic, example=example
    )
    model = load_onnx_model(file)
    assert model.asked_only == ""
    check_alike(model, model_of(kind))


def test_weights_may_be_constants_and_batch_norms_say_that_they_do_not_learn(
    tmp_path: Path,
) -> None:
    """As Paddle's exporter writes them; see ``benchmarks.wild``."""
    unfused = {"training": torch.onnx.TrainingMode.PRESERVE, "opset_version": 17}
    file = export(network("cnn"), tmp_path / "a.onnx", **unfused)
    model = onnx.load(file)
    assert any(one.name == "training_mode" for node in model.graph.node for one in node.attribute)
    constants = [
        onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in model.graph.initializer
    ]
    nodes = [*constants, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, file)
    found = load_onnx_model(file)
    assert found.asked_only == ""
    check_alike(found, model_of("cnn"))


def test_its_depths_are_found_whatever_values_are_called(tmp_path: Path) -> None:
    model = onnx.load(export(network("cnn"), tmp_path / "a.onnx"))
    depths = len(depths_of(load_onnx_model(tmp_path / "a.onnx")))
    for node in model.graph.node:
        node.input[:] = [f"{name}.0" for name in node.input]
        node.output[:] = [f"{name}.0" for name in node.output]
    for one in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        one.name = f"{one.name}.0"
    del model.graph.value_info[:]
    onnx.save(model, tmp_path / "dotted.onnx")
    dotted = load_onnx_model(tmp_path / "dotted.onnx")
    assert dotted.asked_only == ""
    assert len(depths_of(dotted)) == depths > 2


@pytest.mark.parametrize(
    ("before", "example"),
    [
        (channels_last, torch.zeros(2, 16, 16, 1)),
        (bytes_inside, torch.zeros(2, 1, 16, 16, dtype=torch.uint8)),
    ],
)
def test_other_layouts_and_bytes_have_gradients_for_the_picture_that_is_sent(
    before: Callable[[Tensor], Tensor], example: Tensor, tmp_path: Path
) -> None:
    net = Rearranged(network("cnn"), before=before)
    model = load_onnx_model(export(net, tmp_path / "a.onnx", example=example))
    assert model.asked_only == ""
    check_alike(model, model_of("cnn"))


def test_colours_may_come_in_the_other_order(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    file = export(net, tmp_path / "a.onnx", example=torch.zeros(2, 3, 8, 8))
    stated: dict[str, Any] = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    model = load_onnx_model(file, channels="bgr", **stated)
    assert model.asked_only == ""
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(model(x), net(model.input.normalise(x).flip(1)))


def test_its_digest_is_that_of_the_graph_and_its_options_load_it_again(tmp_path: Path) -> None:
    net = Rearranged(network("cnn"), after=lambda y: (y, 2 * y))
    file = export(net, tmp_path / "a.onnx", output_names=["one", "two"])
    model = load_onnx_model(file, output="two", mean=(0.5,), std=(0.25,))
    assert model.digest == load_onnx(file, output="one").identity.model_digest
    options = {key: one for key, one in model.load_options.items() if key != "arch"}
    again = load_onnx_model(file, **options)
    assert again.load_options == model.load_options
    np.testing.assert_array_equal(run(again, PICTURES), run(model, PICTURES))


class _Wrong(nn.Module):
    """A converted network with something wrong."""

    def __init__(self, right: nn.Module, wrong: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.right, self.wrong = right, wrong

    def forward(self, x: Tensor) -> Any:
        return self.right(self.wrong(x))


def half_detached(x: Tensor) -> Tensor:
    """Gradients of a half of the picture get lost, as by a constant that was folded."""
    return torch.cat([x[..., :8], x[..., 8:].detach()], dim=-1)


def raising(x: Tensor) -> Tensor:
    raise RuntimeError("a size\x1b[31m does not fit")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda x: x * 1.05, "answers otherwise than ONNX Runtime"),
        (lambda x: x[:, :, :4], "does not run"),
        (lambda x: x[:1], r"answers \d inputs with 1x10 values, ONNX Runtime with \dx10"),
        (half_detached, "gradient is not that"),
        (Tensor.detach, "does not run"),
        (raising, r"does not run \(a size\\x1b\[31m does not fit\)"),
    ],
)
def test_a_converter_that_is_wrong_is_found_out_and_the_file_only_asked(
    wrong: Callable[[Tensor], Tensor], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = onnx_model.converted
    monkeypatch.setattr(
        onnx_model, "converted", lambda data, **options: _Wrong(right(data, **options), wrong)
    )
    model = load_onnx_model(export(network("cnn"), tmp_path / "a.onnx"))
    assert re.search(said, model.asked_only)
    assert any(model.asked_only in line for line in model.warnings)
    np.testing.assert_allclose(
        run(model, PICTURES), run(model_of("cnn"), PICTURES), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(IncompatibleModel, match="--answers-only"):
        extract(model, seed=SEED)


def test_what_the_converter_does_not_know_is_only_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = (("Flatten", ["x"], ["f"]), ("MatMul", ["f", "w"], ["z"]))
    unknown = graph(*known, ("QuickGelu", ["z"], ["y"], {"domain": "com.microsoft"}))
    unknown.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    assert "does not take it" in load_onnx_model(save(unknown, tmp_path / "a.onnx")).asked_only
    several = graph(*known, ("Add", ["z", "b"], ["y"]),
                    inputs=[value("x", ["n", 1, 16, 16]), value("b", ["n", 10])])  # fmt: skip
    file = save(several, tmp_path / "b.onnx")
    assert "several inputs" in load_onnx_model(file, input="x").asked_only
    monkeypatch.setitem(sys.modules, "onnx2pytorch", None)
    file = save(graph(), tmp_path / "c.onnx")
    assert "pip install 'nullprint[onnx]'" in load_onnx_model(file).asked_only


def test_its_fingerprint_finds_the_network_and_its_copies_and_no_stranger(tmp_path: Path) -> None:
    model = load_onnx_model(export(network("cnn"), tmp_path / "a.onnx"))
    ours = {"ours": extract(model, seed=SEED)}
    assert verify(model_of("cnn"), ours).verdict == "same"
    assert verify(load_onnx(tmp_path / "a.onnx"), ours).verdict == "same"
    assert verify(loaded(network("cnn", 1)), ours).verdict == "independent"
