"""Registries in PostgreSQL: for a team, where several machines write.

Its administrator is trusted, as the author of a SQLite file is not; so the tables are compared
with ours, but triggers and the like are not searched for. Writers take turns by locking one row
of the settings, and a chain that forks would break its keys besides. Readers see one state
throughout.

No backup can be made from here, so an older schema is refused until somebody asks for the upgrade.
Who may do what is the server's to say: see :mod:`registry.roles`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Connection, create_engine, select, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from fingerprint.errors import UsageError
from registry.errors import RegistryCorrupt, RegistryError
from registry.tables import SettingRow

__all__ = ["READ", "WRITE", "checked", "connect_to_server", "hold_write_lock", "shown", "shut"]

# A reader must not see half of what others commit meanwhile. A writer must see all of what was
# committed before it got the lock, and nothing can change while it holds it.
READ = {"isolation_level": "REPEATABLE READ"}
WRITE = {"isolation_level": "READ COMMITTED"}

LOCK_TIMEOUT_MS = 30_000
# Where the package to install is not called like the module.
_PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
}
_READ_ONLY = text("SELECT current_setting('transaction_read_only') = 'on'")
_MAY_APPEND = text("SELECT has_table_privilege('chain', 'INSERT')")


def shown(url: URL) -> str:
    """Returns a URL as it may be repeated: without password, and without its options.

    Drivers take secrets as options too; only those that tell where the server is are kept.
    """
    kept = {key: value for key, value in url.query.items() if key in ("host", "port")}
    return url.set(query=kept).render_as_string(hide_password=True)


def checked(url: URL) -> URL:
    """Returns the URL of a database that a registry can be kept in, as far as it tells.

    Raises:
        UsageError: It is no PostgreSQL, its driver is unknown, or it is not what its author meant.
    """
    if url.get_backend_name() != "postgresql":
        # Nobody has run it elsewhere, and a registry is no place to be the first.
        raise UsageError(
            f"registry: expected a path or the URL of a PostgreSQL database, got one of "
            f"{url.drivername}; give a path, or postgresql+psycopg://USER@HOST/DATABASE"
        )
    try:
        dialect = url.get_dialect()
    except ArgumentError:
        raise UsageError(
            f"registry: expected a driver SQLAlchemy knows, got {url.drivername}; "
            "write postgresql+psycopg://"
        ) from None
    if getattr(dialect, "is_async", False):
        raise UsageError(
            f"registry: expected a driver without asyncio, got {url.drivername}; name another one"
        )
    if "@" in (url.host or "") or "@" in (url.database or ""):
        # A part of the password would be taken, and shown, as the host.
        raise UsageError("registry: expected one @ in the URL, got more; write it as %40 elsewhere")
    return url


def connect_to_server(url: URL, **options: Any) -> Engine:
    """Returns an engine with a fresh connection for each transaction; nothing is opened yet.

    Raises:
        RegistryError: The database's driver is not installed.
    """
    try:
        return create_engine(url, poolclass=NullPool, hide_parameters=True, **options)
    except ImportError as error:
        module = (error.name or url.get_driver_name()).partition(".")[0]
        package = _PACKAGES.get(module, module)
        raise RegistryError(
            f"registry {shown(url)}: expected the driver {module}, found none that can be loaded; "
            f"pip install '{package}'"
        ) from error


def hold_write_lock(transaction: Session | Connection, where: str) -> None:
    """Waits until no other writer is left, and keeps others waiting until the transaction ends.

    Raises:
        RegistryCorrupt: The row that is locked is missing.
    """
    transaction.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS:d}"))
    row = select(SettingRow.key).where(SettingRow.key == "seed").with_for_update()
    if transaction.execute(row).first() is None:
        raise RegistryCorrupt(where, ("settings seed: missing",))


def shut(connection: Connection) -> str | None:
    """Returns why a registry on a server can only be read; None where it can be written."""
    if connection.execute(_READ_ONLY).scalar_one():
        return "the server only lets it be read"
    if not connection.execute(_MAY_APPEND).scalar_one():
        return "its owner lets you read it only"
    return None
