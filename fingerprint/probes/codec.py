"""A fingerprint as bytes: data only, versioned, checked when it is read.

Layout: the eight bytes ``NULLPRNT``, a version byte, then a safetensors document whose metadata
holds one JSON text and whose tensors are the images, answers and linear part. Nothing is ever
unpickled; sizes, types and finite values are checked before anything is used.

The text is a document of its own, not what reports show: these bytes are hashed and committed to,
and a report may say more tomorrow. Version 2 is canonical JSON, in which NaN and infinity are
words. Version 1 was what reports showed at the time; it is read for good, and it holds the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fingerprint.canonical import canonical
from fingerprint.errors import FingerprintError, MalformedFile
from fingerprint.network.spec import InputSpec, OutputSpec
from fingerprint.probes.kinds import KINDS
from fingerprint.probes.probe import CURRENT, Fingerprint, Probe, SpaceFacts

__all__ = ["MAX_BLOB", "VERSION", "decode", "encode"]

MAGIC = b"NULLPRNT"
VERSION = CURRENT
MAX_BLOB = 2**30
"""Largest blob that is read (1 GiB)."""

_LINEAR = "linear."
_ROWS = {1: "per_probe", 2: "probes"}
"""Where each version that is read keeps its probes."""
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
        "answers": np.stack([probe.answer for probe in probes]),
        "control_answers": np.stack([probe.control_answer for probe in probes]),
    }
    tensors |= {_LINEAR + key: value for key, value in fingerprint.linear_part.items()}
    contiguous = {key: np.ascontiguousarray(tensors[key]) for key in sorted(tensors)}
    metadata = {"fingerprint": canonical(_document(fingerprint))}
    return MAGIC + bytes([VERSION]) + save(contiguous, metadata=metadata)


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
    }


def decode(blob: bytes) -> Fingerprint:
    """Reads what :func:`encode` wrote, in this release or an earlier one.

    Raises:
        MalformedFile: Wrong magic, another version, truncated, or values that do not fit.
    """
    version, body = _parts(blob)
    try:
        fingerprint = _fingerprint(_metadata(body, version), load(body), version)
    except FingerprintError as error:
        raise MalformedFile(f"probe set: {error}") from error
    except _DAMAGE as error:
        raise MalformedFile(
            f"probe set: expected a fingerprint, got damaged data ({error})"
        ) from error
    _check(fingerprint)
    return fingerprint


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
    if not rows or any(len(column) != len(rows) for column in columns):
        raise MalformedFile(f"expected one image and answer for each of {len(rows)} probes")
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
            Probe(harmless=image, answer=answer, control_answer=control, **_probe_facts(row))
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
    )


def _probe_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Reads one probe's numbers; what else version 1 says of it is left out."""
    if row["kind"] not in KINDS:
        raise MalformedFile(f"expected a probe of kind {' or '.join(KINDS)}, got {row['kind']!r}")
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
    count = len(fingerprint.bases)
    expected = [
        ("bases", fingerprint.bases, (count, *shape), dtype),
        ("base answers", fingerprint.base_answers, (count, classes), np.float32),
    ]
    expected += [("harmless", probe.harmless, shape, dtype) for probe in fingerprint.probes]
    for probe in fingerprint.probes:
        expected += [
            ("answer", probe.answer, (classes,), np.float32),
            ("control answer", probe.control_answer, (classes,), np.float32),
        ]
    for name, array, wanted, kind in expected:
        if array.shape != wanted or array.dtype != kind or array.size == 0:
            raise MalformedFile(
                f"probe set: expected {name} of shape {wanted} and type {np.dtype(kind)}, "
                f"got {array.shape} and {array.dtype}"
            )
        if not np.isfinite(array).all():
            raise MalformedFile(f"probe set: expected finite {name}, got NaN or infinity")
    if not all(0 <= probe.base < count for probe in fingerprint.probes):
        raise MalformedFile(f"probe set: expected bases below {count} in every probe")
    if not (math.isfinite(fingerprint.tolerance) and fingerprint.tolerance >= 0):
        raise MalformedFile(f"probe set: expected a tolerance, got {fingerprint.tolerance}")
