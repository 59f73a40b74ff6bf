"""A fingerprint survives the way through bytes, and nothing else gets in."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from fingerprint.errors import MalformedFile
from fingerprint.probes.codec import MAGIC, MAX_BLOB, VERSION, decode, encode
from fingerprint.probes.probe import Fingerprint
from tests.support.extracted import fingerprint_of
from tests.support.fingerprints import make_fingerprint, make_model

FLIPS = 400


@pytest.fixture(scope="module")
def fingerprint() -> Fingerprint:
    return make_fingerprint(make_model())


@pytest.fixture(scope="module")
def blob(fingerprint: Fingerprint) -> bytes:
    return encode(fingerprint)


def assert_equal(first: Fingerprint, second: Fingerprint) -> None:
    assert first.to_dict() == second.to_dict()
    for field in ("bases", "base_answers", "harmless", "controls"):
        one, other = getattr(first, field), getattr(second, field)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    for one, other in zip(first.probes, second.probes, strict=True):
        np.testing.assert_array_equal(one.answer, other.answer)
        np.testing.assert_array_equal(one.control_answer, other.control_answer)
    assert first.linear_part.keys() == second.linear_part.keys()
    for key, value in first.linear_part.items():
        np.testing.assert_array_equal(value, second.linear_part[key])


def refused(blob: bytes) -> bool:
    """Whether bytes are refused; any error but ``MalformedFile`` fails the test."""
    try:
        decode(blob)
    except MalformedFile:
        return True
    return False


def test_what_was_written_is_read_back(fingerprint: Fingerprint, blob: bytes) -> None:
    assert_equal(decode(blob), fingerprint)
    assert encode(decode(blob)) == blob


def test_a_real_fingerprint_with_a_linear_part_is_read_back() -> None:
    real = fingerprint_of("vit")
    assert real.linear_part
    again = decode(encode(real))
    assert_equal(again, real)
    assert {probe.kind for probe in again.probes} == {"network", "linear"}
    assert again.commitment("00", "now") == real.commitment("00", "now")


def test_every_truncation_is_refused(blob: bytes) -> None:
    cuts = {*range(64), *range(64, len(blob), 37), len(blob) - 1}
    assert [cut for cut in sorted(cuts) if not refused(blob[:cut])] == []


def test_trailing_bytes_are_refused(blob: bytes) -> None:
    assert refused(blob + b"\0")


@pytest.mark.parametrize("other", [b"", b"PK\3\4" + bytes(200), b"\x80\x04." + bytes(200)])
def test_other_files_are_refused(other: bytes) -> None:
    with pytest.raises(MalformedFile, match="NULLPRNT"):
        decode(other)


def test_another_version_is_refused_by_number(blob: bytes) -> None:
    newer = MAGIC + bytes([VERSION + 1]) + blob[len(MAGIC) + 1 :]
    with pytest.raises(MalformedFile, match=f"version {VERSION}, got {VERSION + 1}"):
        decode(newer)


def test_a_flipped_bit_is_refused_or_changes_a_value_but_breaks_nothing(blob: bytes) -> None:
    # Pixels and answers hold any bits, so not every flip can be seen: the registry keeps a hash.
    chance = random.Random(0)
    for _ in range(FLIPS):
        flipped = bytearray(blob)
        flipped[chance.randrange(len(blob))] ^= 1 << chance.randrange(8)
        refused(bytes(flipped))


def test_a_header_that_claims_too_much_is_refused(blob: bytes) -> None:
    start = len(MAGIC) + 1
    for length in (0, 2**31, 2**63 - 1, 2**64 - 1):
        assert refused(blob[:start] + length.to_bytes(8, "little") + blob[start + 8 :])


def test_a_blob_over_the_limit_is_refused_before_it_is_read(
    blob: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fingerprint.probes.codec.MAX_BLOB", len(blob) - 1)
    assert MAX_BLOB == 2**30
    with pytest.raises(MalformedFile, match="at most"):
        decode(blob)


def poisoned(array: np.ndarray) -> np.ndarray:
    changed = array.astype(np.float32)
    changed.flat[0] = np.nan
    return changed


@pytest.mark.parametrize(
    "change",
    [
        lambda f: {"bases": f.bases[:, :, :-1]},
        lambda f: {"bases": f.bases[:1]},
        lambda f: {"bases": f.bases[:0]},
        lambda f: {"bases": f.bases.astype(np.float32)},
        lambda f: {"base_answers": f.base_answers[:, :-1]},
        lambda f: {"base_answers": f.base_answers.astype(np.float64)},
        lambda f: {"base_answers": poisoned(f.base_answers)},
        lambda f: {"tolerance": math.nan},
        lambda f: {"tolerance": -1.0},
        lambda f: {"tolerance": math.inf},
    ],
)
def test_values_that_do_not_fit_are_refused(fingerprint: Fingerprint, change: Any) -> None:
    assert refused(encode(dataclasses.replace(fingerprint, **change(fingerprint))))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: {"answer": poisoned(p.answer)},
        lambda p: {"control_answer": poisoned(p.control_answer)},
        lambda p: {"answer": p.answer[:-1]},
        lambda p: {"harmless": p.harmless[:, :-1]},
        lambda p: {"harmless": p.harmless.astype(np.float32)},
        lambda p: {"base": 99},
        lambda p: {"base": -1},
        lambda p: {"kind": "psychic"},
    ],
)
def test_probes_that_do_not_fit_are_refused(fingerprint: Fingerprint, change: Any) -> None:
    probes = tuple(dataclasses.replace(probe, **change(probe)) for probe in fingerprint.probes)
    assert refused(encode(dataclasses.replace(fingerprint, probes=probes)))


# The document inside.


def packed(fingerprint: Fingerprint, text: str) -> bytes:
    """Writes a fingerprint's arrays with another document."""
    tensors = {
        "bases": fingerprint.bases,
        "base_answers": fingerprint.base_answers,
        "harmless": fingerprint.harmless,
        "answers": np.stack([probe.answer for probe in fingerprint.probes]),
        "control_answers": np.stack([probe.control_answer for probe in fingerprint.probes]),
    }
    return MAGIC + bytes([VERSION]) + save(tensors, metadata={"fingerprint": text})


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the path of every value inside a document."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:1]):
            yield from places(inner, (*path, index))


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    inside = changed
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return changed


HOSTILE: list[Any] = [
    None,
    "x",
    -1,
    0,
    1.5,
    True,
    [],
    {},
    [None],
    {"a": []},
    math.nan,
    math.inf,
    10**400,
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:12])
def test_no_hostile_value_in_the_document_raises_anything_else(
    fingerprint: Fingerprint, value: Any
) -> None:
    document = fingerprint.to_dict()
    assert not refused(packed(fingerprint, json.dumps(document)))
    broken = []
    for path in places(document):
        try:
            refused(packed(fingerprint, json.dumps(replaced(document, path, value))))
        except Exception as error:
            broken.append((path, type(error).__name__))
    assert broken == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "{}", "[" * 100_000, '{"per_probe": []}', "1" * 5000],
    ids=lambda text: text[:12] or "empty",
)
def test_another_document_is_refused(fingerprint: Fingerprint, text: str) -> None:
    assert refused(packed(fingerprint, text))


def test_a_missing_key_is_refused(fingerprint: Fingerprint) -> None:
    document = fingerprint.to_dict()
    derived = {"probes", "source_harm_ratio"}  # counted again from the probes
    accepted = set()
    for key in document:
        less = {name: value for name, value in document.items() if name != key}
        if not refused(packed(fingerprint, json.dumps(less))):
            accepted.add(key)
    assert accepted == derived


def test_a_missing_or_foreign_array_is_refused(fingerprint: Fingerprint) -> None:
    text = json.dumps(fingerprint.to_dict())
    assert refused(MAGIC + bytes([VERSION]) + save({}, metadata={"fingerprint": text}))
    assert refused(MAGIC + bytes([VERSION]) + save({"bases": fingerprint.bases}))
