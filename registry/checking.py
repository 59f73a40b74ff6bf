"""Finds damage: in the file's structure, in probes, and between the rows and their chain.

Everything is judged against the hash chain: a model or verdict without an entry was put in
from outside, an entry without its row was taken away.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry.chain import HEAD_KEY, Entry, broken, entries_of, standing
from registry.documents import canonical, sha256_of
from registry.errors import RegistryCorrupt
from registry.records import fingerprint_of, registered
from registry.tables import ModelRow, SettingRow, VerificationRow

__all__ = ["chain_damage", "damage"]


def chain_damage(session: Session, seed: str) -> tuple[str, ...]:
    """Returns what is wrong with the chain itself, a line for each row."""
    head = session.get(SettingRow, HEAD_KEY)
    return broken(entries_of(session), seed=seed, head=head.value if head else None)


def damage(session: Session, seed: str, where: str) -> tuple[str, ...]:
    """Returns everything that is wrong with the registry, a line for each row."""
    structure = session.connection().exec_driver_sql("PRAGMA quick_check").scalars().all()
    if list(structure) != ["ok"]:
        # Rows of a broken file cannot be trusted to be readable at all.
        return tuple(f"file: {line}" for line in structure)
    keys = session.connection().exec_driver_sql("PRAGMA foreign_key_check").all()
    entries = entries_of(session)
    return (
        *(f"{row[0]} {row[1]}: refers to a missing row of {row[2]}" for row in keys),
        *chain_damage(session, seed),
        *_model_damage(session, entries, where),
        *_verification_damage(session, entries),
    )


def _model_damage(session: Session, entries: Sequence[Entry], where: str) -> list[str]:
    found = []
    expected = standing(entries)
    for row in session.scalars(select(ModelRow).order_by(ModelRow.id)):
        entry = expected.pop(row.name, None)
        try:
            registered(row, where)
            fingerprint_of(row, where)
        except RegistryCorrupt as error:
            found += error.rows
            continue
        facts = (row.digest, row.file_sha256, row.fingerprint.commitment)
        recorded = entry and (entry["model_digest"], entry["file_sha256"], entry["commitment"])
        if recorded != facts:
            what = "is not what the chain says" if entry else "has no entry in the chain"
            found.append(f"models {row.id} ({row.name!r}): {what}")
        # One probe set at a time: together they may be larger than memory.
        session.expire(row, ["probe_set"])
    return found + [f"models ({name!r}): is in the chain but missing" for name in expected]


def _verification_damage(session: Session, entries: Sequence[Entry]) -> list[str]:
    found = []
    expected = {
        entry.payload["number"]: entry.payload for entry in entries if entry.action == "verify"
    }
    for row in session.scalars(select(VerificationRow).order_by(VerificationRow.id)):
        entry = expected.pop(row.id, None)
        facts = (row.suspect_digest, row.verdict, row.best, sha256_of(canonical(row.evidence)))
        keys = ("suspect_digest", "verdict", "best", "evidence_sha256")
        if entry is None:
            found.append(f"verifications {row.id}: has no entry in the chain")
        elif facts != tuple(entry[key] for key in keys):
            found.append(f"verifications {row.id}: is not what the chain says")
    return found + [f"verifications {number}: is in the chain but missing" for number in expected]
