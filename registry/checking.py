"""Finds all damage: in the file's structure, and between every row and the chain."""

from __future__ import annotations

from sqlalchemy.orm import Session

from registry.errors import RegistryCorrupt
from registry.ledger import BOUND, Books
from registry.records import fingerprint_of, registered
from registry.tables import FingerprintRow, ModelRow, ProbeSetRow

__all__ = ["damage"]


def damage(session: Session, seed: str, where: str) -> tuple[tuple[str, ...], Books | None]:
    """Returns everything that is wrong, a line for each row, and the books it was found with.

    A broken file has no books: its rows cannot be trusted to be readable at all.
    """
    dangling: tuple[str, ...] = ()
    # Servers look after their own files and never leave a foreign key unchecked.
    if session.get_bind().dialect.name == "sqlite":
        if structure := _file_damage(session):
            return structure, None
        keys = session.connection().exec_driver_sql("PRAGMA foreign_key_check").all()
        dangling = tuple(f"{row[0]} {row[1]}: refers to a missing row of {row[2]}" for row in keys)
    books = Books(session, seed, where)
    for kind in BOUND:
        for _ in books.each(kind):
            pass
    return (*dangling, *books.damage, *_unreadable(books)), books


def _file_damage(session: Session) -> tuple[str, ...]:
    lines = session.connection().exec_driver_sql("PRAGMA quick_check").scalars().all()
    return () if list(lines) == ["ok"] else tuple(f"file: {line}" for line in lines)


def _unreadable(books: Books) -> list[str]:
    """Finds what the chain speaks of and this program cannot make sense of."""
    found: list[str] = []
    if books.damage:
        return found  # The same rows, once more.
    rows = {row.id: row for row in books.rows(ModelRow)}
    facts = {row.model_id: row for row in books.rows(FingerprintRow)}
    names = {row.id: row.name for row in rows.values()}
    for probe_set in books.each(ProbeSetRow):
        row, fact = rows[probe_set.model_id], facts.get(probe_set.model_id)
        try:
            registered(row, fact, books.where, names=names)
            fingerprint_of(row, fact, probe_set, books.where)
        except RegistryCorrupt as error:
            found += error.rows
    return found
