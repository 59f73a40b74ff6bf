"""Registries in other databases than SQLite files.

The tests that need a server are skipped unless the environment variable
``FP_TEST_DATABASE_URL`` is the SQLAlchemy URL of an empty database that they may use and empty
again, such as ``postgresql+psycopg://user:password@localhost/scratch``. A database with tables
in it is left alone. They were written for PostgreSQL.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, inspect, make_url, select, text
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
)
from registry.engine import connect_to, locate
from registry.schema import HEAD, REVISIONS
from registry.servers import shown
from registry.session import ours, reading, writing
from registry.tables import Base, ChainRow, ModelRow
from registry.upgrade import migrate
from tests.registry.conftest import put, verdict
from tests.registry.test_processes import run
from tests.support.fingerprints import make_fingerprint, make_model

URL = os.environ.get("FP_TEST_DATABASE_URL", "")
needs_server = pytest.mark.skipif(not URL, reason="needs FP_TEST_DATABASE_URL")


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


def test_a_database_without_json_documents_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise TypeError("Invalid argument(s) 'json_serializer' secret")

    monkeypatch.setattr("registry.servers.create_engine", refuse)
    with pytest.raises(UsageError, match="JSON") as refusal:
        connect_to(locate("oracle://user:secret@host/audit"))
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


def empty() -> None:
    engine = connect_to(locate(URL))
    found = MetaData()
    with engine.begin() as connection:
        found.reflect(connection)
        found.drop_all(connection)


def execute(*statements: str) -> None:
    with connect_to(locate(URL)).begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.fixture
def url() -> Iterator[str]:
    with connect_to(locate(URL)).connect() as connection:
        assert inspect(connection).get_table_names() == [], "the test database is not empty"
    yield URL
    empty()


@pytest.fixture
def remote(url: str) -> Iterator[Registry]:
    with Registry(url) as opened:
        yield opened


@needs_server
def test_a_server_keeps_what_is_stored_and_forgets_what_is_removed(remote: Registry) -> None:
    source = put(remote, "source")
    fingerprint = make_fingerprint(make_model(), seed=remote.seed)
    child = put(remote, "Source", 1, parent="source")
    verification = remote.record(verdict(), suspect_digest="ab" * 32)
    with Registry(URL) as again:
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


@needs_server
def test_tampering_on_a_server_is_found(remote: Registry) -> None:
    put(remote, "source")
    execute("UPDATE models SET digest = 'x'")
    with pytest.raises(RegistryCorrupt, match="is not what the chain says"):
        remote.verify(make_model(9))
    with pytest.raises(RegistryCorrupt, match="is not what the chain says"):
        remote.check()


@needs_server
def test_eight_processes_on_a_server_lose_nothing_and_fork_nothing(
    url: str, tmp_path: Path
) -> None:
    outcomes = run("server", tmp_path)
    assert outcomes["create"] == ["done"] * 8
    assert outcomes["different"] == ["done"] * 8
    # All are there already by another name, so one gets the alias.
    assert outcomes["same"].count("done") == 1
    assert outcomes["twice"] == ["done"] * 8
    with Registry(url) as registry:
        assert {m.name for m in registry.models()} == {f"model {index}" for index in range(8)}
        registry.check()


@needs_server
def test_a_reader_on_a_server_sees_one_state_throughout(remote: Registry) -> None:
    with reading(connect_to(locate(URL)), "here") as session:
        before = session.scalars(select(ChainRow)).all()
        put(remote, "meanwhile")
        assert session.scalars(select(ChainRow)).all() == before
        assert session.scalars(select(ModelRow)).all() == []
    remote.check()


@needs_server
@pytest.mark.skipif("postgresql" not in URL, reason="other servers have timeouts of their own")
def test_a_writer_that_waits_too_long_is_told_so(
    remote: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.servers.LOCK_TIMEOUT_MS", 50)
    with writing(connect_to(locate(URL)), "here"):
        with pytest.raises(RegistryLocked):
            put(remote, "model")
        assert remote.models() == []
    put(remote, "model")


@needs_server
def test_the_migrations_end_in_exactly_the_tables_on_a_server(remote: Registry) -> None:
    with connect_to(locate(URL)).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


@needs_server
def test_an_older_schema_on_a_server_is_left_alone_until_it_is_upgraded_by_hand(url: str) -> None:
    with connect_to(locate(URL)).begin() as connection:
        migrate(connection, "here", to=REVISIONS[-2])
    with pytest.raises(RegistryError, match="back the database up") as refusal:
        Registry(URL)
    assert "\n" not in str(refusal.value)
    with connect_to(locate(URL)).begin() as connection:
        assert "pairs" not in inspect(connection).get_table_names()
        migrate(connection, "here", to=HEAD)
    with Registry(URL) as again:
        put(again, "source")
        again.check()


@needs_server
def test_other_tables_on_a_server_are_refused_and_left_alone(url: str) -> None:
    execute("CREATE TABLE notes (a INTEGER)")
    with pytest.raises(NotARegistry, match="of its own"):
        Registry(url)
    with connect_to(locate(url)).connect() as connection:
        assert inspect(connection).get_table_names() == ["notes"]


@needs_server
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
    url: str, statement: str, kind: type[RegistryError]
) -> None:
    Registry(url).close()
    execute(statement)
    with pytest.raises(kind) as refusal:
        Registry(url)
    assert "\n" not in str(refusal.value)
