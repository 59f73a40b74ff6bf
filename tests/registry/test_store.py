"""What is stored comes back, whole, and changes are all or nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from fingerprint.errors import InputRefused, UsageError
from fingerprint.network.model import Model
from fingerprint.network.spec import InputSpec
from registry import (
    HasDescendants,
    NameTaken,
    Registry,
    RegistryCorrupt,
    Task,
    UnknownModel,
    UnknownParent,
)
from registry.registration import finished
from tests.registry.conftest import place_of, put, sqlite_only, tamper
from tests.support.fingerprints import make_fingerprint, make_model

CONTRACT = {
    "name", "model_digest", "file_sha256", "architecture", "input", "output", "spaces", "depths",
    "panel", "probes", "source_harm_ratio", "screened_against", "redrawn", "passes", "seconds",
    "role", "fingerprint",
}  # fmt: skip
BESIDE = {
    "aliases", "file", "parent", "from_scratch", "origin", "registered", "commitment", "warnings",
    "renew", "renewed",
}  # fmt: skip


def test_a_new_registry_is_empty(registry: Registry) -> None:
    assert registry.models() == []
    assert registry.verifications() == []
    registry.check()


def test_a_stored_model_is_there_after_reopening(registry: Registry) -> None:
    stored = put(registry, "source", file="/models/source.safetensors")
    with Registry(place_of(registry)) as again:
        assert again.models() == [stored]
        assert again.model("source") == stored
        assert again.url == registry.url


def test_the_probes_come_back_as_they_were(registry: Registry) -> None:
    put(registry, "source")
    fingerprint = make_fingerprint(make_model(), seed=registry.seed)
    back = registry.fingerprint("source")
    assert back.to_dict() == fingerprint.to_dict()
    for probe, original in zip(back.probes, fingerprint.probes, strict=True):
        np.testing.assert_array_equal(probe.harmless, original.harmless)
        np.testing.assert_array_equal(probe.answer, original.answer)
    np.testing.assert_array_equal(back.controls, fingerprint.controls)


def test_the_document_has_the_keys_of_the_contract(registry: Registry) -> None:
    document = put(registry, "source", file="/models/source.safetensors").to_dict()
    assert set(document) >= CONTRACT
    assert set(document) - CONTRACT == BESIDE
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(document["spaces"][0]) >= {"kind", "dimension", "input_dimension", "rank"}
    assert set(document["source_harm_ratio"]) == {"median", "max"}
    (depth,) = document["depths"]
    assert (depth["layer"], depth["width"], depth["probes"]) == ("network", 5, 4)
    assert depth["source_harm_ratio"] == pytest.approx(0.025)
    assert (document["panel"], document["role"], document["fingerprint"]) == (0, "model", "current")


def test_what_the_codec_writes_is_current() -> None:
    from fingerprint.probes.codec import VERSION
    from registry.records import CURRENT

    assert CURRENT <= VERSION


def test_probes_of_an_older_release_are_told_from_current_ones(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(registry, "source")
    monkeypatch.setattr("registry.records.CURRENT", 99)
    assert registry.model("source").to_dict()["fingerprint"] == "old"


def test_values_are_frozen(registry: Registry) -> None:
    stored = put(registry, "source")
    with pytest.raises(FrozenInstanceError):
        stored.name = "mine"  # type: ignore[misc]


def test_the_time_is_iso_8601_in_utc(registry: Registry) -> None:
    from datetime import UTC, datetime, timedelta

    stored = datetime.fromisoformat(put(registry, "source").registered)
    assert abs(datetime.now(UTC) - stored) < timedelta(minutes=5)


def test_the_commitment_binds_model_seed_parameters_probes_and_time(registry: Registry) -> None:
    from fingerprint.probes.codec import encode

    stored = put(registry, "source")
    fingerprint = registry.fingerprint("source")
    document = {
        "model_digest": stored.model_digest,
        "seed": registry.seed,
        "parameters": fingerprint.parameters,
        "probes_sha256": hashlib.sha256(encode(fingerprint)).hexdigest(),
        "created": stored.registered,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    assert stored.commitment == hashlib.sha256(text.encode()).hexdigest()


def test_a_model_can_be_loaded_again_from_what_is_stored(registry: Registry) -> None:
    plain = make_model(path="/m.pt")
    model = replace(
        plain,
        input=InputSpec(shape=(3, 4, 4), mean=(0.5,), std=(0.1, 0.2, 0.3)),
        architecture="timm:net",
        pick="logits",
    )
    fingerprint = make_fingerprint(plain, seed=registry.seed)
    task = registry.plan(model, name="m")
    assert registry.commit(finished(task, model, fingerprint)).load_options == {
        "arch": "timm:net",
        "input_size": [3, 4, 4],
        "mean": [0.5],
        "std": [0.1, 0.2, 0.3],
        "bounds": None,
        "output": "logits",
    }


def test_models_are_listed_in_the_order_of_registration(registry: Registry) -> None:
    for seed, name in enumerate(("c", "a", "b")):
        put(registry, name, seed)
    registry.remove("b")
    put(registry, "B", 2)
    assert [model.name for model in registry.models()] == ["c", "a", "B"]


def test_a_name_is_used_once_and_the_first_one_stays(registry: Registry) -> None:
    first = put(registry, "source", 0)
    with pytest.raises(NameTaken, match="--name") as refusal:
        put(registry, "source", 1)
    assert isinstance(refusal.value, InputRefused)
    assert registry.models() == [first]


def test_names_differ_by_case_but_not_by_unicode_form(registry: Registry) -> None:
    put(registry, "Café", 0)
    put(registry, "café", 1)
    with pytest.raises(NameTaken):
        put(registry, "Cafe\N{COMBINING ACUTE ACCENT}", 2)
    assert registry.model("cafe\N{COMBINING ACUTE ACCENT}").name == "café"


@pytest.mark.parametrize(
    "name",
    [
        "</script><script>alert(1)</script>",
        "'; DROP TABLE models; --",
        "=cmd|' /C calc'!A0",
        "../../etc/passwd",
        "\N{RIGHT-TO-LEFT OVERRIDE}lab",
        "模型 🦎",
        "%s %(name)s {0} ?:x",
        "x" * 100,
    ],
)
def test_hostile_names_are_stored_as_given(registry: Registry, name: str) -> None:
    put(registry, name)
    assert [model.name for model in registry.models()] == [name]
    registry.check()
    registry.remove(name)
    assert registry.models() == []


def test_an_unknown_name_lists_close_ones(family: Registry) -> None:
    with pytest.raises(UnknownModel, match="did you mean 'source'") as refusal:
        family.model("Sourse")
    assert isinstance(refusal.value, UsageError)
    assert refusal.value.close == ("source",)
    with pytest.raises(UnknownModel, match="fp list"):
        family.fingerprint("zzzz")
    with pytest.raises(UnknownModel):
        family.remove("zzzz")


def test_an_unknown_parent_is_refused_and_nothing_is_stored(family: Registry) -> None:
    before = family.models()
    with pytest.raises(UnknownParent, match=r"parent.*did you mean 'source'"):
        put(family, "new", 7, parent="souce")
    assert family.models() == before
    family.check()


def task_of(registry: Registry, model: Model) -> Task:
    return registry.plan(model, name="model")


def test_a_fingerprint_of_another_model_is_refused(registry: Registry) -> None:
    fingerprint = make_fingerprint(make_model(0), seed=registry.seed)
    model = make_model(1)
    with pytest.raises(UsageError, match="expected one of the model"):
        finished(task_of(registry, model), model, fingerprint)


def test_a_fingerprint_of_another_registry_is_refused(registry: Registry) -> None:
    model = make_model()
    with pytest.raises(UsageError, match="seed"):
        finished(task_of(registry, model), model, make_fingerprint(model, seed="0" * 64))


def test_a_fingerprint_without_probes_is_refused(registry: Registry) -> None:
    model = make_model()
    empty = replace(make_fingerprint(model, seed=registry.seed), probes=())
    with pytest.raises(UsageError, match="at least one probe"):
        finished(task_of(registry, model), model, empty)


def test_probes_too_large_to_store_are_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.registration.LARGEST_VALUE", 1000)
    with pytest.raises(UsageError, match="--probes"):
        put(registry, "model")
    assert registry.models() == []


def test_warnings_of_loading_extraction_and_registration_are_kept_once(registry: Registry) -> None:
    model = replace(make_model(), warnings=("loading", "both"))
    fingerprint = make_fingerprint(model, seed=registry.seed, warnings=("both", "extraction"))
    task = registry.plan(model, name="m")
    result = finished(task, model, fingerprint, warnings=("registration",))
    assert registry.commit(result).warnings == ("loading", "both", "extraction", "registration")


def test_the_parent_is_named(family: Registry) -> None:
    assert [model.parent for model in family.models()] == [None, "source", None]


def test_removing_takes_the_model_and_its_probes_and_leaves_a_trace(family: Registry) -> None:
    from registry.engine import connect_to, locate

    family.remove("other")
    assert [model.name for model in family.models()] == ["source", "derived"]
    with connect_to(locate(place_of(family))).connect() as connection:
        for table in ("models", "fingerprints", "probe_sets"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 2
        actions = connection.exec_driver_sql("SELECT action FROM chain ORDER BY seq").scalars()
        assert list(actions) == ["create", "register", "register", "register", "remove"]
    family.check()


def test_a_parent_is_removed_after_its_children(family: Registry) -> None:
    with pytest.raises(HasDescendants, match="'derived'") as refusal:
        family.remove("source")
    assert refusal.value.children == ("derived",)
    assert len(family.models()) == 3
    family.remove("derived")
    family.remove("source")
    family.check()


def test_a_removed_name_can_be_used_again(registry: Registry) -> None:
    first = put(registry, "model", 0)
    registry.remove("model")
    second = put(registry, "model", 1)
    assert registry.model("model") == second != first
    registry.check()


@sqlite_only
def test_a_flipped_bit_in_the_probes_is_refused_naming_the_row(family: Registry) -> None:
    assert family.path is not None
    content = bytearray(family.path.read_bytes())
    blob = encoded(family, "derived")
    at = content.find(blob[-40:])
    content[at + 20] ^= 1
    family.path.write_bytes(content)
    with pytest.raises(RegistryCorrupt, match=r"probe_sets 2 .'derived'.") as refusal:
        family.fingerprint("derived")
    assert len(refusal.value.rows) == 1
    assert len(family.fingerprint("source").probes) == 4


def encoded(registry: Registry, name: str) -> bytes:
    from fingerprint.probes.codec import encode

    return encode(registry.fingerprint(name))


def test_probes_exchanged_for_another_models_are_refused(family: Registry) -> None:
    tamper(
        family,
        "UPDATE probe_sets SET blob = (SELECT blob FROM probe_sets WHERE model_id = 3) "
        "WHERE model_id = 1",
    )
    with pytest.raises(RegistryCorrupt, match=r"probe_sets 1 .'source'.*committed"):
        family.fingerprint("source")


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE probe_sets SET blob = 'text' WHERE model_id = 1", "probe_sets 1"),
        ("DELETE FROM probe_sets WHERE model_id = 1", "probe_sets 1"),
        ("DELETE FROM fingerprints WHERE model_id = 1", "probe_sets 1"),
        ("UPDATE fingerprints SET commitment = 'x' WHERE model_id = 1", "probe_sets 1"),
        ("UPDATE models SET created = 'x' WHERE id = 1", "probe_sets 1"),
    ],
)
def test_damaged_rows_are_named_when_probes_are_read(
    family: Registry, statement: str, row: str
) -> None:
    tamper(family, statement)
    with pytest.raises(RegistryCorrupt, match=row):
        family.fingerprint("source")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE models SET input = 'not json' WHERE id = 1",
        "UPDATE models SET input = '[1]' WHERE id = 1",
        "UPDATE models SET warnings = '7' WHERE id = 1",
        "UPDATE models SET parent_id = 77 WHERE id = 1",
        "UPDATE models SET input = x'00000000000000000000' WHERE id = 1",
        "UPDATE models SET warnings = '" + "[" * 200_000 + "' WHERE id = 1",
        "UPDATE fingerprints SET facts = '[]' WHERE model_id = 1",
        'UPDATE fingerprints SET facts = \'{"probes": "many"}\' WHERE model_id = 1',
        "UPDATE fingerprints SET version = 'first' WHERE model_id = 1",
        "DELETE FROM fingerprints WHERE model_id = 1",
    ],
)
def test_values_of_a_wrong_type_are_damage_not_a_traceback(
    family: Registry, statement: str
) -> None:
    if not tamper(family, statement):
        return  # A server keeps values of other types out by itself.
    with pytest.raises(RegistryCorrupt) as refusal:
        family.models()
    assert "\n" not in str(refusal.value)
