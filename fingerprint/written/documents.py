"""From JSON to entries: lists of records, or one object by picture; also a record for each line.

::

    [{"file": "bcdf.png", "label": "cat", "score": 0.7}, ...]
    [{"file": "bcdf.png", "predictions": [{"label": "cat", "score": 0.7}, ...]}, ...]
    {"bcdf.png": [0.1, 0.9], ...}
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from fingerprint.errors import MalformedFile
from fingerprint.text import clean
from fingerprint.written.entries import Entry, number_of, picture_of

__all__ = ["entries_of_json", "entry_of"]

_MOST_LINES = 2**17
"""Most lines of a document for each."""
_LABELS = ("label", "class", "class_name", "prediction", "category", "answer", "name", "class_id")
_VECTORS = ("scores", "logits", "probabilities", "probs", "predictions", "outputs", "values")
_SCORES = ("score", "probability", "prob", "confidence", "logit", "value")


def entries_of_json(text: str, known: Collection[str]) -> list[Entry]:
    """Reads a document.

    Args:
        text: All of it.
        known: Names of the pictures that it may speak of.

    Raises:
        MalformedFile: It is no JSON, or speaks of something else.
    """
    return [entry_of(picture, answer) for picture, answer in _answers(_parsed(text), known)]


def entry_of(picture: str, answer: Any) -> Entry:
    """Returns what one answer says: a label, numbers, or classes with their scores.

    Raises:
        MalformedFile: It says none of these.
    """
    if answer is None:
        return Entry(picture=picture)
    if isinstance(answer, bool | int | str):
        return Entry(picture=picture, named=((_word(answer), math.nan),))
    if isinstance(answer, float):
        return Entry(picture=picture, values=(answer,))
    if isinstance(answer, Mapping):
        return _of_object(picture, answer)
    if isinstance(answer, list):
        return _of_list(picture, answer)
    raise MalformedFile(f"{picture}: expected an answer, got '{clean(answer, 40)}'")


def _of_object(picture: str, answer: Mapping[str, Any]) -> Entry:
    label, score, vector = (_first(answer, names) for names in (_LABELS, _SCORES, _VECTORS))
    if vector is not None and isinstance(answer[vector], list | Mapping):
        return entry_of(picture, answer[vector])
    if label is not None and not isinstance(answer[label], list | Mapping):
        value = math.nan if score is None else _number(picture, answer[score])
        return Entry(picture=picture, named=((_word(answer[label]), value),))
    inner = [value for value in answer.values() if isinstance(value, list | Mapping)]
    if len(inner) == 1:
        return entry_of(picture, inner[0])
    if score is not None and len(answer) == 1:
        return Entry(picture=picture, values=(_number(picture, answer[score]),))
    return Entry(
        picture=picture,
        named=tuple((_word(key), _number(picture, value)) for key, value in answer.items()),
    )


def _of_list(picture: str, answer: list[Any]) -> Entry:
    if len(answer) == 1 and isinstance(answer[0], list) and _all_numbers(answer[0]):
        return _of_list(picture, answer[0])
    if _all_numbers(answer):
        return Entry(picture=picture, values=tuple(_number(picture, value) for value in answer))
    named: list[tuple[str, float]] = []
    for one in answer:
        if isinstance(one, list) and len(one) == 2:
            named.append((_word(one[0]), _number(picture, one[1])))
        elif isinstance(one, str | Mapping):
            named += entry_of(picture, one).named
        else:
            raise MalformedFile(
                f"{picture}: expected numbers, or labels with scores, got '{clean(one, 40)}'"
            )
    return Entry(picture=picture, named=tuple(named))


def _all_numbers(values: list[Any]) -> bool:
    return all(value is None or isinstance(value, int | float) for value in values)


def _parsed(text: str) -> Any:
    """Returns the document, or a list of those on each line; no key may be there twice."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            if 1 < len(lines) <= _MOST_LINES:
                return [json.loads(line, object_pairs_hook=_object) for line in lines]
        except (ValueError, RecursionError):
            pass
        raise MalformedFile(f"expected JSON, got something else ({clean(error)})") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _answers(document: Any, known: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yields each picture with what is said of it."""
    if isinstance(document, list):
        for record in document:
            yield _of_record(record, known)
        return
    if not isinstance(document, Mapping):
        raise _unknown(document)
    if any(picture_of(key, known) for key in document):
        for key, answer in document.items():
            picture = picture_of(key, known)
            if picture is None:
                raise _unknown(key)
            yield picture, answer
        return
    inner = [value for value in document.values() if isinstance(value, list | Mapping)]
    if len(inner) != 1:
        raise _unknown(next(iter(document), ""))
    yield from _answers(inner[0], known)


def _of_record(record: Any, known: Collection[str]) -> tuple[str, Any]:
    if not isinstance(record, Mapping):
        raise _unknown(record)
    for key, value in record.items():
        picture = picture_of(value, known) if isinstance(value, str) else None
        if picture is not None:
            rest = {name: said for name, said in record.items() if name != key}
            if len(rest) == 1 and _first(rest, _SCORES) is None:
                return picture, next(iter(rest.values()))
            return picture, rest or None
    raise _unknown(next(iter(record.values()), ""))


def _first(answer: Mapping[str, Any], names: Collection[str]) -> str | None:
    return next((key for key in answer if key.lower() in names), None)


def _word(value: Any) -> str:
    return str(value).strip()


def _number(picture: str, value: Any) -> float:
    found = number_of(value) if isinstance(value, str) else value
    if found is None:
        return math.nan
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise MalformedFile(f"{picture}: expected a number, got '{clean(value, 40)}'")
    try:
        return float(found)
    except OverflowError:
        return math.nan


def _unknown(value: Any) -> MalformedFile:
    return MalformedFile(
        "expected the pictures of an export of this registry with their answers, as a list of "
        f"records or one object, got '{clean(value, 40)}'"
    )
