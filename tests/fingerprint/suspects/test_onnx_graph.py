"""An ONNX file answers as the network it was exported from, and is recognised by that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fingerprint import verify
from fingerprint.answers import ask
from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.feeding import better_flags
from fingerprint.network.run import run
from fingerprint.questions import questions_for
from fingerprint.suspects import Journal, load_onnx, load_onnx_model
from tests.support.digits import digits, network
from tests.support.extracted import fingerprint_of, model_of
from tests.support.onnx_files import (
    LINEAR,
    Rearranged,
    bytes_inside,
    channels_last,
    export,
    graph,
    onnx,
    quantised,
    save,
    tensor,
    value,
)

pytestmark = pytest.mark.onnx

PICTURES = digits().test_images[:21]


def answers_of(kind: str) -> Any:
    return run(model_of(kind), PICTURES)


@pytest.mark.parametrize(
    ("kind", "dynamo", "dynamic"),
    [
        ("cnn", False, True),
        ("cnn", True, False),
        ("vit", False, False),
        ("vit", True, True),
        ("mlp", True, True),
    ],
)
def test_it_answers_as_the_network_did(
    kind: str, dynamo: bool, dynamic: bool, tmp_path: Path
) -> None:
    file = export(network(kind), tmp_path / "a.onnx", dynamo=dynamo, dynamic=dynamic)
    suspect = load_onnx(file)
    assert suspect.together == (16 if dynamic else 2)
    np.testing.assert_allclose(suspect.answer(PICTURES), answers_of(kind), rtol=1e-4, atol=1e-4)
    assert suspect.queries == len(PICTURES)
    assert suspect.output == model_of(kind).output


def test_both_exports_and_its_quantised_copies_are_recognised_and_a_stranger_is_not(
    tmp_path: Path,
) -> None:
    ours = {"ours": fingerprint_of("cnn")}
    plain = export(network("cnn"), tmp_path / "plain.onnx", dynamo=True)
    stranger = export(network("cnn", 1), tmp_path / "stranger.onnx")
    files = {
        "same": [plain, export(network("cnn"), tmp_path / "old.onnx")],
        "derived": [
            quantised(plain, tmp_path / "qdq.onnx"),
            quantised(plain, tmp_path / "qlinear.onnx", "QOperator"),
            quantised(plain, tmp_path / "dynamic.onnx", "dynamic"),
        ],
        "independent": [stranger],
    }
    for verdict, suspects in files.items():
        for file in suspects:
            assert verify(load_onnx(file), ours).verdict == verdict, file.name


def test_activations_that_are_quantised_by_their_range_are_asked_one_input_at_a_time(
    tmp_path: Path,
) -> None:
    plain = export(network("cnn"), tmp_path / "plain.onnx", dynamo=True)
    suspect = load_onnx(quantised(plain, tmp_path / "dynamic.onnx", "dynamic"))
    assert suspect.together == 1
    assert any("one input at a time" in line for line in suspect.warnings)
    alone = np.concatenate([suspect.respond(PICTURES[i : i + 1]) for i in range(5)])
    np.testing.assert_array_equal(suspect.respond(PICTURES[:5]), alone)


def test_half_precision_is_asked_in_half_precision(tmp_path: Path) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    plain = onnx.load(export(network("cnn"), tmp_path / "plain.onnx"))
    for keep in (True, False):
        half = convert_float_to_float16(plain, keep_io_types=keep)
        suspect = load_onnx(save(half, tmp_path / f"half{keep}.onnx"))
        assert suspect.facts()["dtype"] == ("float32" if keep else "float16")
        np.testing.assert_allclose(suspect.respond(PICTURES), answers_of("cnn"), rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("before", "example"),
    [
        (channels_last, torch.zeros(2, 16, 16, 1)),
        (bytes_inside, torch.zeros(2, 1, 16, 16, dtype=torch.uint8)),
    ],
)
def test_other_layouts_and_bytes_are_fed_as_the_graph_wants_them(
    before: Callable[[Tensor], Tensor], example: Tensor, tmp_path: Path
) -> None:
    net = Rearranged(network("cnn"), before=before)
    suspect = load_onnx(export(net, tmp_path / "a.onnx", example=example))
    assert suspect.input.domain == model_of("cnn").input.domain
    np.testing.assert_allclose(suspect.respond(PICTURES), answers_of("cnn"), rtol=1e-4, atol=1e-4)


def test_a_softmax_at_the_end_makes_probabilities_in_half_precision_too(tmp_path: Path) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    net = Rearranged(network("cnn"), after=lambda y: y.softmax(1))
    plain = export(net, tmp_path / "plain.onnx")
    half = save(convert_float_to_float16(onnx.load(plain)), tmp_path / "half.onnx")
    assert [load_onnx(file).output.kind for file in (plain, half)] == ["probabilities"] * 2
    assert verify(load_onnx(plain), {"ours": fingerprint_of("cnn")}).verdict == "same"


def test_one_number_becomes_two_logits(tmp_path: Path) -> None:
    net = Rearranged(network("cnn"), after=lambda y: y[:, :1])
    suspect = load_onnx(export(net, tmp_path / "a.onnx"))
    found = suspect.respond(PICTURES)
    assert suspect.output.classes == 2
    np.testing.assert_allclose(found[:, 1], answers_of("cnn")[:, 0], rtol=1e-4, atol=1e-4)
    assert not found[:, 0].any()


def test_of_several_outputs_one_is_found_or_named(tmp_path: Path) -> None:
    def several(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return y, y.reshape(-1, 2, 5), y.argmax(1)

    net = Rearranged(network("cnn"), after=several)
    file = export(net, tmp_path / "a.onnx", output_names=["first", "map", "label"])
    suspect = load_onnx(file)
    assert suspect.facts()["field"] == "first"
    by_number = load_onnx(file, output=0)
    assert by_number.facts()["field"] == "first"
    flat = load_onnx(file, output="map")
    assert any("its 10 values are compared one by one" in line for line in flat.warnings)
    np.testing.assert_allclose(flat.respond(PICTURES), suspect.respond(PICTURES), rtol=1e-5)
    with pytest.raises(IncompatibleModel, match=r"'label' gives tensor\(int64\)"):
        load_onnx(file, output="label")
    with pytest.raises(UsageError, match="'other' is not in first, map, label"):
        load_onnx(file, output="other")

    alike = export(Rearranged(network("cnn"), after=lambda y: (y, 2 * y)), tmp_path / "b.onnx",
                   output_names=["one", "two"])  # fmt: skip
    with pytest.raises(UsageError, match="choose one with --output"):
        load_onnx(alike)


def test_a_list_of_maps_is_a_row_for_each_input(tmp_path: Path) -> None:
    model = graph(
        *LINEAR,
        ("Softmax", ["y"], ["p"]),
        ("ZipMap", ["p"], ["named"], {"domain": "ai.onnx.ml", "classlabels_int64s": range(10)}),
        outputs=[value("named", None)],
    )
    kind = onnx.helper.make_map_type_proto(
        onnx.TensorProto.INT64, onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
    )
    model.graph.output[0].type.CopyFrom(onnx.helper.make_sequence_type_proto(kind))
    suspect = load_onnx(save(model, tmp_path / "a.onnx"))
    assert (suspect.output.classes, suspect.output.kind) == (10, "probabilities")
    softmax = graph(*LINEAR, ("Softmax", ["y"], ["p"]), outputs=[value("p", ["n", 10])])
    plain = load_onnx(save(softmax, tmp_path / "b.onnx"))
    np.testing.assert_array_equal(suspect.respond(PICTURES), plain.respond(PICTURES))


def test_answers_of_no_fixed_size_are_refused(tmp_path: Path) -> None:
    found = (("Flatten", ["x"], ["f"]), ("NonZero", ["f"], ["at"]),
             ("Cast", ["at"], ["y"], {"to": onnx.TensorProto.FLOAT}))  # fmt: skip
    model = graph(*found, outputs=[value("y", [2, None])])
    with pytest.raises(IncompatibleModel, match="another --output"):
        load_onnx(save(model, tmp_path / "a.onnx")).respond(PICTURES)


def test_lists_of_another_size_for_each_input_answer_with_statistics_of_them(
    tmp_path: Path,
) -> None:
    model = graph(
        ("Reshape", ["x", "column"], ["f"]),
        ("Mul", ["f", "f"], ["square"]),
        ("Concat", ["f", "square"], ["all"], {"axis": 1}),
        ("Reshape", ["x", "flat"], ["values"]),
        ("Greater", ["values", "half"], ["bright"]),
        ("Compress", ["all", "bright"], ["found"], {"axis": 0}),
        inputs=[value("x", [1, 1, 16, 16])],
        outputs=[value("found", [None, 2])],
        initialisers=[
            tensor("column", np.array([-1, 1])),
            tensor("flat", np.array([-1])),
            tensor("half", np.float32(0.5)),
        ],
    )
    file = save(model, tmp_path / "a.onnx")
    suspect = load_onnx(file)
    assert any("how many there are, and the mean" in line for line in suspect.warnings)
    assert suspect.facts()["graph"]["pooled"] is True
    black = np.zeros_like(PICTURES[:1])
    found = suspect.answer(np.concatenate([PICTURES, black]))
    for picture, row in zip(PICTURES, found, strict=False):
        bright = (picture / 255)[picture > 127.5]
        means = bright.mean(), (bright**2).mean()
        expected = (len(bright), *means, bright.max(), bright.max() ** 2)
        np.testing.assert_allclose(row, expected, rtol=1e-5)
    assert not found[-1].any()
    assert "another size for each input" in load_onnx_model(file).asked_only


def test_an_answer_of_too_many_values_is_refused(tmp_path: Path) -> None:
    wide = (("Expand", ["x", "s"], ["y"]),)
    shape = tensor("s", np.array([1, 1024, 16, 16]))
    model = graph(*wide, initialisers=[shape], outputs=[value("y", ["n", 1024, 16, 16])])
    with pytest.raises(IncompatibleModel, match="at most 131072 values an answer, got 262144"):
        load_onnx(save(model, tmp_path / "a.onnx"))


class _OverTheBatch(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x - x.mean(0, keepdim=True) / 2)  # type: ignore[no-any-return]


@pytest.mark.parametrize("dynamic", [False, True])
def test_an_answer_that_depends_on_the_batch_is_that_to_an_input_in_its_own_company(
    dynamic: bool, tmp_path: Path
) -> None:
    file = export(_OverTheBatch(network("cnn")), tmp_path / "a.onnx", dynamic=dynamic)
    suspect = load_onnx(file)
    assert suspect.together == 1
    assert any("what else is in the batch" in line for line in suspect.warnings)
    halved = Rearranged(network("cnn"), before=lambda x: x / 2)
    with torch.no_grad():
        wanted = halved(torch.from_numpy(PICTURES).float() / 255)
    np.testing.assert_allclose(suspect.respond(PICTURES), wanted, rtol=1e-4, atol=1e-4)


def test_random_answers_are_said(tmp_path: Path) -> None:
    noisy = (*LINEAR[:1], ("MatMul", ["f", "w"], ["z"]), ("RandomNormalLike", ["z"], ["e"]),
             ("Add", ["z", "e"], ["y"]))  # fmt: skip
    suspect = load_onnx(save(graph(*noisy), tmp_path / "a.onnx"))
    assert any("differently each time" in line for line in suspect.warnings)


def test_other_inputs_get_zeros(tmp_path: Path) -> None:
    shifted = (*LINEAR[:1], ("MatMul", ["f", "w"], ["z"]), ("Add", ["z", "by"], ["y"]))
    both = [value("x", ["n", 1, 16, 16]), value("by", ["n", 10])]
    file = save(graph(*shifted, inputs=both), tmp_path / "a.onnx")
    plain = load_onnx(save(graph(), tmp_path / "b.onnx"))
    suspect = load_onnx(file, input="x")
    np.testing.assert_array_equal(suspect.respond(PICTURES), plain.respond(PICTURES))
    assert any("other inputs get zeros: by" in line for line in suspect.warnings)


def test_without_numbers_there_is_no_evidence(tmp_path: Path) -> None:
    weights = tensor("w2", np.full((256, 10), np.nan, np.float32))
    broken = (*LINEAR[:1], ("MatMul", ["f", "w2"], ["y"]))
    file = save(graph(*broken, initialisers=[weights]), tmp_path / "a.onnx")
    assert verify(load_onnx(file), {"ours": fingerprint_of("cnn")}).verdict == "inconclusive"


def test_a_copy_that_was_fed_otherwise_is_not_called_independent(tmp_path: Path) -> None:
    file = export(network("cnn"), tmp_path / "a.onnx")
    ours = {"ours": fingerprint_of("cnn")}
    result = verify(load_onnx(file, mean=(0.5,), std=(0.5,)), ours)
    assert result.verdict == "inconclusive"
    assert "--mean 0 --std 1" in result.reason
    stranger = export(network("cnn", 1), tmp_path / "b.onnx")
    assert better_flags(load_onnx(stranger), ours) == {}


def test_the_flag_for_channels_in_the_other_order_is_named(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))
    example = torch.zeros(2, 3, 8, 8)
    suspect = load_onnx(export(net, tmp_path / "a.onnx", example=example))
    stated = dict(suspect.variants())
    assert {"--channels bgr", "--channels bgr --mean 0.5 --std 0.5", "--mean 0.5 --std 0.5"} <= (
        stated.keys()
    )
    pictures = np.random.default_rng(0).integers(0, 256, size=(4, 3, 8, 8), dtype=np.uint8)
    turned = stated["--channels bgr"].respond(pictures)
    np.testing.assert_allclose(turned, suspect.respond(pictures[:, ::-1]), rtol=1e-5, atol=1e-5)


def test_a_journal_goes_on_where_it_ended(tmp_path: Path) -> None:
    file = export(network("cnn"), tmp_path / "a.onnx")
    questions = questions_for({"ours": fingerprint_of("cnn")})
    path = tmp_path / "journal"
    first = ask(Journal(load_onnx(file), path, max_queries=30), questions)
    assert first.failure
    again = load_onnx(file)
    rest = ask(Journal(again, path), questions)
    assert not rest.failure
    assert again.queries == len(questions.ids) + 1 - 30
