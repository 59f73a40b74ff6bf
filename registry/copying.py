"""Copies a whole registry to a new place: a backup of it, or the way from a file to a server.

All of one moment, whoever writes meanwhile, and all of it or nothing. Rows are taken as they stand
and the chain with them, so a copy has the same seed and the same head, and is compared with its
chain before it counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, insert, select, text, update
from sqlalchemy.orm import Session

from fingerprint.errors import UsageError
from registry.checking import damage
from registry.engine import Location, connect_to, for_writing
from registry.errors import RegistryCorrupt
from registry.ledger import Books
from registry.schema import state_of
from registry.session import ours
from registry.tables import Base, ModelRow, VerificationRow, WatchRow

__all__ = ["copy_to"]

# Numbers of these are never used twice, those of rows that are gone included.
_NUMBERED: tuple[type[Base], ...] = (ModelRow, VerificationRow, WatchRow)


def copy_to(location: Location, books: Books, seed: str) -> None:
    """Copies what a transaction sees to a place where nothing is.

    Args:
        location: The new place.
        books: The registry that is copied, in a transaction of its own.
        seed: Its seed.

    Raises:
        UsageError: Something is there.
        RegistryCorrupt: What was copied is not what the chain says.
        RegistryError: The new place cannot be written.
    """
    where = str(location)
    if location.path is None and location.server is None:
        raise UsageError("copy: expected a file or a database to copy to, got one in memory")
    with ours(where), _draft(location) as draft:
        engine = connect_to(draft)
        with for_writing(engine).begin() as target:
            _fill(target, books, where)
            _check(target, books, seed)


@contextmanager
def _draft(location: Location) -> Iterator[Location]:
    """Yields where to write: a file gets its name when all is in it, and never another's."""
    path = location.path
    if path is None:
        yield location
        return
    taken = UsageError(f"registry {location}: expected a new file, found one; name another")
    if path.exists():
        raise taken
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield Location(draft)
        os.link(draft, path)
    except FileExistsError:
        raise taken from None
    finally:
        draft.unlink(missing_ok=True)


def _fill(target: Connection, books: Books, where: str) -> None:
    from registry.upgrade import migrate

    if state_of(target, where)[0] != "new":
        raise UsageError(f"registry {where}: expected an empty database, found a registry")
    migrate(target, where)
    tables = Base.metadata.sorted_tables
    for table in reversed(tables):
        target.execute(delete(table))
    source = books.session.connection()
    for table in tables:
        for rows in _rows(source, table):
            target.execute(insert(table), [{**row, **_no_parent(table)} for row in rows])
    _name_parents(source, target)
    for kind in _NUMBERED:
        # The chain speaks of every row there ever was.
        _go_on(target, kind.__tablename__, max(map(int, books.changed_since(kind, 0)), default=0))


def _rows(source: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    """Reads a table a few rows at a time: probe sets together may be larger than memory."""
    query = select(table).order_by(*table.primary_key).execution_options(yield_per=10)
    for part in source.execute(query).mappings().partitions():
        yield [dict(row) for row in part]


def _no_parent(table: Table) -> dict[str, None]:
    """A parent may have been registered later than its child, and is named once all are there."""
    return {"parent_id": None} if table.name == ModelRow.__tablename__ else {}


def _name_parents(source: Connection, target: Connection) -> None:
    known = select(ModelRow.id, ModelRow.parent_id).where(ModelRow.parent_id.is_not(None))
    rows = [{"child": child, "parent": parent} for child, parent in source.execute(known)]
    if rows:
        models = ModelRow.__table__
        named = update(models).where(models.c.id == bindparam("child"))  # type: ignore[arg-type]
        target.execute(named.values(parent_id=bindparam("parent")), rows)


def _go_on(target: Connection, table: str, last: int) -> None:
    """Makes the next number of a table the one after ``last``."""
    if target.dialect.name == "sqlite":
        target.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), {"table": table})
        statement = "INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :last)"
        target.execute(text(statement), {"table": table, "last": last})
    else:
        serial = "pg_get_serial_sequence(:table, 'id')"
        statement = f"SELECT setval({serial}, :next, false)"
        target.execute(text(statement), {"table": table, "next": last + 1})


def _check(target: Connection, books: Books, seed: str) -> None:
    # What is wrong with a copy was wrong before.
    found, _ = damage(Session(target), seed, books.where)
    if found:
        raise RegistryCorrupt(books.where, found)
