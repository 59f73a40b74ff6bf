"""Whatever people write down is read for what it says, or refused in one line."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fingerprint.distances import top_k
from fingerprint.errors import (
    EnvironmentFailure,
    FingerprintError,
    InputRefused,
    MalformedFile,
    UnsafeFile,
)
from fingerprint.precision import Precision
from fingerprint.written import Written, read_written, reading, table

RNG = np.random.default_rng(0)
COUNT = 30
LETTERS = "bcdfghjklmnpqrstvwxz"
PICTURES = ["".join(RNG.choice(list(LETTERS), 12)) for _ in range(COUNT)]
LOGITS = RNG.normal(size=(COUNT, 5)).astype(np.float32) * 3
SHARES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
LABELS = LOGITS.argmax(axis=1)
WORDS = ["cat", "dog", "fox, red", "käfer", "5 owls"]


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Reads a text, or bytes, as a file of answers."""

    def reading(text: str | bytes, **options: Any) -> Written:
        path = tmp_path / "answers.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_written(path, PICTURES, **options)[0]

    return reading


def rows_of(written: Written, pictures: list[str] = PICTURES) -> NDArray[np.float32]:
    return np.concatenate([written.answers[name] for name in pictures])


def lines(*columns: Any, separator: str = ",", header: str = "") -> str:
    rows = zip([f"{name}.png" for name in PICTURES], *columns, strict=True)
    body = [separator.join(map(str, row)) for row in rows]
    return "\n".join([header, *body] if header else body) + "\n"


FULL = lines(*LOGITS.astype(str).T)


# Labels.


@pytest.mark.parametrize(
    "text",
    [
        lines(LABELS),
        lines(LABELS, header="file,label"),
        lines([f"LABEL_{one}" for one in LABELS], header="file,prediction"),
        lines([f"{one}.0" for one in LABELS]),
        lines(LABELS, [f"{one:.2f}" for one in SHARES.max(axis=1)], header="file,label,score"),
        lines(LABELS, SHARES.max(axis=1)),
        lines(*np.eye(5, dtype=int)[LABELS].T, header="file,0,1,2,3,4"),
        json.dumps({f"{name}.png": int(one) for name, one in zip(PICTURES, LABELS, strict=True)}),
        json.dumps(
            [
                {"image": f"/data/{name}.png", "label": int(one)}
                for name, one in zip(PICTURES, LABELS, strict=True)
            ]
        ),
    ],
    ids=["bare", "header", "LABEL_3", "3.0", "score", "bare score", "one-hot", "object", "records"],
)
def test_a_label_for_each_picture(read: Any, text: str) -> None:
    written = read(text, classes=[3, 5, 1000])
    assert (written.output.classes, written.output.by_name) == (5, False)
    assert rows_of(written).argmax(axis=1).tolist() == LABELS.tolist()
    assert all((row > 0).sum() == 1 for row in rows_of(written))
    assert "labels" in written.said


def test_words_are_labels_in_no_order(read: Any) -> None:
    words = [f'"{WORDS[one]}"' for one in LABELS]
    written = read(lines(words, header="file,class"))
    assert (written.output.kind, written.output.by_name) == ("labels", True)
    rows = rows_of(written)
    same = rows @ rows.T
    assert (same == (LABELS[:, None] == LABELS)).all()


def test_how_many_classes_there_are_whole_numbers_do_not_say(read: Any) -> None:
    assert read(lines(LABELS)).output.classes == 5
    assert read(lines(LABELS), classes=[4, 10]).output.classes == 10
    assert read(lines(LABELS + 3), classes=[7]).output.classes == 8
    large = read(lines(LABELS + 10**8), classes=[10**9])
    assert (large.output.classes, large.output.by_name) == (5, True)


def test_of_ranked_labels_without_scores_the_first_counts(read: Any) -> None:
    order = np.argsort(-LOGITS, axis=1)[:, :3]
    for text in (
        lines(*order.T, header="file,top1,top2,top3"),
        lines(*[[f"w{one}" for one in column] for column in order.T]),
    ):
        rows = rows_of(read(text))
        assert ((rows @ rows.T) == (LABELS[:, None] == LABELS)).all()


# A number for each class.


@pytest.mark.parametrize(
    "text",
    [
        FULL,
        lines(*LOGITS.astype(str).T, header="file,0,1,2,3,4"),
        lines(*LOGITS.astype(str).T[::-1], header="file,4,3,2,1,0"),
        lines(*LOGITS.astype(str).T, header="picture,cat,dog,fox,owl,bee"),
        lines(LABELS, *LOGITS.astype(str).T, header="file,label,a,b,c,d,e"),
        lines([WORDS[0]] * COUNT, *LOGITS.astype(str).T),
        lines(LABELS, *LOGITS.astype(str).T),
        lines(*LOGITS.astype(str).T, [0.25] * COUNT, header="file,a,b,c,d,e,seconds"),
        lines([f'"{json.dumps(row.tolist())}"' for row in LOGITS], header="file,logits"),
        json.dumps(
            [{"file": n, "logits": r.tolist()} for n, r in zip(PICTURES, LOGITS, strict=True)]
        ),
        json.dumps({n: [r.tolist()] for n, r in zip(PICTURES, LOGITS, strict=True)}),
        json.dumps(
            {
                "results": [
                    {"id": n, "ms": 3, "out": r.tolist()}
                    for n, r in zip(PICTURES, LOGITS, strict=True)
                ]
            }
        ),
        json.dumps(
            [
                {"file": n, "label": "cat", "probs": r.tolist()}
                for n, r in zip(PICTURES, LOGITS, strict=True)
            ]
        ),
        "\n".join(
            json.dumps({"file": n, "scores": {str(c): float(v) for c, v in enumerate(r)}})
            for n, r in zip(PICTURES, LOGITS, strict=True)
        ),
    ],
    ids=[
        *("bare", "numbered", "numbered backwards", "named", "label too", "word too"),
        *("bare label too", "seconds too", "list in a cell"),
        *("records", "nested", "more in the record", "label in the record", "lines by class"),
    ],
)
def test_a_number_for_each_class(read: Any, text: str) -> None:
    written = read(text)
    assert (written.output.kind, written.output.classes) == ("logits", 5)
    np.testing.assert_array_equal(rows_of(written), LOGITS)


@pytest.mark.parametrize("decimals", [3, 6])
@pytest.mark.parametrize("unit", [1, 100])
def test_what_adds_up_to_one_is_probabilities(read: Any, decimals: int, unit: int) -> None:
    shares = (SHARES * unit).round(decimals)
    for percent in ("", "%") if unit == 100 else ("",):
        columns = [[f"{one:.{decimals}f}{percent}" for one in column] for column in shares.T]
        written = read(lines(*columns))
        assert written.output.kind == "probabilities"
        np.testing.assert_allclose(rows_of(written), shares / unit, rtol=1e-6)


def test_shares_that_do_not_add_up_are_several_labels_at_once(read: Any) -> None:
    written = read(lines(*(1 / (1 + np.exp(-LOGITS))).astype(str).T))
    assert written.output.kind == "logits"
    assert "several labels at once" in written.said


@pytest.mark.parametrize(
    ("values", "kind", "first"),
    [(LOGITS[:, 0], "logits", 0), (SHARES[:, 0], "probabilities", 1)],
    ids=["logit", "probability"],
)
def test_one_number_is_the_second_of_two_classes(
    read: Any, values: NDArray[Any], kind: str, first: int
) -> None:
    written = read(lines(values.astype(str), header="file,score"))
    assert (written.output.kind, written.output.classes) == (kind, 2)
    expected = [(1 - one if first else 0, one) for one in values]
    np.testing.assert_allclose(rows_of(written), expected, atol=1e-6)


def test_numbers_of_few_digits_are_as_precise_as_the_largest_of_them(read: Any) -> None:
    """Three digits of 12.3 and of 0.123: their difference is known to a tenth."""
    rows = np.concatenate([LOGITS, 10 * LOGITS[:, :1]], axis=1)
    short = [[f"{one:.3g}" for one in column] for column in rows.T]
    written = read(lines(*short))
    assert Precision.of(rows_of(written), "logits").step == pytest.approx(0.1)
    for text in ([[f"{v:.3f}" for v in c] for c in rows.T], rows.astype(str).T):
        given = rows_of(read(lines(*text)))
        np.testing.assert_array_equal(given, np.asarray(text, float).T.astype(np.float32))
    for scale in (1e-300, 1e-40, 1e-30, 1e30, 1e300):  # as float32 zero, next to it, infinite
        tiny = [[f"{float(one) * scale:.3g}" for one in column] for column in rows.T]
        with contextlib.suppress(EnvironmentFailure):
            read(lines(*tiny))


# Some of the classes.


def top(k: int) -> NDArray[Any]:
    return top_k(SHARES.astype(np.float32), k)


def pairs(k: int) -> list[list[tuple[int, float]]]:
    order = np.argsort(-SHARES, axis=1)[:, :k]
    return [[(int(c), float(SHARES[i, c])) for c in row] for i, row in enumerate(order)]


def wide(k: int, *, ordered: bool) -> str:
    rows = []
    for name, row in zip(PICTURES, pairs(k), strict=True):
        cells = [str(v) for c, s in row for v in (c, s)]
        if ordered:
            cells = [str(c) for c, _ in row] + [str(s) for _, s in row]
        rows.append(",".join([f"{name}.png", *cells]))
    return "\n".join(rows)


TOP = {
    "wide": wide(3, ordered=False),
    "labels, then scores": wide(3, ordered=True),
    "long": "\n".join(
        f"{name}.png,{label},{score}"
        for name, row in zip(PICTURES, pairs(3), strict=True)
        for label, score in row
    ),
    "empty cells": lines(*[[v or "" for v in column] for column in top(3).T]),
    "zeros": lines(*top(3).T),
    "pipeline": json.dumps(
        {
            f"{name}.png": [{"score": s, "label": f"LABEL_{c}"} for c, s in row]
            for name, row in zip(PICTURES, pairs(3), strict=True)
        }
    ),
    "pairs": json.dumps(
        [
            {"file": name, "predictions": [[str(c), s] for c, s in row]}
            for name, row in zip(PICTURES, pairs(3), strict=True)
        ]
    ),
    "one object": json.dumps(
        {name: {str(c): s for c, s in row} for name, row in zip(PICTURES, pairs(3), strict=True)}
    ),
}


@pytest.mark.parametrize("text", TOP.values(), ids=TOP.keys())
def test_the_likeliest_classes(read: Any, text: str) -> None:
    written = read(text, classes=[5])
    assert (written.output.kind, written.output.classes) == ("top-k", 5)
    np.testing.assert_allclose(rows_of(written), top(3), rtol=1e-6)
    assert written.said == "the 3 likeliest of 5 classes"


def test_the_logits_of_some_classes_are_theirs_but_for_a_factor(read: Any) -> None:
    order = np.argsort(-LOGITS, axis=1)[:, :3]
    text = "\n".join(
        f"{name},{c},{LOGITS[i, c]}" for i, name in enumerate(PICTURES) for c in order[i]
    )
    given = rows_of(read(text, classes=[5]))
    assert ((given > 0) == (top(3) > 0)).all()
    ratio = np.where(given > 0, top(3) / np.where(given > 0, given, 1), np.nan)
    np.testing.assert_allclose(np.nanmax(ratio, axis=1), np.nanmin(ratio, axis=1), rtol=1e-5)


def test_percentages_of_some_classes(read: Any) -> None:
    text = "\n".join(
        f"{name},{c},{100 * s:.2f}%"
        for name, row in zip(PICTURES, pairs(2), strict=True)
        for c, s in row
    )
    np.testing.assert_allclose(rows_of(read(text, classes=[5])), top(2), atol=6e-5)
    plain = rows_of(read(text.replace("%", ""), classes=[5]))
    np.testing.assert_allclose(plain, top(2), atol=6e-5)


# Spreadsheets and other habits.


def test_other_separators_encodings_and_line_ends(read: Any) -> None:
    plain = lines(*LOGITS.astype(str).T, header="file,a,b,c,d,e")
    semicolons = lines(*[[str(v).replace(".", ",") for v in c] for c in LOGITS.T], separator=";")
    for text in (
        b"\xef\xbb\xbf" + plain.encode(),
        plain.replace("\n", "\r\n").encode(),
        plain.replace("\n", "\n\n").encode(),
        plain.replace("\n", ",,,\n").encode(),
        plain.replace(",", "\t").encode("utf-16"),
        plain.replace(",", "|").encode(),
        semicolons.encode(),
        b"sep=;\r\n" + semicolons.encode(),
        semicolons.replace(".png", '"').replace("\n", '\n"').removesuffix('"').join('" ').encode(),
    ):
        np.testing.assert_array_equal(rows_of(read(text)), LOGITS)


def test_western_code_pages(read: Any) -> None:
    words = [WORDS[3] if one else WORDS[0] for one in LABELS]
    assert read(lines(words).encode("cp1252")).output.classes == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda name: f"C:\\Users\\x y\\{name}.PNG",
        lambda name: f"../../{name}.jpg",
        lambda name: f"'{name}.png'",
        lambda name: f"https://example.org/{name}.png?size=1",
        lambda name: name.upper(),
        lambda name: f" {name}.png ",
    ],
)
def test_pictures_are_known_by_their_names_alone(read: Any, change: Any) -> None:
    text = "\n".join(f"{change(n)},{label}" for n, label in zip(PICTURES, LABELS, strict=True))
    assert rows_of(read(text)).argmax(axis=1).tolist() == LABELS.tolist()


def test_row_numbers_and_the_order_of_columns_and_rows(read: Any) -> None:
    rows = [
        f"{i},{label},{name}.png"
        for i, (label, name) in enumerate(zip(LABELS, PICTURES, strict=True))
    ]
    for text in ("\n".join([",label,file", *rows]), "\n".join(rows)):
        written = read(text)
        assert rows_of(written).argmax(axis=1).tolist() == LABELS.tolist()
        assert written.notes == ("left out of the answers: row numbers",)
    shuffled = "\n".join(reversed(FULL.splitlines()))
    np.testing.assert_array_equal(rows_of(read(shuffled)), LOGITS)


def test_missing_answers_are_missing_and_said(read: Any) -> None:
    cells = LOGITS.astype(str).tolist()
    cells[0] = [""] * 5
    cells[1] = ["#N/A"] * 5
    cells[2][3] = "nan"
    cells[3][0] = "-inf"
    cells[4][0] = "1e999"
    cells[5] = ["timeout", "", "", "", ""]
    text = lines(*np.array(cells).T).replace(f"{PICTURES[6]}.png", f"{PICTURES[7]}.png")
    written = read("\n".join(text.splitlines()))
    assert set(written.answers) == set(PICTURES[7:])
    assert any("6 pictures have no finite answer" in note for note in written.notes)


def test_what_is_there_twice_alike_counts_once_and_differently_twice(read: Any) -> None:
    written = read(FULL + FULL)
    np.testing.assert_array_equal(rows_of(written), LOGITS)
    assert f"{COUNT} pictures were answered twice alike" in written.notes[0]
    other = LOGITS.copy()
    other[3] += 1
    written = read(FULL + lines(*other.astype(str).T))
    np.testing.assert_array_equal(written.answers[PICTURES[3]], [LOGITS[3], other[3]])
    assert any(
        f"1 pictures were answered differently when asked again: {PICTURES[3]}" in note
        for note in written.notes
    )
    written = read(lines(LABELS) + f"{PICTURES[0]}.png,{(LABELS[0] + 1) % 5}\n")
    assert len(written.answers[PICTURES[0]]) == 2


# What is refused, in one line.

REFUSED: dict[str, tuple[bytes, type[FingerprintError], str]] = {
    "no answers": (
        lines([""] * COUNT, header="file,label").encode(),
        EnvironmentFailure,
        "no picture was answered",
    ),
    "nothing finite": (lines(["nan"] * COUNT).encode(), EnvironmentFailure, "no picture"),
    "only words for none": (lines(["#N/A"] * COUNT).encode(), EnvironmentFailure, "no picture"),
    "other pictures": (b"file,label\ncat.png,1\n", MalformedFile, "got 'file'"),
    "one other picture": (
        lines(LABELS).encode() + b"\x20../../etc/passwd,1\n",
        MalformedFile,
        "line 31: expected a picture",
    ),
    "the first is another picture": (
        b"cat.png,0\n" + lines(LABELS).encode(),
        MalformedFile,
        "line 1: expected a picture",
    ),
    "total": (lines(LABELS).encode() + b"total,30\n", MalformedFile, "got 'total'"),
    "workbook": (b"PK\x03\x04" + b"x" * 40, MalformedFile, "save it as CSV"),
    "old workbook": (b"\xd0\xcf\x11\xe0" + b"x" * 40, MalformedFile, "save it as CSV"),
    "pickle": (b"\x80\x04\x95\x10\x00\x00\x00", MalformedFile, "control character"),
    "escape": (lines(["\x1b[2Jcat"] * COUNT).encode(), MalformedFile, r"\\x1b"),
    "formula": (
        lines(["=HYPERLINK(1)"] * COUNT).encode(),
        MalformedFile,
        "line 1: expected a value, got the formula",
    ),
    "thousands": (
        lines(*[["1.234,5"] * COUNT] * 3, separator=";").encode(),
        MalformedFile,
        "thousands",
    ),
    "a long cell": (lines(["x" * 200_000] * COUNT).encode(), MalformedFile, "field larger"),
    "scores that miss": (
        lines(*[[WORDS[0]] * COUNT] * 3, *[[0.5] * COUNT] * 2).encode(),
        MalformedFile,
        "3 columns of labels and 2 of numbers",
    ),
    "a class twice": (
        json.dumps({PICTURES[0]: [["a", 0.5], ["a", 0.4]], PICTURES[1]: [["b", 1.0]]}).encode(),
        MalformedFile,
        "got it twice",
    ),
    "half JSON": (b'{"a": [1, 2', MalformedFile, "expected JSON"),
    "a key twice": (f'{{"{PICTURES[0]}": 1, "{PICTURES[0]}": 2}}'.encode(), MalformedFile, "twice"),
    "JSON of something else": (b'{"a": 1, "b": "x"}', MalformedFile, "got 'a'"),
    "deep JSON": (b"[" * 100_000 + b"]" * 100_000, MalformedFile, "JSON|nested"),
    "deep answer": (
        f'{{"{PICTURES[0]}": {"[" * 900}{"]" * 900}}}'.encode(),
        InputRefused,
        "nested|expected",
    ),
    "too many runs": (
        "".join(f"{PICTURES[0]},{i}.5,{i}.25,-{i}.125\n" for i in range(17)).encode(),
        MalformedFile,
        "at most 16 different answers",
    ),
    "labels and numbers": (
        json.dumps({PICTURES[0]: "cat", PICTURES[1]: [0.1, 0.9]}).encode(),
        MalformedFile,
        "answers of one form",
    ),
    "a number that is none": (
        json.dumps({PICTURES[0]: {"a": [], "b": []}}).encode(),
        MalformedFile,
        "expected a number",
    ),
    "too many classes": (lines(*[["0.25"] * COUNT] * 400).encode(), UnsafeFile, "at most 10000"),
}


@pytest.mark.parametrize(("data", "error", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_read_is_refused_in_one_line(
    read: Any, monkeypatch: pytest.MonkeyPatch, data: bytes, error: type, message: str
) -> None:
    monkeypatch.setattr("fingerprint.written.kinds.MAX_VALUES", 10**4)
    with pytest.raises(error, match=message) as caught:
        read(data)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert "answers.csv: " in str(caught.value)


def test_limits_on_bytes_and_cells(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_CELLS", 100)
    with pytest.raises(UnsafeFile, match="at most 100 cells"):
        read(FULL)
    monkeypatch.setattr(reading, "MAX_BYTES", 50)
    with pytest.raises(UnsafeFile, match="at most 50 bytes"):
        read(FULL)


CELLS = st.sampled_from(
    [*PICTURES[:4], "1", "0.5", "-2,5", "97%", "cat", "", "=1", "#N/A", "nan", "1e9"]
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.lists(CELLS, max_size=6), max_size=12),
    separator=st.sampled_from([",", ";", "\t", "|"]),
)
def test_any_table_is_read_or_refused(read: Any, rows: list[list[str]], separator: str) -> None:
    try:
        written = read("\n".join(separator.join(row) for row in rows) or " ")
    except FingerprintError:
        return
    for answers in written.answers.values():
        assert answers.dtype == np.float32
        assert answers.shape[1] == written.output.classes
        assert np.isfinite(answers).all()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    document=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from(PICTURES[:3]),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from([*PICTURES[:3], "file", "label", "score"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_any_document_is_read_or_refused(read: Any, document: Any) -> None:
    try:
        written = read(json.dumps(document))
    except FingerprintError:
        return
    assert all(np.isfinite(answers).all() for answers in written.answers.values())
