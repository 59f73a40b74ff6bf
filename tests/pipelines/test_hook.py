"""The pre-commit hook stops a commit that has a model of theirs, or one nobody can tell of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pre_commit.clientlib import load_config, load_manifest

from cli import hook
from tests.pipelines.registered import OPTIONS, ROOT, made

MANIFEST = ROOT / ".pre-commit-hooks.yaml"
EXAMPLE = ROOT / "examples" / "pre-commit-config.yaml"


class Fp:
    """Ends as it is told for each file, and remembers what it was given."""

    def __init__(self, **codes: int | None) -> None:
        self.codes, self.given = codes, list[list[str]]()

    def __call__(self, arguments: list[str], **options: Any) -> int | None:
        self.given.append(arguments)
        return self.codes[arguments[-1]]


@pytest.fixture
def fp(monkeypatch: pytest.MonkeyPatch) -> Fp:
    pretended = Fp(a=0, b=1, c=4, d=130, e=None)
    monkeypatch.setattr("cli.main.app", pretended)
    monkeypatch.setattr("cli.process.prepare", lambda: None)
    monkeypatch.setattr("cli.process.finish", lambda: None)
    return pretended


def test_every_file_is_asked_with_the_same_options(fp: Fp) -> None:
    assert hook.main(["--forbid=ours", "a", "--quiet", "e"]) == 0
    assert fp.given == [["verify", "--forbid=ours", "--quiet", "--", one] for one in "ae"]


@pytest.mark.parametrize(("files", "code"), [("a", 0), ("ab", 1), ("bca", 4), ("", 0)])
def test_one_file_that_does_not_pass_stops_them_all(fp: Fp, files: str, code: int) -> None:
    assert hook.main(list(files)) == code
    assert len(fp.given) == len(files)


def test_ctrl_c_ends_it(fp: Fp) -> None:
    assert hook.main(["d", "a"]) == 130
    assert len(fp.given) == 1


def test_pre_commit_accepts_the_manifest_and_the_example() -> None:
    hooks = {one["id"]: one for one in load_manifest(str(MANIFEST))}
    ((used,),) = (repo["hooks"] for repo in load_config(str(EXAMPLE))["repos"])
    assert used["id"] in hooks
    for one in hooks.values():
        assert one["require_serial"]
        assert one["entry"] == "python -m cli.hook"


def git(folder: Path, *arguments: str) -> str:
    named = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "init.defaultBranch=main")
    command = ["git", *named, *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="pre-commit needs git")
def test_pre_commit_runs_it_on_the_models_of_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not the caller's repository or settings: git may be what runs these tests.
    for name in [one for one in os.environ if one.startswith("GIT_")]:
        monkeypatch.delenv(name)
    hooks, ours = tmp_path / "hooks", tmp_path / "ours"
    hooks.mkdir()
    ours.mkdir()
    (hooks / MANIFEST.name).write_text(MANIFEST.read_text())
    git(hooks, "init")
    git(hooks, "add", ".")
    git(hooks, "commit", "-m", "hooks")
    config = yaml.safe_load(EXAMPLE.read_text())
    (repo,) = config["repos"]
    repo |= {"repo": str(hooks), "rev": git(hooks, "rev-parse", "HEAD")}
    repo["hooks"][0]["args"] = ["--registry=models.db", "--forbid=ours", *OPTIONS]
    (ours / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    made(ours)
    (ours / "notes.txt").write_text("no model")
    git(ours, "init")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join((str(tmp_path / "bin"), os.environ["PATH"])),
        "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path)),
        "PRE_COMMIT_HOME": str(tmp_path / "cache"),
    }

    def commit(*files: str) -> tuple[int, str]:
        git(ours, "add", "--force", ".pre-commit-config.yaml", *files)
        done = subprocess.run(
            [sys.executable, "-m", "pre_commit", "run", "--files", *files],
            cwd=ours,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    code, said = commit("notes.txt")
    assert (code, "Skipped" in said) == (0, True), said
    code, said = commit("copy.safetensors", "other.safetensors")
    assert code == 1, said
    assert "--forbid ours: the suspect has its very weights" in said
    assert "--forbid ours: nothing can be concluded" in said
