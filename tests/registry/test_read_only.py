"""A registry that may be read and not written: everything but changes goes on working."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from registry import Registry, RegistryReadOnly, RegistryUnavailable
from tests.registry.conftest import put
from tests.registry.golden.make_golden import golden_path
from tests.support.fingerprints import make_model

ROOT = Path(__file__).parents[2]
# Root may write everywhere until it is taken the right to.
DROP = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
pytestmark = pytest.mark.skipif(
    bool(DROP) and shutil.which("setpriv") is None, reason="needs setpriv to drop root's rights"
)


@pytest.fixture
def shut(tmp_path: Path) -> Iterator[Path]:
    """A registry of two models in a folder that may not be written, as on a read-only mount."""
    folder = tmp_path / "shut"
    folder.mkdir()
    with Registry(folder / "registry.db") as registry:
        put(registry, "source", 0)
        put(registry, "other", 1)
    (folder / "registry.db").chmod(0o444)
    folder.chmod(0o555)
    yield folder / "registry.db"
    folder.chmod(0o755)


@pytest.fixture
def suspect(tmp_path: Path) -> list[str]:
    save_file(make_model(9).module.state_dict(), tmp_path / "suspect.safetensors")
    options = ["--arch", "tests.support.fingerprints:small", "--input-size", "3,4,4"]
    return [str(tmp_path / "suspect.safetensors"), *options]


def fp(registry: Path, *words: str) -> Any:
    return subprocess.run(
        [*DROP, sys.executable, "-m", "cli", *words, "--registry", str(registry)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_list_show_and_check_work(shut: Path) -> None:
    before = shut.read_bytes()
    listed = json.loads(fp(shut, "list", "--json").stdout)
    assert [model["name"] for model in listed["models"]] == ["source", "other"]
    assert json.loads(fp(shut, "show", "other", "--json").stdout)["name"] == "other"
    assert fp(shut, "registry", "check").returncode == 0
    assert shut.read_bytes() == before
    assert sorted(shut.parent.iterdir()) == [shut]


def test_verify_answers_and_says_that_nothing_was_recorded(shut: Path, suspect: list[str]) -> None:
    done = fp(shut, "verify", *suspect, "--json")
    document = json.loads(done.stdout)
    assert {candidate["name"] for candidate in document["candidates"]} == {"source", "other"}
    assert document["verification"] is None
    assert "the registry is read-only: nothing was recorded" in document["warnings"]
    assert "nothing was recorded" in done.stderr
    assert done.returncode in (0, 4)


@pytest.mark.parametrize("command", ["register", "remove", "import", "mend"])
def test_what_changes_the_registry_is_refused_at_once(
    shut: Path, suspect: list[str], command: str
) -> None:
    words = {
        "register": ["register", *suspect],
        "remove": ["remove", "other", "--yes"],
        "import": ["registry", "import", suspect[0]],
        "mend": ["registry", "mend"],
    }[command]
    done = fp(shut, *words)
    assert (done.returncode, done.stdout) == (5, "")
    (line,) = done.stderr.splitlines()
    assert "read-only" in line
    assert "--registry" in line


def test_a_registry_of_an_older_schema_says_that_it_must_be_upgraded(shut: Path) -> None:
    shut.parent.chmod(0o755)
    shut.unlink()
    shutil.copy(golden_path("0002"), shut)
    shut.chmod(0o444)
    shut.parent.chmod(0o555)
    done = fp(shut, "list")
    assert done.returncode == 5
    assert "found 0002, and it is read-only" in done.stderr


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


def test_a_missing_registry_is_not_made_where_nothing_may_be(shut: Path) -> None:
    assert isinstance(RegistryReadOnly("here"), RegistryUnavailable)
    done = fp(shut.with_name("new.db"), "list")
    assert (done.returncode, done.stdout) == (5, "")
    assert not stat.S_IMODE(shut.parent.stat().st_mode) & stat.S_IWUSR
