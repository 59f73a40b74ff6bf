"""A copy is the whole registry of one moment, on either kind of place, and goes on as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from fingerprint.errors import UsageError
from fingerprint.suspects import ModelSuspect
from fingerprint.watching import first_seen
from registry import Registry, RegistryCorrupt, RegistryUnavailable, WatchSettings
from registry.session import writing
from tests.registry.conftest import place_of, put, sqlite_only, tamper
from tests.registry.places import Place
from tests.support.fingerprints import make_model


@pytest.fixture
def used(family: Registry) -> Registry:
    """A registry with rows in every table, a parent that came later, and a removed last model."""
    put(family, "child", 4)
    put(family, "later", 5)
    put(family, "child", 4, parent="later")
    put(family, "second name", 0)
    family.verify(make_model(9))
    suspect, settings = ModelSuspect(make_model(0)), WatchSettings(questions=8, ask=4)
    inputs, _ = family.watches.choose("kept", settings, suspect.input)
    baseline = first_seen(suspect, inputs)
    family.watches.add("kept", baseline, target={"target": "a"}, settings=settings)
    put(family, "removed", 6)
    family.remove("removed")
    return family


def test_a_copy_is_the_registry_and_goes_on(used: Registry, place: Place) -> None:
    head = str(used.copy(place))
    put(used, "after the copy", 7)
    with Registry(place) as copy:
        assert copy.head() == head
        copy.check(head=head)
        assert copy.seed == used.seed
        assert copy.models() == used.models()[:-1]
        assert copy.verifications() == used.verifications()
        assert copy.judge_again(1).verdict == used.judge_again(1).verdict
        assert [one.name for one in copy.watches.all()] == ["kept"]
        put(copy, "new", 8)
        assert copy.verify(make_model(9)).verification == 2
        copy.check(head=head)
        with copy._catalogue() as catalogue:
            # The number of the removed one is not used again.
            assert [row.id for row in catalogue.rows] == [1, 2, 3, 4, 5, 7]


def test_a_copy_goes_from_either_kind_of_place_to_a_file_and_back(
    family: Registry, tmp_path: Path, place: Place
) -> None:
    head = str(family.copy(tmp_path / "new folder" / "copy.db"))
    with Registry(tmp_path / "new folder" / "copy.db") as file:
        assert str(file.copy(place)) == head
    with Registry(place) as back:
        assert back.models() == family.models()
        back.check(head=head)


@sqlite_only
def test_a_copy_is_made_while_somebody_writes(family: Registry, place: Place) -> None:
    with writing(family._engine, "here"):
        head = str(family.copy(place))
    assert head == family.head()


def test_what_is_there_is_left_alone(family: Registry, place: Place, tmp_path: Path) -> None:
    with Registry(place) as there:
        put(there, "theirs", 5)
    with pytest.raises(UsageError, match="expected a"):
        family.copy(place)
    with Registry(place) as there:
        assert [model.name for model in there.models()] == ["theirs"]
    (tmp_path / "text").write_text("mine")
    for target in (tmp_path / "text", "sqlite://"):
        with pytest.raises(UsageError):
            family.copy(target)
    with pytest.raises(RegistryUnavailable):
        family.copy(tmp_path / "text" / "copy.db")


def test_a_damaged_registry_is_not_copied(family: Registry, tmp_path: Path) -> None:
    tamper(family, "UPDATE probe_sets SET blob = x'00' WHERE model_id = 1")
    with pytest.raises(RegistryCorrupt, match="probe_sets 1"):
        family.copy(tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_copies_and_prints_the_head(family: Registry, tmp_path: Path) -> None:
    def fp(*words: str, where: object = None) -> Any:
        options = ("--registry", str(where or place_of(family)))
        return CliRunner().invoke(app, ["registry", *words, *options], prog_name="fp")

    target = str(tmp_path / "copy.db")
    done = fp("copy", target)
    assert (done.exit_code, done.stdout.strip()) == (0, family.head())
    assert fp("check", "--head", done.stdout.strip(), where=target).exit_code == 0
    assert fp("copy", target).exit_code == 2
