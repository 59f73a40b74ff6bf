from __future__ import annotations

from pathlib import Path

import pytest

from fingerprint.errors import UsageError
from registry import Registry
from registry.engine import connect_to, locate
from tests.registry.conftest import sqlite_only


def test_a_bare_path_and_its_url_are_the_same_place(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    assert locate(str(path)).path == locate(path).path == locate(f"sqlite:///{path}").path == path


def test_a_relative_path_is_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate("audit.db").path == tmp_path / "audit.db"
    assert locate("sqlite:///audit.db").path == tmp_path / "audit.db"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert locate("~/audit.db").path == tmp_path / "audit.db"


def test_without_a_path_it_is_a_file_in_the_user_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.engine.user_data_path", lambda *_, **__: tmp_path / "data")
    assert locate(None).path == tmp_path / "data" / "registry.db"


@pytest.mark.parametrize("name", ["a?b=c.db", "a%20b.db", "a#b.db", "ünï 码.db", ":memory:", "a:b"])
def test_any_file_name_is_only_a_file_name(tmp_path: Path, name: str) -> None:
    with Registry(tmp_path / name) as registry:
        assert registry.path == tmp_path / name
    assert (tmp_path / name).is_file()


def test_a_registry_in_memory_has_no_path() -> None:
    with Registry("sqlite://") as registry:
        assert registry.path is None
        assert registry.models() == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "  ",
        "a\0b",
        "postgresql://user:sec@ret@host/db",
        "postgresql+asyncpg://user:secret@host/db",
        "http://user:secret@host/db",
        "postgresql://user:secret@host:port/db",
        "http://host/registry.db",
        "mysql+pymysql://user:secret@host/db",
        "postgresql+nothing://user:secret@host/db",
        "sqlite:///file:x?uri=true",
        "sqlite://host/x.db",
        "sqlite+aiosqlite:///x.db",
        "://",
    ],
)
def test_other_urls_are_refused_in_one_line_without_their_password(url: str) -> None:
    with pytest.raises(UsageError) as refusal:
        locate(url)
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)


@sqlite_only
def test_connections_are_durable_and_distrust_the_schema(registry: Registry) -> None:
    expected = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "busy_timeout": 30_000,
    }
    with connect_to(locate(registry.path)).connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in expected
        }
    assert found == expected


def test_the_folder_is_made(tmp_path: Path) -> None:
    Registry(tmp_path / "a" / "b" / "registry.db").close()
    assert (tmp_path / "a" / "b" / "registry.db").is_file()
