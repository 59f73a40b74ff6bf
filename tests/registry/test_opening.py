"""Files that are no registry, and places where none can be, are refused and left alone."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from registry import (
    NotARegistry,
    Registry,
    RegistryCorrupt,
    RegistryError,
    RegistryLocked,
    RegistryTooNew,
    RegistryUnavailable,
)
from registry.schema import HEAD
from tests.registry.conftest import put, sqlite_only, tamper


def test_a_registry_keeps_its_seed_and_another_has_another(path: Path, tmp_path: Path) -> None:
    with Registry(path) as first:
        seed = first.seed
    assert re.fullmatch("[0-9a-f]{64}", seed)
    with Registry(path) as again, Registry(tmp_path / "other.db") as other:
        assert again.seed == seed
        assert other.seed != seed


def test_an_empty_file_becomes_a_registry(path: Path) -> None:
    path.touch()
    with Registry(path) as registry:
        assert registry.models() == []


def another_program(path: Path) -> None:
    tamper(path, "CREATE TABLE notes (text)", "INSERT INTO notes VALUES ('mine')")


def alembic_of_another_program(path: Path) -> None:
    tamper(
        path,
        "CREATE TABLE alembic_version (version_num)",
        f"INSERT INTO alembic_version VALUES ('{HEAD}')",
    )


def text_file(path: Path) -> None:
    path.write_text("PK not a database, but long enough to look for a header in it")


def random_bytes(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)


def truncated(path: Path) -> None:
    with Registry(path) as registry:
        put(registry, "model")
    path.write_bytes(path.read_bytes()[:5000])


def header_only(path: Path) -> None:
    with Registry(path):
        pass
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    "make",
    [
        another_program,
        alembic_of_another_program,
        text_file,
        random_bytes,
        truncated,
        header_only,
    ],
)
def test_what_is_no_registry_is_refused_in_one_line_and_unchanged(path: Path, make) -> None:  # type: ignore[no-untyped-def]
    make(path)
    before = path.read_bytes()
    with pytest.raises((NotARegistry, RegistryCorrupt)) as refusal:
        Registry(path)
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert path.read_bytes() == before
    assert [entry for entry in path.parent.iterdir() if entry != path] == []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW peek AS SELECT * FROM models",
        "CREATE TRIGGER evil AFTER INSERT ON models BEGIN DELETE FROM chain; END",
        "CREATE TABLE extra (a)",
        "CREATE VIRTUAL TABLE search USING fts5(a)",
        "ALTER TABLE models ADD COLUMN extra TEXT",
        "ALTER TABLE models ADD COLUMN extra TEXT AS (upper(name))",
        "ALTER TABLE models RENAME COLUMN digest TO digset",
        "DROP TABLE pairs",
        "CREATE TABLE screenings (a)",
        "DELETE FROM alembic_version",
        "INSERT INTO alembic_version VALUES ('0001')",
        "PRAGMA application_id = 5",
    ],
)
def test_a_registry_with_foreign_or_missing_objects_is_refused(path: Path, statement: str) -> None:
    Registry(path).close()
    tamper(path, statement)
    with pytest.raises(NotARegistry) as refusal:
        Registry(path)
    assert "\n" not in str(refusal.value)


def test_a_hostile_view_in_place_of_a_table_is_refused(path: Path) -> None:
    Registry(path).close()
    tamper(path, "DROP TABLE settings", "CREATE VIEW settings AS SELECT 'seed' key, 'x' value")
    with pytest.raises(NotARegistry, match="view 'settings'"):
        Registry(path)


def test_a_registry_without_a_seed_is_damaged(path: Path) -> None:
    Registry(path).close()
    tamper(path, "DELETE FROM settings WHERE key = 'seed'")
    with pytest.raises(RegistryCorrupt, match="settings seed"):
        Registry(path)


def test_a_newer_registry_is_refused_with_both_versions_and_unchanged(path: Path) -> None:
    Registry(path).close()
    tamper(path, "UPDATE alembic_version SET version_num = '0042'", "CREATE TABLE future (a)")
    before = path.read_bytes()
    with pytest.raises(RegistryTooNew, match=f"{HEAD}.*0042") as refusal:
        Registry(path)
    assert (refusal.value.found, refusal.value.known) == ("0042", HEAD)
    assert path.read_bytes() == before


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryUnavailable, match="directory"):
        Registry(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RegistryUnavailable) as refusal:
        Registry(tmp_path / "file" / "registry.db")
    assert refusal.value.__cause__ is not None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(NotARegistry, match="regular file"):
        Registry(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do anything")
def test_a_registry_without_permission_is_refused(path: Path) -> None:
    Registry(path).close()
    path.chmod(0)
    with pytest.raises(RegistryUnavailable, match=r"[Pp]ermission"):
        Registry(path)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder nobody can write to")
def test_a_folder_that_cannot_be_made_is_refused_in_one_line() -> None:
    with pytest.raises(RegistryUnavailable, match="--registry") as refusal:
        Registry("/proc/nowhere/registry.db")
    assert "\n" not in str(refusal.value)


@sqlite_only
def test_a_registry_held_by_another_writer_is_reported_as_locked(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.engine.BUSY_TIMEOUT_MS", 50)
    with closing(sqlite3.connect(registry.path, isolation_level=None)) as holder:  # type: ignore[arg-type]
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(RegistryLocked):
            put(registry, "model")
        # Readers are not kept out.
        assert registry.models() == []
    put(registry, "model")


def test_a_full_disk_is_an_environment_error_and_leaves_no_half_row(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Registry(path) as registry:
        put(registry, "first")
    from registry import engine

    prepare = engine._prepare

    def small(connection: sqlite3.Connection, record: object) -> None:
        prepare(connection, record)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    monkeypatch.setattr("registry.engine._prepare", small)
    with Registry(path) as registry, pytest.raises(RegistryUnavailable, match="disk is full"):
        fill(registry)
    monkeypatch.undo()
    with Registry(path) as registry:
        registry.check()
        names = [model.name for model in registry.models()]
        assert names == ["first", *(f"model {index}" for index in range(len(names) - 1))]


def fill(registry: Registry) -> None:
    for index in range(20):
        put(registry, f"model {index}", 1 + index)  # 0 is the first again, an alias


def test_a_file_that_may_not_grow_is_an_environment_error(path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Registry(path) as registry:
        # Enough for the index of the log (32 KiB), not for the log of a whole model.
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
        try:
            with pytest.raises(RegistryUnavailable) as refusal:
                put(registry, "model")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "\n" not in str(refusal.value)
        registry.check()
        assert registry.models() == []


@sqlite_only
def test_a_copy_taken_while_nobody_writes_is_the_whole_registry(
    family: Registry, tmp_path: Path
) -> None:
    family.close()
    assert family.path is not None
    shutil.copy(family.path, tmp_path / "copy.db")
    with Registry(tmp_path / "copy.db") as copy:
        copy.check()
        assert copy.models() == family.models()


def test_every_refusal_is_an_environment_error() -> None:
    from fingerprint.errors import EnvironmentFailure

    assert issubclass(RegistryError, EnvironmentFailure)
