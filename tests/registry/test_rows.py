"""One change to any column of any row is found, and no verdict rests on it.

Tables and columns are taken from the mapped tables, so that a new one is tested unasked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from sqlalchemy import JSON, Boolean, Integer, insert, select, text
from sqlalchemy.dialects import postgresql
from typer.testing import CliRunner

from cli.main import app
from fingerprint.suspects import ModelSuspect
from fingerprint.watching import first_seen, observe, unheard
from registry import Registry, RegistryCorrupt, WatchSettings
from registry.ledger import BOUND, HEAD_KEY
from registry.tables import (
    AnswersRow,
    Base,
    ChainRow,
    CriteriaRow,
    SettingRow,
    VerificationRow,
    WatchBaselineRow,
    WatchRow,
    WatchRunRow,
)
from tests.registry.conftest import put, tamper, verdict
from tests.registry.places import Place, Places, unguarded
from tests.support.fingerprints import make_model

COLUMNS = [
    (table.name, column.name) for table in Base.metadata.sorted_tables for column in table.columns
]
BOOLEAN = {
    (table.name, column.name)
    for table in Base.metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, Boolean)
}
# What finds a row, in a file and on a server, and columns that are read as the text they are.
RAW: dict[bool, tuple[str, dict[tuple[str, str], str]]] = {
    False: ("rowid", {}),
    True: (
        "CAST(ctid AS text)",
        {
            (table.name, column.name): f"CAST({column.name} AS text)"
            for table in Base.metadata.sorted_tables
            for column in table.columns
            if isinstance(column.type, JSON)
        },
    ),
}
WATCHED = {kind.__tablename__ for kind in (WatchRow, WatchBaselineRow, WatchRunRow)}
# A verdict reads everything but what was said before, and what is watched.
SAID = {one.__tablename__ for one in (VerificationRow, CriteriaRow, AnswersRow)}
UNREAD = SAID | WATCHED
# A look at what is watched reads that, and no model.
UNWATCHED = set(Base.metadata.tables) - WATCHED - {"chain", SettingRow.__tablename__}


@pytest.fixture(scope="module")
def whole(places: Places) -> Place:
    """A registry with rows in every table: kin, an alias, a measured pair, a verdict."""
    place = places.empty()
    with Registry(place) as registry:
        put(registry, "source", 0)
        put(registry, "derived", 1, parent="source")
        put(registry, "another name", 0)
        put(registry, "other", 2, asked={"source": 0.9})
        registry.record(verdict(), suspect_digest="ab" * 32)
        watched = ModelSuspect(make_model(0))
        settings = WatchSettings(questions=8, ask=4)
        inputs, _ = registry.watches.choose("kept", settings, watched.input)
        baseline = first_seen(watched, inputs)
        registry.watches.add("kept", baseline, target={"target": "a"}, settings=settings)
        registry.watches.record("kept", observe(baseline, watched, [0, 3], repeatable=True))
        registry.verify(make_model(9))
        registry.check()
    return place


@pytest.fixture
def copy(whole: Place, places: Places) -> Iterator[Place]:
    made = places.copy(whole)
    yield made
    places.discard(made)


def changed(value: Any) -> Any:
    """Returns another value of the same type; a document gets one more entry, or one less."""
    if value is None:
        return "changed"
    if isinstance(value, bool):
        return not value
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1])
    if isinstance(value, int | float):
        return value + 100
    if value[:1] in "[{":
        return "[1]" if value.startswith("[") else '{"changed":1}'
    return value[:-1] + ("0" if value[-1] != "0" else "1")


def alterations(place: Place, table: str, column: str) -> list[tuple[str, Any, Any]]:
    """Returns the rows of a table, the value of a column in each, and another one."""
    row_id, raw = RAW["://" in str(place)]
    with unguarded(place) as connection:
        query = f"SELECT {row_id}, {raw.get((table, column), column)} FROM {table}"
        rows = connection.exec_driver_sql(query).all()
    assert rows, f"{table} has no row that could be changed"
    if "://" in str(place):
        # What is done with them is the same for all, and a server takes its time for each.
        rows = list(dict.fromkeys((rows[0], rows[-1])))
    return [
        (
            key,
            old,
            1 - old if (table, column) in BOOLEAN and not isinstance(old, bool) else changed(old),
        )
        for key, old in rows
    ]


def update(place: Place, table: str, column: str, key: Any, value: Any) -> Any:
    """Sets a value behind the registry's back, and returns what finds the row from now on."""
    on_server = "://" in str(place)
    row_id, _ = RAW[on_server]
    kind = Base.metadata.tables[table].columns[column].type
    dialect: Any = postgresql.dialect
    new = f"CAST(:value AS {kind.compile(dialect())})" if on_server else ":value"
    if on_server and value == "changed" and isinstance(kind, JSON | Integer):
        value = '"changed"' if isinstance(kind, JSON) else "7"
    found = "ctid = CAST(:key AS tid)" if on_server else "rowid = :key"
    statement = f"UPDATE {table} SET {column} = {new} WHERE {found} RETURNING {row_id}"
    with unguarded(place) as connection:
        return connection.execute(text(statement), {"key": key, "value": value}).scalar_one()


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_one_update_on_any_column_is_found_and_no_verdict_rests_on_it(
    copy: Place, table: str, column: str
) -> None:
    for key, old, value in alterations(copy, table, column):
        moved = update(copy, table, column, key, value)
        for look in (Registry.check, verify, watch):
            if (look is verify and table in UNREAD) or (look is watch and table in UNWATCHED):
                continue
            with pytest.raises(RegistryCorrupt) as refusal, Registry(copy) as registry:
                look(registry)
            assert any(table in line or "chain" in line for line in refusal.value.rows), value
            assert "\n" not in str(refusal.value)
        update(copy, table, column, moved, old)
    with Registry(copy) as registry:
        registry.check()


def verify(registry: Registry) -> None:
    registry.verify(make_model(9))


def watch(registry: Registry) -> None:
    registry.watches.record("kept", unheard("no route to it"))


def test_every_table_but_the_chain_is_bound_by_it() -> None:
    names = [ChainRow.__tablename__, *(kind.__tablename__ for kind in BOUND)]
    assert set(names) == set(Base.metadata.tables)


@pytest.mark.parametrize("table", sorted(kind.__tablename__ for kind in BOUND))
def test_a_row_that_is_deleted_or_put_in_is_found(copy: Place, table: str) -> None:
    kept = f" WHERE key != '{HEAD_KEY}'" if table == "settings" else ""
    tamper(copy, f"DELETE FROM {table}{kept}")
    with pytest.raises(RegistryCorrupt), Registry(copy) as registry:
        registry.check()
    if table not in UNREAD:
        with pytest.raises(RegistryCorrupt), Registry(copy) as registry:
            verify(registry)
    if table not in UNWATCHED:
        with pytest.raises(RegistryCorrupt), Registry(copy) as registry:
            watch(registry)


def test_a_pair_that_was_put_in_from_outside_calibrates_nothing(copy: Place) -> None:
    tamper(copy, "INSERT INTO pairs SELECT 3, 1, ratios, verdict, created FROM pairs")
    with (
        pytest.raises(RegistryCorrupt, match=r"pairs 3/1 \('other'\): has no entry"),
        Registry(copy) as registry,
    ):
        verify(registry)


def test_a_model_copied_in_from_another_registry_is_no_candidate(copy: Place, place: Place) -> None:
    with Registry(place) as other:
        put(other, "planted", 8)
    tables = [Base.metadata.tables[name] for name in ("models", "fingerprints", "probe_sets")]
    with unguarded(place) as there, unguarded(copy) as here:
        for table in tables:
            (row,) = there.execute(select(table)).mappings()
            key = next(iter(table.primary_key)).name
            here.execute(insert(table).values(**{**row, key: 9}))
    with (
        pytest.raises(RegistryCorrupt, match=r"models 9 \('planted'\): has no entry"),
        Registry(copy) as registry,
    ):
        verify(registry)


def test_damage_elsewhere_does_not_stop_a_verdict_that_does_not_read_it(copy: Place) -> None:
    tamper(copy, "UPDATE probe_sets SET blob = x'00' WHERE model_id = 3")
    with Registry(copy) as registry:
        assert registry.verify(make_model(9), against=["source"]).candidates
        with pytest.raises(RegistryCorrupt, match=r"probe_sets 3 \('other'\)"):
            registry.verify(make_model(9))
        with pytest.raises(RegistryCorrupt, match=r"probe_sets 3 \('other'\)"):
            registry.check()


def test_the_command_line_ends_with_5_and_names_the_row(copy: Place, tmp_path: Path) -> None:
    def fp(*words: str) -> Any:
        return CliRunner().invoke(app, [*words, "--registry", str(copy)], prog_name="fp")

    save_file(make_model(9).module.state_dict(), tmp_path / "suspect.safetensors")
    options = ("--arch", "tests.support.fingerprints:small", "--input-size", "3,4,4")
    command = ("verify", str(tmp_path / "suspect.safetensors"), *options)
    assert fp(*command).exit_code in (0, 4)
    tamper(copy, "UPDATE pairs SET ratios = replace(ratios, '0.9', '0.1')")
    found = fp("registry", "check")
    line = "pairs 1/3 ('source'): is not what the chain says"
    assert (found.exit_code, found.stdout) == (5, f"{line}\n")
    refused = fp(*command)
    assert (refused.exit_code, refused.stdout) == (5, "")
    assert line in refused.stderr
