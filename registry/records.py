"""Between values and rows: how a model is written, and what is checked on reading it.

Rows may come from a file somebody else wrote, so nothing in them is believed: a value of the
wrong type, probes that are not those committed to or a fingerprint that does not fit its model
is named as a damaged row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fingerprint.canonical import plain, sha256_of
from fingerprint.errors import FingerprintError
from registry.errors import RegistryCorrupt
from registry.tables import FingerprintRow, ModelRow, ProbeSetRow, VerificationRow
from registry.values import RecordedVerification, RegisteredModel

if TYPE_CHECKING:
    from fingerprint.probes.probe import Fingerprint, Outline

__all__ = ["CURRENT", "fingerprint_of", "outline_of", "registered", "rows_of", "verified"]

CURRENT = 3
"""Version of the stored probes that this release makes. Importing the codec, which says so too,
takes seconds that listing a registry has no use for."""


def rows_of(model: RegisteredModel, *, parent_id: int | None) -> tuple[ModelRow, FingerprintRow]:
    """Returns a model's row and that of its fingerprint, which still needs the other's number."""
    facts = dict(model.facts)
    return ModelRow(
        name=model.name,
        role=model.role,
        parent_id=parent_id,
        from_scratch=model.from_scratch,
        digest=model.model_digest,
        file_path=model.file_path,
        file_sha256=model.file_sha256,
        architecture=model.architecture,
        domain=model.domain,
        input=dict(model.input),
        output=dict(model.output),
        load_options=dict(model.load_options),
        origin=dict(model.origin) if model.origin is not None else None,
        warnings=list(model.warnings),
        created=model.registered,
    ), FingerprintRow(
        method=facts.pop("method"),
        version=facts.pop("version"),
        facts=facts,
        commitment=model.commitment,
    )


def registered(
    row: ModelRow,
    fingerprint: FingerprintRow | None,
    where: str,
    *,
    names: Mapping[int, str],
    aliases: tuple[str, ...] = (),
    renew: str = "",
) -> RegisteredModel:
    """Returns a row as the value callers see.

    Args:
        row: The model.
        fingerprint: Its fingerprint's row.
        where: The registry, for messages.
        names: Names of models by number, with its parent's among them.
        aliases: Its other names.
        renew: Why its fingerprint should be renewed.

    Raises:
        RegistryCorrupt: The row has no fingerprint, or a value of the wrong type.
    """
    if fingerprint is None:
        raise RegistryCorrupt(where, (f"fingerprints {row.id} ({row.name!r}): missing",))
    try:
        model = RegisteredModel(
            name=row.name,
            aliases=aliases,
            role="reference" if row.role == "reference" else "model",
            parent=None if row.parent_id is None else names[row.parent_id],
            from_scratch=row.from_scratch,
            registered=row.created,
            model_digest=row.digest,
            architecture=row.architecture,
            file_path=row.file_path,
            file_sha256=row.file_sha256,
            input=dict(row.input),
            output=dict(row.output),
            domain=row.domain,
            load_options=dict(row.load_options),
            origin=None if row.origin is None else dict(row.origin),
            commitment=fingerprint.commitment,
            current=fingerprint.version >= CURRENT,
            renew=renew,
            facts={
                **fingerprint.facts,
                "method": fingerprint.method,
                "version": int(fingerprint.version),
            },
            warnings=tuple(str(warning) for warning in row.warnings),
        )
        model.to_dict()  # Whatever a caller may ask of it is there, and of its type.
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise RegistryCorrupt(where, (f"models {row.id} ({row.name!r}): {error}",)) from error
    return model


def outline_of(row: ModelRow, probe_set: ProbeSetRow, where: str) -> Outline:
    """Reads of a model's probes only what the panel needs.

    Raises:
        RegistryCorrupt: Naming the row that is not what was written.
    """
    from fingerprint.probes.codec import outline

    at = f"{row.id} ({row.name!r})"
    if not isinstance(probe_set.blob, bytes):
        raise RegistryCorrupt(where, (f"probe_sets {at}: expected bytes",))
    try:
        found = outline(probe_set.blob)
    except (FingerprintError, RecursionError) as error:
        raise RegistryCorrupt(where, (f"probe_sets {at}: {error}",)) from error
    if found.input.domain != row.domain:
        raise RegistryCorrupt(where, (f"probe_sets {at}: is not what was committed to",))
    return found


def fingerprint_of(
    row: ModelRow, fingerprint: FingerprintRow | None, probe_set: ProbeSetRow | None, where: str
) -> Fingerprint:
    """Reads a model's probes, checking them against their commitment.

    Raises:
        RegistryCorrupt: Naming the row that is not what was written.
    """
    from fingerprint.probes.codec import decode

    at = f"{row.id} ({row.name!r})"
    if probe_set is None or fingerprint is None:
        raise RegistryCorrupt(where, (f"probe_sets {at}: missing",))
    blob = probe_set.blob
    if not isinstance(blob, bytes):
        raise RegistryCorrupt(where, (f"probe_sets {at}: expected bytes",))
    try:
        found = decode(blob)
    except (FingerprintError, RecursionError) as error:
        raise RegistryCorrupt(where, (f"probe_sets {at}: {error}",)) from error
    facts = fingerprint.facts if isinstance(fingerprint.facts, dict) else {}
    made = facts.get("renewed", row.created)
    commitment = found.commitment(sha256_of(blob), made)
    fits = found.model_digest == row.digest and found.input.domain == row.domain
    if commitment != fingerprint.commitment or not fits:
        raise RegistryCorrupt(where, (f"probe_sets {at}: is not what was committed to",))
    return found


def verified(row: VerificationRow) -> RecordedVerification:
    """Returns a recorded verdict as the value callers see."""
    evidence: dict[str, Any] = plain(row.evidence)
    return RecordedVerification(
        number=row.id,
        recorded=row.created,
        suspect_digest=row.suspect_digest,
        verdict=row.verdict,
        best=row.best,
        queries=row.queries,
        evidence=evidence,
    )
