"""The container file: what is read of it everywhere, and what is built where a daemon is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from tests.pipelines.registered import ROOT

FILE = ROOT / "Dockerfile"
EXAMPLE = ROOT / "examples" / "audit_in_docker.sh"


def instructions() -> list[list[tuple[str, str]]]:
    """Returns the instructions of each stage: a word and the rest."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    stages: list[list[tuple[str, str]]] = [[]]
    for word, rest in lines:
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest))
    return stages


def last(word: str) -> list[str]:
    return [rest for name, rest in instructions()[-1] if name == word]


def test_it_runs_as_a_user_without_rights_by_number() -> None:
    (user,) = last("USER")
    assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", user)
    words = [word for word, _ in instructions()[-1]]
    assert words.index("USER") > max(i for i, word in enumerate(words) if word in ("RUN", "COPY"))


def test_what_is_written_is_in_data_and_tmp() -> None:
    assert last("VOLUME") == ["/data"]
    settings = " ".join(last("ENV"))
    for setting in ("FP_REGISTRY=/data/", "HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1"):
        assert setting in settings


def test_torch_unpickles_nothing_for_anybody_in_it() -> None:
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD=1" in " ".join(last("ENV"))


def test_the_image_is_of_a_named_release_and_has_the_product_alone() -> None:
    ((_, python),) = instructions()[0]
    assert re.fullmatch(r"PYTHON=3\.\d+-slim-\w+", python)
    copied = [rest.split()[:-1] for word, rest in instructions()[1] if word == "COPY"]
    names = {name for some in copied for name in some}
    assert names == {"pyproject.toml", "README.md", "LICENSE", "fingerprint", "registry", "cli"}
    assert all((ROOT / name).exists() for name in names)
    assert last("COPY") == ["--from=build /opt/nullprint /opt/nullprint"]
    assert not any(word == "ADD" for stage in instructions() for word, _ in stage)
    assert last("ENTRYPOINT") == ['["fp"]']


def test_only_what_is_copied_is_sent_to_the_daemon() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[0] == "*"
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert sent == {"pyproject.toml", "README.md", "LICENSE", "fingerprint", "registry", "cli"}


def test_the_example_gives_it_neither_network_nor_rights_nor_a_root_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 4\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "a b").mkdir()
    done = subprocess.run(
        [str(EXAMPLE), "a b/-x.pt", "--forbid", "o u r s"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    said = done.stdout.splitlines()
    assert said[-6:] == ["nullprint", "verify", "--forbid", "o u r s", "--", "-x.pt"]
    assert f"{tmp_path}/a b:/work:ro" in said
    for pair in (("--network", "none"), ("--cap-drop", "ALL"), ("--tmpfs", "/tmp")):
        assert said[said.index(pair[0]) + 1] == pair[1]
    assert {"--read-only", "no-new-privileges"} <= set(said)


def daemon() -> bool:
    """Whether a daemon of docker answers."""
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(["docker", "info"], capture_output=True, timeout=60, check=False)
    return asked.returncode == 0


@pytest.fixture
def image() -> str:
    if not daemon():
        pytest.skip("no docker daemon answers: nothing is built")
    command = ["docker", "build", "--quiet", "--tag", "nullprint:test", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return "nullprint:test"


@pytest.mark.pipelines
def test_the_image_registers_and_verifies_with_a_root_that_cannot_be_written(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, work = tmp_path / "data", tmp_path / "work"
    data.mkdir()
    data.chmod(0o777)
    work.mkdir()
    save_file(timm.create_model("test_resnet").state_dict(), work / "net.safetensors")
    mounts = ("--volume", f"{work}:/work:ro", "--volume", f"{data}:/data")
    held = ("--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "ALL")
    given = ("register", "net.safetensors", "--arch", "timm:test_resnet", "--answers-only")
    run(["docker", "run", "--rm", *held, *mounts, image, *given, "--name", "ours"], code=0)
    monkeypatch.setenv("NULLPRINT_IMAGE", image)
    monkeypatch.setenv("NULLPRINT_DATA", str(data))
    asked = ("--forbid", "ours", "--arch", "timm:test_resnet")
    said = run([str(EXAMPLE), str(work / "net.safetensors"), *asked], code=1)
    assert "the suspect has its very weights" in said
    size = ["docker", "image", "inspect", "--format", "{{.Size}} {{.Config.User}}", image]
    told = run(size, code=0).split()
    assert int(told[0]) < 2_500_000_000
    assert told[1] == "10001:10001"


def run(command: list[str], *, code: int) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr[-2000:]
    return done.stdout + done.stderr
