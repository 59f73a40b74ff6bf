"""``fp watch``: one line a run, and an exit code that cron can act on."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from typer.testing import CliRunner

from cli.endpoints import asking_options
from cli.main import app
from cli.options import GraphOptions, ModelOptions, model_options
from fingerprint.errors import InputRefused
from fingerprint.lab.modifications import fine_tuned, quantised
from fingerprint.lab.training import Settings
from fingerprint.watching import first_seen
from registry import Registry, WatchSettings
from tests.support.digits import digits, network
from tests.support.servers import Server, oip_server
from tests.support.watched import Linear, pixels

SHAPE = (1, 16, 16)
MLP = ("--arch", "fingerprint.lab.networks:mlp", "--input-size", "1,16,16")
CODE = ("--allow-code", "fingerprint.lab.networks")
MODEL = "/v2/models/ours"
Fp = Callable[..., Any]


@pytest.fixture
def fp(path: Path) -> Fp:
    def run(verb: str, *words: object) -> Any:
        given = ["watch", verb, "--registry", str(path), *map(str, words)]
        return CliRunner().invoke(app, given, prog_name="fp")

    return run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A network trained on digits, as a file."""
    save_file(network("mlp").state_dict(), tmp_path / "served.safetensors")
    return tmp_path / "served.safetensors"


class Service:
    """A trained network behind an address, which may be exchanged or made noisy."""

    def __init__(self) -> None:
        self.network, self.noise = network("mlp"), 0.0
        self.random = np.random.default_rng(0)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            rows = self.network(torch.tensor(values, dtype=torch.float32)).numpy()
        noisy: NDArray[np.float32] = rows + self.noise * self.random.normal(size=rows.shape)
        return noisy.astype(np.float32)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def server(service: Service) -> Iterator[Server]:
    with oip_server(service, SHAPE) as running:
        yield running


def address(server: Server) -> tuple[str, ...]:
    return (server.url + MODEL, "--adapter", "oip", "--allow-private", "--tries", "1")


def host(server: Server) -> tuple[str, ...]:
    return ("--to", server.url.removeprefix("http://"))


@pytest.mark.parametrize("change", ["int8", "one epoch"])
def test_a_file_is_watched_until_it_is_another(fp: Fp, weights: Path, change: str) -> None:
    begun = fp("init", "prod", weights, *MLP)
    assert begun.exit_code == 0, begun.output
    assert begun.stdout.splitlines()[0] == (
        "prod: watched from now on: 48 questions, held against what it answered now; answers "
        "repeat (96 inputs asked)"
    )
    for number in (1, 2):
        same = fp("run", "prod", *CODE)
        assert (same.exit_code, same.stderr) == (0, "")
        assert same.stdout == f"prod: unchanged: 8 of 8 answers, as recorded (run {number})\n"
    ours = network("mlp")
    once = Settings(epochs=1, lr=1e-3)
    changed = quantised(ours) if change == "int8" else fine_tuned(ours, digits(), once, seed=0)
    save_file(changed.state_dict(), weights)
    found = fp("run", *CODE)
    assert found.exit_code == 1
    assert found.stdout.startswith("prod: changed between 20")
    assert found.stdout.endswith(" UTC: 8 of 8 answers are not as recorded (run 3)\n")
    assert fp("run", *CODE).exit_code == 1
    weights.unlink()
    assert fp("run", *CODE).exit_code == 1


def test_a_file_that_is_gone_is_no_change(fp: Fp, weights: Path) -> None:
    fp("init", "prod", weights, *MLP)
    kept = weights.rename(weights.with_suffix(".kept"))
    found = fp("run", *CODE)
    assert (found.exit_code, found.stdout.count("\n")) == (4, 1)
    assert found.stdout.startswith("prod: unclear: ")
    kept.rename(weights)
    assert fp("run", *CODE).exit_code == 0


def test_a_service_is_watched_until_it_serves_another(
    fp: Fp, service: Service, server: Server
) -> None:
    assert fp("init", "prod", *address(server)).exit_code == 0
    before = len(server.seen)
    same = fp("run", "prod", "--json", *host(server))
    document = json.loads(same.stdout)
    (run,) = document["runs"]
    assert (same.exit_code, run["state"], run["queries"]) == (0, "unchanged", 8)
    assert len(server.seen) > before
    service.network = network("mlp", 1)
    assert fp("run", *host(server)).exit_code == 1


def test_a_noisy_service_is_watched_by_ranks(fp: Fp, service: Service, server: Server) -> None:
    service.noise = 0.5
    begun = fp("init", "prod", *address(server), "--repeats", "8", "--questions", "24")
    assert "answers do not repeat and are ranked" in begun.stdout
    for number in range(1, 4):
        ran = fp("run", *host(server))
        assert ran.stdout == f"prod: unchanged: 8 of 8 answers, ranked (run {number})\n"
    service.network = network("mlp", 1)
    codes = [fp("run", *host(server)).exit_code for _ in range(6)]
    assert codes[-1] == 1
    shown = fp("show", "prod").stdout
    assert "changed between" in shown
    assert "█" in shown


def test_a_service_that_is_down_is_unclear_and_its_token_is_not_shown(
    fp: Fp, service: Service, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    monkeypatch.setenv("PROD_TOKEN", "secret-token")
    with oip_server(service, SHAPE) as server:
        fp("init", "prod", *address(server), "--token-env", "PROD_TOKEN")
        assert server.seen[-1].headers["authorization"] == "Bearer secret-token"
        given = ("--token-env", "PROD_TOKEN", *host(server))
        assert fp("run", *given).exit_code == 0
    found = fp("run", *given)
    assert (found.exit_code, found.stdout.count("\n")) == (4, 1)
    assert found.stdout.startswith("prod: unclear: ")
    monkeypatch.delenv("PROD_TOKEN")
    assert "PROD_TOKEN is none" in fp("run", *given).stdout
    assert b"secret-token" not in path.read_bytes()


def forged(path: Path, name: str, target: str, **words: dict[str, Any]) -> None:
    """Has somebody who can write a registry, and nothing else, put a watch into it."""
    baseline = first_seen(Linear(), pixels(), recorded=None, repeats=4, few=4)
    values = {
        "target": target,
        "how": {**model_options().arguments, **words.get("how", {})},
        "graph": words.get("graph", {}),
        "asking": {**vars(asking_options()), **words.get("asking", {})},
    }
    with Registry(path) as registry:
        settings = WatchSettings(questions=12, ask=4)
        registry.watches.add(name, baseline, target=values, settings=settings)


def test_a_registry_has_no_code_run(fp: Fp, weights: Path, path: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    forged(path, "theirs", str(weights), how={"arch": f"os:mkdir,path={str(made)!r}"})
    fp("init", "ours", weights, *MLP)
    found = fp("run", *CODE)
    assert found.exit_code == 4
    assert found.stdout.splitlines() == [
        "theirs: unclear: expected --allow-code os on the command line, got it from the registry "
        "alone; add it if it is meant (run 1)",
        "ours: unchanged: 8 of 8 answers, as recorded (run 1)",
    ]
    assert not made.exists()
    refused = fp("run", "ours", "--allow-code", "fingerprint.lab")
    assert refused.exit_code == 4
    assert "expected --allow-code fingerprint.lab.networks" in refused.stdout
    # So it would have been made.
    assert fp("run", "theirs", "--allow-code", "os").exit_code == 4
    assert made.exists()


@pytest.mark.parametrize(
    "words",
    [
        {"graph": {"no-sandbox": True}},
        {"graph": {"no_sandbox": 1}},
        {"graph": {"sandbox": False}},
        {"how": {"sandbox": False}},
    ],
    ids=str,
)
def test_a_registry_takes_no_file_out_of_its_sandbox(
    fp: Fp, path: Path, words: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def load(name: Path, how: ModelOptions, graph: GraphOptions) -> None:
        given.append({**how.arguments, **graph.arguments}.get("sandbox", True))
        raise InputRefused(str(name))

    monkeypatch.setattr("cli.session.load_suspect", load)
    forged(path, "theirs", "/theirs.onnx", **words)
    assert (fp("run").exit_code, given) == (4, [])
    if {"no-sandbox", "no_sandbox"} & words.get("graph", {}).keys():
        assert "expected --no-sandbox on the command line" in fp("run").stdout
        assert (fp("run", "--no-sandbox").exit_code, given) == (4, [False])


def test_a_registry_sends_no_token_anywhere(
    fp: Fp, service: Service, server: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROD_TOKEN", "secret-token")
    fp("init", "prod", *address(server), "--token-env", "PROD_TOKEN")
    with oip_server(service, SHAPE) as other:
        asking = {"adapter": "oip", "token_env": "PROD_TOKEN", "allow_private": True}
        forged(path, "theirs", other.url + MODEL, asking=asking)
        ran = fp("run", "--token-env", "PROD_TOKEN", *host(server))
        assert (ran.exit_code, other.seen) == (4, [])
        assert "prod: unchanged" in ran.stdout
        assert f"theirs: unclear: expected {' '.join(host(other))} on" in ran.stdout
        before = len(server.seen)
        ran = fp("run")
        assert f"prod: unclear: expected --token-env PROD_TOKEN {' '.join(host(server))} on" in (
            ran.stdout
        )
        assert (ran.exit_code, len(server.seen), other.seen) == (4, before, [])


@pytest.mark.parametrize("adapter", ["sagemaker", "generic:/theirs.toml"])
def test_a_registry_lends_nobody_the_files_and_rights_of_who_asks(
    fp: Fp, path: Path, adapter: str
) -> None:
    forged(path, "theirs", "https://models.example/x", asking={"adapter": adapter})
    found = fp("run")
    assert found.exit_code == 4
    assert f"expected --adapter {adapter} --to models.example on the command" in found.stdout


def test_a_row_that_is_none_of_ours_does_not_end_a_run(fp: Fp, weights: Path, path: Path) -> None:
    forged(path, "token", str(weights), asking={"token_env": "PROD_TOKEN"})
    forged(path, "colour", str(weights), how={"colour": "red"})
    forged(path, "type", str(weights), how={"arch": ["os", "mkdir"]})
    fp("init", "ours", weights, *MLP)
    found = fp("run", *CODE)
    assert found.exit_code == 4
    states = [line.split(": ")[1] for line in found.stdout.splitlines()]
    assert states == ["unclear", "unclear", "unclear", "unchanged"]


def test_beside_a_file_what_the_registry_says_is_not_believed(
    fp: Fp, weights: Path, path: Path
) -> None:
    file = weights.with_name("watches.toml")
    file.write_text(f'[app]\ntarget = "{weights}"\narch = "{MLP[1]}"\ninput-size = [1, 16, 16]\n')
    assert fp("run", "--file", file).exit_code == 0
    forged(path, "theirs", str(weights), how={"arch": "os:getcwd"})
    found = fp("run", "theirs", "--file", file)
    assert found.exit_code == 4
    assert "theirs: unclear: expected --allow-code os" in found.stdout
    assert "app: unchanged" in found.stdout


@pytest.mark.parametrize("kind", ["file", "service"])
def test_the_line_for_cron_asks_what_was_begun(
    fp: Fp, weights: Path, server: Server, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROD_TOKEN", "secret-token")
    served = (*address(server), "--token-env", "PROD_TOKEN")
    target, *words = (str(weights), *MLP) if kind == "file" else served
    name = "-50% of prod's"
    begun = fp("init", *words, "--", name, target)
    assert begun.exit_code == 0, begun.output
    when, _, command = begun.stdout.splitlines()[1].partition("  ")
    assert when == "*/30 * * * *"
    assert "%" not in command.replace(r"\%", "")
    given = shlex.split(command.replace(r"\%", "%"))
    # Where code of one's own is looked for.
    assert (given[:3] == ["cd", os.getcwd(), "&&"]) is (kind == "file")
    ran = CliRunner().invoke(app, given[given.index("watch") :], prog_name="fp")
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert ran.stdout == f"{name}: unchanged: 8 of 8 answers, as recorded (run 1)\n"


def test_a_dry_run_says_how_much_would_be_asked_and_asks_nothing(fp: Fp, server: Server) -> None:
    words = ("init", "prod", *address(server), "--input-size", "1,16,16", "--dry-run", "--json")
    planned = fp(*words, "--questions", "16", "--repeats", "4")
    assert planned.exit_code == 0
    assert json.loads(planned.stdout)["dry_run"]["questions"] == 16 * 6 + 1
    assert server.seen == []
    assert "Nothing is watched" in fp("show").stdout


def test_what_is_held_against_a_registered_model_must_be_that(
    fp: Fp, weights: Path, path: Path
) -> None:
    from fingerprint import load_model

    with Registry(path) as registry:
        model = load_model(weights, arch=MLP[1], input_size=SHAPE)
        registry.register(model, name="ours", answers_only=True)
    begun = fp("init", "prod", weights, *MLP, "--model", "ours")
    assert "held against what ours answers; answers repeat (16 inputs asked)" in begun.stdout
    assert fp("run", *CODE).exit_code == 0
    save_file(network("mlp", 1).state_dict(), weights)
    assert fp("run", *CODE).exit_code == 1
    refused = fp("init", "other", weights, *MLP, "--model", "ours")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert "answers are not those of 'ours'" in refused.stderr
    assert fp("init", "other", weights, *MLP, "--model", "theirs").exit_code == 2


def test_several_targets_stand_in_one_file(
    fp: Fp, weights: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = weights.with_name("watches.toml")
    text = f"""
[app]
target = "{weights.name}"
arch = "{MLP[1]}"
input-size = [1, 16, 16]
ask = 4

[prod]
target = "{server.url + MODEL}"
adapter = "oip"
allow-private = true
"""
    file.write_text(text)
    begun = fp("run", "--file", file)
    assert begun.exit_code == 0, begun.output
    assert [line.partition(":")[0] for line in begun.stdout.splitlines()] == ["app", "prod"]
    assert "watched from now on" in begun.stdout
    monkeypatch.chdir("/")
    ran = fp("run", "--file", file)
    assert ran.exit_code == 0
    assert ran.stdout == (
        "app: unchanged: 4 of 4 answers, as recorded (run 1)\n"
        "prod: unchanged: 8 of 8 answers, as recorded (run 1)\n"
    )
    save_file(network("mlp", 1).state_dict(), weights)
    assert fp("run", "--file", file).exit_code == 1
    file.write_text(text.replace("ask = 4", "ask = 5"))
    other = fp("run", "--file", file)
    assert (other.exit_code, other.stdout) == (2, "")
    assert "app is watched already, otherwise than it says" in other.stderr


def test_one_that_cannot_be_begun_does_not_keep_others_from_it(fp: Fp, weights: Path) -> None:
    file = weights.with_name("watches.toml")
    tables = f'[app]\ntarget = "{weights}"\narch = "{MLP[1]}"\ninput-size = "1,16,16"\n'
    dead = '[dead]\ntarget = "http://127.0.0.1:9/v2/models/m"\nadapter = "oip"\ntries = 1\n'
    file.write_text(f"{dead}allow-private = true\n{tables}")
    found = fp("run", "--file", file)
    assert found.exit_code == 4
    assert sorted(line.partition(":")[0] for line in found.stdout.splitlines()) == ["app", "dead"]
    assert "dead: not watched yet: " in found.stdout
    assert fp("run", "app", *CODE).exit_code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]\nadapter = 'oip'\n", "a text 'target'"),
        ("# nothing\n", "a table for each watch"),
        ("[a]\ntarget = 'x'\ncolour = 'red'\n", "colour"),
        ("[a]\ntarget = 'x'\nask = 'many'\n", "ask"),
        ("[a]\ntarget = 'x'\nhelp = true\n", "help"),
        ("[a]\ntarget = 'x'\ndry-run = true\n", "--dry-run"),
        ("[a\n", "expected TOML"),
    ],
)
def test_a_file_that_says_something_else_is_refused(
    fp: Fp, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "watches.toml").write_text(text)
    found = fp("run", "--file", tmp_path / "watches.toml")
    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr
    assert found.stderr.count("\n") == 1


def test_what_cannot_be_watched_is_refused(fp: Fp, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("file,label\n")
    assert "file of answers" in fp("init", "a", tmp_path / "answers.csv").stderr
    assert fp("init", "a", tmp_path / "none.safetensors", *MLP).exit_code == 2
    assert fp("init", "a", weights, *MLP, "--ask", "60").exit_code == 2
    fp("init", "a", weights, *MLP)
    assert "'a' is watched already" in fp("init", "a", weights, *MLP).stderr
    assert fp("run", "b").exit_code == 2


def test_nothing_watched_is_no_pass(fp: Fp) -> None:
    assert fp("run").exit_code == 4
    assert "Nothing is watched" in fp("show").stdout


def test_a_watch_is_removed_on_purpose_only(fp: Fp, weights: Path) -> None:
    fp("init", "prod", weights, *MLP)
    assert fp("remove", "prod").exit_code == 2
    assert fp("remove", "prod", "--yes").exit_code == 0
    assert fp("show", "prod").exit_code == 2


def test_the_history_is_shown_and_names_are_harmless(fp: Fp, weights: Path) -> None:
    name = "prod\u202eevil"
    fp("init", name, weights, *MLP)
    fp("run", *CODE)
    shown = fp("show", name)
    assert shown.exit_code == 0
    assert "8 of 8 as recorded" in shown.stdout
    assert "\u202e" not in shown.stdout + fp("show").stdout + fp("run", *CODE).stdout
    document = json.loads(fp("show", name, "--json").stdout)
    assert [run["state"] for run in document["runs"]] == ["unchanged"] * 2
