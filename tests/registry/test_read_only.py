"""A registry that may be read and not written: everything but changes goes on working."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from safetensors.torch import save_file

from registry import Registry, RegistryReadOnly, RegistryUnavailable
from tests.registry.conftest import put
from tests.registry.golden.make_golden import golden_path
from tests.support.fingerprints import make_model

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from typer.testing import CliRunner
from cli.main import app

done = {}
for name, words in json.loads(sys.argv[1]).items():
    result = CliRunner().invoke(app, words, prog_name="fp")
    done[name] = (result.exit_code, result.stdout, result.stderr)
print(json.dumps(done))
"""
# Root may write everywhere until it is taken the right to.
DROP = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
pytestmark = pytest.mark.skipif(
    bool(DROP) and shutil.which("setpriv") is None, reason="needs setpriv to drop root's rights"
)


@pytest.fixture(scope="module")
def shut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A registry of two models in a folder that may not be written, as on a read-only mount.

    An older registry lies beside it.
    """
    folder = tmp_path_factory.mktemp("shut")
    with Registry(folder / "registry.db") as registry:
        put(registry, "source", 0)
        put(registry, "other", 1)
    shutil.copy(golden_path("0002"), folder / "older.db")
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    yield folder / "registry.db"
    folder.chmod(0o755)


@dataclass(frozen=True)
class Commands:
    """What commands came to, each as exit code, stdout and stderr; and the folder around them."""

    done: dict[str, tuple[int, str, str]]
    before: dict[Path, bytes]
    after: dict[Path, bytes]


@pytest.fixture(scope="module")
def commands(shut: Path, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Runs all in one process: importing takes longer than all of them together."""
    file = str(tmp_path_factory.mktemp("suspect") / "suspect.safetensors")
    save_file(make_model(9).module.state_dict(), file)
    suspect = [file, "--arch", "tests.support.fingerprints:small", "--input-size", "3,4,4"]
    calls = {
        "list": ["list", "--json"],
        "show": ["show", "other", "--json"],
        "check": ["registry", "check"],
        "verify": ["verify", *suspect, "--json"],
        "register": ["register", *suspect],
        "remove": ["remove", "other", "--yes"],
        "import": ["registry", "import", file],
        "mend": ["registry", "mend"],
    }
    calls = {name: [*words, "--registry", str(shut)] for name, words in calls.items()}
    calls["older"] = ["list", "--registry", str(shut.with_name("older.db"))]
    calls["missing"] = ["list", "--registry", str(shut.with_name("new.db"))]
    before = {path: path.read_bytes() for path in shut.parent.iterdir()}
    finished = subprocess.run(
        [*DROP, sys.executable, "-c", PROGRAM, json.dumps(calls)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    done = {name: tuple(outcome) for name, outcome in json.loads(finished.stdout).items()}
    after = {path: path.read_bytes() for path in shut.parent.iterdir()}
    return Commands(done, before, after)


def test_no_command_leaves_a_trace(commands: Commands) -> None:
    assert commands.after == commands.before


def test_list_show_and_check_work(commands: Commands) -> None:
    listed = json.loads(commands.done["list"][1])
    assert [model["name"] for model in listed["models"]] == ["source", "other"]
    assert json.loads(commands.done["show"][1])["name"] == "other"
    assert commands.done["check"][0] == 0


def test_verify_answers_and_says_that_nothing_was_recorded(commands: Commands) -> None:
    code, out, err = commands.done["verify"]
    document = json.loads(out)
    assert {candidate["name"] for candidate in document["candidates"]} == {"source", "other"}
    assert document["verification"] is None
    assert "the registry is read-only: nothing was recorded" in document["warnings"]
    assert "nothing was recorded" in err
    assert code in (0, 4)


@pytest.mark.parametrize("command", ["register", "remove", "import", "mend"])
def test_what_changes_the_registry_is_refused_at_once(commands: Commands, command: str) -> None:
    code, out, err = commands.done[command]
    assert (code, out) == (5, "")
    (line,) = err.splitlines()
    assert "read-only" in line
    assert "--registry" in line


def test_a_registry_of_an_older_schema_says_that_it_must_be_upgraded(commands: Commands) -> None:
    code, _, err = commands.done["older"]
    assert code == 5
    assert "found 0002, and it is read-only" in err


def test_changes_that_are_still_in_the_log_are_read_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody was killed while writing, and the folder was then made read-only."""
    path, held = tmp_path / "registry.db", tmp_path / "held"
    held.mkdir()
    with Registry(path) as registry:
        import sqlite3

        holder = sqlite3.connect(path)
        holder.execute("SELECT * FROM models").fetchall()
        put(registry, "source", 0)
        for file in tmp_path.glob("registry.db*"):
            shutil.copy(file, held)
        holder.close()
    assert (held / "registry.db-wal").stat().st_size
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with Registry(held / "registry.db") as opened:
        assert opened.read_only
        assert [model.name for model in opened.models()] == ["source"]
        with pytest.raises(RegistryReadOnly):
            opened.remove("source")


def test_a_missing_registry_is_not_made_where_nothing_may_be(
    shut: Path, commands: Commands
) -> None:
    assert isinstance(RegistryReadOnly("here"), RegistryUnavailable)
    assert commands.done["missing"][:2] == (5, "")
    assert not shut.with_name("new.db").exists()
    assert not stat.S_IMODE(shut.parent.stat().st_mode) & stat.S_IWUSR
