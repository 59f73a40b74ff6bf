"""A fingerprint survives the way through bytes, and nothing else gets in."""

from __future__ import annotations

import copy
import dataclasses
import gzip
import hashlib
import json
import math
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from fingerprint.canonical import sha256_of
from fingerprint.errors import MalformedFile
from fingerprint.probes.codec import MAGIC, MAX_BLOB, VERSION, decode, encode, outline
from fingerprint.probes.probe import CopyAnswers, DepthFacts, Fingerprint
from tests.support.extracted import fingerprint_of
from tests.support.fingerprints import make_deep, make_fingerprint, make_model

FLIPS = 400
DEEP = make_deep(make_model())


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
        np.testing.assert_array_equal(one.control_answers, other.control_answers)
    assert first.linear_part.keys() == second.linear_part.keys()
    for key, value in first.linear_part.items():
        np.testing.assert_array_equal(value, second.linear_part[key])


def refused(blob: bytes) -> bool:
    """Whether bytes are refused; any error but ``MalformedFile`` fails the test."""
    with suppress(MalformedFile):
        outline(blob)
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
    assert {probe.kind for probe in again.probes} == {"linear", "features"}
    assert [depth.name for depth in again.depths] == ["linear", "features"]
    assert again.turns == real.turns
    assert len(again.panel_answers) == 96
    assert again.commitment("00", "now") == real.commitment("00", "now")


@pytest.mark.parametrize("whose", [make_fingerprint(make_model()), DEEP], ids=["plain", "depths"])
def test_its_outline_is_read_alone(whose: Fingerprint) -> None:
    read, known = outline(encode(whose)), whose.outline
    assert (read.input, read.output, read.seed) == (known.input, known.output, known.seed)
    assert read.probes == len(whose.probes)
    np.testing.assert_array_equal(read.panel_answers, whose.panel_answers)


def test_an_outline_whose_answers_do_not_fit_is_refused() -> None:
    for changed in (DEEP.panel_answers[:, 1:], np.full_like(DEEP.panel_answers, np.nan)):
        with pytest.raises(MalformedFile, match="panel"):
            outline(encode(dataclasses.replace(DEEP, panel_answers=changed)))


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
    with pytest.raises(MalformedFile, match=f"version 1 or 2 or {VERSION}, got {VERSION + 1}"):
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
        lambda p: {"control_answers": poisoned(p.control_answers)},
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


# Depths, turns and a panel.


def test_depths_turns_and_a_panel_are_read_back() -> None:
    again = decode(encode(DEEP))
    assert_equal(again, DEEP)
    assert encode(again) == encode(DEEP)
    assert (again.depths, again.turns, again.relatives) == (DEEP.depths, (0, 1, 2), ("ab" * 32,))
    np.testing.assert_array_equal(again.panel_answers, DEEP.panel_answers)
    np.testing.assert_array_equal(again.panel, DEEP.panel)
    assert again.controls.shape == (3 * len(DEEP.probes), *DEEP.input.shape)


def test_answers_to_twins_are_read_back_and_others_refused() -> None:
    plain = make_fingerprint(make_model(shape=(1, 16, 16)))
    assert b"twin_answers" not in encode(plain)
    assert len(decode(encode(plain)).twin_answers) == 0
    answers = np.arange(32 * 5, dtype=np.float32).reshape(32, 5)
    blob = encode(dataclasses.replace(plain, twin_answers=answers))
    np.testing.assert_array_equal(decode(blob).twin_answers, answers)
    assert encode(decode(blob)) == blob
    many, nan = np.repeat(answers, 50, axis=0), np.full_like(answers, np.nan)
    for other in (many, answers[:, 1:], answers.astype(np.float64), nan):
        with pytest.raises(MalformedFile, match="answers to twins"):
            decode(encode(dataclasses.replace(plain, twin_answers=other)))


def test_answers_of_copies_are_read_back_and_others_refused() -> None:
    assert b"copies" not in encode(DEEP)
    assert decode(encode(DEEP)).copies is None
    panel = DEEP.panel_answers
    many = np.stack([panel, panel + 1])
    copies = CopyAnswers(("first", "second"), many, panel + 2, many + 3)
    blob = encode(dataclasses.replace(DEEP, copies=copies))
    again = decode(blob).copies
    assert again is not None
    assert again.names == copies.names
    np.testing.assert_array_equal(again.answers, copies.answers)
    np.testing.assert_array_equal(again.nearest, copies.nearest)
    np.testing.assert_array_equal(again.nearest_copies, copies.nearest_copies)
    few = CopyAnswers(copies.names, many[:, :2], panel[:2], many[:, :2])
    assert decode(encode(dataclasses.replace(DEEP, copies=few))).copies is not None
    assert encode(decode(blob)) == blob
    for change in (
        {"answers": copies.answers[:1]},
        {"answers": copies.answers[:, 1:]},
        {"answers": copies.answers.astype(np.float64)},
        {"answers": np.full_like(copies.answers, np.nan)},
        {"nearest": copies.nearest[:, 1:]},
        {"nearest": np.full_like(copies.nearest, np.inf)},
        {"nearest_copies": copies.nearest_copies[:1]},
        {"nearest": np.repeat(copies.nearest, 2, axis=0)},
        {"names": ("first",)},
        {"names": ("first", "first")},
        {"names": ("first", "x" * 101)},
        {"names": tuple("x" * 65), "answers": np.repeat(copies.answers[:1], 65, axis=0)},
    ):
        other = dataclasses.replace(copies, **change)
        assert refused(encode(dataclasses.replace(DEEP, copies=other)))


def test_a_fingerprint_of_answers_alone_is_read_back() -> None:
    bare = dataclasses.replace(DEEP, probes=(), depths=(), turns=(), relatives=())
    again = decode(encode(bare))
    assert (again.probes, again.turns, len(again.panel_answers)) == ((), (), 4)
    nothing = np.empty((0, 0), np.float32)
    assert refused(encode(dataclasses.replace(bare, panel_answers=nothing)))


def beyond(fingerprint: Fingerprint) -> tuple[Any, ...]:
    """Probes one of which leaves the room that its bases have."""
    room = int(np.minimum(fingerprint.bases, 255 - fingerprint.bases).min())
    first = fingerprint.probes[0]
    far = first.harmless.copy()
    far.flat[0] = fingerprint.bases[first.base].flat[0] + room + 1
    return (dataclasses.replace(first, harmless=far), *fingerprint.probes[1:])


@pytest.mark.parametrize(
    "change",
    [
        lambda f: {"turns": ()},
        lambda f: {"turns": (0, 1)},
        lambda f: {"turns": (0, 1, 1)},
        lambda f: {"turns": (0, 1, 7)},
        lambda f: {"turns": (0, 1, -1)},
        lambda f: {"depths": ()},
        lambda f: {"depths": f.depths[:1]},
        lambda f: {"depths": (f.depths[0], f.depths[0], *f.depths[1:])},
        lambda f: {"depths": (dataclasses.replace(f.depths[0], share=math.nan), *f.depths[1:])},
        lambda f: {"depths": (dataclasses.replace(f.depths[0], share=-0.1), *f.depths[1:])},
        lambda f: {"depths": (dataclasses.replace(f.depths[0], speaks_for="all"), *f.depths[1:])},
        lambda f: {"probes": ()},
        lambda f: {"probes": beyond(f)},
        lambda f: {"probes": 100 * f.probes},
        lambda f: {"panel_answers": poisoned(f.panel_answers)},
        lambda f: {"panel_answers": f.panel_answers[:, 1:]},
        lambda f: {"panel_answers": f.panel_answers.astype(np.float64)},
        lambda f: {"bases": np.zeros_like(f.bases)},
        lambda f: {"depths": (*f.depths, dataclasses.replace(f.depths[0], name="ghost"))},
        lambda f: {"panel_answers": np.ones((385, f.output.classes), np.float32)},
        lambda f: {"parameters": {"surrogates": 5}},
        lambda f: {"parameters": {"surrogates": ["a"]}},
        lambda f: {"parameters": {"surrogates": [[0.5]]}},
        *(
            lambda f, key=key, ratio=ratio: {"parameters": {key: ratio}}
            for key in ("rough_copy", "near_relatives")
            for ratio in ("0.1", [0.1], {}, True, -0.1, math.nan, math.inf, 10**400)
        ),
    ],
)
def test_depths_turns_and_panels_that_do_not_fit_are_refused(change: Any) -> None:
    assert refused(encode(dataclasses.replace(DEEP, **change(DEEP))))


# The document inside.


def stored(fingerprint: Fingerprint, blob: bytes | None = None) -> dict[str, Any]:
    """Reads the document of a fingerprint's bytes, the plain way."""
    body = (encode(fingerprint) if blob is None else blob)[len(MAGIC) + 1 :]
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    document: dict[str, Any] = json.loads(header["__metadata__"]["fingerprint"])
    return document


def packed(fingerprint: Fingerprint, text: str) -> bytes:
    """Writes a fingerprint's arrays with another document."""
    tensors = {
        "bases": fingerprint.bases,
        "base_answers": fingerprint.base_answers,
        "harmless": fingerprint.harmless,
        "answers": np.stack([probe.answer for probe in fingerprint.probes]),
        "control_answers": np.stack([probe.control_answers for probe in fingerprint.probes]),
        "panel_answers": fingerprint.panel_answers,
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
@pytest.mark.parametrize("whose", [make_fingerprint(make_model()), DEEP], ids=["plain", "depths"])
def test_no_hostile_value_in_the_document_raises_anything_else(
    whose: Fingerprint, value: Any
) -> None:
    document = stored(whose)
    assert not refused(packed(whose, json.dumps(document)))
    broken = []
    for path in places(document):
        try:
            refused(packed(whose, json.dumps(replaced(document, path, value))))
        except Exception as error:
            broken.append((path, type(error).__name__))
    assert broken == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "{}", "[" * 100_000, '{"probes": []}', "1" * 5000],
    ids=lambda text: text[:12] or "empty",
)
def test_another_document_is_refused(fingerprint: Fingerprint, text: str) -> None:
    assert refused(packed(fingerprint, text))


def test_hostile_text_is_told_in_one_short_line(fingerprint: Fingerprint) -> None:
    document = stored(fingerprint)
    for row in document["probes"]:
        row["kind"] = 100 * "\x1b[31m\n"
    with pytest.raises(MalformedFile) as told:
        decode(packed(fingerprint, json.dumps(document)))
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 300


def test_a_missing_key_is_refused(fingerprint: Fingerprint) -> None:
    document = stored(fingerprint)
    for key in document:
        less = {name: value for name, value in document.items() if name != key}
        assert refused(packed(fingerprint, json.dumps(less))), key


def test_a_missing_or_foreign_array_is_refused(fingerprint: Fingerprint) -> None:
    text = json.dumps(stored(fingerprint))
    assert refused(MAGIC + bytes([VERSION]) + save({}, metadata={"fingerprint": text}))
    assert refused(MAGIC + bytes([VERSION]) + save({"bases": fingerprint.bases}))


# A document of its own.


def filled(like: Any, **values: Any) -> Any:
    """Returns a value of the same class with something else in every field."""
    fields = {field.name for field in dataclasses.fields(like)}
    assert fields == {*values}, "a new field has to be stored, and decoded"
    return dataclasses.replace(like, **values)


def value(of: Any, field: str) -> Any:
    """Returns a field's value, dataclasses in it as dictionaries."""
    found = getattr(of, field)
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        return dataclasses.asdict(found)
    if isinstance(found, tuple):
        return [dataclasses.asdict(one) if dataclasses.is_dataclass(one) else one for one in found]
    return found


def test_every_field_is_stored(fingerprint: Fingerprint) -> None:
    shape, images = (2, 3), np.arange(12, dtype=np.float32).reshape(2, 2, 3) / 100
    bases = np.full_like(images, 0.05)
    answers = np.arange(8, dtype=np.float32).reshape(2, 4)
    probe = filled(
        fingerprint.probes[0],
        kind="deep",
        base=1,
        draw=7,
        harmless=images[0],
        answer=answers[0],
        control_answers=answers[:1],
        residual=math.inf,
        harm_ratio=math.nan,
        converged=False,
    )
    whole = filled(
        fingerprint,
        model_digest="ab",
        input=filled(
            fingerprint.input,
            shape=shape,
            kind="float",
            bounds=(-1.5, 2.0),
            mean=(0.5,),
            std=(3.0,),
        ),
        # Only suspects are told of by name, and they are not stored here.
        output=filled(fingerprint.output, classes=4, kind="probabilities", by_name=False),
        seed="cd",
        parameters={"surrogates": [0.25], "é": [None, True, {"deep": 1e-300}]},
        start="uniform-4",
        bases=bases,
        base_answers=answers,
        probes=(probe, probe),
        spaces=(
            filled(
                fingerprint.spaces[0],
                kind="network",
                dimension=None,
                input_dimension=6,
                rank=3,
                note="why",
            ),
        ),
        tolerance=0.125,
        device={"device": "somewhere"},
        screened_against=("one", "another"),
        redrawn=5,
        cost={"seconds": 1.5},
        linear_part={"matrix": np.eye(3)},
        warnings=("careful",),
        version=VERSION,
        depths=(
            DepthFacts(name="deep", width=7, share=0.25, speaks_for="individual", contrast=0.1),
        ),
        turns=(2,),
        relatives=("parent",),
        panel_answers=answers,
        twin_answers=answers,
        copies=CopyAnswers(("copy",), answers[None], answers, answers[None]),
    )
    again = decode(encode(whole))
    for field in dataclasses.fields(whole):
        np.testing.assert_equal(value(again, field.name), value(whole, field.name), field.name)
    assert again.commitment("00", "now") == whole.commitment("00", "now")


def test_what_reports_show_changes_no_byte(
    fingerprint: Fingerprint, blob: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint.commitment(sha256_of(blob), "now")
    for shown in (fingerprint, *fingerprint.probes, *fingerprint.spaces):
        monkeypatch.setattr(type(shown), "to_dict", lambda _: {"new": 1})
    for shown in (fingerprint.input, fingerprint.output):
        monkeypatch.setattr(type(shown), "to_dict", lambda _: {"new": 1})
    assert encode(fingerprint) == blob
    assert fingerprint.commitment(sha256_of(encode(fingerprint)), "now") == before


def test_nan_and_infinity_are_written_as_words(fingerprint: Fingerprint) -> None:
    odd = {"first": math.nan, "second": [math.inf, -math.inf]}
    strange = dataclasses.replace(fingerprint, parameters=odd)
    text = json.dumps(stored(strange), allow_nan=False)
    assert '{"first": "NaN", "second": ["Infinity", "-Infinity"]}' in text
    again = decode(encode(strange))
    assert encode(again) == encode(strange)
    assert again.commitment("00", "now") == strange.commitment("00", "now")
    assert refused(packed(fingerprint, json.dumps(stored(fingerprint) | {"parameters": odd})))


# What released registries hold.

RELEASE = Path(__file__).parents[2] / "registry" / "golden" / "release-0002" / "registry.db.gz"


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, str, str]]:
    """Each model's probes as the release stored them, when, and what was committed to."""
    path = tmp_path_factory.mktemp("released") / "registry.db"
    path.write_bytes(gzip.decompress(RELEASE.read_bytes()))
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute(
            "SELECT name, blob, created, commitment FROM models "
            "JOIN probe_sets ON probe_sets.model_id = models.id "
            "JOIN fingerprints ON fingerprints.model_id = models.id"
        ).fetchall()
    return {name: (blob, created, commitment) for name, blob, created, commitment in rows}


def test_what_a_released_extractor_wrote_is_read_and_committed_to(
    released: dict[str, tuple[bytes, str, str]],
) -> None:
    assert {"cnn", "vit", "mlp", "mlp-float"} <= {*released}
    for blob, created, commitment in released.values():
        assert blob[len(MAGIC)] == 1
        found, told = decode(blob), stored(make_fingerprint(make_model()), blob)
        assert found.version == 1
        assert found.commitment(sha256_of(blob), created) == commitment
        assert found.surrogate_ratios == tuple(told["parameters"]["decoys"])
        assert len(found.probes) == told["probes"]
        shown = found.to_dict()
        for probe, row in zip(shown["per_probe"], told["per_probe"], strict=True):
            assert probe == {key: one for key, one in row.items() if key != "start_cosine"}
        assert {key: one for key, one in shown.items() if key in told and key != "per_probe"} == {
            key: one for key, one in told.items() if key != "per_probe"
        }
        assert (found.turns, found.depths, len(found.panel_answers)) == ((), (), 0)


def test_it_can_be_written_anew(released: dict[str, tuple[bytes, str, str]]) -> None:
    old = decode(released["vit"][0])
    new = decode(encode(old))
    assert new.version == VERSION
    assert_equal(new, old)
    assert "start_cosine" not in json.dumps(stored(old))


def test_what_was_committed_to_with_nan_in_it_stays_checkable(
    released: dict[str, tuple[bytes, str, str]],
) -> None:
    old = decode(released["mlp"][0])
    odd = dataclasses.replace(old, parameters={"x": math.nan})
    text = (
        f'{{"created":"now","model_digest":"{old.model_digest}","parameters":{{"x":NaN}},'
        f'"probes_sha256":"00","seed":"{old.seed}"}}'
    )
    assert odd.commitment("00", "now") == hashlib.sha256(text.encode()).hexdigest()
