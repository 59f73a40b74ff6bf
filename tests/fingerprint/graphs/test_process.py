"""A graph comes from anybody: what is wrong with it is one line, and costs an answer at most."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fingerprint.errors import (
    EnvironmentFailure,
    FingerprintError,
    IncompatibleModel,
    InputRefused,
    MalformedFile,
    UnsafeFile,
)
from fingerprint.graphs.process import OnnxProcess
from tests.support.onnx_files import LINEAR, WEIGHTS, graph, onnx, save, tensor, value

pytestmark = pytest.mark.onnx

PICTURE = np.zeros((1, 1, 16, 16), np.float32)


def elsewhere(**entries: object) -> Any:
    """A graph whose weights lie in another file."""
    model = graph()
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    for key, text in entries.items():
        entry = weights.external_data.add()
        entry.key, entry.value = key, str(text)
    return model


def custom() -> Any:
    model = graph(("Run\x1b[31m", ["x"], ["f"], {"domain": "somebody"}), LINEAR[1])
    model.opset_import.append(onnx.helper.make_opsetid("somebody", 1))
    return model


def without_end() -> Any:
    """A function that calls itself."""
    made = onnx.helper.make_node("Again", ["a"], ["b"], domain="ours")
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("ours", 1)]
    function = onnx.helper.make_function("ours", "Again", ["a"], ["b"], [made], opsets)
    again = ("Again", ["x"], ["a"], {"domain": "ours"})
    model = graph(again, ("Flatten", ["a"], ["f"]), LINEAR[1], functions=[function])
    model.opset_import.append(opsets[1])
    return model


def of_sizes(*sizes: int) -> Any:
    model = graph()
    model.graph.initializer[0].dims[:] = sizes
    return model


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (b"", MalformedFile, "empty"),
        (b"\x08\x08\x12\x07pytorch" + bytes(range(256)), MalformedFile, "does not parse"),
        (graph().SerializeToString()[:-700], MalformedFile, "truncated or corrupt"),
        (b"\x08\x08\x12\x07pytorch", MalformedFile, "without nodes"),
        (custom(), UnsafeFile, r"somebody\.Run\\x1b\[31m: custom operators are code"),
        (graph(("NoSuch", ["x"], ["f"]), LINEAR[1]), MalformedFile, "NoSuch"),
        (without_end(), InputRefused, "recursive|reading it failed"),
        (of_sizes(10**9, 10**9), MalformedFile, "reading it failed"),
        (of_sizes(-256, 10), InputRefused, "."),
        (elsewhere(location="../w.bin"), UnsafeFile, "outside of its folder"),
        (elsewhere(location="..\\w.bin"), UnsafeFile, "outside of its folder"),
        (elsewhere(location="a/../../w.bin"), UnsafeFile, "outside of its folder"),
        (elsewhere(location="/etc/passwd"), UnsafeFile, "outside of its folder"),
        (elsewhere(location="C:\\w.bin"), UnsafeFile, "outside of its folder"),
        (elsewhere(location=""), UnsafeFile, "outside of its folder"),
        (elsewhere(location="link.bin"), UnsafeFile, "symbolic link out of"),
        (elsewhere(location="fifo.bin"), UnsafeFile, "FIFO"),
        (elsewhere(location="."), UnsafeFile, "directory"),
        (elsewhere(location="gone.bin"), InputRefused, "'gone.bin' is missing"),
        (elsewhere(location="w.bin", length=10**15), MalformedFile, "the file has 10240"),
        (elsewhere(location="w.bin", offset=-4), MalformedFile, "the file has 10240"),
        (elsewhere(location="w.bin", offset="x"), MalformedFile, "expected sizes"),
        (
            elsewhere(location="w.bin", offset=8),
            MalformedFile,
            "expected 10240 bytes of external data for 'w', got 10232: truncated",
        ),
    ],
)
def test_what_is_no_plain_network_is_refused_in_one_line(
    data: Any, error: type[FingerprintError], said: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (tmp_path / "w.bin", folder / "w.bin"):
        path.write_bytes(WEIGHTS.tobytes())
    os.symlink("../w.bin", folder / "link.bin")
    os.mkfifo(folder / "fifo.bin")
    file = folder / "network.onnx"
    file.write_bytes(data if isinstance(data, bytes) else data.SerializeToString())
    with pytest.raises(error, match=said) as caught:
        OnnxProcess(str(file))
    assert str(caught.value).isprintable()
    assert "network.onnx" in str(caught.value) or "fifo.bin" in str(caught.value)


def test_external_data_are_read_from_beside_the_file_and_by_a_link_if_allowed(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "blob").write_bytes(bytes(8) + WEIGHTS.tobytes())
    (folder / "w.bin").write_bytes(bytes(8) + WEIGHTS.tobytes())
    os.symlink("../blob", folder / "link.bin")
    plain = OnnxProcess(str(save(graph(), folder / "plain.onnx")))
    beside = save(elsewhere(location="w.bin", offset=8), folder / "beside.onnx")
    linked = save(elsewhere(location="link.bin", offset=8), folder / "linked.onnx")
    for other in (OnnxProcess(str(beside)), OnnxProcess(str(linked), follow_symlinks=True)):
        assert other.facts["digest"] == plain.facts["digest"]
        picture = np.random.default_rng(0).random((2, 1, 16, 16), np.float32)
        np.testing.assert_array_equal(other.ask("x", picture, "y"), plain.ask("x", picture, "y"))


def test_many_tensors_that_read_one_file_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fingerprint.graphs import reading

    model = graph(initialisers=[tensor(f"t{index}", WEIGHTS) for index in range(9)])
    for one in model.graph.initializer:
        one.ClearField("raw_data")
        one.data_location = onnx.TensorProto.EXTERNAL
        entry = one.external_data.add()
        entry.key, entry.value = "location", "w.bin"
    assert reading.external_files(model) == ["w.bin"]
    monkeypatch.setattr(reading, "MAX_BYTES", 5 * WEIGHTS.nbytes)
    with pytest.raises(UnsafeFile, match="external data"):
        reading.fill(model, {"w.bin": WEIGHTS.tobytes()})


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = save(graph(), tmp_path / "large.onnx")
    os.truncate(file, 2**31)  # sparse: takes no room
    with pytest.raises(UnsafeFile, match="expected at most"):
        OnnxProcess(str(file))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to the limit")
def test_a_shape_beyond_the_memory_is_refused_by_the_limit(tmp_path: Path) -> None:
    shape = tensor("s", np.array([2**16, 2**16]))
    huge = (
        *LINEAR[:1],
        ("ConstantOfShape", ["s"], ["c"]),
        ("ReduceMean", ["c"], ["m"], {"keepdims": 0}),
        ("MatMul", ["f", "w"], ["z"]),
        ("Add", ["z", "m"], ["y"]),
    )
    file = save(graph(*huge, initialisers=[shape]), tmp_path / "huge.onnx")
    with pytest.raises(FingerprintError, match="memory") as caught:
        OnnxProcess(str(file), memory=4 * 2**30).ask("x", PICTURE, "y")
    assert str(caught.value).isprintable()


def endless() -> Any:
    made, scalar = onnx.helper.make_node, lambda name, kind: value(name, [], kind)
    body = onnx.helper.make_graph(
        [made("Identity", ["go"], ["on"]), made("Mul", ["v", "v"], ["squared"])],
        "body",
        [scalar("i", "INT64"), scalar("go", "BOOL"), value("v", None)],
        [scalar("on", "BOOL"), value("squared", None)],
    )
    loop = ("Loop", ["times", "go0", "x"], ["a"], {"body": body})
    given = [tensor("times", np.array(2**62)), tensor("go0", np.array(True))]
    return graph(loop, ("Flatten", ["a"], ["f"]), LINEAR[1], initialisers=given)


def test_a_graph_that_never_ends_is_ended_and_says_so_from_then_on(tmp_path: Path) -> None:
    network = OnnxProcess(str(save(endless(), tmp_path / "endless.onnx")))
    network.process.seconds = 0.5
    for _ in range(2):
        with pytest.raises(EnvironmentFailure, match=r"took more than 0\.5 s"):
            network.ask("x", PICTURE, "y")


def test_a_process_that_dies_costs_an_answer_and_no_more(tmp_path: Path) -> None:
    network = OnnxProcess(str(save(graph(), tmp_path / "plain.onnx")))
    network.process.kill()
    for _ in range(2):
        with pytest.raises(EnvironmentFailure, match="signal 9"):
            network.ask("x", PICTURE, "y")


def test_what_it_cannot_answer_does_not_end_it(tmp_path: Path) -> None:
    network = OnnxProcess(str(save(graph(), tmp_path / "plain.onnx")))
    with pytest.raises(IncompatibleModel):
        network.ask("x", np.zeros((1, 1, 8, 8), np.float32), "y")
    assert network.ask("x", PICTURE, "y").shape == (1, 10)


def test_nothing_is_imported_from_the_folder_it_is_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("numpy", "onnx", "onnxruntime", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not from here')")
    file = save(graph(), tmp_path / "plain.onnx")
    monkeypatch.chdir(tmp_path)
    assert OnnxProcess(str(file)).ask("x", PICTURE, "y").shape == (1, 10)
