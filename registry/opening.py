"""Opens a registry: creates it, upgrades it, or refuses it, and only then hands it out.

Whoever comes first holds the write lock while it creates or upgrades; everyone else waits, looks
again, and finds the work done. On a server there is nothing to lock before the tables are there: of
two creators the database lets one win, and the other looks again. An old registry on a server is
only upgraded where that is asked for: others may be at work with the older program.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from registry.engine import WRITE, Location, connect_to, for_writing, locate
from registry.errors import NotARegistry, RegistryError, RegistryReadOnly, RegistryUnavailable
from registry.schema import HEAD, State, check_columns, has_sqlite_header, state_of
from registry.servers import hold_write_lock
from registry.session import ours

__all__ = ["open_registry", "upgrade_registry"]


def open_registry(location: Location) -> Engine:
    """Returns an engine on a registry that has the current schema.

    Raises:
        RegistryError: It cannot be opened, is not a registry, or is too new; or it is on a
            server and has an older schema, which is only upgraded by :func:`upgrade_registry`.
    """
    return _opened(location, upgrade=False)[0]


def upgrade_registry(url: str | os.PathLike[str] | None = None) -> str | None:
    """Brings a registry of an older release up to date: all of it, or nothing.

    A file is also upgraded whenever it is opened, after it was copied beside itself. One on a
    server is upgraded here alone, while nobody writes; who may do what stays as it was.

    Args:
        url: Where it is, as ``Registry`` takes it.

    Returns:
        The schema it had until now; None if it was up to date.

    Raises:
        UsageError: The URL is of another kind.
        RegistryError: As of ``Registry``; or only the registry's owner may do this.
    """
    engine, before = _opened(locate(url), upgrade=True)
    engine.dispose()
    return before


def _opened(location: Location, *, upgrade: bool) -> tuple[Engine, str | None]:
    """Returns an engine, and the older schema that the registry had until now."""
    where = str(location)
    with ours(where):
        _check_file(location)
        engine = connect_to(location)
        with engine.connect() as connection:
            state, revision = state_of(connection, where)
            if state == "current":
                check_columns(connection, where)
        if location.server is not None:
            if state == "older" and upgrade:
                revision = _upgrade_on_server(engine, where)
            else:
                _create_on_server(engine, where, state, revision)
        elif state != "current":
            if location.read_only:
                found = f"expected schema {HEAD}, found {revision or 'none'}, and it is read-only"
                raise RegistryReadOnly(where, found)
            _bring_up_to_date(engine, location)
        if location.path is not None and not location.read_only:
            _use_write_ahead_log(engine)
    return engine, revision if state == "older" else None


def _check_file(location: Location) -> None:
    path = location.path
    if path is None:
        return
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise RegistryUnavailable(
            f"registry {location}: expected a file, found a directory; name a file inside it"
        )
    if not path.exists():
        return
    if not path.is_file():
        raise NotARegistry(f"registry {location}: expected a regular file, found a device or pipe")
    with path.open("rb") as file:
        head = file.read(16)
    if not has_sqlite_header(head):
        raise NotARegistry(
            f"registry {location}: expected a SQLite file, found something else; "
            "give another path with --registry"
        )


def _bring_up_to_date(engine: Engine, location: Location) -> None:
    # Alembic is only loaded when there is something to migrate: opening stays quick.
    from registry.upgrade import back_up, migrate

    where = str(location)
    backup = None
    try:
        with engine.execution_options(**WRITE).begin() as connection:
            state, revision = state_of(connection, where)
            if state == "older" and revision is not None:
                backup = back_up(location, revision)
            if state != "current":
                migrate(connection, where)
            check_columns(connection, where)
    except BaseException:
        # The old registry is as it was: its copy would only be one more with each attempt.
        if backup is not None:
            backup.unlink(missing_ok=True)
        raise


def _create_on_server(engine: Engine, where: str, state: State, revision: str | None) -> None:
    if state == "older":
        raise RegistryError(
            f"registry {where}: expected schema {HEAD}, found {revision}; back the database up, "
            "then run 'fp registry upgrade'"
        )
    if state == "current":
        return
    from registry.upgrade import migrate

    try:
        with for_writing(engine).begin() as connection:
            migrate(connection, where)
            check_columns(connection, where)
    except SQLAlchemyError:
        # Somebody else may have been faster; then their tables were in the way of ours.
        with engine.connect() as connection:
            if state_of(connection, where)[0] != "current":
                raise


def _upgrade_on_server(engine: Engine, where: str) -> str | None:
    """Upgrades all of it or nothing, while nobody writes; returns the schema it had."""
    from registry.roles import allow, allowed
    from registry.upgrade import migrate

    with for_writing(engine).begin() as connection:
        hold_write_lock(connection, where)
        state, revision = state_of(connection, where)
        if state == "current":
            return None  # Somebody else was faster.
        roles = allowed(connection)
        migrate(connection, where)
        check_columns(connection, where)
        for role, may in roles.items():
            allow(connection, role, may)
    return revision


def _use_write_ahead_log(engine: Engine) -> None:
    """Lets readers go on while somebody writes; the file remembers it."""
    # The driver's own connection: the mode cannot change inside a transaction.
    with contextlib.closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 1000")
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # Changing the mode needs the file alone. Without it everything is as safe, only
            # slower; whoever opens the registry next tries again.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
