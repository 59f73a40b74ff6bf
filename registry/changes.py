"""What changes a registry, each inside a transaction the caller holds the write lock for.

Every change writes its rows and its entry in the chain together, so neither exists alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from fingerprint.canonical import canonical, plain, sha256_of, utc_now
from registry import chain
from registry.errors import HasDescendants, NameTaken, UnknownModel, UnknownParent
from registry.names import checked_name, closest
from registry.records import Packed
from registry.screenings import Screening, record_screenings
from registry.tables import ModelRow, VerificationRow

if TYPE_CHECKING:
    from fingerprint.network.model import Model
    from fingerprint.probes.probe import Fingerprint
    from fingerprint.verification import Verification

__all__ = ["add_model", "add_verification", "check_free", "forget_model", "row_named"]


def row_named(session: Session, name: str, error: type[UnknownModel] = UnknownModel) -> ModelRow:
    """Returns the row of a model, or raises ``error`` with the names that resemble it."""
    wanted = checked_name(name)
    row = session.scalar(select(ModelRow).where(ModelRow.name == wanted))
    if row is None:
        raise error(wanted, closest(wanted, session.scalars(select(ModelRow.name))))
    return row


def check_free(session: Session, name: str) -> None:
    """Raises ``NameTaken`` if a model has this name."""
    if session.scalar(select(ModelRow.id).where(ModelRow.name == name)) is not None:
        raise NameTaken(name)


def add_model(
    session: Session,
    packed: Packed,
    fingerprint: Fingerprint,
    model: Model,
    *,
    name: str,
    parent: str | None,
    warnings: Sequence[str],
    screenings: Sequence[Screening],
    seed: str,
) -> ModelRow:
    """Writes a model, its fingerprint, its probes and what was measured between it and others."""
    check_free(session, name)
    parent_row = row_named(session, parent, UnknownParent) if parent is not None else None
    row = packed.rows(
        fingerprint,
        model,
        name=name,
        parent_id=parent_row.id if parent_row else None,
        warnings=tuple(warnings),
    )
    session.add(row)
    session.flush()
    record_screenings(session, row, screenings, created=packed.created)
    payload = {
        "name": name,
        "model_digest": row.digest,
        "file_sha256": row.file_sha256,
        "parent": parent_row.name if parent_row else None,
        "probes_sha256": packed.sha256,
        "commitment": packed.commitment,
    }
    chain.append(session, "register", payload, seed=seed)
    session.flush()
    session.refresh(row, ["parent"])
    return row


def add_verification(
    session: Session, verification: Verification, *, suspect_digest: str | None, seed: str
) -> VerificationRow:
    """Writes a verdict with all its evidence."""
    evidence = plain(verification.to_dict())
    row = VerificationRow(
        suspect_digest=suspect_digest,
        verdict=verification.verdict,
        best=verification.best,
        queries=verification.queries,
        evidence=evidence,
        created=utc_now(),
    )
    session.add(row)
    session.flush()
    payload = {
        "number": row.id,
        "suspect_digest": suspect_digest,
        "verdict": row.verdict,
        "best": row.best,
        "evidence_sha256": sha256_of(canonical(evidence)),
    }
    chain.append(session, "verify", payload, seed=seed)
    return row


def forget_model(session: Session, name: str, *, seed: str) -> None:
    """Deletes a model with its fingerprint, probes and screenings; the chain keeps its name."""
    row = row_named(session, name)
    query = select(ModelRow.name).where(ModelRow.parent_id == row.id).order_by(ModelRow.id)
    if children := tuple(session.scalars(query)):
        raise HasDescendants(row.name, children)
    payload = {
        "name": row.name,
        "model_digest": row.digest,
        "commitment": row.fingerprint.commitment if row.fingerprint else None,
    }
    session.delete(row)
    chain.append(session, "remove", payload, seed=seed)
