"""What answers are that somebody wrote down: numbers, probabilities, some classes, or one label.

Entries of one file are looked at together. Numbers for each class are probabilities where they add
up to one (or to a hundred), the likeliest classes where most are zero or empty, else numbers whose
differences count: logits, an embedding, several labels at once. One number is the logit or the
probability of the second of two classes. Named classes with scores are top-k answers, without
scores labels; words get places of their own, in no order that a model's classes could be held
against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import EnvironmentFailure, MalformedFile, UnsafeFile
from fingerprint.network.spec import OutputSpec
from fingerprint.text import listed
from fingerprint.written.entries import Entry, index_of

__all__ = ["Written", "written_of"]

MAX_VALUES = 2**24
"""Most numbers of all answers together, 64 MiB as float32: 768 answers of 21,843 classes."""
_OFF = 2e-3
"""By how much probabilities may miss one beside their rounding."""
_MOST_ANSWERS = 16
"""Different answers to one picture: two say already that answers do not repeat."""
_LEAST_LOG = -69.0
"""Where the logarithm of a probability ends, so that float32 has room for it."""
_SMALLEST, _LARGEST = 1e-45, 1e39
"""Numbers beyond these are zero or infinite as float32."""
_FEW_DIGITS = 5
"""Significant digits up to which numbers were rounded, so that the smallest show decimals that the
largest lack."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Written:
    """Answers to pictures.

    Attributes:
        output: What they are, and of how many classes.
        answers: By picture, one finite float32 answer for each time it was given, shape
            ``(r, classes)``; equal ones once. Pictures that were not answered are missing.
        said: What they were taken for, in words.
        notes: What was left out or looked odd, one line each.
    """

    output: OutputSpec
    answers: Mapping[str, NDArray[np.float32]]
    said: str
    notes: tuple[str, ...] = ()


def written_of(
    entries: Sequence[Entry], *, classes: Sequence[int] = (), notes: Sequence[str] = ()
) -> Written:
    """Finds out what answers are, and brings them to one form.

    Args:
        entries: What is said of pictures, in the order of the file.
        classes: Numbers of classes that models have which they may answer for: labels that are
            whole numbers do not say how many there are.
        notes: What was noticed on reading.

    Raises:
        MalformedFile: Some name classes and others do not, or one names a class twice, or a
            picture has too many answers.
        UnsafeFile: There are more than ``MAX_VALUES`` numbers.
        EnvironmentFailure: There is no answer.
    """
    named = [one for one in entries if one.named]
    values = [one for one in entries if one.values]
    if named and values:
        raise MalformedFile(
            f"expected answers of one form, got labels for {named[0].picture} and numbers for "
            f"{values[0].picture}; write all alike"
        )
    if not named and not values:
        raise EnvironmentFailure("no picture was answered; fill in what the model says of each")
    named = _listed(named)
    with np.errstate(all="ignore"):  # what does not fit is not finite, and no answer
        said, output, rows = _of_names(named, classes) if named else _of_values(values)
    answers, more = _answers(entries, named or values, rows)
    if not answers:
        raise EnvironmentFailure("no picture was answered with finite numbers")
    return Written(output=output, answers=answers, said=said, notes=(*notes, *more))


def _answers(
    entries: Sequence[Entry], given: Sequence[Entry], rows: Matrix
) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """Gathers rows by picture, and says which pictures lack an answer or have several."""
    with np.errstate(over="ignore"):
        narrow = rows.astype(np.float32)
    found: dict[str, list[NDArray[np.float32]]] = {}
    again = set()
    for one, row in zip(given, narrow, strict=True):
        there = found.setdefault(one.picture, [])
        if not np.isfinite(row).all():
            continue
        if any((row == other).all() for other in there):
            again.add(one.picture)
        elif len(there) == _MOST_ANSWERS:
            raise MalformedFile(
                f"{one.picture}: expected at most {_MOST_ANSWERS} different answers to a picture, "
                "got more; give those of one run"
            )
        else:
            there.append(row)
    answers = {picture: np.stack(there) for picture, there in found.items() if there}
    empty = sorted({one.picture for one in entries} - answers.keys())
    several = sorted(picture for picture, there in answers.items() if len(there) > 1)
    notes = []
    if empty:
        notes.append(f"{len(empty)} pictures have no finite answer: {listed(empty)}")
    if again:
        notes.append(f"{len(again)} pictures were answered twice alike: {listed(sorted(again))}")
    if several:
        notes.append(
            f"{len(several)} pictures were answered differently when asked again: "
            f"{listed(several)}; where that is a slip, delete the wrong rows"
        )
    return answers, notes


# A number for each class.


def _of_values(entries: list[Entry]) -> tuple[str, OutputSpec, Matrix]:
    width = max(len(one.values) for one in entries)
    _check_size(len(entries), width)
    rows = np.full((len(entries), width), np.nan)
    for row, one in zip(rows, entries, strict=True):
        row[: len(one.values)] = one.values
    rows[~np.isfinite(rows)] = np.nan
    return _of_one(rows) if width == 1 else _of_many(rows)


def _of_one(rows: Matrix) -> tuple[str, OutputSpec, Matrix]:
    """A number z as the logits (0, z), or p as the probabilities (1 - p, p)."""
    there = rows[np.isfinite(rows)]
    if there.size and (there >= 0).all() and (there <= 1).all():
        output = OutputSpec(classes=2, kind="probabilities")
        return "one probability", output, np.hstack([1 - rows, rows])
    rows = _evened(rows)
    output = OutputSpec(classes=2, kind="logits")
    return "one number", output, np.hstack([0 * rows, rows])


def _of_many(rows: Matrix) -> tuple[str, OutputSpec, Matrix]:
    classes = rows.shape[1]
    full = rows[np.isfinite(rows).all(axis=1)]
    if 2 * len(full) < np.isfinite(rows).any(axis=1).sum():
        return _of_some(rows)
    if full.size and full.min() >= 0:
        if (np.sort(full, axis=1) == np.arange(classes) // (classes - 1)).all():
            return "labels", OutputSpec(classes=classes, kind="labels"), rows
        for unit, said in ((1.0, "probabilities"), (100.0, "probabilities in percent")):
            off = abs(full.sum(axis=1) / unit - 1)
            if (off <= _OFF + classes * _half_unit(full / unit)).all():
                output = OutputSpec(classes=classes, kind="probabilities")
                return f"{said} of {classes} classes", output, _evened(rows / unit, least=2)
        if _mostly_zero(full):
            return _of_some(np.where(rows == 0, np.nan, rows))
    said = f"{classes} numbers: logits, or an embedding"
    if full.size and full.min() >= 0 and full.max() <= 1:
        said = f"{classes} numbers from 0 to 1 that do not add up to 1: several labels at once?"
    return said, OutputSpec(classes=classes, kind="logits"), _evened(rows)


def _mostly_zero(rows: Matrix) -> bool:
    """Whether rows hold the probabilities of a few classes, and 0 for those that were not told."""
    named = (rows > 0).sum(axis=1)
    few = 2 * named.mean() <= rows.shape[1] or named.min() == named.max() < rows.shape[1]
    return bool(few and named.any() and (rows.sum(axis=1) <= 1 + _OFF).all())


def _of_some(rows: Matrix) -> tuple[str, OutputSpec, Matrix]:
    """The likeliest classes, NaN for all others: as probabilities, 0 for the others."""
    there = np.isfinite(rows)
    scores = rows[there]
    if scores.min() < 0 or scores.max() > 1:
        sums = np.where(there, rows, 0).sum(axis=1)[there.any(axis=1)]
        if scores.min() >= 0 and 50 <= np.median(sums) <= 100 * (1 + _OFF):
            rows = rows / 100
        else:
            # The logits of some classes: what they lack of the sum is the same for all of them.
            rows = _evened(rows)
            top = np.where(there, rows, -np.inf).max(axis=1, keepdims=True)
            rows = np.exp(np.maximum(rows - np.where(np.isfinite(top), top, 0), _LEAST_LOG))
    shares = np.where(there, rows, 0)
    shares = np.where((shares > 0).any(axis=1, keepdims=True), shares, np.nan)
    said = f"the {int((shares > 0).sum(axis=1).max())} likeliest of {rows.shape[1]} classes"
    return said, OutputSpec(classes=rows.shape[1], kind="top-k"), shares


def _half_unit(values: Matrix) -> float:
    """Half a unit of the last decimal, of numbers that have few; else 0."""
    for decimals in range(1, _FEW_DIGITS + 1):
        scaled = values * 10.0**decimals
        if (abs(scaled - scaled.round()) <= 1e-6).all():
            return 0.5 * 10.0**-decimals
    return 0.0


def _evened(rows: Matrix, *, least: int = _FEW_DIGITS) -> Matrix:
    """Rounds numbers of few significant digits to the decimals that the largest of them show.

    Where 12.3 and 0.123 were both written with three digits, nothing finer than 0.1 is known of
    their difference, and that is what precision has to be found as.

    Args:
        rows: The numbers, NaN for none.
        least: Most digits at which it is done. Of probabilities the ratio counts, which three
            digits tell well enough.
    """
    values = np.abs(rows[np.isfinite(rows)])
    values = values[(values > _SMALLEST) & (values < _LARGEST)]
    if not values.size:
        return rows
    tens = np.floor(np.log10(values))
    digits = next((n for n in range(1, least + 1) if _whole(values * 10.0 ** (n - 1 - tens))), 0)
    top = tens.max()
    if digits == 0:
        return rows
    # Numbers of one decimal count lose no digit: 12.3 and 0.1.
    large = values[tens >= top - 1]
    shown = next(n for n in range(-int(top), digits + 1 - int(top)) if _whole(large * 10.0**n))
    if _whole(values * 10.0**shown):
        return rows
    return rows.round(int(digits - 1 - top))


def _whole(values: Matrix) -> bool:
    return bool((abs(values - values.round()) <= 1e-9 * np.maximum(values, 1)).all())


# Classes by name.


def _listed(entries: list[Entry]) -> list[Entry]:
    """Joins rows of one picture that name one class each, with its score, to one answer.

    Where most pictures have a single row, a second one is another answer; so is whatever follows a
    class that was named before.
    """
    rows: dict[str, list[tuple[str, float]]] = {}
    for one in entries:
        rows.setdefault(one.picture, []).extend(one.named)
    single = all(len(one.named) == 1 and np.isfinite(one.named[0][1]) for one in entries)
    if not single or 2 * sum(len(named) > 1 for named in rows.values()) <= len(rows):
        return entries
    joined = []
    for picture, named in rows.items():
        begun: dict[str, float] = {}
        for word, score in named:
            if word in begun:
                joined.append(Entry(picture=picture, named=tuple(begun.items())))
                begun = {}
            begun[word] = score
        joined.append(Entry(picture=picture, named=tuple(begun.items())))
    return joined


def _of_names(entries: list[Entry], classes: Sequence[int]) -> tuple[str, OutputSpec, Matrix]:
    places, count, by_name = _vocabulary(entries, classes)
    _check_size(len(entries), count)
    rows = np.full((len(entries), count), np.nan)
    for row, one in zip(rows, entries, strict=True):
        for word, score in one.named:
            if np.isfinite(row[places[word]]):
                raise MalformedFile(f"{one.picture}: expected a class once, got it twice")
            row[places[word]] = score
    if np.isfinite(rows).sum(axis=1).max() <= 1 or _whole_logits(rows):
        best = [places[_likeliest(one)] for one in entries]
        said, output = f"labels, of {count} classes", OutputSpec(classes=count, kind="labels")
        rows = np.zeros((len(entries), count))
        rows[np.arange(len(entries)), best] = 1
    elif np.isfinite(rows).all():
        said, output, rows = _of_many(rows)
    else:
        said, output, rows = _of_some(rows)
    return f"{said} called by name" if by_name else said, replace(output, by_name=by_name), rows


def _vocabulary(
    entries: Sequence[Entry], classes: Sequence[int]
) -> tuple[dict[str, int], int, bool]:
    """Returns the place of each word, how many classes there are, and whether words say none."""
    words = sorted({word for one in entries for word, _ in one.named})
    places = [index_of(word) for word in words]
    known = [place for place in places if place is not None]
    # Numbers far apart are names as well: there is no room for all that may lie between.
    if len(known) < len(words) or len(entries) * (max(known) + 1) > MAX_VALUES:
        return {word: place for place, word in enumerate(words)}, max(2, len(words)), True
    least = max(2, max(known) + 1)
    count = next((one for one in sorted(classes) if one >= least), least)
    return dict(zip(words, known, strict=True)), count, False


def _likeliest(entry: Entry) -> str:
    """The class of the highest score, or the first where there are none."""
    return max(entry.named, key=lambda one: one[1] if np.isfinite(one[1]) else -np.inf)[0]


def _whole_logits(rows: Matrix) -> bool:
    """Whether scores are too coarse for more than their order: whole numbers, no percentages."""
    scores = rows[np.isfinite(rows)]
    return bool(_whole(scores) and (scores.min() < 0 or np.nansum(rows, axis=1).max() > 100))


def _check_size(count: int, classes: int) -> None:
    if count * classes > MAX_VALUES:
        raise UnsafeFile(
            f"expected at most {MAX_VALUES} numbers, got {count} answers of {classes} classes"
        )
