"""Probes handed out as pictures, and the answers that came back.

An export is one entry of the chain: which picture lies behind each name, the fingerprints they are
of, and the commitment that its manifest shows. Nobody else has that table, and as the chain binds
it, no name can later be said to have stood for another picture.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fingerprint.errors import InputRefused
from fingerprint.text import clean, listed
from registry.catalogue import Catalogue
from registry.errors import RegistryCorrupt
from registry.tables import ModelRow
from registry.values import Export

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fingerprint.handout import Handout
    from fingerprint.suspects import Recorded

__all__ = ["ACTION", "exported", "handed_back", "handed_out"]

ACTION = "hand out"
"""What the chain calls an export."""


def handed_out(catalogue: Catalogue, names: Sequence[str]) -> tuple[Handout, dict[str, Any]]:
    """Returns the pictures of some models' probes, under new names, and what to keep of them.

    Raises:
        UsageError: No model is named.
        UnknownModel: A name is not registered.
        IncompatibleModel: They take different inputs.
    """
    from fingerprint.channel import channel_questions
    from fingerprint.handout import Handout
    from fingerprint.questions import joined, questions_for

    rows = catalogue.named(names)
    fingerprints = catalogue.fingerprints(rows)
    questions = questions_for(fingerprints)
    # Whoever shows the pictures may change them unknowingly, and is not asked a second time.
    further = channel_questions(fingerprints)
    if further is not None:
        questions = joined(questions, further)
    handout = Handout(questions, secrets.token_hex(32))
    payload = {
        "export": handout.id,
        "models": {peer.name: peer.model.commitment for peer in catalogue.files(rows)},
        "commitment": handout.commitment,
        "pictures": handout.pictures,
    }
    return handout, payload


def exported(payload: dict[str, Any]) -> Export:
    """Returns what the chain keeps of an export as callers see it, without the table of names."""
    return Export(
        id=payload["export"],
        models=tuple(payload["models"]),
        pictures=len(payload["pictures"]),
        commitment=payload["commitment"],
    )


def handed_back(catalogue: Catalogue, path: Path) -> Recorded:
    """Returns what was answered to an export as a suspect.

    Raises:
        InputRefused: Nothing was exported, the answers are to several exports or to none, or its
            models are no longer what they were.
        EnvironmentFailure: The file cannot be read, or no picture was answered.
        RegistryCorrupt: The chain does not say what was exported.
    """
    from fingerprint.network.spec import InputSpec
    from fingerprint.suspects import Identity, Recorded
    from fingerprint.written import read_written

    exports = _exports(catalogue)
    if not exports:
        raise InputRefused(
            f"{clean(path)}: expected answers to exported pictures, and nothing was exported from "
            "this registry; run 'fp probes export NAME -o DIR' first"
        )
    export_of = {name: key for key, one in exports.items() for name in one["pictures"]}
    classes = sorted({int(row.output["classes"]) for row in catalogue.rows})
    written, sha256 = read_written(path, export_of, classes=classes)
    found = sorted({export_of[name] for name in written.answers})
    if len(found) > 1:
        raise InputRefused(
            f"{clean(path)}: expected answers to one export, got some to {listed(found)}; give "
            "each a file of its own"
        )
    export = exports[found[0]]
    rows, gone = _still_there(catalogue, export["models"])
    if not rows:
        raise InputRefused(
            f"{clean(path)}: export {found[0]} was made of {listed(gone)}, since removed or "
            "renewed; export again"
        )
    notes = [f"since removed or renewed: {listed(gone)}"] if gone else []
    missing = len(export["pictures"]) - len(written.answers)
    if missing:
        notes.append(
            f"{missing} of {len(export['pictures'])} pictures were not answered; a probe counts "
            "only where its base and all its turns were answered too"
        )
    given = InputSpec.from_dict(rows[0].input)
    return Recorded(
        InputSpec(shape=given.shape, kind=given.kind, bounds=given.bounds),
        written.output,
        _by_input(written.answers, export["pictures"]),
        identity=Identity(file_sha256=sha256, label=f"answers to export {found[0]}"),
        models=tuple(row.name for row in rows),
        facts={
            "file": str(path),
            "file_sha256": sha256,
            "export": found[0],
            "commitment": export["commitment"],
            "pictures": len(export["pictures"]),
            "answered": len(written.answers),
            "said": written.said,
            "notes": [*written.notes, *notes],
        },
    )


def _exports(catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    """Returns what the chain keeps of each export, by its id.

    Raises:
        RegistryCorrupt: An entry is none, or its names stand for other pictures than was shown.
    """
    from fingerprint.handout import commitment_of

    found = {}
    for entry in catalogue.books.entries:
        if entry.action != ACTION:
            continue
        one, where = entry.payload, catalogue.books.where
        try:
            tables = all(isinstance(one[part], dict) for part in ("models", "pictures"))
            whole = tables and commitment_of(one["export"], one["pictures"]) == one["commitment"]
        except KeyError as error:
            raise RegistryCorrupt(where, (f"chain {entry.seq}: has no {error}",)) from error
        if not whole:
            raise RegistryCorrupt(where, (f"chain {entry.seq}: is not what its commitment says",))
        found[str(one["export"])] = one
    return found


def _still_there(
    catalogue: Catalogue, models: Mapping[str, str]
) -> tuple[list[ModelRow], list[str]]:
    """Returns the models whose fingerprint is the one exported, and the names of the others."""
    now = {peer.model.commitment: peer.name for peer in catalogue.files(catalogue.rows)}
    names = [now[commitment] for commitment in models.values() if commitment in now]
    gone = [name for name, commitment in models.items() if commitment not in now]
    return catalogue.named(names), gone


def _by_input(
    answers: Mapping[str, NDArray[np.float32]], pictures: Mapping[str, str]
) -> dict[str, NDArray[np.float32]]:
    """Returns answers by id of the input; a picture that is there twice was asked twice."""
    import numpy as np

    found: dict[str, list[NDArray[np.float32]]] = {}
    for name, rows in answers.items():
        found.setdefault(pictures[name], []).append(rows)
    return {asked: np.concatenate(rows) for asked, rows in found.items()}
