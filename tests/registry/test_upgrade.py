"""Old registries are upgraded with a backup, new ones are born the same way."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from registry import Registry, RegistryCorrupt, RegistryError
from registry.engine import connect_to, locate
from registry.schema import HEAD, REVISIONS
from registry.tables import Base, PairRow
from registry.upgrade import alembic_config, migrate
from tests.registry.conftest import put, tamper
from tests.registry.golden.make_golden import golden_path

OLD = REVISIONS[:-1]
UNBOUND = ("0001", "0002")
"""Of these the chain does not speak of every column."""


@pytest.fixture(params=OLD)
def golden(request: pytest.FixtureRequest, path: Path) -> Path:
    """A registry of an older schema."""
    shutil.copy(golden_path(request.param), path)
    return path


@pytest.fixture(params=UNBOUND)
def unbound(request: pytest.FixtureRequest, path: Path) -> Path:
    """A registry whose rows are bound when it is upgraded."""
    shutil.copy(golden_path(request.param), path)
    return path


def revision_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    tables = ("models", "fingerprints", "probe_sets", "verifications", "chain", "settings")
    with closing(sqlite3.connect(path)) as connection:
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


def test_the_migrations_end_in_exactly_the_tables(registry: Registry) -> None:
    with connect_to(locate(registry.path)).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_an_upgraded_registry_has_the_schema_of_a_new_one(golden: Path, tmp_path: Path) -> None:
    Registry(golden).close()
    Registry(tmp_path / "new.db").close()

    def schema(path: Path) -> set[tuple[str, ...]]:
        with closing(sqlite3.connect(path)) as connection:
            query = "SELECT type, name, tbl_name, sql FROM sqlite_master"
            return set(connection.execute(query).fetchall())

    assert schema(golden) == schema(tmp_path / "new.db")


def test_the_known_revisions_are_those_of_the_migrations() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert scripts.get_heads() == [HEAD]
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == REVISIONS


def test_every_older_schema_has_a_golden_registry() -> None:
    for revision in OLD:
        assert revision_of(golden_path(revision)) == revision


def test_an_old_registry_is_upgraded_and_used(golden: Path) -> None:
    names = ["source", "fine-tuned"]
    if revision_of(golden) not in UNBOUND:
        names.append("stranger")
    with Registry(golden) as registry:
        registry.check()
        assert [model.name for model in registry.models()] == names
        assert registry.model("fine-tuned").parent == "source"
        assert len(registry.fingerprint("source").probes) == 4
        assert registry.verifications("source")[0].verdict == "derived"
        put(registry, "new", 5)
        registry.check()
    assert revision_of(golden) == HEAD


def test_what_the_old_chain_said_stays_and_one_entry_binds_every_row(unbound: Path) -> None:
    before = contents(unbound)
    with Registry(unbound) as registry, registry._books() as books:
        assert len(books.entries) == len(before["chain"]) + 1
        *old, last = books.entries
        assert [entry.digest for entry in old] == [row[2] for row in before["chain"]]
        assert last.action == "upgrade"
        rows = last.payload["rows"]
    assert rows.keys() == {"models", "fingerprints", "probe_sets", "verifications", "settings"}
    assert rows["models"].keys() == {"1", "2"}


def test_a_registry_whose_rows_are_bound_is_upgraded_as_it_stands(path: Path) -> None:
    shutil.copy(golden_path("0003"), path)
    before = contents(path)
    Registry(path).close()
    assert contents(path) == before


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
    path: Path, statement: str, row: str
) -> None:
    shutil.copy(golden_path("0003"), path)
    tamper(path, statement)
    with Registry(path) as registry, pytest.raises(RegistryCorrupt, match=row):
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
    unbound: Path, statement: str, row: str
) -> None:
    tamper(unbound, statement)
    old, before = revision_of(unbound), contents(unbound)
    with pytest.raises(RegistryCorrupt, match=row) as refusal:
        Registry(unbound)
    assert "\n" not in str(refusal.value)
    assert (revision_of(unbound), contents(unbound)) == (old, before)
    assert list(unbound.parent.glob("*backup*")) == []


def test_measured_pairs_are_taken_over_with_what_was_noted_of_them(path: Path) -> None:
    shutil.copy(golden_path("0002"), path)
    tamper(
        path,
        "INSERT INTO screenings (model_id, other_id, harm_ratio, screened, verdict, created) "
        "VALUES (1, 2, 0.75, 0, 'derived', 'then'), (2, 1, 0.5, 1, 'independent', 'then')",
    )
    with Registry(path) as registry, registry._books() as books:
        (pair,) = books.rows(PairRow)
        books.settle()
    assert (pair.model_id, pair.other_id, pair.verdict, pair.created) == (1, 2, "derived", "then")
    assert pair.ratios == [
        {"test": "harm_ratio", "depth": None, "answer_kind": "logits", "ratio": 0.75}
    ]


def test_the_old_registry_stays_beside_the_upgraded_one(golden: Path) -> None:
    old, before = revision_of(golden), contents(golden)
    Registry(golden).close()
    (backup,) = golden.parent.glob(f"registry.db.{old}-*.backup")
    assert revision_of(backup) == old
    assert contents(backup) == before
    assert not list(golden.parent.glob("*.part"))


def test_a_current_registry_is_not_backed_up(path: Path) -> None:
    Registry(path).close()
    Registry(path).close()
    assert list(path.parent.iterdir()) == [path]


def test_a_backup_does_not_replace_an_earlier_one(golden: Path, tmp_path: Path) -> None:
    shutil.copy(golden, tmp_path / "again.db")
    Registry(golden).close()
    shutil.copy(tmp_path / "again.db", golden)
    Registry(golden).close()
    assert len(list(golden.parent.glob("*.backup"))) == 2


def test_a_migration_that_fails_leaves_the_old_registry(
    golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, before = revision_of(golden), contents(golden)

    def fail(connection: object, where: str, *, to: str = HEAD) -> None:
        migrate(connection, where, to=to)  # type: ignore[arg-type]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("registry.upgrade.migrate", fail)
    with pytest.raises(RegistryError, match="No space left"):
        Registry(golden)
    assert (revision_of(golden), contents(golden)) == (old, before)
    assert list(golden.parent.glob("*backup*")) == []
    monkeypatch.undo()
    with Registry(golden) as registry:
        registry.check()


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
        ("CREATE VIEW peek AS SELECT * FROM models", "view 'peek'"),
        ("ALTER TABLE models ADD COLUMN extra TEXT", "table models"),
    ],
)
def test_an_old_registry_that_is_not_as_it_was_made_is_refused_without_a_backup(
    golden: Path, statement: str, named: str
) -> None:
    old = revision_of(golden)
    tamper(golden, statement)
    with pytest.raises(RegistryError, match=named):
        Registry(golden)
    assert revision_of(golden) == old
    assert list(golden.parent.glob("*backup*")) == []


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
