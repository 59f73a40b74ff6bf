"""Who a new model is screened against, what is measured, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingerprint.errors import NoInformation, UsageError
from fingerprint.network.model import Model
from registry import NameTaken, Registry, RegistryCorrupt, UnknownParent
from registry.screenings import Pair
from tests.registry.conftest import put, tamper
from tests.registry.fake_library import FakeLibrary
from tests.support.fingerprints import make_fingerprint, make_model


def timm(seed: int, path: str, **options: object) -> Model:
    """A model that says it can be loaded again."""
    model = make_model(seed, path=path, **options)  # type: ignore[arg-type]
    return replace(model, architecture="timm:net")


def add(registry: Registry, library: FakeLibrary, model: Model, **options: object) -> str:
    assert model.file is not None
    library.files[model.file.path] = model
    return registry.register(model, **options).name  # type: ignore[arg-type]


def last_peers(library: FakeLibrary) -> set[str]:
    return set(library.extracted[-1]["others"])


def test_the_default_name_is_that_of_the_file(registry: Registry, library: FakeLibrary) -> None:
    assert registry.register(timm(0, "/m/net.safetensors")).name == "net"


def test_a_name_that_is_taken_is_refused_before_any_work(
    registry: Registry, library: FakeLibrary
) -> None:
    put(registry, "net")
    with pytest.raises(NameTaken):
        registry.register(timm(1, "/m/net.safetensors"))
    assert library.extracted == []


def test_an_unknown_parent_is_refused_before_any_work(
    registry: Registry, library: FakeLibrary
) -> None:
    put(registry, "net")
    with pytest.raises(UnknownParent, match="did you mean 'net'"):
        registry.register(timm(1, "/m/tuned.pt"), parent="nett")
    assert library.extracted == []


def test_a_module_in_memory_needs_a_name(registry: Registry, library: FakeLibrary) -> None:
    with pytest.raises(UsageError, match="name="):
        registry.register(make_model())
    assert registry.register(make_model(), name="live").name == "live"


def test_the_extraction_gets_the_registrys_seed_and_the_callers_settings(
    registry: Registry, library: FakeLibrary
) -> None:
    images = np.zeros((2, 3, 4, 4), dtype=np.uint8)
    registry.register(timm(0, "/m/a.pt"), images=images, probes=12, start="uniform", decoys=1)
    (options,) = library.extracted
    assert options["seed"] == registry.seed
    assert options["images"] is images
    assert (options["probes"], options["start"], options["decoys"]) == (12, "uniform", 1)


def test_strangers_of_the_same_inputs_are_peers(registry: Registry, library: FakeLibrary) -> None:
    add(registry, library, timm(0, "/m/a.pt"))
    add(registry, library, timm(1, "/m/b.pt"))
    add(registry, library, timm(2, "/m/wide.pt", shape=(3, 5, 5)))
    add(registry, library, timm(3, "/m/c.pt"))
    assert last_peers(library) == {"a", "b"}
    assert registry.model("c").screened_against == ("a", "b")


def test_kin_are_not_peers_however_far(registry: Registry, library: FakeLibrary) -> None:
    add(registry, library, timm(0, "/m/root.pt"))
    add(registry, library, timm(1, "/m/child.pt"), parent="root")
    add(registry, library, timm(2, "/m/sibling.pt"), parent="root")
    add(registry, library, timm(3, "/m/stranger.pt"))
    add(registry, library, timm(4, "/m/grandchild.pt"), parent="child")
    assert last_peers(library) == {"stranger"}


def test_identical_weights_are_kin_and_warned_of(registry: Registry, library: FakeLibrary) -> None:
    add(registry, library, timm(0, "/m/a.pt"))
    add(registry, library, timm(1, "/m/tuned.pt"), parent="a")
    add(registry, library, timm(0, "/m/copy.pt"))
    assert last_peers(library) == set()
    assert any("identical weights to 'a'" in line for line in registry.model("copy").warnings)


def test_peers_are_loaded_as_they_were(registry: Registry, library: FakeLibrary) -> None:
    add(registry, library, timm(0, "/m/a.pt"))
    add(registry, library, timm(1, "/m/b.pt"))
    ((path, options),) = library.loaded
    assert path == "/m/a.pt"
    assert options == {
        "arch": "timm:net",
        "input_size": [3, 4, 4],
        "mean": [],
        "std": [],
        "bounds": None,
        "output": None,
        "device": "cpu",
    }
    assert library.extracted[-1]["others"]["a"] is library.files["/m/a.pt"]


def test_a_peer_whose_file_is_gone_is_screened_by_its_linear_part(
    registry: Registry, library: FakeLibrary
) -> None:
    library.linear_part = {"weight": np.eye(3, dtype=np.float32)}
    registry.register(timm(0, "/m/a.pt"))
    stored = registry.register(timm(1, "/m/b.pt"))
    assert library.extracted[-1]["others"] == {}
    np.testing.assert_array_equal(library.extracted[-1]["other_linear"]["a"]["weight"], np.eye(3))
    (warning,) = stored.warnings
    assert "'a' by its linear part only" in warning
    assert "/m/a.pt" in warning


def test_a_peer_with_neither_file_nor_linear_part_is_warned_of(
    registry: Registry, library: FakeLibrary
) -> None:
    registry.register(make_model(0), name="live")
    (warning,) = registry.register(timm(1, "/m/b.pt")).warnings
    assert "'live' not at all: it was registered from memory" in warning


def test_a_peer_whose_file_has_changed_is_not_used(
    registry: Registry, library: FakeLibrary
) -> None:
    add(registry, library, timm(0, "/m/a.pt"))
    library.files["/m/a.pt"] = timm(9, "/m/a.pt")
    stored = registry.register(timm(1, "/m/b.pt"))
    assert library.extracted[-1]["others"] == {}
    assert any("has changed since" in line for line in stored.warnings)


def test_code_named_by_the_registry_is_not_run_unasked(
    registry: Registry, library: FakeLibrary
) -> None:
    own = replace(make_model(0, path="/m/a.pt"), architecture="os:abort")
    add(registry, library, own)
    stored = registry.register(timm(1, "/m/b.pt"))
    assert library.loaded == []
    assert any("not run unasked" in line for line in stored.warnings)


def test_code_the_caller_has_just_named_is_run(registry: Registry, library: FakeLibrary) -> None:
    for seed, name in enumerate("ab"):
        model = replace(make_model(seed, path=f"/m/{name}.pt"), architecture="nets.small:build")
        add(registry, library, model)
    assert last_peers(library) == {"a"}


def test_both_directions_are_measured_and_only_the_unscreened_calibrates(
    registry: Registry, library: FakeLibrary
) -> None:
    first = timm(0, "/m/a.pt")
    add(registry, library, first)
    library.ratios = {"a": 0.93, "b": 1.2}
    add(registry, library, timm(1, "/m/b.pt"))
    asked = [(suspect.digest, set(candidates)) for suspect, candidates, _ in library.verified]
    # The new model answers its peers' probes; the peer answers the new ones.
    assert asked == [(make_model(1).digest, {"a"}), (first.digest, {"b"})]
    assert registry.pair_ratios(first.input.domain) == {"a": pytest.approx([0.93])}
    assert registry.pair_ratios("another domain") == {}


def test_pairs_that_turn_out_to_be_related_calibrate_all_the_same_and_are_warned_of(
    registry: Registry, library: FakeLibrary
) -> None:
    add(registry, library, timm(0, "/m/a.pt"))
    library.ratios = {"a": 0.31}
    add(registry, library, timm(1, "/m/b.pt"))
    (pair,) = registry.pairs(make_model().input.domain)
    assert replace(pair, harm_ratio=0.31) == Pair(
        source="a", other="b", harm_ratio=0.31, verdict="derived"
    )
    assert registry.pair_ratios(make_model().input.domain) == {"a": pytest.approx([0.31])}
    assert registry.model("b").warnings == (
        "'a' and 'b' look related (harm ratio 0.31): declare kinship with --parent, "
        "or the margin of 'a' stays at 0.31 at most",
    )


def test_a_pair_is_recorded_with_its_lowest_kind_of_probe_whichever_decided(
    registry: Registry, library: FakeLibrary
) -> None:
    add(registry, library, timm(0, "/m/a.pt"))
    library.ratios, library.linear_ratios = {"a": 0.93}, {"a": 0.78}
    add(registry, library, timm(1, "/m/b.pt"))
    library.linear_ratios = {"a": 1.2}
    add(registry, library, timm(2, "/m/c.pt"))
    assert registry.pair_ratios(make_model().input.domain)["a"] == pytest.approx([0.78, 0.93])


def test_declared_kin_are_no_pair_however_related_they_look(
    registry: Registry, library: FakeLibrary
) -> None:
    add(registry, library, timm(0, "/m/a.pt"))
    library.ratios = {"a": 0.31}
    add(registry, library, timm(1, "/m/b.pt"), parent="a")
    assert registry.pairs(make_model().input.domain) == ()
    assert registry.model("b").warnings == ()


def test_pairs_come_smallest_first(registry: Registry, library: FakeLibrary) -> None:
    library.ratios = {"a": 0.93, "b": 0.88}
    for seed, name in enumerate("abc"):
        add(registry, library, timm(seed, f"/m/{name}.pt"))
    pairs = registry.pairs(make_model().input.domain)
    assert [(pair.source, pair.other) for pair in pairs] == [("b", "c"), ("a", "b"), ("a", "c")]
    ratios = registry.pair_ratios(make_model().input.domain)
    assert ratios == {"a": pytest.approx([0.93, 0.93]), "b": pytest.approx([0.88])}


def test_kin_among_the_models_asked_count_once_with_their_lowest_ratio(
    registry: Registry, library: FakeLibrary
) -> None:
    add(registry, library, timm(0, "/m/a.pt"))
    for seed, (name, parent, ratio) in enumerate(
        [("b", None, 0.9), ("tuned", "b", 0.85), ("tuned again", "tuned", 0.95), ("c", None, 1.1)]
    ):
        library.ratios = {"a": ratio}
        add(registry, library, timm(seed + 1, f"/m/{name}.pt"), parent=parent)
    domain = make_model().input.domain
    assert registry.pair_ratios(domain)["a"] == pytest.approx([0.85, 1.1])
    assert len([pair for pair in registry.pairs(domain) if pair.source == "a"]) == 4


def test_pairs_without_evidence_do_not_calibrate(registry: Registry, library: FakeLibrary) -> None:
    add(registry, library, timm(0, "/m/a.pt"))
    library.ratios = {"a": None}
    add(registry, library, timm(1, "/m/b.pt"))
    assert registry.pair_ratios(make_model().input.domain) == {}


def test_a_removed_model_calibrates_no_more(registry: Registry, library: FakeLibrary) -> None:
    for seed, name in enumerate("abc"):
        add(registry, library, timm(seed, f"/m/{name}.pt"))
    domain = make_model().input.domain
    assert registry.pair_ratios(domain) == {"a": [1.0, 1.0], "b": [1.0]}
    registry.remove("b")
    assert registry.pair_ratios(domain) == {"a": [1.0]}


def test_pairs_that_became_kin_calibrate_no_more(registry: Registry, library: FakeLibrary) -> None:
    add(registry, library, timm(0, "/m/a.pt"))
    add(registry, library, timm(1, "/m/b.pt"))
    assert registry.pair_ratios(make_model().input.domain) == {"a": [1.0]}
    add(registry, library, timm(0, "/m/copy of a.pt"), parent="b")
    assert registry.pair_ratios(make_model().input.domain) == {}


def test_a_failing_extraction_leaves_the_registry_unchanged(
    registry: Registry, library: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(registry, "a")
    before = registry.models()

    def fail(*_: object, **__: object) -> None:
        raise NoInformation("dead network")

    monkeypatch.setattr("fingerprint.extract", fail)
    with pytest.raises(NoInformation):
        registry.register(timm(1, "/m/b.pt"))
    assert registry.models() == before
    registry.check()


def test_a_name_taken_while_extracting_is_refused_and_nothing_is_stored(
    registry: Registry, library: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(model: Model, **options: str) -> object:
        put(registry, "b", 7)
        return make_fingerprint(model, seed=options["seed"])

    monkeypatch.setattr("fingerprint.extract", slow)
    with pytest.raises(NameTaken):
        registry.register(timm(1, "/m/b.pt"))
    assert [model.model_digest for model in registry.models()] == [make_model(7).digest]
    registry.check()


def test_damaged_probes_of_a_peer_stop_the_registration(
    registry: Registry, library: FakeLibrary
) -> None:
    put(registry, "a")
    tamper(registry.path, "UPDATE probe_sets SET blob = x'00'")
    with pytest.raises(RegistryCorrupt, match="probe_sets 1"):
        registry.register(timm(1, "/m/b.pt"))
    assert len(registry.models()) == 1


def test_progress_is_told(registry: Registry, library: FakeLibrary) -> None:
    put(registry, "a")
    stages: list[str] = []
    registry.register(timm(1, "/m/b.pt"), progress=lambda stage, done, total: stages.append(stage))
    assert "loading registered models" in stages
