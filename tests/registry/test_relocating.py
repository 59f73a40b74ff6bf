"""Files that lie elsewhere now are found again by what is in them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from fingerprint.errors import InputRefused, UsageError
from registry import Registry, RegistryCorrupt, Relocated
from tests.registry.conftest import place_of, put, result_of, tamper
from tests.registry.test_registration import saved

CODE = ("tests.registry.test_registration",)


@pytest.fixture
def here(registry: Registry, tmp_path: Path) -> Path:
    """A folder with the files of two registered models of the same file name; a third had none."""
    for seed, name in enumerate(("ours", "theirs")):
        folder = tmp_path / "here" / name
        folder.mkdir(parents=True)
        model = saved(folder, "model", seed)
        registry.commit(result_of(registry, name, model))
    put(registry, "elsewhere", 5, file="/nowhere/x.safetensors")
    return tmp_path / "here"


def test_files_are_found_again_by_their_digest_and_load(
    registry: Registry, here: Path, tmp_path: Path
) -> None:
    there = tmp_path / "mnt" / "models"
    shutil.copytree(here, there)
    # The right name with other weights in it, and the right weights under another name.
    saved(there, "model", 9)
    (there / "theirs" / "model.safetensors").rename(there / "renamed.safetensors")
    shutil.rmtree(here)
    with pytest.raises(InputRefused):
        registry.load_again("ours", code=CODE)
    before = registry.head()
    found = registry.relocate(there)
    assert found == Relocated(
        moved={
            "ours": str(there / "ours" / "model.safetensors"),
            "theirs": str(there / "renamed.safetensors"),
        },
        missing=("elsewhere",),
    )
    for name, path in found.moved.items():
        assert registry.model(name).file_path == path
        assert registry.load_again(name, code=CODE).digest == registry.model(name).model_digest
    registry.check(head=before)
    with registry._books() as books:
        assert (books.entries[-1].action, books.entries[-1].payload["names"]) == (
            "relocate",
            ["ours", "theirs"],
        )


def test_what_is_where_it_was_stays_and_writes_nothing(registry: Registry, here: Path) -> None:
    before = registry.head()
    found = registry.relocate(here)
    assert (found.moved, found.there, found.missing) == ({}, ("ours", "theirs"), ("elsewhere",))
    assert registry.head() == before


def test_pipes_links_to_nothing_and_odd_names_are_passed_by(
    registry: Registry, here: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    shutil.move(here, there)
    os.mkfifo(there / "pipe.safetensors")
    os.symlink("/nowhere", there / "link.safetensors")
    os.symlink(there, there / "round")
    odd = os.fsencode(there / "ours") + b"/\xff.safetensors"
    Path(os.fsdecode(odd)).write_bytes((there / "ours" / "model.safetensors").read_bytes())
    assert set(registry.relocate(there).moved) == {"ours", "theirs"}


def test_a_folder_that_is_not_there_is_a_usage_error(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder to search"):
        registry.relocate(tmp_path / "nowhere")


def test_a_model_that_was_changed_is_not_searched_for(registry: Registry, here: Path) -> None:
    tamper(registry, "UPDATE models SET file_sha256 = 'x'")
    with pytest.raises(RegistryCorrupt):
        registry.relocate(here)


def test_the_command_line_names_what_moved_and_what_is_missing(
    registry: Registry, here: Path, tmp_path: Path
) -> None:
    def fp(*words: str) -> Any:
        where = ("--registry", str(place_of(registry)))
        return CliRunner().invoke(app, ["registry", "relocate", *words, *where], prog_name="fp")

    there = str(shutil.move(here, tmp_path / "there"))
    found = fp(there)
    assert found.exit_code == 0, found.stderr
    assert found.stdout.split()[0] == "ours"
    assert "elsewhere: its file is not in" in found.stderr
    assert "2 found, 0 where they were, 1 missing" in found.stderr
    again = json.loads(fp(there, "--json").stdout)
    assert (again["schema"], again["moved"], again["there"]) == (2, {}, ["ours", "theirs"])
    assert fp(str(tmp_path / "nowhere")).exit_code == 2
