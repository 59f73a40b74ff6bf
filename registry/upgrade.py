"""Brings a registry to the schema this program knows, or refuses it unchanged.

New registries are born by the same migrations that upgrade old ones. Migrating happens in one
transaction under the write lock, and an old registry is first copied beside itself, so a
failure at any moment leaves either the old registry or the new one.
"""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from registry.engine import Location
from registry.schema import HEAD

__all__ = ["alembic_config", "back_up", "migrate"]

MIGRATIONS = Path(__file__).with_name("migrations")


def migrate(connection: Connection, where: str, *, to: str = HEAD) -> None:
    """Runs the migrations inside the transaction the connection is in.

    Raises:
        RegistryCorrupt: The old registry is not what its chain says, so it is not upgraded.
    """
    config = alembic_config()
    config.attributes["connection"] = connection
    config.attributes["where"] = where
    command.upgrade(config, to)


def alembic_config() -> Config:
    """Returns Alembic's configuration, independent of files and of the working directory."""
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def back_up(location: Location, revision: str) -> Path | None:
    """Copies the registry beside itself before an upgrade.

    The copy is complete and durable before it gets its name, such as
    ``registry.db.0001-20260131T120000.000000Z.backup``.

    Returns:
        The copy's path; None for a registry in memory, which has nothing to lose.
    """
    if location.path is None:
        return None
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = location.path.with_name(f"{location.path.name}.{revision}-{stamp}.backup")
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with (
            contextlib.closing(sqlite3.connect(location.path)) as source,
            contextlib.closing(sqlite3.connect(unfinished)) as copy,
        ):
            source.backup(copy)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target
