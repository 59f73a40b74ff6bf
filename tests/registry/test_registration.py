"""Who takes part in a registration, what it does without a registry, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fingerprint import load_model
from fingerprint.errors import InputRefused, NoInformation, UsageError
from fingerprint.network.model import Model
from registry import (
    AlreadyDeclared,
    NameTaken,
    Registry,
    RegistryCorrupt,
    RegistryError,
    Task,
    UnknownParent,
    run,
)
from registry.ledger import Entry
from registry.pairs import ASKED, SCREENED
from registry.planning import REFERENCES
from registry.registration import Peer
from tests.registry.conftest import put, result_of, tamper
from tests.support.fingerprints import make_model

ARCH = "tests.registry.test_registration:tiny"
QUICK = {"probes": 6}


def tiny() -> torch.nn.Module:
    """A network whose registration takes a moment; a factory for ``arch``."""
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(48, 24), torch.nn.ReLU(), torch.nn.Linear(24, 5)
    )


def saved(folder: Path, name: str, seed: int) -> Model:
    """Saves a network of random weights, and loads its file."""
    torch.manual_seed(seed)
    path = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in tiny().state_dict().items()}, path)
    return load_model(path, arch=ARCH, input_size=(3, 4, 4), mean=(0.5,), std=(0.5,))


def names(peers: object) -> list[str]:
    return [peer.name for peer in peers]  # type: ignore[attr-defined]


def plan(registry: Registry, seed: int, name: str = "new", **options: object) -> Task:
    model = make_model(seed, path=f"/m/{name}.pt")
    return registry.plan(model, name=name, **options)  # type: ignore[arg-type]


# Planning.


def test_the_default_name_is_that_of_the_file(registry: Registry) -> None:
    assert registry.plan(make_model(path="/m/net.safetensors")).name == "net"
    with pytest.raises(UsageError, match="name="):
        registry.plan(make_model())


def test_what_cannot_be_registered_is_refused_before_any_work(family: Registry) -> None:
    with pytest.raises(NameTaken):
        plan(family, 7, "source")
    with pytest.raises(UnknownParent, match="did you mean 'source'"):
        plan(family, 7, parent="sourc")
    with pytest.raises(UsageError, match="from scratch"):
        plan(family, 7, parent="source", from_scratch=True)
    with pytest.raises(TypeError, match="prbes"):
        plan(family, 7, prbes=12)


def test_strangers_of_the_same_inputs_take_part(family: Registry) -> None:
    wide = make_model(5, shape=(3, 5, 5), path="/m/wide.pt")
    family.commit(result_of(family, "wide", wide))
    task = plan(family, 7)
    assert set(names(task.screen)) == {"source", "derived", "other"}
    assert names(task.ask) == ["source", "derived", "other"]


def test_kin_take_no_part_however_far(family: Registry) -> None:
    assert names(plan(family, 7, parent="derived").ask) == ["other"]
    put(family, "grandchild", 5, parent="derived")
    assert names(plan(family, 7, parent="source").ask) == ["other"]
    # A copy of the parent under another method is kin of all its family.
    assert names(plan(family, 0, "copy", probes=12).ask) == ["other"]


def test_weights_that_are_registered_with_other_settings_are_named(family: Registry) -> None:
    (line,) = plan(family, 0, "copy", probes=12).warnings
    assert line == (
        "identical weights to 'source', with other settings (depths probes=24 bases=leaves there, "
        "depths probes=12 bases=leaves here): 'copy' becomes a model beside it, and a suspect "
        "cannot tell them apart; if one is enough, fp remove copy"
    )
    put(family, "copy", 0, probes=12)
    model = make_model(0, path="/m/third.pt")
    normalised = replace(model, input=replace(model.input, mean=(0.5,), std=(0.5,)))
    (line,) = family.plan(normalised, name="my third").warnings
    assert line.startswith("identical weights to 'source' and 'copy', with other settings (")
    assert "(another mean, std)" in line
    assert line.endswith("fp remove 'my third'")
    assert plan(family, 0, "source").warnings == plan(family, 0, "alias").warnings == ()


def test_the_nearest_few_are_screened_against(registry: Registry) -> None:
    for seed in range(SCREENED + 4):
        put(registry, f"same {seed}", seed)
    for seed, classes in ((50, 7), (51, 5)):
        model = make_model(seed, classes=classes, path="/m/x.pt")
        other = replace(model, architecture="timm:other")
        registry.commit(result_of(registry, f"{classes} classes", other))
    task = plan(registry, 90)
    assert names(task.screen) == [f"same {seed}" for seed in range(SCREENED + 3, 3, -1)]
    lonely = replace(make_model(91), architecture="timm:other")
    assert names(registry.plan(lonely, name="lonely").screen)[:2] == ["5 classes", "7 classes"]


def test_the_seed_draws_whose_probes_a_model_is_asked_where_there_are_many(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.pairs.ASKED", 5)
    for seed in range(12):
        put(registry, f"m{seed}", seed)
    one, again = (names(plan(registry, 90).ask) for _ in range(2))
    assert len(one) == 5 < ASKED
    assert one == again
    # Two models may draw the same five; that many do not.
    assert len({tuple(names(plan(registry, seed).ask)) for seed in range(90, 102)}) > 1


def test_the_hundredth_model_reads_no_more_probes_than_the_fiftieth(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.pairs.ASKED", 4)
    monkeypatch.setattr("registry.pairs.SCREENED", 2)
    for seed in range(10):
        put(registry, f"m{seed}", seed)
    read: list[int] = []
    from registry import catalogue, records

    known = records.fingerprint_of

    def noted(row: object, *rest: object) -> object:
        read.append(row.id)  # type: ignore[attr-defined]
        return known(row, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(catalogue, "fingerprint_of", noted)
    task = plan(registry, 90)
    taking = {peer.id for peer in (*task.screen, *task.ask)}
    taking |= {peer.id for pair in task.missing for peer in pair}
    assert set(read) == taking
    assert len({peer.id for peer in (*task.screen, *task.ask)}) <= 6


def test_damaged_probes_of_a_peer_stop_the_plan(family: Registry) -> None:
    tamper(family, "UPDATE probe_sets SET blob = x'00' WHERE model_id = 1")
    with pytest.raises(RegistryCorrupt, match="probe_sets 1"):
        plan(family, 7)


# Running: files, and no registry.


@pytest.fixture
def tiny_registry(registry: Registry, tmp_path: Path) -> Registry:
    """Two small networks, really registered from their files."""
    for seed, name in enumerate(("first", "second")):
        registry.register(saved(tmp_path, name, seed), **QUICK)  # type: ignore[arg-type]
    return registry


def test_a_task_runs_without_the_registry_and_commits_once(
    tiny_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved(tmp_path, "third", 3)
    task = tiny_registry.plan(model, **QUICK)  # type: ignore[arg-type]
    stages: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr("registry.session.Session", None)
        result = run(task, model, lambda stage, done, total: stages.append(stage))
    assert {"loading registered models", "asking other models' probes"} <= set(stages)
    third = tiny_registry.commit(result)
    assert tiny_registry.commit(result) == third
    assert [model.name for model in tiny_registry.models()] == ["first", "second", "third"]
    assert set(third.facts["screened_against"]) == {"first", "second"}
    # How many draws its probes take is the luck of the registry's seed.
    assert [line for line in third.warnings if "draws" not in line] == []
    (pair,) = (one for one in tiny_registry.pairs("first") if one.other == "third")
    assert {(one["test"], one["answer_kind"]) for one in pair.ratios} == {("harm_ratio", "logits")}
    # Which depths those are, the seconds of a pass decide.
    depths = {depth.name for depth in tiny_registry.fingerprint("first").depths}
    assert {one["depth"] for one in pair.ratios} == depths
    assert tiny_registry.missing_pairs() == ()
    tiny_registry.check()


def test_a_task_of_another_model_is_refused(registry: Registry) -> None:
    with pytest.raises(UsageError, match="planned for"):
        run(plan(registry, 1), make_model(2))


def test_the_extraction_gets_the_registrys_seed_and_the_callers_settings(
    registry: Registry, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 4), dtype=np.uint8)
    stored = registry.register(saved(tmp_path, "a", 0), images=noise, probes=7)
    assert (stored.probes, stored.facts["seed"]) == (7, registry.seed)
    assert stored.facts["parameters"]["bases"] == "images"
    assert "bases=colours" not in stored.facts["method"]
    assert len(registry.fingerprint("a").bases) == 7


def test_peers_that_are_not_at_hand_are_screened_by_what_was_kept_of_them(
    tiny_registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "first.safetensors").unlink()
    saved(tmp_path, "second", 77)
    stored = tiny_registry.register(saved(tmp_path, "third", 3), **QUICK)  # type: ignore[arg-type]
    lines = [line for line in stored.warnings if line.startswith("screened against")]
    reasons = {line.split("'")[1]: line for line in lines}
    assert reasons.keys() == {"first", "second"}
    first, second = "its file could not be loaded again (first.", "its file has changed since (sec"
    assert f"by its linear part only: {first}" in reasons["first"]
    assert f"by its linear part only: {second}" in reasons["second"]
    assert str(tmp_path) not in " ".join(lines)


def test_code_named_by_the_registry_is_not_run_unasked(registry: Registry) -> None:
    model = replace(make_model(0, path="/m/a.pt"), architecture="os:abort")
    registry.commit(result_of(registry, "a", model))
    (peer,) = plan(registry, 1).ask
    with pytest.raises(InputRefused, match="not run unasked"):
        peer.load(code=("tests",))
    with pytest.raises(InputRefused, match="could not be loaded again"):
        peer.load(code=("os",))
    registry.commit(result_of(registry, "live", make_model(2)))
    with pytest.raises(InputRefused, match="not registered from a file"):
        plan(registry, 1).ask[1].load()


def forged(folder: Path, **columns: Any) -> Peer:
    """Returns a model of a registry that somebody else wrote, as they wanted its row to be."""
    source = saved(folder, "a", 0)
    with Registry("sqlite://") as registry:
        registry.commit(result_of(registry, "a", source))
        (peer,) = registry.plan(make_model(1, path="/m/b.pt"), name="b").ask
    return replace(peer, model=replace(peer.model, **columns))


def test_what_is_looked_at_before_code_runs_is_what_runs(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    code = f"os:mkdir,path={str(touched)!r}"
    peer = forged(tmp_path, architecture="timm:resnet18", load_options={"arch": code})
    with pytest.raises(InputRefused, match="could not be loaded again"):
        peer.load()
    assert not touched.exists()


def test_a_registry_takes_nobody_out_of_the_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def load(path: str, **options: Any) -> Model:
        given.update(options)
        raise InputRefused(path)

    monkeypatch.setattr("fingerprint.load_onnx_model", load)
    options = {"input": "x", "sandbox": False, "follow_symlinks": True, "time_limit": 1e9}
    peer = forged(tmp_path, architecture="onnx", load_options=options)
    with pytest.raises(InputRefused, match="could not be loaded again"):
        peer.load()
    assert given == {"input": "x", "device": "cpu"}


def test_a_failing_extraction_leaves_the_registry_unchanged(family: Registry) -> None:
    before, head = family.models(), family.head()
    dead = make_model(7)
    with torch.no_grad():
        for weights in dead.module.parameters():
            weights.zero_()
    with pytest.raises(NoInformation):
        family.register(dead, name="dead")
    assert (family.models(), family.head()) == (before, head)


# References are strangers of the pilot.


def test_the_nearest_references_that_are_no_kin_take_part(registry: Registry) -> None:
    for seed in range(REFERENCES + 2):
        put(registry, f"public {seed}", seed, reference=True, file=f"/m/{seed}.pt")
    put(registry, "ours", 50, file="/m/50.pt")
    registry.commit(result_of(registry, "in memory", make_model(51), reference=True))
    latest = [f"public {seed}" for seed in range(REFERENCES + 1, -1, -1)]
    assert names(plan(registry, 90).references) == latest[:REFERENCES]
    fine_tuned = plan(registry, 90, parent=latest[0])
    assert names(fine_tuned.references) == latest[1 : 1 + REFERENCES]
    assert plan(registry, 90, answers_only=True).references == ()
    assert plan(registry, 90, "again").references[0].blob == b""


def test_a_registration_asks_references_and_says_which_it_did_without(
    tiny_registry: Registry, tmp_path: Path
) -> None:
    for seed, name in ((5, "public"), (6, "gone")):
        options = {"reference": True, **QUICK}
        tiny_registry.register(saved(tmp_path, name, seed), **options)  # type: ignore[arg-type]
    (tmp_path / "gone.safetensors").unlink()
    model = saved(tmp_path, "third", 3)
    third = tiny_registry.register(model, **QUICK)  # type: ignore[arg-type]
    public = tiny_registry.model("public").model_digest
    assert third.facts["parameters"]["pilot_references"] == [public]
    (line,) = (one for one in third.warnings if one.startswith("the pilot did without"))
    assert line.startswith("the pilot did without the reference 'gone': its file could not be")
    before = tiny_registry.fingerprint("third")
    tiny_registry.register(saved(tmp_path, "later", 8), reference=True, **QUICK)  # type: ignore[arg-type]
    tiny_registry.register(model, again="third", probes=6)
    after = tiny_registry.fingerprint("third")
    assert after.parameters == before.parameters, "what came later takes no part, as in screening"
    np.testing.assert_array_equal(after.harmless, before.harmless)


# Committing: what is the same, and what is declared of it.


def test_committing_twice_changes_nothing(registry: Registry) -> None:
    result = result_of(registry, "net", make_model(0, path="/m/net.pt"))
    first, head = registry.commit(result), registry.head()
    assert registry.commit(result) == first
    assert put(registry, "net", 0, file="/m/net.pt") == first
    assert registry.head() == head
    registry.check()


def test_a_second_name_is_an_alias_by_which_the_model_is_found(family: Registry) -> None:
    again = put(family, "also", 0)
    assert (again.name, again.aliases) == ("source", ("also",))
    assert len(family.models()) == 3
    assert family.model("also") == again
    assert family.fingerprint("also").model_digest == again.model_digest
    assert family.verify(make_model(9), against=["also", "source"]).candidates[0].name == "source"
    assert put(family, "child", 8, parent="also").parent == "source"
    with pytest.raises(NameTaken):
        put(family, "also", 7)
    family.remove("also")
    assert family.model("source").aliases == ()
    family.check()


def test_another_method_or_other_inputs_are_another_model(registry: Registry) -> None:
    model = make_model(0, path="/m/net.pt")
    registry.commit(result_of(registry, "a", model))
    for name, options in (("b", {"probes": 12}), ("c", {"answers_only": True})):
        registry.commit(result_of(registry, name, model, **options))
    normalised = replace(model, input=replace(model.input, mean=(0.5,), std=(0.5,)))
    registry.commit(result_of(registry, "d", normalised))
    assert [one.name for one in registry.models()] == ["a", "b", "c", "d"]
    with pytest.raises(NameTaken):
        result_of(registry, "a", model, probes=12)


def test_what_is_declared_later_is_added_and_never_replaced(family: Registry) -> None:
    assert put(family, "other", 2, from_scratch=True).from_scratch
    assert put(family, "other", 2).from_scratch
    with pytest.raises(AlreadyDeclared, match=r"from scratch.*remove it first"):
        put(family, "other", 2, parent="source")
    with pytest.raises(AlreadyDeclared, match="with the parent 'source'"):
        put(family, "derived", 1, from_scratch=True)
    with pytest.raises(AlreadyDeclared, match="ancestor of 'derived'"):
        put(family, "source", 0, parent="derived")
    put(family, "late", 6)
    assert put(family, "late", 6, parent="source").parent == "source"
    actions = [entry.action for entry in family_entries(family)]
    assert actions.count("declare") == 2
    family.check()


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("first", [{"parent": "source"}, {"from_scratch": True}], ids=str)
def test_copies_of_other_inputs_cannot_have_another_origin(
    family: Registry, first: dict[str, Any], later: bool
) -> None:
    model = make_model(6, path="/m/net.pt")
    copy = replace(model, input=replace(model.input, mean=(0.5,), std=(0.5,)))
    second = {"parent": "source"} if "from_scratch" in first else {"from_scratch": True}
    family.commit(result_of(family, "one", model, **first))
    if later:
        family.commit(result_of(family, "copy", copy))
    with pytest.raises(AlreadyDeclared, match="'one' is registered already"):
        family.commit(result_of(family, "copy", copy, **second))
    assert family.commit(result_of(family, "copy", copy, **first)).name == "copy"
    family.check()


def test_a_network_without_weights_is_refused(registry: Registry) -> None:
    bare = replace(make_model(0), module=torch.nn.Flatten().eval())
    with pytest.raises(InputRefused, match="expected floating-point weights"):
        registry.plan(bare, name="bare")
    assert registry.models() == []


def family_entries(registry: Registry) -> tuple[Entry, ...]:
    with registry._books() as books:
        return books.entries


def test_a_name_taken_meanwhile_is_refused_and_nothing_is_stored(registry: Registry) -> None:
    result = result_of(registry, "net", make_model(0, path="/m/net.pt"))
    put(registry, "net", 7)
    with pytest.raises(NameTaken):
        registry.commit(result)
    assert [model.model_digest for model in registry.models()] == [make_model(7).digest]
    registry.check()


def test_what_was_removed_meanwhile_is_left_out(family: Registry) -> None:
    task = plan(family, 7)
    again = result_of(family, "also", make_model(2, path="/models/other.safetensors"))
    assert again.task.known == "other"
    family.remove("other")
    with pytest.raises(RegistryError, match="register it again"):
        family.commit(again)
    pairs = [
        {"source": peer.id, "other": None, "ratios": (), "verdict": "independent"}
        for peer in task.ask
    ]
    from registry.registration import Measured

    result = result_of(family, "new", make_model(7, path="/m/new.pt"))
    family.commit(replace(result, pairs=tuple(Measured(**one) for one in pairs)))  # type: ignore[arg-type]
    assert family.missing_pairs() == ()
    family.check()


def test_an_input_is_run_no_more_often_the_more_models_want_it(
    registry: Registry, tmp_path: Path
) -> None:
    most = []
    for seed in range(3):
        model, rows = saved(tmp_path, f"m{seed}", seed), list[torch.Tensor]()
        model.module.register_forward_pre_hook(lambda _, given, rows=rows: rows.append(given[0]))
        registry.register(model, answers_only=True)
        _, counts = torch.unique(torch.cat(rows), dim=0, return_counts=True)
        most.append(int(counts.max()))
    # The first had nobody to be asked about, the others have one and two.
    assert most[1] == most[2]
