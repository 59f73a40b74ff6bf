"""What state a database file is in, decided before anything in it is touched or trusted.

A file is new (nothing in it), ours at some revision, or not a registry at all. Objects of SQL
that run by themselves (views, triggers, virtual tables, generated columns) have no place in a
registry: a file with any is refused, and so is one with tables or columns of its own. On a server
the same is asked of the schema that unqualified names mean, as far as its tables and views go.
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection, column, inspect, select, table

from registry.errors import NotARegistry, RegistryTooNew
from registry.tables import Base

__all__ = ["APPLICATION_ID", "HEAD", "REVISIONS", "State", "check_columns", "state_of"]

# "nulp": what the first migration marks the file with.
APPLICATION_ID = 0x6E756C70
REVISIONS = ("0001", "0002", "0003", "0004", "0005")
HEAD = REVISIONS[-1]

State = Literal["new", "older", "current"]

_MASTER = table("sqlite_master", column("type"), column("name"), column("tbl_name"), column("sql"))
_VERSION = table("alembic_version", column("version_num"))
_OWN_TABLES = {*Base.metadata.tables, "alembic_version"}
# Tables of older schemas are ours until they are upgraded.
_OLD_TABLES = {"screenings"}
# What every registry has had since the first revision; a server's database has no other mark.
_MARKS = {"models", "probe_sets", "chain", "settings"}
_SQLITE_TABLES = {"sqlite_sequence", "sqlite_stat1"}


def state_of(connection: Connection, where: str) -> tuple[State, str | None]:
    """Tells what a database is, and its schema revision.

    Raises:
        NotARegistry: It is another program's database, or holds objects that are not ours.
        RegistryTooNew: Its revision is not known here.
    """
    if connection.dialect.name != "sqlite":
        return _state_on_server(connection, where)
    objects = connection.execute(select(_MASTER)).all()
    mark = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    if not objects and mark == 0:
        return "new", None
    if mark != APPLICATION_ID:
        raise NotARegistry(
            f"registry {where}: expected a registry, found another program's SQLite database; "
            "give another path with --registry"
        )
    # The revision comes first: a newer registry may well have tables that are unknown here.
    revision = _revision_of(connection, {row.name for row in objects}, where)
    for row in objects:
        _check_object(row.type, row.name, row.tbl_name, row.sql or "", _own(revision), where)
    return ("current" if revision == HEAD else "older"), revision


def _state_on_server(connection: Connection, where: str) -> tuple[State, str | None]:
    inspector = inspect(connection)
    tables, views = set(inspector.get_table_names()), set(inspector.get_view_names())
    if not tables | views:
        return "new", None
    if not tables >= _MARKS:
        raise NotARegistry(
            f"registry {where}: expected a registry or an empty database, found other tables in "
            "it; give it a database or a schema of its own"
        )
    revision = _revision_of(connection, tables, where)
    if strange := sorted((tables - _own(revision)) | views):
        raise NotARegistry(
            f"registry {where}: expected only a registry's own tables, found {strange[0][:80]!r}; "
            "give it a database or a schema of its own"
        )
    return ("current" if revision == HEAD else "older"), revision


def _revision_of(connection: Connection, names: set[str], where: str) -> str:
    found: list[str] = []
    if "alembic_version" in names:
        found = [str(value) for value in connection.execute(select(_VERSION)).scalars()]
    if len(found) != 1:
        raise NotARegistry(f"registry {where}: expected one schema revision, found {len(found)}")
    if found[0] not in REVISIONS:
        raise RegistryTooNew(where, found=found[0][:40], known=HEAD)
    return found[0]


def _own(revision: str) -> set[str]:
    return _OWN_TABLES if revision == HEAD else _OWN_TABLES | _OLD_TABLES


def _check_object(kind: str, name: str, owner: str, sql: str, own: set[str], where: str) -> None:
    known = owner in own or owner in _SQLITE_TABLES
    plain_table = kind == "table" and sql.lstrip().upper().startswith("CREATE TABLE")
    if not (known and (plain_table or kind == "index")):
        raise NotARegistry(
            f"registry {where}: expected only a registry's own tables, found {kind} {name[:80]!r}; "
            "it was altered from outside and is not opened"
        )


def check_columns(connection: Connection, where: str) -> None:
    """Refuses a registry whose tables do not have exactly the columns of ``tables``.

    Raises:
        NotARegistry: A table is missing, or has other or generated columns.
    """
    # All at once: on a server each look is a way there and back.
    present = {
        table: found for (_, table), found in inspect(connection).get_multi_columns().items()
    }
    for name, expected in Base.metadata.tables.items():
        columns = present.get(name, [])
        found = {entry["name"] for entry in columns if "computed" not in entry}
        if found != set(expected.columns.keys()) or len(found) != len(columns):
            raise NotARegistry(
                f"registry {where}: table {name} does not have the columns of a registry; "
                "it was altered from outside and is not opened"
            )


def has_sqlite_header(head: bytes) -> bool:
    """Tells whether a file starts as SQLite files do; an empty file may become one."""
    return not head or head == b"SQLite format 3\0"
