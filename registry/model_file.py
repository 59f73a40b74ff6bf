"""One registered model as a file, to be taken to another registry.

Layout: the eight bytes ``NULLMODL``, a version byte, the length of one JSON document in eight
bytes, that document, and the probes as the codec writes them. It is data only. A file comes from
anybody, so a reader believes none of it: names, digests and specifications are checked again, the
probes are decoded with all their checks, what can be computed is computed and not read, and the
commitment must be that of these very probes.

The probes of a file derive from the seed of the registry that wrote it, which the file therefore
holds: give it to those whom you would tell the seed. The public bases are derived from it again
and compared. What cannot be checked without the model is that the probes grew from the starts
that the seed gives, nor that the seed was drawn before the model was known. So an imported model
keeps its origin (the hash that the other registry's chain starts from, the entry in that chain,
and its head, to be compared with one published elsewhere), and every claim that rests on it says
whose it is.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fingerprint.canonical import canonical, sha256_of
from fingerprint.errors import EnvironmentFailure, FingerprintError, MalformedFile, UsageError
from fingerprint.files import write_whole
from fingerprint.text import clean, listed
from registry.engine import LARGEST_VALUE
from registry.ledger import Books, Entry, origin
from registry.names import checked_name
from registry.registration import Peer, facts_of
from registry.tables import ModelRow
from registry.values import RegisteredModel

__all__ = ["read_model_file", "write_model_file"]

MAGIC = b"NULLMODL"
VERSION = 1
_PREFIX = len(MAGIC) + 9
_LONGEST_DOCUMENT = 16 * 2**20
_LONGEST_TEXT = 2000
_MOST_WARNINGS = 100
_HEX = re.compile(r"[0-9a-f]{64}")
_DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def write_model_file(target: Path, peer: Peer, books: Books, *, parent: ModelRow | None) -> None:
    """Writes a model as a file, whole or not at all.

    Args:
        target: The file; one that is there is replaced.
        peer: The model with its probes. Where its weights lie on this machine is left out.
        books: The chain it is registered in.
        parent: Its declared parent, which others know by the digest of its weights.

    Raises:
        EnvironmentFailure: The file cannot be written.
    """
    model = peer.model
    document = {
        "name": model.name,
        "role": model.role,
        "from_scratch": model.from_scratch,
        "parent_digest": parent.digest if parent is not None else None,
        "model_digest": model.model_digest,
        "file_sha256": model.file_sha256,
        "architecture": model.architecture,
        "output_field": model.load_options.get("output"),
        "method": model.facts["method"],
        "relatives": model.facts.get("relatives"),
        # When these probes were made, which is what they were committed to with.
        "registered": model.renewed or model.registered,
        "commitment": model.commitment,
        "warnings": list(model.warnings),
        "origin": {
            "registry": books.start.digest,
            "head": str(books.head),
            "entry": _registration(books, model).to_dict(),
        },
    }
    text = canonical(document).encode()
    start = MAGIC + bytes([VERSION]) + len(text).to_bytes(8, "little")
    write_whole(target, lambda stream: stream.write(start + text + peer.blob))


def _registration(books: Books, model: RegisteredModel) -> Entry:
    """Returns what the chain says of how a model came by its probes."""
    return next(
        entry
        for entry in reversed(books.entries)
        if entry.payload.get("commitment") == model.commitment
        and entry.action in ("register", "renew")
    )


def read_model_file(source: Path) -> tuple[RegisteredModel, bytes, str | None]:
    """Reads a model file, checking everything again.

    Returns:
        The model, its probes as bytes, and the digest of its declared parent. The model has no
        parent yet, nor a file.

    Raises:
        MalformedFile: It is no model file, or anything in it does not fit the rest.
        EnvironmentFailure: It cannot be read.
    """
    content = _content(source)
    try:
        return _read(content)
    except FingerprintError as error:
        raise MalformedFile(f"{clean(source)}: {error}") from error
    except _DAMAGE as error:
        raise MalformedFile(
            f"{clean(source)}: expected a model file, got damaged data ({clean(error)})"
        ) from error


def _content(source: Path) -> bytes:
    try:
        facts = source.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise MalformedFile(f"{clean(source)}: expected a regular file")
        with source.open("rb") as stream:
            content = stream.read(LARGEST_VALUE + _LONGEST_DOCUMENT + 1)
    except FileNotFoundError as error:
        raise UsageError(f"{clean(source)}: no such file") from error
    except OSError as error:
        raise EnvironmentFailure(f"{clean(source)}: {error.strerror}") from error
    if len(content) > LARGEST_VALUE + _LONGEST_DOCUMENT:
        raise MalformedFile(f"{clean(source)}: expected at most {LARGEST_VALUE} bytes of probes")
    return content


def _read(content: bytes) -> tuple[RegisteredModel, bytes, str | None]:
    from fingerprint.probes.codec import decode

    document, blob = _parts(content)
    found = decode(blob)
    registered = _text(document["registered"], 32)
    commitment = _hex(document["commitment"])
    if found.commitment(sha256_of(blob), registered) != commitment:
        raise MalformedFile("the probes are not those that were committed to")
    if found.model_digest != _hex(document["model_digest"]):
        raise MalformedFile("the probes are another model's")
    _check_bases(found)
    source = _origin(document, seed=found.seed, commitment=commitment)
    field = document["output_field"]
    if isinstance(field, bool) or not isinstance(field, str | int | None):
        raise MalformedFile(f"expected a field of the output, got {type(field).__name__}")
    if isinstance(field, str):
        field = _text(field, _LONGEST_TEXT)
    warnings = [_text(line, _LONGEST_TEXT) for line in _list(document["warnings"])]
    parent = document["parent_digest"]
    given = found.input
    architecture = _text(document["architecture"], _LONGEST_TEXT)
    facts = facts_of(found, method=_text(document["method"], 200))
    if document.get("relatives") is not None:
        facts["relatives"] = [_hex(digest) for digest in _list(document["relatives"])]
    model = RegisteredModel(
        name=checked_name(document["name"]),
        role=_one_of(document["role"], ("model", "reference")),
        from_scratch=_one_of(document["from_scratch"], (False, True)),
        registered=registered,
        model_digest=found.model_digest,
        architecture=architecture,
        file_sha256=None if document["file_sha256"] is None else _hex(document["file_sha256"]),
        input=given.to_dict(),
        output=found.output.to_dict(),
        domain=given.domain,
        load_options={"arch": architecture, **given.load_options, "output": field},
        origin=source,
        commitment=commitment,
        facts=facts,
        warnings=tuple(warnings),
    )
    return model, blob, None if parent is None else _hex(parent)


def _parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    if content[: len(MAGIC)] != MAGIC or len(content) <= _PREFIX:
        raise MalformedFile("expected bytes starting with NULLMODL, got something else")
    if content[len(MAGIC)] != VERSION:
        raise MalformedFile(
            f"expected version {VERSION}, got {content[len(MAGIC)]}; use the release that wrote it"
        )
    length = int.from_bytes(content[len(MAGIC) + 1 : _PREFIX], "little")
    if length > min(_LONGEST_DOCUMENT, len(content) - _PREFIX):
        raise MalformedFile(f"expected a document of {length} bytes, the file is shorter")
    document = json.loads(content[_PREFIX : _PREFIX + length])
    if not isinstance(document, dict):
        raise MalformedFile(f"expected a document, got {type(document).__name__}")
    return document, content[_PREFIX + length :]


def _check_bases(found: Any) -> None:
    """Derives the public bases again, where they are not somebody's pictures."""
    import numpy as np

    from fingerprint.probes.bases import GRAINED, dead_leaves, grained_leaves
    from fingerprint.probes.public import public_bases

    known = {
        "colours": public_bases,
        "dead leaves": dead_leaves,
        GRAINED: grained_leaves,
    }
    derive = known.get(str(found.parameters.get("bases")))
    if derive is None:
        return
    derived = derive(found.input, found.seed, len(found.bases))
    if not np.array_equal(derived, found.bases):
        raise MalformedFile("the bases are not those that its seed gives")


def _origin(document: dict[str, Any], *, seed: str, commitment: str) -> dict[str, Any]:
    given = document["origin"]
    entry = Entry(**given["entry"])
    if _hex(given["registry"]) != origin(seed).digest:
        raise MalformedFile("its seed is not the one that the registry it names starts from")
    if entry.computed_digest != _hex(entry.digest) or entry.payload["commitment"] != commitment:
        raise MalformedFile("its entry in the chain does not hash to what was recorded")
    head = _text(given["head"], 100)
    if entry.payload.get("file_sha256", document["file_sha256"]) != document["file_sha256"]:
        raise MalformedFile("its file is not the one that its entry in the chain names")
    if type(entry.seq) is not int:
        raise MalformedFile("expected a number for its entry in the chain")
    return {"registry": given["registry"], "head": head, "seq": entry.seq, "entry": entry.digest}


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise MalformedFile(f"expected a text of at most {longest} characters")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise MalformedFile(f"expected a text, got halves of characters in '{clean(value)}'")
    return value


def _one_of(value: object, known: Sequence[Any]) -> Any:
    for choice in known:
        if type(value) is type(choice) and value == choice:
            return choice
    raise MalformedFile(f"expected {listed(map(str, known))}, got {clean(value)}")


def _hex(value: object) -> str:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise MalformedFile("expected a SHA-256 in hex")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MOST_WARNINGS:
        raise MalformedFile(f"expected a list of at most {_MOST_WARNINGS}")
    return value
