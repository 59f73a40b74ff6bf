"""No error of SQLAlchemy, of the driver or of the system leaves the registry as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy.exc
from sqlalchemy import text
from sqlalchemy.orm import Session

from registry import (
    NotARegistry,
    Registry,
    RegistryCorrupt,
    RegistryError,
    RegistryLocked,
    RegistryReadOnly,
    RegistryUnavailable,
)
from registry.engine import connect_to, locate
from registry.session import ours, reading, writing
from registry.tables import SettingRow
from tests.registry.conftest import place_of, put, tamper

RESULTS = [
    "SQLITE_ERROR", "SQLITE_INTERNAL", "SQLITE_PERM", "SQLITE_ABORT", "SQLITE_BUSY",
    "SQLITE_LOCKED", "SQLITE_NOMEM", "SQLITE_READONLY", "SQLITE_INTERRUPT", "SQLITE_IOERR",
    "SQLITE_CORRUPT", "SQLITE_NOTFOUND", "SQLITE_FULL", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL",
    "SQLITE_EMPTY", "SQLITE_SCHEMA", "SQLITE_TOOBIG", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH",
    "SQLITE_MISUSE", "SQLITE_NOLFS", "SQLITE_AUTH", "SQLITE_FORMAT", "SQLITE_RANGE",
    "SQLITE_NOTADB",
]  # fmt: skip


def driver_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("two\nlines")
    error.sqlite_errorcode = code
    return error


def below(root: type[BaseException]) -> list[type[BaseException]]:
    return [root, *(kind for child in root.__subclasses__() for kind in below(child))]


def raised(error: BaseException) -> RegistryError:
    with pytest.raises(RegistryError) as caught, ours("here"):
        raise error
    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_code_of_sqlite_becomes_ours(name: str) -> None:
    bare = raised(driver_error(getattr(sqlite3, name)))
    wrapped = sqlalchemy.exc.OperationalError("SELECT", {}, driver_error(getattr(sqlite3, name)))
    assert type(raised(wrapped)) is type(bare)
    # Extended codes are told by their low byte.
    assert type(raised(driver_error(getattr(sqlite3, name) | 0x300))) is type(bare)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SQLITE_BUSY", RegistryLocked),
        ("SQLITE_LOCKED", RegistryLocked),
        ("SQLITE_CORRUPT", RegistryCorrupt),
        ("SQLITE_NOTADB", NotARegistry),
        ("SQLITE_FULL", RegistryUnavailable),
        ("SQLITE_READONLY", RegistryReadOnly),
        ("SQLITE_CANTOPEN", RegistryUnavailable),
        ("SQLITE_IOERR", RegistryUnavailable),
        ("SQLITE_PERM", RegistryUnavailable),
        ("SQLITE_CONSTRAINT", RegistryError),
    ],
)
def test_codes_have_the_class_that_tells_what_to_do(name: str, kind: type[RegistryError]) -> None:
    assert type(raised(driver_error(getattr(sqlite3, name)))) is kind


@pytest.mark.parametrize("kind", [*below(sqlite3.Error), sqlite3.Warning], ids=lambda k: k.__name__)
def test_every_class_of_the_driver_becomes_ours(kind: type[Exception]) -> None:
    raised(kind("trouble"))


@pytest.mark.parametrize(
    "kind", below(sqlalchemy.exc.SQLAlchemyError), ids=lambda kind: kind.__name__
)
def test_every_class_of_sqlalchemy_becomes_ours(kind: type[Exception]) -> None:
    orig = driver_error(sqlite3.SQLITE_ERROR)
    if issubclass(kind, sqlalchemy.exc.DBAPIError):
        error: Exception = kind("SELECT", {}, orig)
    elif issubclass(kind, sqlalchemy.exc.StatementError):
        error = kind("trouble", "SELECT", {}, orig)
    else:
        # Their constructors differ; only the class decides.
        error = kind.__new__(kind)
        Exception.__init__(error, "trouble")
        error.code = None  # type: ignore[attr-defined]
    raised(error)


SYSTEM = [kind for kind in below(OSError) if kind.__module__ == "builtins"]


@pytest.mark.parametrize("kind", SYSTEM, ids=lambda kind: kind.__name__)
def test_every_error_of_the_system_becomes_ours(kind: type[OSError]) -> None:
    assert type(raised(kind(13, "Permission denied"))) is RegistryUnavailable


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError), ours("here"):
        _ = 1 / 0


def failing(session: Session) -> None:
    session.execute(text("SELECT * FROM nothing"))


def interrupted(session: Session) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("ending", "kind"), [(failing, RegistryError), (interrupted, KeyboardInterrupt)]
)
def test_a_change_that_does_not_end_is_undone(
    registry: Registry, ending: Callable[[Session], None], kind: type[BaseException]
) -> None:
    """A failing statement becomes ours, and an interrupt is passed on."""
    engine, where = connect_to(locate(place_of(registry))), registry.url

    def change() -> None:
        with writing(engine, where) as session:
            session.add(SettingRow(key="half", value="done"))
            session.flush()
            ending(session)

    with pytest.raises(kind):
        change()
    with reading(engine, where) as session:
        assert session.get(SettingRow, "half") is None


def test_text_that_is_not_utf8_is_damage(path: Path) -> None:
    with Registry(path) as registry:
        put(registry, "model")
    tamper(path, "UPDATE models SET architecture = CAST(x'ff' AS TEXT)")
    with Registry(path) as registry, pytest.raises(RegistryCorrupt, match="UTF-8"):
        registry.models()
