"""``fp`` from the command line with real files: what is answered, refused, and left alone."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from typer.testing import CliRunner

from cli.main import app
from fingerprint.lab.modifications import fine_tuned, quantised
from fingerprint.lab.networks import Cnn, cnn
from fingerprint.lab.training import Settings
from registry import Registry
from tests.support.digits import digits, network

ARCH = "fingerprint.lab.networks:cnn"
REGISTERING = tuple(f"--arch {ARCH} --input-size 1,16,16 --json".split())
HERE = "tests.integration.test_end_to_end"


# Factories for --arch.


def five_classes() -> nn.Module:
    """The convolutional network with a head for another task."""
    changed = cnn()
    changed.head = nn.Linear(changed.head.in_features, 5)
    return changed


class Restless(Cnn):
    """Answers with noise: dropout that evaluation mode does not switch off."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.dropout(x, 0.5, training=True))


def restless() -> nn.Module:
    return Restless()


# Tools.


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def fp(registry: Path, *arguments: str | Path) -> Done:
    """Runs ``fp`` in this process."""
    result = CliRunner().invoke(
        app, [str(one) for one in arguments], prog_name="fp", env={"FP_REGISTRY": str(registry)}
    )
    assert "Traceback" not in result.stderr
    return Done(result.exit_code, result.stdout, result.stderr)


def verify(registry: Path, suspect: Path, *arguments: str, arch: str = ARCH) -> Done:
    options = ("--arch", arch, "--input-size", "1,16,16", "--json")
    return fp(registry, "verify", suspect, *options, *arguments)


def save(path: Path, module: nn.Module) -> Path:
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path)
    return path


def with_weights(module: nn.Module, change: Callable[[Tensor], Tensor]) -> nn.Module:
    changed = cnn()
    changed.load_state_dict({key: change(value) for key, value in module.state_dict().items()})
    return changed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("end-to-end")


@pytest.fixture(scope="module")
def source(folder: Path) -> Path:
    """The weights file of the model that is registered."""
    return save(folder / "source.safetensors", network("cnn"))


@pytest.fixture(scope="module")
def registered(folder: Path, source: Path) -> tuple[Path, Done]:
    """A registry that holds ``source``, and what registering it printed."""
    registry = folder / "registry.db"
    return registry, fp(registry, "register", source, *REGISTERING)


@pytest.fixture(scope="module")
def registry(registered: tuple[Path, Done]) -> Path:
    path, done = registered
    assert done.code == 0, done.err
    return path


@pytest.fixture(scope="module")
def tuned(folder: Path) -> Path:
    changed = fine_tuned(network("cnn"), digits(), Settings(epochs=1, lr=5e-4), seed=11)
    return save(folder / "tuned.safetensors", changed)


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Path:
    return save(folder / "stranger.safetensors", network("cnn", 1))


@pytest.fixture
def untouched(registry: Path) -> Iterator[None]:
    """Whatever the test does, the registry must hold the same models, verdicts and chain."""
    before = state(registry)
    yield
    assert state(registry) == before


def state(registry: Path) -> tuple[list[Any], list[Any]]:
    """Everything a registry holds, chain included, checked to be whole."""
    with Registry(registry) as opened:
        opened.check()
        return opened.models(), opened.verifications()


# What is answered.


def test_registering_prints_the_documented_facts(registered: tuple[Path, Done]) -> None:
    _, done = registered
    document = done.document
    assert document.keys() >= {
        *("schema", "name", "model_digest", "file_sha256", "architecture", "input", "output"),
        *("spaces", "depths", "panel", "probes", "source_harm_ratio", "screened_against"),
        *("redrawn", "passes", "seconds"),
    }
    assert (document["schema"], document["name"], document["probes"]) == (2, "source", 24)
    assert sum(depth["probes"] for depth in document["depths"]) == 24
    assert document["source_harm_ratio"].keys() == {"median", "max"}
    assert document["source_harm_ratio"]["median"] < 0.2
    for space in document["spaces"]:
        assert space.keys() >= {"kind", "dimension", "input_dimension", "rank"}
        assert space["input_dimension"] == 256


def test_verifying_prints_the_documented_facts(registry: Path, tuned: Path) -> None:
    document = verify(registry, tuned).document
    assert document["schema"] == 2
    assert document["verification"] >= 1
    (candidate,) = document["candidates"]
    assert candidate["relation"] == "shares_origin"
    assert candidate["reason"].endswith("one descends from the other, or both from a third")
    low, high = candidate["harm_ratio_ci"]
    assert low <= candidate["harm_ratio"] <= high < candidate["margin"]
    harms = [one for one in candidate["findings"] if one["test"] == "harm_ratio"]
    assert sum(one["used"] for one in harms) == 24
    assert sum(len(one["detail"]["per_probe"]) for one in harms) == 24
    assert "kin" in {one["decides"] for one in harms}
    assert document["queries"] == 16 + 24 * (1 + 4) + 96 + 1


def test_the_registered_file_itself_is_the_same(registry: Path, source: Path) -> None:
    done = verify(registry, source)
    assert (done.code, done.document["verdict"], done.document["best"]) == (0, "same", "source")


def test_a_copy_in_another_format_is_the_same(registry: Path, folder: Path) -> None:
    torch.save({"state_dict": network("cnn").state_dict()}, folder / "copy.pt")
    done = verify(registry, folder / "copy.pt")
    assert (done.code, done.document["verdict"]) == (0, "same")


def test_a_fine_tuned_and_a_rounded_copy_are_derived(
    registry: Path, folder: Path, tuned: Path
) -> None:
    rounded = save(folder / "int8.safetensors", quantised(network("cnn")))
    for suspect in (tuned, rounded):
        done = verify(registry, suspect)
        assert (done.code, done.document["verdict"]) == (0, "derived")
        assert done.document["best"] == "source"
        assert done.document["candidates"][0]["p_value"] <= 0.001


def test_another_label_space_is_still_judged(registry: Path, folder: Path) -> None:
    changed = five_classes()
    weights = dict(network("cnn").state_dict())
    mixing = torch.randn(5, 10, generator=torch.Generator().manual_seed(0))
    weights["head.weight"] = mixing @ weights["head.weight"]
    weights["head.bias"] = mixing @ weights["head.bias"]
    changed.load_state_dict(weights)
    suspect = save(folder / "new_head.safetensors", changed)
    done = verify(registry, suspect, arch=f"{HERE}:five_classes")
    (candidate,) = done.document["candidates"]
    assert (done.code, candidate["verdict"], candidate["label_agreement"]) == (0, "derived", None)


def test_another_network_of_another_seed_is_independent(registry: Path, stranger: Path) -> None:
    done = verify(registry, stranger)
    assert (done.code, done.document["verdict"], done.document["best"]) == (0, "independent", None)


@pytest.mark.parametrize(
    ("suspect", "policy", "code"),
    [
        ("tuned", "--expect", 4),
        ("tuned", "--forbid", 4),
        ("source", "--expect", 0),
        ("source", "--forbid", 1),
        ("stranger", "--expect", 1),
        ("stranger", "--forbid", 0),
    ],
)
def test_policies_decide_the_exit_code(
    registry: Path, request: pytest.FixtureRequest, suspect: str, policy: str, code: int
) -> None:
    done = verify(registry, request.getfixturevalue(suspect), policy, "source")
    assert done.code == code
    assert done.document["candidates"], "the evidence is printed whatever the policy says"


def test_a_journal_is_gone_on_with_and_ends_in_the_same_verdict(
    registry: Path, folder: Path, tuned: Path, source: Path
) -> None:
    journal = folder / "tuned.journal"
    limit = ("--journal", str(journal), "--max-queries", "120")
    first, second, third = (verify(registry, tuned, *limit) for _ in range(3))
    assert (first.code, first.document["verdict"]) == (4, "inconclusive")
    assert "the budget of 120 queries is spent" in first.document["reason"]
    assert (second.code, second.document["verdict"], second.document["queries"]) == (
        0,
        "derived",
        233,
    )
    assert (third.document["candidates"], third.document["queries"]) == (
        second.document["candidates"],
        233,
    )
    whole = verify(registry, tuned).document
    assert whole["candidates"][0]["harm_ratio"] == pytest.approx(
        second.document["candidates"][0]["harm_ratio"], rel=1e-3
    )
    other = verify(registry, source, "--journal", str(journal))
    assert other.code == 3
    assert "one of another" in other.err


def test_the_very_weights_asked_in_another_way_are_said_to_be_those(
    registry: Path, source: Path
) -> None:
    asked = ("--mean", "0.9", "--std", "0.05")
    done = verify(registry, source, *asked)
    (candidate,) = done.document["candidates"]
    assert (done.code, candidate["verdict"]) == (4, "inconclusive")
    assert candidate["identical_weights"] is True
    assert "the weights are those of source, the answers are not" in candidate["reason"]
    assert verify(registry, source, *asked, "--forbid", "source").code == 1
    assert verify(registry, source, *asked, "--expect", "source").code == 4


def test_the_same_weights_registered_in_two_ways_are_reported_as_ties(
    registry: Path, folder: Path, source: Path
) -> None:
    twice = Path(shutil.copy(registry, folder / "twice.db"))
    words = ("--name", "two", "--probes", "12")
    done = fp(twice, "register", source, *words, *REGISTERING)
    assert done.code == 0, done.err
    (said,) = [line for line in done.document["warnings"] if "identical weights" in line]
    assert "'source', with other settings" in said
    assert "fp: warning: identical weights to 'source'" in done.err
    result = verify(twice, source).document
    assert [candidate["verdict"] for candidate in result["candidates"]] == ["same", "same"]
    assert any("'source'" in line and "'two'" in line for line in result["warnings"])


def test_registering_again_names_the_model_again_and_states_what_was_left_open(
    registry: Path, folder: Path, source: Path, tuned: Path
) -> None:
    stated = Path(shutil.copy(registry, folder / "again.db"))
    first = verify(stated, tuned, "--forbid", "source").document["candidates"][0]
    assert (first["verdict"], first["relation"]) == ("derived", "shares_origin")
    again = fp(stated, "register", source, "--name", "alias", "--from-scratch", *REGISTERING)
    assert (again.code, again.document["aliases"]) == (0, ["alias"])
    assert "registered already as source; alias is another name of it" in again.err
    copied = Path(shutil.copy(source, folder / "copied.safetensors"))
    again = fp(stated, "register", copied, *REGISTERING)
    assert "registered already as source; copied is another name of it" in again.err
    done = verify(stated, tuned, "--forbid", "alias")
    assert (done.code, done.document["candidates"][0]["relation"]) == (1, "descends")
    conflict = fp(stated, "register", source, "--parent", "alias", *REGISTERING)
    assert (conflict.code, conflict.out) == (3, "")


# What is not answered.


def test_an_unknown_name_is_a_wrong_call(registry: Path, source: Path, untouched: None) -> None:
    done = verify(registry, source, "--against", "sauce")
    assert (done.code, done.out) == (2, "")
    assert "'sauce'" in done.err
    assert "source" in done.err, "close names are offered"


def test_an_empty_registry_is_inconclusive_even_for_a_policy_that_forbids(
    folder: Path, source: Path
) -> None:
    done = verify(folder / "empty.db", source)
    assert (done.code, done.document["verdict"], done.document["candidates"]) == (
        4,
        "inconclusive",
        [],
    )
    assert "register one first" in done.document["reason"]


def constant(value: Tensor) -> Tensor:
    return torch.zeros_like(value)


def poisoned(value: Tensor) -> Tensor:
    return torch.full_like(value, torch.nan) if value.is_floating_point() else value


@pytest.mark.parametrize("change", [constant, poisoned])
def test_a_network_without_information_is_not_registered_and_never_matches(
    registry: Path, folder: Path, change: Callable[[Tensor], Tensor]
) -> None:
    suspect = save(folder / f"{change.__name__}.safetensors", with_weights(network("cnn"), change))
    before, verdicts = state(registry)
    options = ("--arch", ARCH, "--input-size", "1,16,16")
    refused = fp(registry, "register", suspect, *options)
    assert (refused.code, refused.out) == (3, "")
    assert refused.err.splitlines()[-1].startswith("fp: error: ")
    assert state(registry) == (before, verdicts)
    for policy in ((), ("--expect", "source"), ("--forbid", "source")):
        done = verify(registry, suspect, *policy)
        assert done.code == 4
        assert (done.document["verdict"], done.document["best"]) == ("inconclusive", None)
        assert done.document["candidates"][0]["reason"].startswith("no evidence: ")
    assert state(registry)[0] == before


def test_answers_that_do_not_repeat_are_inconclusive(registry: Path, source: Path) -> None:
    done = verify(registry, source, arch=f"{HERE}:restless")
    assert (done.code, done.document["verdict"]) == (4, "inconclusive")
    assert "different answers" in done.document["reason"]


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


def truncated(folder: Path, source: Path) -> Path:
    path = folder / "truncated.safetensors"
    path.write_bytes(source.read_bytes()[:-1000])
    return path


def truncated_archive(folder: Path, source: Path) -> Path:
    torch.save(network("cnn").state_dict(), folder / "whole.pt")
    path = folder / "truncated.pt"
    path.write_bytes((folder / "whole.pt").read_bytes()[:-1000])
    return path


def raw_pickle(folder: Path, source: Path) -> Path:
    path = folder / "malicious.safetensors"
    path.write_bytes(pickle.dumps({"head.weight": Malicious(folder / "canary")}))
    return path


def torch_archive(folder: Path, source: Path) -> Path:
    path = folder / "malicious.pt"
    torch.save({"head.weight": Malicious(folder / "canary")}, path)
    assert zipfile.is_zipfile(path)
    return path


def empty(folder: Path, source: Path) -> Path:
    path = folder / "empty.safetensors"
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (truncated, "truncated.safetensors"),
        (truncated_archive, "truncated.pt"),
        (raw_pickle, "system"),
        (torch_archive, "system"),
        (empty, "empty"),
    ],
)
@pytest.mark.parametrize("verb", ["register", "verify"])
def test_a_bad_file_is_refused_in_one_line_and_nothing_is_run_or_kept(
    registry: Path,
    folder: Path,
    source: Path,
    untouched: None,
    make: Callable[[Path, Path], Path],
    said: str,
    verb: str,
) -> None:
    suspect = make(folder, source)
    done = fp(registry, verb, suspect, "--arch", ARCH, "--input-size", "1,16,16", "--json")
    assert (done.code, done.out) == (3, "")
    (line,) = done.err.splitlines()
    assert suspect.name in line
    assert said in line
    assert not (folder / "canary").exists()


def test_other_inputs_find_nobody(registry: Path, source: Path) -> None:
    done = fp(registry, "verify", source, "--arch", ARCH, "--input-size", "1,24,24", "--json")
    assert (done.code, done.document["candidates"]) == (4, [])
    limited = fp(
        registry,
        *("verify", source, "--arch", ARCH, "--input-size", "1,24,24", "--against", "source"),
    )
    assert limited.code == 3


def test_a_taken_name_costs_nothing(registry: Path, source: Path, untouched: None) -> None:
    options = ("--arch", ARCH, "--input-size", "1,16,16", "--name", "source", "--probes", "12")
    done = fp(registry, "register", source, *options)
    assert done.code == 3
    assert "'source'" in done.err


def test_the_installed_command_answers_from_a_process_of_its_own(
    registry: Path, source: Path
) -> None:
    options = ("--arch", ARCH, "--input-size", "1,16,16", "--json", "--registry", str(registry))
    done = subprocess.run(
        [sys.executable, "-m", "cli", "verify", str(source), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["verdict"], document["best"]) == ("same", "source")
    assert "Traceback" not in done.stderr
