"""Finds damage: in the file's structure, in probes, and between the rows and their chain.

Everything is judged against the hash chain: a model or verdict without an entry was put in
from outside, an entry without its row was taken away.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from fingerprint.canonical import canonical, sha256_of
from registry.chain import HEAD_KEY, Entry, broken, entries_of, standing
from registry.errors import RegistryCorrupt
from registry.records import fingerprint_of, registered
from registry.tables import (
    FingerprintRow,
    ModelRow,
    ProbeSetRow,
    SettingRow,
    VerificationRow,
)

__all__ = ["damage", "ledger_damage"]


def damage(session: Session, seed: str, where: str) -> tuple[str, ...]:
    """Returns everything that is wrong with the registry, a line for each row."""
    dangling: tuple[str, ...] = ()
    # Servers look after their own files and never leave a foreign key unchecked.
    if session.get_bind().dialect.name == "sqlite":
        if structure := _file_damage(session):
            # Rows of a broken file cannot be trusted to be readable at all.
            return structure
        keys = session.connection().exec_driver_sql("PRAGMA foreign_key_check").all()
        dangling = tuple(f"{row[0]} {row[1]}: refers to a missing row of {row[2]}" for row in keys)
    return (
        *dangling,
        *ledger_damage(session, seed),
        *_content_damage(session, where),
        *_verification_damage(session, entries_of(session)),
    )


def _file_damage(session: Session) -> tuple[str, ...]:
    lines = session.connection().exec_driver_sql("PRAGMA quick_check").scalars().all()
    return () if list(lines) == ["ok"] else tuple(f"file: {line}" for line in lines)


def ledger_damage(session: Session, seed: str) -> tuple[str, ...]:
    """Returns what is wrong with the chain, and where the models are not what it says.

    Probes are left alone, so this is quick however many there are; each probe set is checked
    against its own hash when it is read.
    """
    setting = session.get(SettingRow, HEAD_KEY)
    entries = entries_of(session)
    found = list(broken(entries, seed=seed, head=setting.value if setting else None))
    expected = standing(entries)
    facts = select(
        ModelRow.id,
        ModelRow.name,
        ModelRow.digest,
        ModelRow.file_sha256,
        FingerprintRow.commitment,
        ProbeSetRow.sha256,
    )
    query = facts.outerjoin(ModelRow.fingerprint).outerjoin(ModelRow.probe_set)
    for row in session.execute(query.order_by(ModelRow.id)):
        entry = expected.pop(row.name, None)
        keys = ("model_digest", "file_sha256", "commitment", "probes_sha256")
        if entry is None:
            found.append(f"models {row.id} ({row.name!r}): has no entry in the chain")
        elif tuple(row)[2:] != tuple(entry.get(key) for key in keys):
            found.append(f"models {row.id} ({row.name!r}): is not what the chain says")
    return (*found, *(f"models ({name!r}): is in the chain but missing" for name in expected))


def _content_damage(session: Session, where: str) -> list[str]:
    found: list[str] = []
    for row in session.scalars(select(ModelRow).order_by(ModelRow.id)):
        try:
            registered(row, where)
            fingerprint_of(row, where)
        except RegistryCorrupt as error:
            found += error.rows
        # One probe set at a time: together they may be larger than memory.
        session.expire(row, ["probe_set"])
    return found


def _verification_damage(session: Session, entries: Sequence[Entry]) -> list[str]:
    found = []
    expected = {
        entry.payload.get("number"): entry.payload for entry in entries if entry.action == "verify"
    }
    for row in session.scalars(select(VerificationRow).order_by(VerificationRow.id)):
        entry = expected.pop(row.id, None)
        facts = (row.suspect_digest, row.verdict, row.best, sha256_of(canonical(row.evidence)))
        keys = ("suspect_digest", "verdict", "best", "evidence_sha256")
        if entry is None:
            found.append(f"verifications {row.id}: has no entry in the chain")
        elif facts != tuple(entry.get(key) for key in keys):
            found.append(f"verifications {row.id}: is not what the chain says")
    return found + [f"verifications {number}: is in the chain but missing" for number in expected]
