"""Damaged files get an error of ours or the weights, never anything else."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from fingerprint.errors import InputRefused
from fingerprint.formats.weights_file import read_weights
from tests.fingerprint.network.networks import small


def _saved(**options: bool) -> bytes:
    out = io.BytesIO()
    torch.save({"state_dict": small().state_dict(), "epoch": 3}, out, **options)
    return out.getvalue()


FILES = {
    "safetensors": save(small().state_dict(), metadata={"format": "pt"}),
    "zip": _saved(),
    "legacy": _saved(_use_new_zipfile_serialization=False),
}
BUDGET = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def survives(data: bytes, folder: Path) -> None:
    path = folder / "damaged"
    path.write_bytes(data)
    try:
        weights = read_weights(str(path))
    except InputRefused as error:
        message = str(error)
        assert message.startswith(str(path))
        assert message.isprintable()
        assert len(message) < len(str(path)) + 500
    else:
        assert all(
            isinstance(tensor, torch.Tensor) for tensor in weights.entries[0].tensors.values()
        )


@pytest.mark.parametrize("kind", FILES)
@BUDGET
@given(data=st.data())
def test_flipped_bits(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    survives(bytes(content), tmp_path)


@pytest.mark.parametrize("kind", FILES)
@BUDGET
@given(data=st.data())
def test_overwritten_cut_and_inserted_bytes(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    content = FILES[kind]
    begin = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(begin, min(len(content), begin + 64)))
    noise = data.draw(st.binary(max_size=64))
    survives((content[:begin] + noise + content[end:]) or b"x", tmp_path)


@BUDGET
@given(noise=st.binary(min_size=1, max_size=400))
def test_arbitrary_bytes(tmp_path: Path, noise: bytes) -> None:
    survives(noise, tmp_path)


@BUDGET
@given(noise=st.binary(min_size=1, max_size=200), protocol=st.sampled_from([0, 2, 4, 5]))
def test_arbitrary_pickles(tmp_path: Path, noise: bytes, protocol: int) -> None:
    survives(b"\x80" + bytes([protocol]) + noise + b".", tmp_path)
