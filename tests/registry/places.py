"""Where registries can be kept: files, and databases of a server.

The whole suite runs on either. Each kind of place can be empty, be a copy of another, and be
changed behind the registry's back.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, make_url, text

__all__ = ["Databases", "Files", "Place", "Places", "execute", "places_at", "unguarded"]

Place = Path | str
"""What ``Registry`` is given."""


class Places(ABC):
    """A kind of place.

    Attributes:
        address: What makes these places again in another process, with ``prefix``.
        prefix: What their names begin with.
    """

    def __init__(self, address: str, prefix: str = "") -> None:
        self.address, self.prefix = address, prefix
        self._numbers = count(1)

    def named(self, prefix: str) -> Places:
        """Returns places of the same kind under names of their own."""
        return places_at(self.address, f"{prefix} ")

    def empty(self) -> Place:
        """Returns a place where nothing is."""
        return self.at(f"place {next(self._numbers)}")

    @abstractmethod
    def at(self, name: str) -> Place:
        """Returns the place of a name, where nothing is the first time."""

    @abstractmethod
    def copy(self, place: Place) -> Place:
        """Returns a new place with what is in another one, which nobody has open."""

    @abstractmethod
    def discard(self, place: Place) -> None:
        """Removes a place."""


class Files(Places):
    """SQLite files in a folder."""

    def at(self, name: str) -> Path:
        return Path(self.address, f"{self.prefix}{name}.db")

    def copy(self, place: Place) -> Path:
        return Path(shutil.copy(place, self.at(f"place {next(self._numbers)}")))

    def discard(self, place: Place) -> None:
        for file in Path(self.address).glob(f"{Path(place).name}*"):
            # What was solved stays in a folder beside the file for as long as it is of use.
            shutil.rmtree(file) if file.is_dir() else file.unlink()


class Databases(Places):
    """Databases of a PostgreSQL server."""

    def __init__(self, address: str, prefix: str = "") -> None:
        super().__init__(address, prefix)
        self._engine = create_engine(address, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    def at(self, name: str) -> str:
        name = self.prefix + name
        found = text("SELECT 1 FROM pg_database WHERE datname = :name")
        with self._engine.connect() as connection:
            if connection.execute(found, {"name": name}).first() is None:
                connection.execute(text(f'CREATE DATABASE "{name}"'))
        return self._named(name)

    def copy(self, place: Place) -> str:
        name = f"{self.prefix}place {next(self._numbers)}"
        source = make_url(str(place)).database
        with self._engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{source}"'))
        return self._named(name)

    def discard(self, place: Place) -> None:
        name = make_url(str(place)).database
        with self._engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))

    def _named(self, name: str) -> str:
        return make_url(self.address).set(database=name).render_as_string(hide_password=False)


def places_at(address: str, prefix: str = "") -> Places:
    """Returns the places in a folder, or on the server of a URL."""
    return (Databases if "://" in address else Files)(address, prefix)


@contextmanager
def unguarded(place: Place) -> Iterator[Connection]:
    """Opens a place to change it behind the registry's back: nothing is checked or cascades."""
    on_server = "://" in str(place)
    engine = create_engine(str(place) if on_server else f"sqlite:///{place}", poolclass=NullPool)
    with engine.connect() as connection:
        if on_server:
            connection.execute(text("SET session_replication_role = replica"))
        yield connection
        connection.commit()


def execute(place: Place, *statements: str) -> None:
    """Runs statements on a place; those of SQLite, put as PostgreSQL has them."""
    if "://" not in str(place):
        # Through the driver itself: no error of SQLAlchemy's in the way of odd statements.
        with closing(sqlite3.connect(place)) as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return
    with unguarded(place) as server:
        for statement in statements:
            server.exec_driver_sql(_translated(statement))


def _translated(statement: str) -> str:
    statement = re.sub(r"(?<=[ =(])x'([0-9a-f]*)'", r"'\\x\1'", statement)
    # Of bytes only a place can be replaced, here the last ones.
    statement = re.sub(
        r"replace\(blob, substr\(blob, -(\d+)\), ('.*?')\)",
        r"overlay(blob placing \2 from length(blob) - \1 + 1)",
        statement,
    )
    # Of documents only text can be replaced.
    statement = re.sub(
        r"replace\((\w+),(.*?)\)", r"CAST(replace(CAST(\1 AS TEXT),\2) AS JSON)", statement
    )
    return statement.replace("%", "%%")
