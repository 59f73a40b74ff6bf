"""A fingerprint as bytes: data only, versioned, checked when it is read.

Layout: the eight bytes ``NULLPRNT``, a version byte, then a safetensors document whose metadata
holds one JSON text and whose tensors are the images, answers and linear part. Nothing is ever
unpickled; sizes, types and finite values are checked before anything is used.

The text is a document of its own, not what reports show: these bytes are hashed and committed to,
and a report may say more tomorrow. It is canonical JSON, in which NaN and infinity are
words. Version 1 was what reports showed at the time, version 2 knew neither depths nor a panel and
one control of each probe; both are read for good.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fingerprint.canonical import canonical
from fingerprint.errors import FingerprintError, MalformedFile
from fingerprint.network.spec import InputSpec, OutputSpec
from fingerprint.probes.panel import PANEL
from fingerprint.probes.probe import (
    CURRENT,
    CopyAnswers,
    DepthFacts,
    Fingerprint,
    Outline,
    Probe,
    SpaceFacts,
)
from fingerprint.probes.turns import turns_of
from fingerprint.text import clean

__all__ = ["MAX_BLOB", "VERSION", "decode", "encode", "outline"]

MAGIC = b"NULLPRNT"
VERSION = CURRENT
MAX_BLOB = 2**30
"""Largest blob that is read (1 GiB)."""
_MOST_PROBES = 1024
"""Probes with turns that are read; counting their swaps takes time by the square."""
_MOST_PANEL = 4 * PANEL
"""Answers to a panel that are read; comparing them takes memory by the cube. As many to twins."""
_MOST_COPIES = 64
"""Copies whose answers are read."""
_LONGEST_NAME = 100
"""Longest name of a copy."""

_LINEAR = "linear."
_ROWS = {1: "per_probe", 2: "probes", 3: "probes"}
"""Where each version that is read keeps its probes."""
_OLD_KINDS = ("network", "linear")
"""What the probes of the first two versions are harmless for."""
_DAMAGE = (
    SafetensorError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What reading a damaged or hostile document can end in."""


def encode(fingerprint: Fingerprint) -> bytes:
    """Writes a fingerprint as bytes of the current version; equal ones give equal bytes."""
    probes = fingerprint.probes
    tensors = {
        "bases": fingerprint.bases,
        "base_answers": fingerprint.base_answers,
        "harmless": fingerprint.harmless,
        "answers": _stacked([probe.answer for probe in probes]),
        "control_answers": _stacked([probe.control_answers for probe in probes]),
        "panel_answers": fingerprint.panel_answers,
    }
    tensors |= {_LINEAR + key: value for key, value in fingerprint.linear_part.items()}
    if len(fingerprint.twin_answers):
        tensors["twin_answers"] = fingerprint.twin_answers
    if fingerprint.copies is not None:
        tensors["copy_answers"] = fingerprint.copies.answers
        tensors["nearest_answers"] = fingerprint.copies.nearest
        tensors["nearest_copy_answers"] = fingerprint.copies.nearest_copies
    contiguous = {key: np.ascontiguousarray(tensors[key]) for key in sorted(tensors)}
    metadata = {"fingerprint": canonical(_document(fingerprint))}
    return MAGIC + bytes([VERSION]) + save(contiguous, metadata=metadata)


def _stacked(answers: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.stack(answers) if answers else np.empty((0, 0), dtype=np.float32)


def _document(fingerprint: Fingerprint) -> dict[str, Any]:
    """Returns what is stored beside the arrays, field by field."""
    given, answers = fingerprint.input, fingerprint.output
    return {
        "model_digest": fingerprint.model_digest,
        "input": {
            "shape": given.shape,
            "kind": given.kind,
            "bounds": given.bounds,
            "mean": given.mean,
            "std": given.std,
        },
        "output": {"classes": answers.classes, "kind": answers.kind},
        "seed": fingerprint.seed,
        "parameters": fingerprint.parameters,
        "start": fingerprint.start,
        "probes": [
            {
                "kind": probe.kind,
                "base": probe.base,
                "draw": probe.draw,
                "residual": probe.residual,
                "harm_ratio": probe.harm_ratio,
                "converged": probe.converged,
            }
            for probe in fingerprint.probes
        ],
        "spaces": [
            {
                "kind": space.kind,
                "dimension": space.dimension,
                "input_dimension": space.input_dimension,
                "rank": space.rank,
                "note": space.note,
            }
            for space in fingerprint.spaces
        ],
        "tolerance": fingerprint.tolerance,
        "device": fingerprint.device,
        "screened_against": fingerprint.screened_against,
        "redrawn": fingerprint.redrawn,
        "cost": fingerprint.cost,
        "warnings": fingerprint.warnings,
        "depths": [depth.to_dict() for depth in fingerprint.depths],
        "turns": fingerprint.turns,
        "relatives": fingerprint.relatives,
        **({} if fingerprint.copies is None else {"copies": fingerprint.copies.names}),
    }


def decode(blob: bytes) -> Fingerprint:
    """Reads what :func:`encode` wrote, in this release or an earlier one.

    Raises:
        MalformedFile: Wrong magic, another version, truncated, or values that do not fit.
    """
    version, body = _parts(blob)
    with _reading():
        fingerprint = _fingerprint(_metadata(body, version), load(body), version)
        for ratio in fingerprint.surrogate_ratios:
            float(0.0 if ratio is None else ratio)
    _check(fingerprint)
    _check_ratio(fingerprint.parameters.get("rough_copy"), "a pruned copy")
    _check_ratio(fingerprint.parameters.get("near_relatives"), "relatives")
    return fingerprint


def _check_ratio(ratio: Any, of: str) -> None:
    """Refuses what is no ratio, which a margin would be taken from."""
    number = isinstance(ratio, int | float) and not isinstance(ratio, bool)
    if ratio is not None and not (number and 0 <= ratio < 1e6):
        raise MalformedFile(f"probe set: expected a harm ratio of {of}, got something else")


def outline(blob: bytes) -> Outline:
    """Reads of what :func:`encode` wrote only what the panel needs; the probes are not looked at.

    Raises:
        MalformedFile: Wrong magic, another version, truncated, or answers that do not fit.
    """
    version, body = _parts(blob)
    with _reading():
        document = _metadata(body, version)
        none = np.empty((0, 0), dtype=np.float32)
        found = Outline(
            input=InputSpec.from_dict(document["input"]),
            output=OutputSpec.from_dict(document["output"]),
            seed=str(document["seed"]),
            probes=len(document[_ROWS[version]]),
            panel_answers=load(body)["panel_answers"] if version > 2 else none,
        )
    answers = found.panel_answers
    _check_panel(answers)
    fits = answers.dtype == np.float32 and answers.shape[1:] == (found.output.classes,)
    if len(answers) and not (fits and np.isfinite(answers).all()):
        raise MalformedFile("probe set: expected finite panel answers, got others")
    return found


@contextmanager
def _reading() -> Iterator[None]:
    """Takes whatever goes wrong with damaged data for a malformed file, said in one clean line."""
    try:
        yield
    except FingerprintError as error:
        raise MalformedFile(f"probe set: {error}") from error
    except _DAMAGE as error:
        raise MalformedFile(
            f"probe set: expected a fingerprint, got damaged data ({clean(error)})"
        ) from error


def _parts(blob: bytes) -> tuple[int, bytes]:
    if len(blob) > MAX_BLOB:
        raise MalformedFile(f"probe set: expected at most {MAX_BLOB} bytes, got {len(blob)}")
    if blob[: len(MAGIC)] != MAGIC or len(blob) <= len(MAGIC) + 9:
        raise MalformedFile("probe set: expected bytes starting with NULLPRNT, got something else")
    version = blob[len(MAGIC)]
    if version not in _ROWS:
        raise MalformedFile(
            f"probe set: expected version {' or '.join(map(str, _ROWS))}, got {version}; "
            "use the release that wrote it"
        )
    return version, blob[len(MAGIC) + 1 :]


def _metadata(body: bytes, version: int) -> dict[str, Any]:
    # The library validates the header as well; its loader just does not return metadata.
    length = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + length])
    text = header["__metadata__"]["fingerprint"]
    document: dict[str, Any] = (
        json.loads(text) if version == 1 else json.loads(text, parse_constant=_no_number)
    )
    return document


def _no_number(word: str) -> Never:
    raise ValueError(f"expected JSON, got {word}")


def _fingerprint(
    document: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], version: int
) -> Fingerprint:
    rows = document[_ROWS[version]]
    columns = tensors["harmless"], tensors["answers"], tensors["control_answers"]
    panel = tensors["panel_answers"] if version > 2 else np.empty((0, 0), dtype=np.float32)
    if any(len(column) != len(rows) for column in columns) or not (rows or len(panel)):
        raise MalformedFile(f"expected one image and answer for each of {len(rows)} probes")
    depths = tuple(_depth(facts) for facts in document["depths"]) if version > 2 else ()
    kinds = tuple(depth.name for depth in depths) or _OLD_KINDS
    return Fingerprint(
        model_digest=str(document["model_digest"]),
        input=InputSpec.from_dict(document["input"]),
        output=OutputSpec.from_dict(document["output"]),
        seed=str(document["seed"]),
        parameters=dict(document["parameters"]),
        start=str(document["start"]),
        bases=tensors["bases"],
        base_answers=tensors["base_answers"],
        probes=tuple(
            Probe(
                harmless=image,
                answer=answer,
                control_answers=control if version > 2 else control[None],
                **_probe_facts(row, kinds),
            )
            for row, image, answer, control in zip(rows, *columns, strict=True)
        ),
        spaces=tuple(SpaceFacts(**space) for space in document["spaces"]),
        tolerance=float(document["tolerance"]),
        device=dict(document["device"]),
        screened_against=tuple(str(name) for name in document["screened_against"]),
        redrawn=int(document["redrawn"]),
        cost={str(key): float(value) for key, value in document["cost"].items()},
        linear_part={
            key.removeprefix(_LINEAR): value
            for key, value in tensors.items()
            if key.startswith(_LINEAR)
        },
        warnings=tuple(str(line) for line in document["warnings"]),
        version=version,
        depths=depths,
        turns=tuple(int(turn) for turn in document["turns"]) if version > 2 else (),
        relatives=tuple(map(str, document["relatives"])) if version > 2 else (),
        panel_answers=panel,
        twin_answers=tensors.get("twin_answers", np.empty((0, 0), dtype=np.float32)),
        copies=_copies(document, tensors),
    )


def _copies(document: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> CopyAnswers | None:
    names = tuple(str(name) for name in document.get("copies", ()))
    if len(set(names)) != len(names) or any(len(name) > _LONGEST_NAME for name in names):
        raise MalformedFile("expected short names of copies, each once")
    keys = ("copy_answers", "nearest_answers", "nearest_copy_answers")
    return CopyAnswers(names, *(tensors[key] for key in keys)) if names else None


def _depth(facts: Mapping[str, Any]) -> DepthFacts:
    """Reads what is known of a depth."""
    depth = DepthFacts(
        name=str(facts["name"]),
        width=None if facts["width"] is None else int(facts["width"]),
        share=float(facts["share"]),
        speaks_for="individual" if facts["speaks_for"] == "individual" else "family",
        contrast=float(facts["contrast"]),
    )
    if facts["speaks_for"] != depth.speaks_for or not 0 <= depth.share < math.inf:
        raise MalformedFile(f"expected a depth, got {clean(facts)}")
    return depth


def _probe_facts(row: Mapping[str, Any], kinds: tuple[str, ...]) -> dict[str, Any]:
    """Reads one probe's numbers; what else version 1 says of it is left out."""
    if row["kind"] not in kinds:
        known, got = clean(" or ".join(kinds)), clean(row["kind"])
        raise MalformedFile(f"expected a probe of kind {known}, got {got!r}")
    return {
        "kind": row["kind"],
        "base": int(row["base"]),
        "draw": int(row["draw"]),
        "residual": float(row["residual"]),
        "harm_ratio": float(row["harm_ratio"]),
        "converged": bool(row["converged"]),
    }


def _check(fingerprint: Fingerprint) -> None:
    """Checks shapes, types and values against what the fingerprint says of itself."""
    shape, classes = fingerprint.input.shape, fingerprint.output.classes
    dtype = np.uint8 if fingerprint.input.kind == "pixels" else np.float32
    count, turns = len(fingerprint.bases), fingerprint.turns
    _check_depths(fingerprint)
    expected = [
        ("bases", fingerprint.bases, (count, *shape), dtype),
        ("base answers", fingerprint.base_answers, (count, classes), np.float32),
    ]
    expected += [("harmless", probe.harmless, shape, dtype) for probe in fingerprint.probes]
    for probe in fingerprint.probes:
        expected += [
            ("answer", probe.answer, (classes,), np.float32),
            (
                "control answers",
                probe.control_answers,
                (len(turns) or 1, classes),
                np.float32,
            ),
        ]
    if len(fingerprint.panel_answers):
        wide = (len(fingerprint.panel_answers), classes)
        expected.append(("panel answers", fingerprint.panel_answers, wide, np.float32))
    if len(fingerprint.twin_answers):
        wide = (min(len(fingerprint.twin_answers), _MOST_PANEL), classes)
        expected.append(("answers to twins", fingerprint.twin_answers, wide, np.float32))
    if fingerprint.copies is not None:
        copies = fingerprint.copies
        some = (min(len(copies.nearest), len(fingerprint.panel_answers)), classes)
        many = (min(len(copies.names), _MOST_COPIES), *some)
        expected.append(("answers of copies", copies.answers, many, np.float32))
        expected.append(("a relative's answers", copies.nearest, some, np.float32))
        expected.append(("answers of its copies", copies.nearest_copies, many, np.float32))
    for name, array, wanted, kind in expected:
        if array.shape != wanted or array.dtype != kind or array.size == 0:
            raise MalformedFile(
                f"probe set: expected {name} of shape {wanted} and type {np.dtype(kind)}, "
                f"got {array.shape} and {array.dtype}"
            )
        if not np.isfinite(array).all():
            raise MalformedFile(f"probe set: expected finite {name}, got NaN or infinity")
    if turns:
        _check_room(fingerprint)
    if not all(0 <= probe.base < count for probe in fingerprint.probes):
        raise MalformedFile(f"probe set: expected bases below {count} in every probe")
    if not (math.isfinite(fingerprint.tolerance) and fingerprint.tolerance >= 0):
        raise MalformedFile(f"probe set: expected a tolerance, got {fingerprint.tolerance}")


def _check_depths(fingerprint: Fingerprint) -> None:
    """Checks that depths, turns and probes belong together, and that the panel is no larger."""
    turns = fingerprint.turns
    most = len(turns_of(fingerprint.input.shape))
    if len(set(turns)) != len(turns) or not all(0 <= turn < most for turn in turns):
        raise MalformedFile(
            f"probe set: expected turns below {most}, each once, got {clean(turns)}"
        )
    if bool(turns) != bool(fingerprint.depths) or (turns and not fingerprint.probes):
        raise MalformedFile("probe set: expected depths, turns and probes together")
    names = [depth.name for depth in fingerprint.depths]
    if len(set(names)) != len(names):
        raise MalformedFile("probe set: expected depths of different names")
    if names and {probe.kind for probe in fingerprint.probes} != set(names):
        raise MalformedFile("probe set: expected probes of every depth, got a depth without any")
    if turns and len(fingerprint.probes) > _MOST_PROBES:
        raise MalformedFile(
            f"probe set: expected at most {_MOST_PROBES} probes, got {len(fingerprint.probes)}"
        )
    _check_panel(fingerprint.panel_answers)


def _check_panel(answers: NDArray[np.float32]) -> None:
    if len(answers) > _MOST_PANEL:
        raise MalformedFile(
            f"probe set: expected answers to at most {_MOST_PANEL} inputs of the panel, got "
            f"{len(answers)}"
        )


def _check_room(fingerprint: Fingerprint) -> None:
    """Checks that every perturbation can be turned inside the bounds."""
    low, high = (0, 255) if fingerprint.input.kind == "pixels" else fingerprint.input.bounds
    bases = fingerprint.bases.astype(np.float64)
    room = np.minimum(bases - low, high - bases).min()
    for probe in fingerprint.probes:
        if not 0 <= probe.base < len(bases):
            raise MalformedFile(f"probe set: expected bases below {len(bases)} in every probe")
        size = np.abs(probe.harmless.astype(np.float64) - bases[probe.base]).max()
        if size > room * (1 + 1e-6):
            raise MalformedFile(
                f"probe set: expected perturbations of at most {room:g}, got one of {size:g}"
            )
