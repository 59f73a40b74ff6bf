"""What the release with schema 0002 said of real networks is still said of its registry.

The registry, the weights and the JSON documents were made by that release; see
``tests/registry/golden/make_golden_0002.py``.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from fingerprint import load_model
from fingerprint.suspects import ModelSuspect, Narrowed
from registry import Registry

RELEASE = Path(__file__).parent / "golden" / "release-0002"


@cache
def said() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        gzip.decompress((RELEASE / "documents.json.gz").read_bytes())
    )
    return document


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The registry of the release."""
    path = tmp_path / "registry.db"
    path.write_bytes(gzip.decompress((RELEASE / "registry.db.gz").read_bytes()))
    return path


def weights(recorded: str) -> Path:
    """Returns where a file lies now that was elsewhere when the release was asked."""
    return RELEASE / Path(recorded).name


def fp(registry: Path, command: list[str]) -> Any:
    words = [str(weights(word)) if word.endswith(".safetensors") else word for word in command]
    done = CliRunner().invoke(app, [*words, "--json", "--registry", str(registry)], prog_name="fp")
    return done.exit_code, json.loads(done.stdout)


def numbers(value: Any) -> Any:
    """Returns what a number or an interval may be on another machine; None is None."""
    if isinstance(value, list):
        return [numbers(one) for one in value]
    return value if value is None else pytest.approx(value, rel=1e-3, abs=1e-4)


def assert_same_verdict(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert (found["verdict"], found["best"]) == (expected["verdict"], expected["best"])
    assert found["queries"] == expected["queries"]
    candidates = {candidate["name"]: candidate for candidate in found["candidates"]}
    assert [*candidates] == [candidate["name"] for candidate in expected["candidates"]]
    for then in expected["candidates"]:
        now = candidates[then["name"]]
        for key in ("verdict", "margin_source", "margin_pairs", "probes_used", "answer_kind"):
            assert now[key] == then[key], (then["name"], key)
        for key in ("harm_ratio", "harm_ratio_ci", "p_value", "margin", "label_agreement"):
            assert now[key] == numbers(then[key]), (then["name"], key)


def test_the_registry_is_whole(old: Path) -> None:
    with Registry(old) as registry:
        registry.check()
        assert registry.seed == said()["seed"]
        assert len(registry.verifications()) == len(said()["recorded"])
        for domain, ratios in said()["pair_ratios"].items():
            assert registry.pair_ratios(domain) == ratios


@pytest.mark.parametrize("kind", ["list", "show"])
def test_what_is_registered_reads_the_same(old: Path, kind: str) -> None:
    for entry in said()[kind]:
        assert fp(old, entry["command"]) == (entry["exit"], entry["document"])


@pytest.mark.parametrize(
    "entry", said()["verify"], ids=lambda entry: Path(entry["command"][1]).stem
)
def test_the_verdict_on_a_file_is_the_same(old: Path, entry: dict[str, Any]) -> None:
    code, document = fp(old, entry["command"])
    assert code == entry["exit"]
    assert_same_verdict(document, entry["document"])


@pytest.mark.parametrize(
    "entry", said()["narrowed"], ids=lambda entry: f"{entry['file']}-{entry['kind']}"
)
def test_the_verdict_on_answers_that_say_less_is_the_same(old: Path, entry: dict[str, Any]) -> None:
    factory = f"{said()['networks']}:{entry['file'].partition('-')[0]}"
    model = load_model(
        RELEASE / f"{entry['file']}.safetensors", arch=factory, input_size=(1, 16, 16)
    )
    options = {key: entry[key] for key in ("k", "decimals") if key in entry}
    with Registry(old) as registry:
        found = registry.verify(Narrowed(ModelSuspect(model), entry["kind"], **options)).to_dict()
    assert_same_verdict(found, entry["document"])
