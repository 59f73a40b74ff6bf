"""What the release with schema 0002 said of real networks is still said of its registry.

The registry, the weights and the JSON documents were made by that release; see
``tests/registry/golden/make_golden.py``. Verdicts are the same for each suspect and candidate;
what is new is the relation of a derived one, and that p-values are corrected over all compatible
models.
"""

from __future__ import annotations

import gzip
import json
import math
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from fingerprint import load_model
from fingerprint.errors import MalformedFile
from fingerprint.evidence.statistics import holm
from fingerprint.suspects import ModelSuspect, Narrowed
from fingerprint.verification import Candidate, Verdict, Verification
from registry import Registry
from tests.registry.test_model_file import with_other_bases

RELEASE = Path(__file__).parent / "golden" / "release-0002"


@cache
def said() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        gzip.decompress((RELEASE / "documents.json.gz").read_bytes())
    )
    return document


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The registry of the release, brought to today's schema."""
    path = tmp_path_factory.mktemp("release") / "registry.db"
    path.write_bytes(gzip.decompress((RELEASE / "registry.db.gz").read_bytes()))
    Registry(path).close()
    return path


@pytest.fixture
def old(upgraded: Path, tmp_path: Path) -> Path:
    """A copy of that registry."""
    return Path(shutil.copy(upgraded, tmp_path))


def weights(recorded: str) -> Path:
    """Returns where a file lies now that was elsewhere when the release was asked."""
    return RELEASE / Path(recorded).name


def fp(registry: Path, command: list[str]) -> Any:
    words = [str(weights(word)) if word.endswith(".safetensors") else word for word in command]
    done = CliRunner().invoke(app, [*words, "--json", "--registry", str(registry)], prog_name="fp")
    return done.exit_code, json.loads(done.stdout)


def numbers(value: Any) -> Any:
    """Returns what a number or an interval may be on another machine; None is None."""
    if isinstance(value, tuple):
        return tuple(numbers(one) for one in value)
    return value if value is None else pytest.approx(value, rel=1e-3, abs=1e-4)


def as_corrected(document: dict[str, Any], rounded: str | None) -> Verification:
    """What the release said, as later releases judge it.

    All candidates share one level, and labels prove no identity. Where answers are rounded (of the
    suspect ``rounded``), probes that moved nothing counted as a harm of 1e-38, so that a copy was
    often inconclusive; and a model whose answers are merely rounded is itself.
    """
    then = Verification.from_dict(document)
    p_values = [1.0 if one.p_value is None else one.p_value for one in then.candidates]
    candidates = []
    for one, p_value in zip(then.candidates, holm(p_values), strict=True):
        verdict: Verdict = one.verdict
        if verdict == "same" and one.answer_kind == "labels":
            verdict = "derived"
        kin = rounded is not None and one.name == rounded.partition("-")[0]
        if kin and verdict != "independent":
            verdict = "same" if one.name == rounded else "derived"
        if verdict in ("same", "derived") and p_value > then.alpha:
            verdict = "inconclusive"
        corrected = None if one.p_value is None else p_value
        candidates.append(replace(one, verdict=verdict, p_value=corrected))
    return replace(then, candidates=tuple(candidates))


def comparable(old: Candidate, rounded: str | None) -> bool:
    """Whether the release quoted the test that decided, and no harm of 1e-38 entered it."""
    if old.harm_ratio_ci is None or old.margin is None:
        return True
    low, high = old.harm_ratio_ci
    if old.verdict == "derived" and old.margin < high < math.inf:
        return False
    return rounded is None or low > 0.34


def assert_same_verdict(
    found: dict[str, Any], expected: dict[str, Any], rounded: str | None = None
) -> None:
    now, then = Verification.from_dict(found), as_corrected(expected, rounded)
    assert now.queries == then.queries
    claimed = [one.name for one in then.candidates if one.verdict in ("same", "derived")]
    assert (now.best in claimed) if claimed else (now.best is None)
    candidates = {candidate.name: candidate for candidate in now.candidates}
    assert {*candidates} == {candidate.name for candidate in then.candidates}
    assert now.verdict == now.candidates[0].verdict
    for old in then.candidates:
        new = candidates[old.name]
        for key in ("verdict", "margin", "margin_source", "margin_pairs", "answer_kind"):
            assert getattr(new, key) == getattr(old, key), (old.name, key)
        if comparable(old, rounded):
            for key in ("harm_ratio", "harm_ratio_ci", "p_value", "label_agreement"):
                assert getattr(new, key) == numbers(getattr(old, key)), (old.name, key)


def test_the_registry_is_whole(old: Path) -> None:
    with Registry(old) as registry:
        registry.check()
        assert registry.seed == said()["seed"]
        assert len(registry.verifications()) == len(said()["recorded"])
        assert registry.missing_pairs() == ()


def test_margins_rest_on_the_same_pairs(old: Path) -> None:
    with Registry(old) as registry:
        for ratios in said()["pair_ratios"].values():
            for name, expected in ratios.items():
                assert [pair.harm_ratio for pair in registry.pairs(name)] == expected


def test_its_models_go_to_other_registries_and_their_plain_bases_are_derived_again(
    old: Path, tmp_path: Path
) -> None:
    file = tmp_path / "old.model"
    with Registry(old) as registry, Registry(tmp_path / "elsewhere.db") as elsewhere:
        name = registry.models()[0].name
        found = registry.fingerprint(name)
        assert found.parameters["bases"] == "colours"
        registry.export_model(name, file)
        elsewhere.import_model(file)
        assert elsewhere.fingerprint(name).to_dict() == found.to_dict()
        with pytest.raises(MalformedFile, match="bases are not those that its seed gives"):
            elsewhere.import_model(with_other_bases(file), name="forged")


NEW = {
    "schema": 2,
    "aliases": [],
    "role": "model",
    "depths": [],
    "panel": 0,
    "fingerprint": "current",
    "from_scratch": False,
    "origin": None,
}


def in_schema_2(model: dict[str, Any]) -> dict[str, Any]:
    """Returns what the release said of a model with what is said beside it now."""
    return {**model, **{key: value for key, value in NEW.items() if key != "schema"}}


def test_what_is_registered_reads_the_same(old: Path) -> None:
    (entry,) = said()["list"]
    code, document = fp(old, entry["command"])
    models = [in_schema_2(model) for model in entry["document"]["models"]]
    for now, then in zip(document["models"], models, strict=True):
        assert now.pop("passes") > 0
        assert (now.pop("fingerprint"), then.pop("fingerprint")) == ("old", "current")
        assert (now.pop("renew"), now.pop("renewed")) == ("", None)
        assert now == then
    assert (code, document["schema"]) == (entry["exit"], 2)


def test_what_is_known_of_a_model_reads_the_same(old: Path) -> None:
    for entry in said()["show"]:
        code, now = fp(old, entry["command"])
        then = in_schema_2(entry["document"])
        assert now["fingerprint"].pop("state") == "old"
        assert (now.pop("renew"), now.pop("renewed")) == ("", None)
        assert now["fingerprint"].pop("method").startswith("probes=24 start=")
        known = dict(entry["document"]["fingerprint"])
        unread = ("start_cosine",)  # Only tests looked at it.
        known["per_probe"] = [
            {key: one for key, one in probe.items() if key not in unread}
            for probe in known["per_probe"]
        ]
        none_yet = {key: now["fingerprint"].pop(key) for key in ("depths", "turns", "relatives")}
        assert none_yet == {"depths": [], "turns": [], "relatives": []}
        assert now["fingerprint"].pop("panel") == 0
        assert now["fingerprint"] == known
        assert [pair.pop("ratios")[0]["depth"] for pair in now["pairs"]] == [None] * len(
            then["pairs"]
        )
        assert (code, now.pop("schema"), now.pop("passes") > 0) == (entry["exit"], 2, True)
        for key in ("schema", "fingerprint"):
            then.pop(key)
        now.pop("fingerprint")
        assert now == then


@pytest.mark.parametrize(
    "entry", said()["verify"], ids=lambda entry: Path(entry["command"][1]).stem
)
def test_the_verdict_on_a_file_is_the_same(old: Path, entry: dict[str, Any]) -> None:
    code, document = fp(old, entry["command"])
    assert code == (4 if document["verdict"] == "inconclusive" else 0)
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
    rounded = entry["file"] if entry.get("decimals") is not None else None
    assert_same_verdict(found, entry["document"], rounded)
