"""Names what is no weights file: other formats, error pages, and texts sent in place of weights.

kind = foreign_kind(data)       # "an ONNX network, ...", or None
"""

from __future__ import annotations

import json
import re

from fingerprint.text import clean

__all__ = ["HDF5", "ONNX", "OPENVINO", "TFLITE", "foreign_kind"]

ONNX = "an ONNX network"
"""The kind of a file that is no weights file, but a network; see :mod:`fingerprint.suspects`."""

HDF5 = "an HDF5 file (Keras)"
OPENVINO = "an OpenVINO network (.xml)"
TFLITE = "a TensorFlow Lite network"
"""Kinds of files that are run by others; see :mod:`fingerprint.programs`."""

_HEAD = 1024
_SHOWN = 60
_MAGIC = (
    (257, b"ustar", "a tar archive (members may point anywhere, so it is not unpacked)"),
    (0, b"\x1f\x8b", "a gzip stream (not expanded)"),
    (0, b"BZh", "a bzip2 stream (not expanded)"),
    (0, b"\xfd7zXZ", "an xz stream (not expanded)"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd stream (not expanded)"),
    (0, b"\x04\x22\x4d\x18", "an lz4 stream (not expanded)"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive (not unpacked)"),
    (0, b"Rar!\x1a\x07", "a RAR archive (not unpacked)"),
    (0, b"\x89HDF\r\n", HDF5),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"GGUF", "a GGUF file"),
    (0, b"lmgg", "a GGML file"),
    (0, b"tjgg", "a GGML file"),
    (4, b"TFL3", TFLITE),
    (4, b"ET12", "an ExecuTorch program (.pte)"),
    (4, b"ET13", "an ExecuTorch program (.pte)"),
    (4, b"ORTM", "an ONNX Runtime network (.ort)"),
    (4, b"PTMF", "a PyTorch mobile network"),
    (0, b"ftrt", "a TensorRT engine"),
    (0, b"ptrt", "a TensorRT engine"),
    (0, b"RKNN", "an RKNN network"),
    (0, b"7767517\n", "an ncnn network (.param)"),
    (0, b"TF2\0", "a TensorFlow checkpoint"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"\xcf\xfa\xed\xfe", "a program"),
    (0, b"#!", "a script"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (8, b"WEBP", "a WebP picture"),
    (0, b"PAR1", "a Parquet table"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"Obj\x01", "an Avro file"),
)
_ONNX = re.compile(rb"\x08[\x01-\x1f](\x12|\x1a|\x22|\x2a|\x32|\x3a|\x42)", re.S)
"""A protobuf that begins with a small number in field 1 and a text or part in the next."""

_ONNX_UNSIGNED = re.compile(rb"\x08[\x01-\x1f]\x3a", re.S)
"""The same with the graph at once, as of a network whose maker left no name."""

_ONNX_MAKERS = (b"pytorch", b"tf2onnx", b"onnx", b"keras2onnx", b"skl2onnx", b"paddle", b"CNTK",
                b"ORT", b"ai.onnx", b"graph", b"torch")  # fmt: skip


def foreign_kind(data: bytes) -> str | None:
    """Returns what a file is that holds no weights this library reads; None if nobody knows.

    Args:
        data: The file, or its beginning.
    """
    for offset, magic, kind in _MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return kind
    if _ONNX.match(data) and b"coreml" in data[:_HEAD].lower():
        return "a Core ML network"
    signed = _ONNX.match(data) and any(maker in data[:_HEAD] for maker in _ONNX_MAKERS)
    if signed or _ONNX_UNSIGNED.match(data):
        return ONNX
    return _text_kind(data)


def _text_kind(data: bytes) -> str | None:
    """Names a text by what servers send: pages, XML and JSON errors, plain sentences."""
    text = _decoded(data[:_HEAD])
    if text is None:
        return None
    begin = text.lstrip("\ufeff \t\r\n\f").lower()
    if begin.startswith(("<!doctype html", "<html", "<head", "<body")) or (
        begin.startswith("<!--") and "<html" in begin
    ):
        return "an HTML page (the download failed, or asks to log in)"
    if begin.startswith(("<?xml", "<error", "<")):
        if "<net " in begin:
            return OPENVINO
        return f"an XML document, such as a server's error ({_shown(text)})"
    if begin.startswith(("{", "[")):
        return _json_kind(data, text)
    if begin.startswith(("/annex/objects/", "../../.git/annex", ".git/annex")):
        return "a git-annex pointer; run git annex get"
    return f"a text, not a file of weights ({_shown(text)})"


def _decoded(head: bytes) -> str | None:
    """Returns the beginning as text, in UTF-8 or with a byte order mark; None for binary data."""
    for mark, coding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8")):
        if head.startswith(mark):
            text = head.decode(coding, errors="ignore")
            break
    plain = sum(character.isprintable() or character in "\ufeff\t\r\n\f" for character in text)
    whole = len(text.encode("utf-8")) >= len(head) - 3 or head[:2] in (b"\xff\xfe", b"\xfe\xff")
    return text if text.strip() and whole and plain == len(text) else None


def _json_kind(data: bytes, text: str) -> str:
    try:
        document = json.loads(data[: 2**20])
    except (ValueError, RecursionError):
        return f"a JSON text ({_shown(text)})"
    keys = document.keys() if isinstance(document, dict) else set()
    if keys & {"error", "message", "detail", "errors"}:
        return f"a server's error in JSON ({_shown(text)})"
    if "weight_map" in keys:
        return "the index of weights in several shards; merge them into one safetensors file"
    if keys & {"architecture", "architectures", "model_type"}:
        return "a configuration, not the weights; name the folder or the weights file beside it"
    return f"a JSON text ({_shown(text)})"


def _shown(text: str) -> str:
    return clean(" ".join(text.split()), _SHOWN)
