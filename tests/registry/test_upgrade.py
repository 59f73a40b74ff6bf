"""Old registries are upgraded with a backup, new ones are born the same way."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, NullPool, create_engine, delete, insert, inspect, select, text

from registry import Registry, RegistryCorrupt, RegistryError, upgrade_registry
from registry.engine import connect_to, locate
from registry.schema import HEAD, REVISIONS
from registry.tables import Base, PairRow
from registry.upgrade import alembic_config, migrate
from tests.registry.conftest import place_of, postgresql_only, put, sqlite_only, tamper
from tests.registry.golden.make_golden import golden_path
from tests.registry.places import Place, unguarded

OLD = REVISIONS[:-1]
UNBOUND = ("0001", "0002")
"""Of these the chain does not speak of every column."""


@pytest.fixture(params=OLD)
def golden(request: pytest.FixtureRequest, place: Place) -> Place:
    """A registry of an older schema."""
    return put_golden(request.param, place)


@pytest.fixture(params=UNBOUND)
def unbound(request: pytest.FixtureRequest, place: Place) -> Place:
    """A registry whose rows are bound when it is upgraded."""
    return put_golden(request.param, place)


def put_golden(revision: str, place: Place) -> Place:
    """Puts a golden registry where nothing is; on a server, as that release would have made it."""
    if isinstance(place, Path):
        return Path(shutil.copy(golden_path(revision), place))
    with connect_to(locate(place)).begin() as connection:
        migrate(connection, "here", to=revision)
    file = create_engine(f"sqlite:///{golden_path(revision)}", poolclass=NullPool)
    tables = MetaData()
    tables.reflect(file)
    with file.connect() as source, unguarded(place) as target:
        for table in tables.sorted_tables:
            target.execute(delete(table))
            rows = [dict(row) for row in source.execute(select(table)).mappings()]
            if rows:
                target.execute(insert(table), rows)
        for name in ("models", "verifications"):
            serial = f"pg_get_serial_sequence('{name}', 'id')"
            target.execute(text(f"SELECT setval({serial}, (SELECT max(id) FROM {name}))"))
    return place


def upgraded(place: Place) -> Registry:
    """Upgrades a registry as ``fp registry upgrade`` does, and opens it."""
    upgrade_registry(place)
    return Registry(place)


def revision_of(place: Place) -> str:
    with unguarded(place) as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def contents(place: Place) -> dict[str, list[tuple[object, ...]]]:
    tables = ("models", "fingerprints", "probe_sets", "verifications", "chain", "settings")
    # As the registry itself connects: a document may be one that nobody can read.
    with connect_to(locate(place)).connect() as connection:
        found = {name: connection.execute(text(f"SELECT * FROM {name}")).all() for name in tables}
    return {name: [tuple(row) for row in rows] for name, rows in found.items()}


def test_the_migrations_end_in_exactly_the_tables(registry: Registry) -> None:
    with connect_to(locate(place_of(registry))).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_an_upgraded_registry_has_the_schema_of_a_new_one(
    golden: Place, registry: Registry
) -> None:
    upgraded(golden).close()
    assert schema(golden) == schema(place_of(registry))


def schema(place: Place) -> object:
    """Returns all there is to say of the tables and what belongs to them."""
    with unguarded(place) as connection:
        if isinstance(place, Path):
            query = "SELECT type, name, tbl_name, sql FROM sqlite_master"
            return {tuple(row) for row in connection.execute(text(query))}
        found = inspect(connection)
        looks: tuple[Callable[[str], object], ...] = (
            found.get_columns,
            found.get_pk_constraint,
            found.get_foreign_keys,
            found.get_indexes,
            found.get_unique_constraints,
        )
        return {table: [repr(look(table)) for look in looks] for table in found.get_table_names()}


def test_the_known_revisions_are_those_of_the_migrations() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert scripts.get_heads() == [HEAD]
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == REVISIONS


def test_every_older_schema_has_a_golden_registry() -> None:
    for revision in OLD:
        with closing(sqlite3.connect(golden_path(revision))) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        assert found == (revision,)


def test_an_old_registry_is_upgraded_and_used(golden: Place) -> None:
    names, before = ["source", "fine-tuned"], revision_of(golden)
    if before not in UNBOUND:
        names.append("stranger")
    assert upgrade_registry(golden) == before
    assert upgrade_registry(golden) is None
    with Registry(golden) as registry:
        registry.check()
        assert [model.name for model in registry.models()] == names
        assert registry.model("fine-tuned").parent == "source"
        assert len(registry.fingerprint("source").probes) == 4
        assert registry.verifications("source")[0].verdict == "derived"
        put(registry, "new", 5)
        registry.check()
    assert revision_of(golden) == HEAD


def test_what_the_old_chain_said_stays_and_one_entry_binds_every_row(unbound: Place) -> None:
    before = contents(unbound)
    with upgraded(unbound) as registry, registry._books() as books:
        assert len(books.entries) == len(before["chain"]) + 1
        *old, last = books.entries
        assert [entry.digest for entry in old] == [row[2] for row in before["chain"]]
        assert last.action == "upgrade"
        rows = last.payload["rows"]
    assert rows.keys() == {"models", "fingerprints", "probe_sets", "verifications", "settings"}
    assert rows["models"].keys() == {"1", "2"}


def test_a_registry_whose_rows_are_bound_is_upgraded_as_it_stands(place: Place) -> None:
    put_golden("0003", place)
    before = contents(place)
    upgraded(place).close()
    assert contents(place) == before


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE models SET digest = 'x' WHERE id = 1", "models 1 .'source'.: is not what"),
        ("UPDATE pairs SET ratios = '[]'", "pairs"),
        ("DELETE FROM aliases", "aliases another name: is in the chain but missing"),
        ("UPDATE chain SET created = 'x' WHERE seq = 1", "chain 1"),
    ],
)
def test_upgrading_a_bound_registry_that_was_changed_makes_nothing_good(
    place: Place, statement: str, row: str
) -> None:
    put_golden("0003", place)
    tamper(place, statement)
    with upgraded(place) as registry, pytest.raises(RegistryCorrupt, match=row):
        registry.check()


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE models SET digest = 'x' WHERE id = 1", "models 1 .'source'.: is not what"),
        ("UPDATE models SET name = 'stolen' WHERE id = 2", "'fine-tuned'.: is in the chain but"),
        ("UPDATE probe_sets SET blob = x'00' WHERE model_id = 1", "models 1"),
        ("UPDATE fingerprints SET commitment = 'x' WHERE model_id = 2", "models 2"),
        ("UPDATE verifications SET evidence = '{}' WHERE id = 1", "verifications 1: is not what"),
        ("DELETE FROM verifications", "verifications 1: is in the chain but missing"),
        ("UPDATE chain SET created = 'x' WHERE seq = 1", "chain 1"),
        ("DELETE FROM chain WHERE seq = 5", "chain 4"),
        ("UPDATE chain SET payload = '[]' WHERE seq = 1", "damaged"),
        ("UPDATE fingerprints SET parameters = 'no json'", "cannot be read"),
        ("UPDATE verifications SET evidence = '" + "[" * 5000 + "]" * 5000 + "'", "damaged"),
    ],
)
def test_an_old_registry_that_was_changed_is_not_made_good(
    unbound: Place, statement: str, row: str
) -> None:
    if not tamper(unbound, statement):
        return  # A server keeps what is no JSON out by itself.
    old, before = revision_of(unbound), contents(unbound)
    with pytest.raises(RegistryCorrupt, match=row) as refusal:
        upgraded(unbound)
    assert "\n" not in str(refusal.value)
    assert (revision_of(unbound), contents(unbound)) == (old, before)
    if isinstance(unbound, Path):
        assert list(unbound.parent.glob("*backup*")) == []


def test_measured_pairs_are_taken_over_with_what_was_noted_of_them(place: Place) -> None:
    put_golden("0002", place)
    tamper(
        place,
        "INSERT INTO screenings (model_id, other_id, harm_ratio, screened, verdict, created) "
        "VALUES (1, 2, 0.75, false, 'derived', 'then'), (2, 1, 0.5, true, 'independent', 'then')",
    )
    with upgraded(place) as registry, registry._books() as books:
        (pair,) = books.rows(PairRow)
        books.settle()
    assert (pair.model_id, pair.other_id, pair.verdict, pair.created) == (1, 2, "derived", "then")
    assert pair.ratios == [
        {"test": "harm_ratio", "depth": None, "answer_kind": "logits", "ratio": 0.75}
    ]


@sqlite_only
def test_the_old_registry_stays_beside_the_upgraded_one(golden: Path) -> None:
    old, before = revision_of(golden), contents(golden)
    Registry(golden).close()
    (backup,) = golden.parent.glob(f"{golden.name}.{old}-*.backup")
    assert revision_of(backup) == old
    assert contents(backup) == before
    assert not list(golden.parent.glob("*.part"))


def test_a_current_registry_is_not_backed_up(path: Path) -> None:
    Registry(path).close()
    Registry(path).close()
    assert list(path.parent.iterdir()) == [path]


@sqlite_only
def test_a_backup_does_not_replace_an_earlier_one(golden: Path, tmp_path: Path) -> None:
    shutil.copy(golden, tmp_path / "again.db")
    Registry(golden).close()
    shutil.copy(tmp_path / "again.db", golden)
    Registry(golden).close()
    assert len(list(golden.parent.glob(f"{golden.name}.*.backup"))) == 2


def test_a_migration_that_fails_leaves_the_old_registry(
    golden: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, before = revision_of(golden), contents(golden)

    def fail(connection: object, where: str, *, to: str = HEAD) -> None:
        migrate(connection, where, to=to)  # type: ignore[arg-type]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("registry.upgrade.migrate", fail)
    with pytest.raises(RegistryError, match="No space left"):
        upgraded(golden)
    assert (revision_of(golden), contents(golden)) == (old, before)
    if isinstance(golden, Path):
        assert list(golden.parent.glob("*backup*")) == []
    monkeypatch.undo()
    with upgraded(golden) as registry:
        registry.check()


@sqlite_only
def test_a_backup_that_fails_leaves_the_old_registry_and_no_half_copy(
    golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = revision_of(golden)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("registry.upgrade.os.replace", fail)
    with pytest.raises(RegistryError, match="No space left"):
        Registry(golden)
    assert revision_of(golden) == old
    assert list(golden.parent.glob("*backup*")) == []


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE VIEW peek AS SELECT * FROM models", "'peek'"),
        ("ALTER TABLE models ADD COLUMN extra TEXT", "table models"),
    ],
)
def test_an_old_registry_that_is_not_as_it_was_made_is_refused_without_a_backup(
    golden: Place, statement: str, named: str
) -> None:
    old = revision_of(golden)
    tamper(golden, statement)
    with pytest.raises(RegistryError, match=named):
        upgraded(golden)
    assert revision_of(golden) == old
    if isinstance(golden, Path):
        assert list(golden.parent.glob("*backup*")) == []


@postgresql_only
def test_an_old_registry_on_a_server_is_left_alone_until_somebody_asks(golden: str) -> None:
    old, before = revision_of(golden), contents(golden)
    with pytest.raises(RegistryError, match=r"back the database up.*upgrade") as refusal:
        Registry(golden)
    assert "\n" not in str(refusal.value)
    assert (revision_of(golden), contents(golden)) == (old, before)


def test_migrations_do_not_depend_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "alembic.ini").write_text("[alembic]\nscript_location = nowhere\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    Registry(tmp_path / "registry.db").close()
    assert capsys.readouterr() == ("", "")


def test_the_developers_configuration_finds_the_same_migrations() -> None:
    config = Config(Path(__file__).parents[2] / "alembic.ini")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]
