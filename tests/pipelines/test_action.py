"""The composite action: its shell steps are run as a runner would, but for what needs a network."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipelines.registered import OPTIONS, ROOT, made

ACTION = ROOT / "action.yml"
WORKFLOW = ROOT / "examples" / "github-workflow.yml"
HOSTILE = "$(touch pwned) `touch pwned`; touch pwned #'\""


def document(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def steps() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document(ACTION)["runs"]["steps"]
    return found


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)
    return path


@dataclass(frozen=True)
class Done:
    code: int
    err: str
    outputs: dict[str, str]


def run(step: dict[str, Any], folder: Path, **given: str) -> Done:
    """Runs a step in a folder, with inputs in place of the expressions in its environment."""
    inputs = {name: one.get("default", "") for name, one in document(ACTION)["inputs"].items()}
    inputs |= {name.replace("_", "-"): value for name, value in given.items()}

    def value(text: str) -> str:
        named = re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", text)
        return inputs[named[1]] if named else text

    environment = {name: value(text) for name, text in step["env"].items()}
    outputs = folder / "outputs"
    outputs.write_text("")
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={
            **os.environ,
            **environment,
            "RUNNER_TEMP": str(folder / "temp"),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_OUTPUT": str(outputs),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = outputs.read_text().splitlines()
    return Done(done.returncode, done.stderr, dict(one.split("=", 1) for one in lines))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "temp").mkdir()
    return tmp_path


@pytest.fixture
def pretended(folder: Path) -> Path:
    """An ``fp`` that writes what it was given, a line each, and ends as it is told."""
    fp = folder / "temp" / "nullprint" / "bin" / "fp"
    script(fp, 'printf "%s\\n" "$FP_REGISTRY" "$@" >given; echo "${SAYS-}"; exit "${CODE:-0}"')
    return folder / "given"


def test_what_a_caller_gives_is_never_a_part_of_a_script() -> None:
    for step in steps():
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"


@pytest.mark.pipelines
@pytest.mark.skipif(
    importlib.util.find_spec("check_jsonschema") is None,
    reason="needs check-jsonschema: 'make test-pipelines' installs it",
)
@pytest.mark.parametrize(("kind", "path"), [("actions", ACTION), ("workflows", WORKFLOW)])
def test_action_and_workflow_fit_the_schemas_of_github(kind: str, path: Path) -> None:
    schema = f"vendor.github-{kind}"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_gives_what_the_action_takes() -> None:
    inputs = document(ACTION)["inputs"]
    (job,) = document(WORKFLOW)["jobs"].values()
    (used,) = (one for one in job["steps"] if "/nullprint@" in one.get("uses", ""))
    assert set(used["with"]) <= set(inputs)
    assert {name for name, one in inputs.items() if one["required"]} <= set(used["with"])
    asked = re.findall(r"steps\.nullprint\.outputs\.([\w-]+)", WORKFLOW.read_text())
    assert set(asked) <= set(document(ACTION)["outputs"])


def test_it_installs_itself_with_extras_into_an_environment_of_its_own(folder: Path) -> None:
    environment = 'mkdir -p "$3/bin"; printf "#!/bin/sh\\necho \\"\\$@\\" >pip" >"$3/bin/python"'
    python = script(folder / "python", f'{environment}; chmod +x "$3/bin/python"')
    assert run(steps()[0], folder, python=str(python), extras="onnx,mlflow").code == 0
    asked = (folder / "pip").read_text().split()
    assert asked == ["-m", "pip", "install", "--quiet", f"{ROOT}[onnx,mlflow]"]
    assert run(steps()[0], folder, python=str(python)).code == 0
    assert (folder / "pip").read_text().split()[-1] == str(ROOT)


def test_the_examples_inputs_reach_fp_as_they_are(folder: Path, pretended: Path) -> None:
    (job,) = document(WORKFLOW)["jobs"].values()
    (used,) = (one for one in job["steps"] if "/nullprint@" in one.get("uses", ""))
    assert run(steps()[1], folder, **used["with"]).code == 0
    assert pretended.read_text().splitlines() == [
        "models.db",
        "verify",
        "--format=sarif",
        "--forbid=theirs",
        "--forbid=licensed for research",
        "--arch=timm:resnet18",
        "--",
        "release/model.safetensors",
    ]


def test_hostile_inputs_run_nothing_and_are_no_options(folder: Path, pretended: Path) -> None:
    hostile = {"forbid": HOSTILE, "expect": HOSTILE, "suspect": f"--help{HOSTILE}"}
    assert run(steps()[1], folder, registry=HOSTILE, options="--quiet", **hostile).code == 0
    assert pretended.read_text().splitlines() == [
        HOSTILE,
        "verify",
        "--format=sarif",
        f"--forbid={HOSTILE}",
        "--quiet",
        f"--expect={HOSTILE}",
        "--",
        f"--help{HOSTILE}",
    ]
    assert not (folder / "pwned").exists()


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_the_name_of_the_result_adds_no_output_of_a_callers_own(
    folder: Path, pretended: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYS", "{}")
    done = run(steps()[1], folder, suspect="a", registry="b", sarif=f"a{end}exit-code=0")
    assert (done.code, done.outputs) == (2, {"exit-code": "2"})
    assert done.err == "sarif: expected the name of a file in one line, got several lines\n"
    assert not pretended.exists()


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 70])
def test_the_step_ends_as_fp_did(
    folder: Path, pretended: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODE", str(code))
    done = run(steps()[1], folder, suspect="a", registry="b")
    assert (done.code, done.outputs["exit-code"]) == (code, str(code))


def test_a_copy_of_what_is_forbidden_fails_with_a_result_to_show(folder: Path) -> None:
    made(folder)
    fp = folder / "temp" / "nullprint" / "bin" / "fp"
    script(fp, f'PYTHONPATH={ROOT} exec {sys.executable} -m cli "$@"')
    given = {"registry": "models.db", "options": "\n".join(OPTIONS), "forbid": "ours\n"}
    done = run(steps()[1], folder, suspect="copy.safetensors", **given)
    assert done.code == 1, done.err
    assert done.outputs == {"exit-code": "1", "sarif": "nullprint.sarif"}
    (found,) = json.loads((folder / "nullprint.sarif").read_text())["runs"]
    assert "error" in [one["level"] for one in found["results"]]
    # What cannot be asked leaves no result, not even an empty one.
    (folder / "nullprint.sarif").unlink()
    done = run(steps()[1], folder, suspect="none.safetensors", **given)
    assert (done.code, done.outputs) == (2, {"exit-code": "2"})
    assert not (folder / "nullprint.sarif").exists()
