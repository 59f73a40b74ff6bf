"""Help, version and completion work, at once and without the heavy libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

COMMANDS = (
    "register",
    "verify",
    "list",
    "show",
    "report",
    "keygen",
    "attest",
    "verify-attestation",
    "lineage",
    "remove",
    "diff",
    "inspect",
    "decompose",
    "hide",
    "serve",
    "demo",
)
HEAVY = ("torch", "timm", "numpy", "scipy", "sklearn", "sqlalchemy", "alembic", "PIL", "rich")

_PROBE = """
import json, resource, sys
from cli.__main__ import main
code = main()
used = resource.getrusage(resource.RUSAGE_SELF)
seconds = used.ru_utime + used.ru_stime
print(json.dumps([code, seconds, sorted(sys.modules)]), file=sys.stderr)
"""


def _in_a_fresh_process(*arguments: str) -> tuple[int, float, set[str], str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *arguments], capture_output=True, text=True, check=True
    )
    code, seconds, modules = json.loads(done.stderr.splitlines()[-1])
    return code, seconds, set(modules), done.stdout


def test_help_lists_every_command(fp: Any) -> None:
    result = fp("--help")
    assert result.exit_code == 0
    for command in (*COMMANDS, "probes", "registry", "token", "watch"):
        assert f"\n  {command} " in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_for_itself_and_for_each_option(fp: Any, command: str) -> None:
    result = fp(command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: fp {command}")
    assert f"Example: fp {command}" in result.stdout
    lines = result.stdout.splitlines()
    for index, line in enumerate(lines):
        if not line.startswith("  -"):
            continue
        # The help stands beside the option or, after a long one, on the next line.
        following = lines[index + 1] if index + 1 < len(lines) else ""
        assert len(line.split("  ")) > 2 or following.startswith("      "), line


@pytest.mark.parametrize("command", ["check", "head", "mend", "export", "import"])
def test_each_command_of_the_registry_has_help_and_an_example(fp: Any, command: str) -> None:
    result = fp("registry", command, "--help")
    assert result.exit_code == 0
    assert f"Example: fp registry {command}" in result.stdout
    assert f"\n  {command} " in fp("registry", "--help").stdout
    assert fp("registry").exit_code == 2


def test_taking_probes_out_has_help_and_an_example(fp: Any) -> None:
    assert "Example: fp probes export" in fp("probes", "export", "--help").stdout
    assert "\n  export " in fp("probes", "--help").stdout
    assert fp("probes").exit_code == 2


@pytest.mark.parametrize("command", ["init", "run", "show", "remove"])
def test_each_command_of_watching_has_help_and_an_example(fp: Any, command: str) -> None:
    result = fp("watch", command, "--help")
    assert result.exit_code == 0
    assert f"Example: fp watch {command}" in result.stdout
    assert f"\n  {command} " in fp("watch", "--help").stdout
    assert fp("watch").exit_code == 2


@pytest.mark.parametrize("command", ["add", "list", "revoke"])
def test_each_command_of_tokens_has_help_and_an_example(fp: Any, command: str) -> None:
    assert f"Example: fp token {command}" in fp("token", command, "--help").stdout
    assert f"\n  {command} " in fp("token", "--help").stdout
    assert fp("token").exit_code == 2


def test_watching_takes_the_options_of_verifying(fp: Any) -> None:
    text = fp("watch", "init", "--help").stdout
    for option in ("--arch", "--layout", "--adapter", "--token-env", "--allow-private"):
        assert f"  {option} " in text


@pytest.mark.parametrize("command", ["register", "verify"])
def test_commands_that_take_a_model_share_its_options(fp: Any, command: str) -> None:
    text = fp(command, "--help").stdout
    for option in ("--arch", "--input-size", "--mean", "--std", "--bounds", "--output"):
        assert f"  {option} " in text
    for option in ("--registry", "--device", "--json", "--quiet"):
        assert option in text


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["verify", "--help"], ["--no"]])
def test_no_heavy_library_is_imported_to_show_help(arguments: list[str]) -> None:
    _, _, modules, _ = _in_a_fresh_process(*arguments)
    assert modules.isdisjoint(HEAVY)


def test_a_mistyped_option_is_reported_before_any_library_is_imported(tmp_path: Any) -> None:
    code, _, modules, _ = _in_a_fresh_process("verify", "x.pt", "--input-size", "3,a,32")
    assert code == 2
    assert modules.isdisjoint(HEAVY)


def test_help_takes_under_half_a_second_of_processor_time() -> None:
    assert min(_in_a_fresh_process("--help")[1] for _ in range(3)) < 0.5


def test_version_is_told_on_one_line(fp: Any) -> None:
    result = fp("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("fp ")
    assert result.stdout.count("\n") == 1


def test_without_a_command_help_goes_to_stderr_and_the_code_is_usage(fp: Any) -> None:
    result = fp()
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Commands:" in result.stderr


def test_python_m_cli_is_fp() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: fp ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_can_be_shown(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "--show-completion", shell],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )
    assert "_FP_COMPLETE" in done.stdout


def _completions(words: str) -> list[str]:
    environment = {
        "_FP_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.fake_fp", "0"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    return done.stdout.split()


def test_the_shell_completes_commands() -> None:
    assert _completions("fp ver") == ["verify", "verify-attestation"]


def test_the_shell_completes_names_of_registered_models() -> None:
    assert _completions("fp show th") == ["theirs"]
    assert _completions("fp verify x.pt --against o") == ["ours"]


def test_names_a_shell_could_act_on_are_not_completed(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from cli.session import complete_name
    from tests.cli.fakes import HOSTILE

    script.models = ("ours", HOSTILE)
    context: Any = SimpleNamespace(params={})
    assert complete_name(context, "") == ["ours"]


def test_completion_without_a_registry_is_silent(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    import registry
    from cli.session import complete_name

    def fails(url: str | None) -> None:
        raise OSError("no such folder")

    monkeypatch.setattr(registry, "Registry", fails)
    context: Any = SimpleNamespace(params={})
    assert complete_name(context, "o") == []
