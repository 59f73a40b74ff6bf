"""References, and fingerprints that are made anew for a model that stays what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fingerprint.errors import InputRefused, UsageError
from fingerprint.network.model import Model
from registry import (
    AlreadyDeclared,
    NameTaken,
    RegisteredModel,
    Registry,
    RegistryError,
    Result,
    UnknownModel,
    ledger,
)
from registry.registration import _relatives, finished
from tests.registry.conftest import put, ratios, result_of, verdict
from tests.registry.test_registration import saved
from tests.support.fingerprints import make_fingerprint, make_model


def source(seed: int = 0, name: str = "source") -> Model:
    return make_model(seed, path=f"/models/{name}.safetensors")


def made_again(
    registry: Registry, name: str, model: Model, *, probes: int = 5, **stated: Any
) -> Result:
    """Plans a renewal, and takes another synthetic fingerprint for what came of it."""
    task = registry.plan(model, again=name, **stated)
    made = make_fingerprint(model, seed=registry.seed, probes=probes)
    digests = tuple(peer.model.model_digest for peer in task.relatives)
    fingerprint = replace(
        made, relatives=digests, parameters={**made.parameters, "near_relatives": 1.0}
    )
    return finished(task, model, fingerprint, warnings=("one of today's",))


def renewed(registry: Registry, name: str, model: Model, *, probes: int = 5) -> RegisteredModel:
    return registry.commit(made_again(registry, name, model, probes=probes))


def last(registry: Registry) -> Any:
    with registry._books() as books:
        return books.entries[-1]


# References.


def test_a_reference_is_one_from_the_start_or_from_when_it_is_declared(family: Registry) -> None:
    assert put(family, "public", 7, reference=True).role == "reference"
    assert put(family, "public", 7, reference=True).role == "reference"
    assert family.model("source").role == "model"
    # Its children need not be removed first.
    assert put(family, "source", 0, reference=True).role == "reference"
    assert last(family).action == "declare"
    assert last(family).payload["role"] == "reference"
    family.check()


def test_what_is_a_reference_is_not_registered_as_ones_own(family: Registry) -> None:
    put(family, "public", 7, reference=True)
    head = family.head()
    model = make_model(7, path="/m/public.pt")
    for other in (model, replace(model, input=replace(model.input, mean=(0.5,), std=(0.5,)))):
        with pytest.raises(AlreadyDeclared, match="registered already as a reference"):
            family.plan(other, name="mine")
    assert family.head() == head


def test_copies_of_weights_share_the_role(family: Registry) -> None:
    put(family, "short", 0, probes=12, reference=True)
    assert [family.model(name).role for name in ("source", "short")] == ["reference"] * 2
    family.check()


def test_a_model_from_elsewhere_has_the_role_that_its_weights_have_here(
    family: Registry, tmp_path: Path
) -> None:
    with Registry("sqlite://") as elsewhere:
        put(elsewhere, "source", 0, reference=True)
        put(elsewhere, "new", 8, reference=True)
        for name in ("source", "new"):
            elsewhere.export_model(name, tmp_path / name)
    assert family.import_model(tmp_path / "source", name="theirs").role == "model"
    assert family.import_model(tmp_path / "new").role == "reference"
    assert family.model("source").role == "model"
    family.check()


# Renewing.


def test_a_renewed_model_keeps_all_but_its_probes(family: Registry) -> None:
    put(family, "also", 0)
    put(family, "source", 0, from_scratch=True)
    family.record(verdict(), suspect_digest=None)
    before, recorded = family.model("source"), family.verifications()
    after = renewed(family, "also", source())
    kept = ("name", "aliases", "role", "parent", "from_scratch", "registered", "model_digest")
    assert [getattr(after, one) for one in kept] == [getattr(before, one) for one in kept]
    assert (before.probes, after.probes, len(family.fingerprint("source").probes)) == (4, 5, 5)
    assert (before.renewed, after.warnings) == (None, ("one of today's",))
    assert after.renewed is not None
    assert after.commitment != before.commitment
    assert family.verifications() == recorded
    assert [model.name for model in family.models()] == ["source", "derived", "other"]
    assert family.model("derived").parent == "source"
    entry = last(family)
    assert (entry.action, entry.payload["replaces"]) == ("renew", before.commitment)
    with family._books() as books:
        assert any(one.payload.get("commitment") == before.commitment for one in books.entries)
    family.check()


def test_where_a_model_comes_from_may_be_stated_with_its_new_probes(family: Registry) -> None:
    result = made_again(family, "other", source(2, "other"), parent="source")
    assert [peer.name for peer in result.task.relatives] == ["source", "derived"]
    assert result.task.screen == ()
    after = family.commit(result)
    assert (after.parent, after.probes, after.renew) == ("source", 5, "")
    with family._books() as books:
        actions = [entry.action for entry in books.entries[-2:]]
    assert actions == ["declare", "renew"]
    assert family.commit(result) == after
    rootless = family.commit(made_again(family, "source", source(), from_scratch=True))
    assert rootless.from_scratch
    family.check()


def test_renewing_twice_is_possible_and_committing_twice_changes_nothing(family: Registry) -> None:
    result = made_again(family, "source", source())
    first, head = family.commit(result), family.head()
    assert family.commit(result) == first
    assert family.head() == head
    assert renewed(family, "source", source(), probes=4).probes == 4
    family.check()


def test_what_rested_on_the_old_probes_is_measured_again(family: Registry) -> None:
    put(family, "late", 7, asked={"source": 0.9, "other": 0.8, "derived": 0.9})
    put(family, "later", 8, asked={"source": 0.9, "other": 0.8, "derived": 0.9, "late": 0.9})
    renewed(family, "other", source(2, "other"))
    assert family.pairs("other") == ()
    assert [(one.source, one.other) for one in family.missing_pairs() if one.source == "other"] == [
        ("other", "late"),
        ("other", "later"),
    ]
    # What it answered to the probes of others is still so.
    assert len(family.pairs("source")) == 2
    renewed(family, "late", source(7, "late"))
    assert {pair.other for pair in family.pairs("source")} == {"late", "later"}
    family.check()


def test_what_was_measured_on_probes_that_were_renewed_meanwhile_is_left_out(
    family: Registry,
) -> None:
    model = make_model(9, path="/m/new.pt")
    task = family.plan(model, name="new")
    result = finished(task, model, make_fingerprint(model, seed=family.seed))
    from registry.registration import Measured

    pairs = tuple(
        Measured(
            source=peer.id,
            other=None,
            ratios=ratios(0.9),
            verdict="independent",
            commitment=peer.model.commitment,
        )
        for peer in task.ask
    )
    renewed(family, "source", source())
    family.commit(replace(result, pairs=pairs))
    assert family.pairs("source") == ()
    assert [pair.other for pair in family.pairs("other")] == ["new"]


def test_new_probes_avoid_strangers_that_were_there_and_relatives_of_today(
    registry: Registry,
) -> None:
    put(registry, "early", 0)
    put(registry, "child", 1)
    put(registry, "late", 2)
    put(registry, "base", 3)
    put(registry, "child", 1, parent="base")
    task = registry.plan(source(1, "child"), again="child")
    assert [peer.name for peer in task.screen] == ["early"]
    assert [peer.name for peer in task.relatives] == ["base"]
    assert (task.ask, task.missing, task.parent) == ((), (), "base")


def test_another_model_and_another_statement_are_refused(family: Registry) -> None:
    cases: tuple[tuple[Model, str], ...] = (
        (source(5), "weights"),
        (replace(source(), architecture="timm:other"), "the architecture timm:other"),
        (replace(source(), input=replace(source().input, mean=(0.5,), std=(0.5,))), "inputs"),
    )
    for model, difference in cases:
        with pytest.raises(InputRefused, match="registered with") as refused:
            family.plan(model, again="source")
        assert difference.split()[-1] in str(refused.value)
        assert "\n" not in str(refused.value)
    for option in ({"name": "x"}, {"reference": True}):
        with pytest.raises(UsageError, match="no new name or role"):
            family.plan(source(), again="source", **option)
    with pytest.raises(AlreadyDeclared, match="an ancestor of 'derived'"):
        family.plan(source(), again="source", parent="derived")
    with pytest.raises(AlreadyDeclared, match="with the parent 'source'"):
        family.plan(source(1, "derived"), again="derived", from_scratch=True)
    with pytest.raises(UnknownModel):
        family.plan(source(), again="sourc")


def test_a_model_that_is_there_with_such_a_fingerprint_is_named(registry: Registry) -> None:
    put(registry, "few", 0, file="/m/net.pt", probes=12)
    put(registry, "many", 0, file="/m/net.pt")
    with pytest.raises(InputRefused, match="'many' is 'few' with such a fingerprint"):
        registry.plan(make_model(0, path="/m/net.pt"), again="few")
    assert registry.plan(make_model(0, path="/m/net.pt"), again="few", probes=13).name == "few"


def test_an_imported_model_is_renewed_where_it_comes_of(registry: Registry, tmp_path: Path) -> None:
    with Registry("sqlite://") as elsewhere:
        put(elsewhere, "net", 0)
        first = renewed(elsewhere, "net", source(name="net"))
        elsewhere.export_model("net", tmp_path / "net.model")
    here = registry.import_model(tmp_path / "net.model")
    assert (here.commitment, here.registered) == (first.commitment, first.renewed)
    with pytest.raises(InputRefused, match="renew it there, and import it again"):
        registry.plan(source(name="net"), again="net")
    registry.check()


def test_a_model_removed_meanwhile_is_not_renewed(family: Registry) -> None:
    result = made_again(family, "other", source(2, "other"))
    family.remove("other")
    with pytest.raises(UnknownModel):
        family.commit(result)
    put(family, "other", 9)
    with pytest.raises(RegistryError, match="register it again"):
        family.commit(result)
    family.check()


# What should be renewed.


def test_a_parent_that_came_later_is_a_reason_until_the_child_is_renewed(
    registry: Registry,
) -> None:
    put(registry, "child", 1)
    put(registry, "early", 0)
    put(registry, "base", 3)
    assert [model.renew for model in registry.models()] == [""] * 3
    assert (
        put(registry, "child", 1, parent="base").renew
        == "its parent 'base' was registered after it"
    )
    child = renewed(registry, "child", source(1, "child"))
    assert (child.renew, child.to_dict()["renew"]) == ("", "")
    # A grandparent that is declared later was not there either.
    put(registry, "base", 3, parent="early")
    assert registry.model("child").renew == "its ancestor 'early' was registered after it"
    assert registry.model("base").renew == (
        "its parent 'early' was not at hand or not yet declared for its probes"
    )
    assert registry.model("early").renew == ""


def test_a_parent_known_from_the_start_is_no_reason(family: Registry) -> None:
    assert family.model("derived").renew == ""
    put(family, "sibling", 7, parent="source")
    assert [model.renew for model in family.models()] == [""] * 4


def test_probes_of_a_release_that_did_not_ask_how_near_siblings_come_are_a_reason(
    registry: Registry,
) -> None:
    put(registry, "base", 3)
    model = source(1, "child")
    task = registry.plan(model, name="child", parent="base")
    digests = tuple(peer.model.model_digest for peer in task.relatives)
    made = replace(make_fingerprint(model, seed=registry.seed), relatives=digests)
    child = registry.commit(finished(task, model, made))
    assert child.renew.endswith("did not ask how near siblings come")
    assert renewed(registry, "child", model).renew == ""


def test_a_model_is_loaded_again_only_by_code_that_the_caller_names(registry: Registry) -> None:
    model = replace(make_model(0, path="/m/a.pt"), architecture="os:abort")
    registry.commit(result_of(registry, "a", model))
    with pytest.raises(InputRefused, match=r"'a': .*not run unasked"):
        registry.load_again("a")
    with pytest.raises(InputRefused, match=r"'a': .*could not be loaded again"):
        registry.load_again("a", code=["os"])


def test_an_ancestor_that_cannot_take_part_is_no_reason(registry: Registry) -> None:
    put(registry, "child", 1)
    registry.commit(result_of(registry, "live", make_model(3)))
    assert put(registry, "child", 1, parent="live").renew == ""


def test_a_relative_whose_file_is_gone_had_no_part(registry: Registry, tmp_path: Path) -> None:
    put(registry, "base", 3, file=str(tmp_path / "gone.safetensors"))
    model = saved(tmp_path, "child", 0)
    child = registry.register(model, parent="base", probes=6)
    assert child.renew == "its parent 'base' was not at hand or not yet declared for its probes"
    assert any("not made against 'base'" in line for line in child.warnings)


def test_a_renewal_happens_entirely_or_not_at_all(
    family: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, before, head = made_again(family, "source", source()), family.models(), family.head()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "append", full)
        with pytest.raises(RegistryError, match="No space left"):
            family.commit(result)
    assert (family.models(), family.head()) == (before, head)
    family.check()


def test_who_registers_the_same_weights_again_is_told_how_to_renew(family: Registry) -> None:
    with pytest.raises(NameTaken, match="fp register --again"):
        family.plan(source(), name="source", probes=12)
    with pytest.raises(NameTaken, match=r"remove it first$"):
        family.plan(source(7), name="source")


def test_without_its_parent_no_relative_takes_part(registry: Registry, tmp_path: Path) -> None:
    for seed, name in enumerate(("base", "sibling")):
        parent = None if name == "base" else "base"
        registry.commit(result_of(registry, name, saved(tmp_path, name, seed), parent=parent))
    model = saved(tmp_path, "child", 2)
    task = registry.plan(model, parent="base", probes=6)
    assert [peer.name for peer in task.relatives] == ["base", "sibling"]
    code = ("tests.registry.test_registration",)
    assert list(_relatives(task, code, "cpu")[0]) == ["base", "sibling"]
    (tmp_path / "base.safetensors").unlink()
    found, lines = _relatives(task, code, "cpu")
    assert found == {}
    assert lines[-1] == "no individual probes were made: not without the parent 'base'"
