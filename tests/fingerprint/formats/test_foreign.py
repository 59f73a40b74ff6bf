from __future__ import annotations

from pathlib import Path

import pytest

from fingerprint.errors import MalformedFile, UnsafeFile
from fingerprint.formats.weights_file import read_weights

PAD = bytes(64)
FOREIGN = {
    "tar": (b"\0" * 257 + b"ustar" + b"\0" * 300, "tar archive"),
    "gzip": (b"\x1f\x8b\x08" + PAD, "gzip"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + PAD, "7-Zip"),
    "rar": (b"Rar!\x1a\x07\x01\0" + PAD, "RAR"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + PAD, "HDF5"),
    "npy": (b"\x93NUMPY\x01\0", "NumPy"),
    "gguf": (b"GGUF\x03\0\0\0" + PAD, "GGUF"),
    "onnx": (b"\x08\x08\x12\x07pytorch" + PAD, "ONNX"),
    "onnx of another tool": (b"\x08\x07\x12\x0cskl2onnx.ai." + PAD, "ONNX"),
    "onnx of nobody": (b"\x08\x07:\xa0\x01" + PAD, "ONNX"),
    "a newer core ml network": (b"\x08\x04\x12\x10\n\x0ecom.apple.CoreML" + PAD, "Core ML"),
    "onnx without a maker": (b"\x08\x03:\xff\x01\n\x05graph" + PAD, "ONNX"),
    "tflite": (b"\x1c\0\0\0TFL3" + PAD, "TensorFlow Lite"),
    "executorch": (b"\0\0\0\0ET12" + PAD, "ExecuTorch"),
    "tensorrt": (b"ftrt" + PAD, "TensorRT"),
    "png": (b"\x89PNG\r\n\x1a\n" + PAD, "PNG"),
    "pdf": (b"%PDF-1.7\n" + PAD, "PDF"),
    "program": (b"\x7fELF\x02" + PAD, "program"),
    "database": (b"SQLite format 3\0" + PAD, "SQLite"),
    "page": (b"<!DOCTYPE html><html>", "HTML page"),
    "page in small letters": (b"<!doctype html>" + b" " * 64, "HTML page"),
    "page after blank lines": (b"\n\n<!DOCTYPE html>" + b" " * 64, "HTML page"),
    "page with a mark": (b"\xef\xbb\xbf<html lang='en'>", "HTML page"),
    "page in UTF-16": ("\ufeff<html>".encode("utf-16-le"), "HTML page"),
    "page without a type": (b"<head><title>Sign in</title>", "HTML page"),
    "xml": (b'<?xml version="1.0"?><Error/>' + b" " * 64, "XML document"),
    "error of a store": (b"<Error><Code>AccessDenied</Code></Error>", "XML.*AccessDenied"),
    "json error": (b'{"error":"Repository not found"}' + b" " * 64, "error in JSON.*not found"),
    "json detail": (b'  {"detail": "Not authenticated"}', "error in JSON"),
    "json cut off": (b'{"error":"Repo', "JSON text"),
    "shards": (b'{"metadata":{},"weight_map":{"a":"b"}}', "index of weights"),
    "configuration": (b'{"architectures":["ViT"]}', "configuration, not the weights"),
    "sentence": (b"Access to model x is restricted." + b" " * 64, "a text.*restricted"),
    "other letters": ("Доступ заборонено".encode(), "a text.*Доступ"),
    "long text": (b"Entry not found " * 500, "a text.*Entry not found"),
    "one word": (b"Forbidden", "a text.*Forbidden"),
    "annex": (b"/annex/objects/SHA256E-s1--aa.pth\n", "git annex get"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
    "noise": (b"\x01\x02\x03\xfe" * 40, "neither safetensors nor a torch file"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_what_is_no_weights_file_is_called_by_its_name(
    name: str, ending: str, tmp_path: Path
) -> None:
    data, reason = FOREIGN[name]
    path = tmp_path / f"file{ending}"
    path.write_bytes(data)
    if name == "noise" and ending == ".safetensors":
        reason = "truncated or corrupt"
    with pytest.raises(MalformedFile, match=f"(?s){reason}") as caught:
        read_weights(str(path))
    assert "truncated" not in str(caught.value) or name == "noise"
    assert str(caught.value).isprintable()


def test_a_pickle_in_plain_letters_is_told_from_text(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UnsafeFile, match=r"system"):
        read_weights(str(path))
