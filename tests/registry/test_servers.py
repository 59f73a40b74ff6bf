"""Registries in PostgreSQL: what is true of a server and of no file.

What is true of both is tested on both, all over this folder.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import inspect, make_url, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateTable

from fingerprint.errors import UsageError
from registry import (
    NameTaken,
    NotARegistry,
    Registry,
    RegistryCorrupt,
    RegistryError,
    RegistryLocked,
    RegistryReadOnly,
    RegistryTooNew,
    RegistryUnavailable,
    upgrade_registry,
)
from registry.engine import connect_to, locate
from registry.ledger import Books
from registry.servers import shown
from registry.session import ours, reading, writing
from registry.tables import Base, ChainRow, ModelRow
from tests.registry.conftest import place_of, postgresql_only, put, verdict
from tests.registry.places import Place, execute
from tests.registry.test_upgrade import put_golden
from tests.support.fingerprints import make_fingerprint, make_model
from tests.support.postgresql import Server


def test_the_url_of_another_database_is_shown_without_password_and_options() -> None:
    given = "postgresql+psycopg://user:secret@db.example:5433/audit?sslpassword=hidden&host=/run"
    location = locate(given)
    assert location.path is None
    assert location.url == make_url(given)
    for text_of in (str(location), repr(location), shown(location.url)):
        assert "secret" not in text_of
        assert "hidden" not in text_of
    assert str(location) == "postgresql+psycopg://user:***@db.example:5433/audit?host=%2Frun"


def test_a_missing_driver_is_one_line_that_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(RegistryError, match="pip install 'psycopg2-binary'") as refusal:
        Registry("postgresql+psycopg2://user:secret@host/audit")
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["mysql", "mariadb+pymysql", "oracle", "mssql"])
def test_another_kind_of_server_is_refused_without_its_password(kind: str) -> None:
    with pytest.raises(UsageError, match="PostgreSQL") as refusal:
        Registry(f"{kind}://user:secret@host/audit")
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_a_server_that_is_not_there_is_unavailable_in_one_line() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(RegistryUnavailable) as refusal:
        Registry("postgresql+psycopg://user:secret@127.0.0.1:1/audit")
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)


class ServerError(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("two\nlines")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("40001", RegistryLocked),
        ("40P01", RegistryLocked),
        ("55P03", RegistryLocked),
        ("25006", RegistryReadOnly),
        ("42501", RegistryUnavailable),
        ("57P01", RegistryUnavailable),
        (None, RegistryUnavailable),
    ],
)
def test_states_of_a_server_have_the_class_that_tells_what_to_do(
    sqlstate: str | None, kind: type[RegistryError]
) -> None:
    with pytest.raises(RegistryError) as refusal, ours("here"):
        raise OperationalError("SELECT", {}, ServerError(sqlstate))
    assert type(refusal.value) is kind
    assert "\n" not in str(refusal.value)


def test_large_blobs_fit_on_servers() -> None:
    tables = Base.metadata.tables
    # The dialect as ``create_engine`` would choose it; no driver is needed to write a statement.
    dialect = make_url("postgresql://").get_dialect()()
    assert "BYTEA" in str(CreateTable(tables["probe_sets"]).compile(dialect=dialect))


@pytest.fixture
def database(place: Place) -> str:
    """A database where nothing is yet."""
    return str(place)


@postgresql_only
def test_a_server_keeps_what_is_stored_and_forgets_what_is_removed(database: str) -> None:
    with Registry(database) as remote, Registry(database) as again:
        source = put(remote, "source")
        fingerprint = make_fingerprint(make_model(), seed=remote.seed)
        child = put(remote, "Source", 1, parent="source")
        verification = remote.record(verdict(), suspect_digest="ab" * 32)
        assert again.path is None
        assert again.seed == remote.seed
        assert again.models() == [source, child]
        assert again.fingerprint("source").to_dict() == fingerprint.to_dict()
        assert [found.number for found in again.verifications()] == [verification.verification]
        with pytest.raises(NameTaken):
            put(again, "source", 2)
        assert again.verify(make_model(9)).verification == 2
        again.remove("Source")
        assert again.models() == [source]
        again.check(head=again.head())


@postgresql_only
def test_a_reader_on_a_server_sees_one_state_throughout(database: str) -> None:
    with Registry(database) as remote:
        with reading(connect_to(locate(database)), "here") as session:
            before = session.scalars(select(ChainRow)).all()
            put(remote, "meanwhile")
            assert session.scalars(select(ChainRow)).all() == before
            assert session.scalars(select(ModelRow)).all() == []
        remote.check()


@postgresql_only
def test_what_a_verdict_rests_on_is_of_one_moment(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody removes a model between two queries of one read."""
    with Registry(database) as remote:
        for seed, name in enumerate(("a", "b")):
            put(remote, name, seed)
        rows = Books.rows

        def interrupted(books: Books, kind: type[Base], models: object = None) -> object:
            found = rows(books, kind, models)  # type: ignore[arg-type]
            if kind is ModelRow:
                monkeypatch.undo()
                remote.remove("b")
            return found

        monkeypatch.setattr(Books, "rows", interrupted)
        with remote._catalogue() as catalogue:
            assert set(catalogue.fingerprints(catalogue.rows)) == {"a", "b"}
        assert [model.name for model in remote.models()] == ["a"]


@postgresql_only
def test_a_writer_that_waits_too_long_is_told_so(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.servers.LOCK_TIMEOUT_MS", 50)
    with Registry(database) as remote:
        with writing(connect_to(locate(database)), "here"):
            with pytest.raises(RegistryLocked):
                put(remote, "model")
            assert remote.models() == []
        put(remote, "model")


@postgresql_only
def test_other_tables_on_a_server_are_refused_and_left_alone(database: str) -> None:
    execute(database, "CREATE TABLE notes (a INTEGER)")
    with pytest.raises(NotARegistry, match="of its own"):
        Registry(database)
    with connect_to(locate(database)).connect() as connection:
        assert inspect(connection).get_table_names() == ["notes"]


@postgresql_only
@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("CREATE TABLE notes (a INTEGER)", NotARegistry),
        ("ALTER TABLE models ADD COLUMN extra TEXT", NotARegistry),
        ("DROP TABLE pairs", NotARegistry),
        ("DELETE FROM alembic_version", NotARegistry),
        ("UPDATE alembic_version SET version_num = '0042'", RegistryTooNew),
        ("DELETE FROM settings", RegistryCorrupt),
    ],
)
def test_an_altered_registry_on_a_server_is_refused(
    database: str, statement: str, kind: type[RegistryError]
) -> None:
    Registry(database).close()
    execute(database, statement)
    with pytest.raises(kind) as refusal:
        Registry(database)
    assert "\n" not in str(refusal.value)


@postgresql_only
def test_a_server_that_only_lets_read_gives_verdicts_and_records_none(database: str) -> None:
    with Registry(database) as remote:
        put(remote, "source")
    name = make_url(database).database
    execute(database, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    with Registry(database) as shut:
        assert shut.read_only
        assert shut.verify(make_model(9)).verification is None
        with pytest.raises(RegistryReadOnly, match="the server only lets it be read") as refusal:
            put(shut, "other", 1)
    assert "\n" not in str(refusal.value)


@postgresql_only
def test_eight_who_upgrade_at_once_upgrade_once(database: str) -> None:
    put_golden("0003", database)

    with ThreadPoolExecutor(8) as pool:
        before = list(pool.map(upgrade_registry, [database] * 8))
    assert sorted(map(str, before)) == ["0003", *["None"] * 7]
    with Registry(database) as opened:
        opened.check()


@postgresql_only
def test_a_dump_that_is_restored_is_the_whole_registry_and_goes_on(
    family: Registry, server: Server, place: Place, tmp_path: Path
) -> None:
    source, target = (str(make_url(str(one)).database) for one in (place_of(family), place))
    head, dump = family.head(), str(tmp_path / "audit.dump")
    server.run("pg_dump", "--format=custom", f"--file={dump}", source)
    put(family, "after the dump", 5)
    server.run("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={target}", dump)
    with Registry(place) as restored:
        restored.check(head=head)
        assert [model.name for model in restored.models()] == ["source", "derived", "other"]
        # Numbers go on where they were, and none is used twice.
        put(restored, "new", 6)
        restored.check()
        with restored._catalogue() as catalogue:
            assert [row.id for row in catalogue.rows] == [1, 2, 3, 4]
