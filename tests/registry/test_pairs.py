"""What models do to each other's probes: what is kept, what is missing, and what calibrates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fingerprint.evidence.calibration import PairRatio
from registry import MissingPair, Registry
from registry.pairs import ASKED, _drawn, calibrating, missing, related_warnings, whom_to_ask
from registry.tables import ModelRow
from registry.values import Pair
from tests.registry.conftest import put, ratios
from tests.registry.test_registration import QUICK, saved
from tests.support.fingerprints import make_model


def pair(source: str, other: str, *values: float, verdict: str = "independent") -> Pair:
    return Pair(source=source, other=other, ratios=ratios(*values), verdict=verdict)


def known(registry: Registry, name: str) -> list[tuple[str, float]]:
    return [(one.other, one.harm_ratio) for one in registry.pairs(name)]


def test_a_model_is_asked_the_probes_of_those_before_it(registry: Registry) -> None:
    put(registry, "a", 0)
    put(registry, "b", 1, asked={"a": 0.93})
    put(registry, "c", 2, asked={"a": 0.88, "b": 1.1})
    assert known(registry, "a") == [("c", 0.88), ("b", 0.93)]
    assert known(registry, "b") == [("c", 1.1)]
    assert registry.pairs("c") == ()
    registry.remove("c")
    assert known(registry, "a") == [("b", 0.93)]
    registry.check()


def test_kin_are_no_pair_however_related_they_look(registry: Registry) -> None:
    put(registry, "a", 0)
    put(registry, "b", 1, asked={"a": 0.31}, verdict="derived")
    assert known(registry, "a") == [("b", 0.31)]
    put(registry, "b", 1, parent="a")
    assert registry.pairs("a") == ()


def test_a_pair_without_evidence_is_measured_and_calibrates_nothing(registry: Registry) -> None:
    put(registry, "a", 0)
    put(registry, "b", 1, asked={"a": None})
    assert registry.pairs("a") == ()
    assert registry.missing_pairs() == ()


def test_kin_among_the_models_asked_count_once_with_their_lowest_ratio() -> None:
    pairs = [
        pair("a", "b", 0.9, 0.7),
        pair("a", "tuned b", 0.85, 0.8),
        pair("a", "c", 1.1),
        pair("d", "c", 0.6),
    ]
    found = calibrating(pairs, {"a": 0, "b": 1, "tuned b": 1, "c": 2, "d": 3})
    assert found == {
        "a": (
            PairRatio("harm_ratio", "linear", "logits", 0.7),
            PairRatio("harm_ratio", "network", "logits", 0.85),
            PairRatio("harm_ratio", "network", "logits", 1.1),
        ),
        "d": (PairRatio("harm_ratio", "network", "logits", 0.6),),
    }


def test_undeclared_kin_are_named_and_after_a_few_only_counted() -> None:
    lines = related_warnings(
        pair("source", f"copy {index}", 0.305 + 0.001 * index, verdict="same")
        for index in reversed(range(9))
    )
    assert len(lines) == 6
    assert lines[0].startswith("'source' and 'copy 0' look related (harm ratio 0.3")
    assert lines[0].endswith("or the margin of 'source' stays at 0.3 at most")
    assert lines[5].startswith("4 more pairs look related")
    assert related_warnings([pair("a", "b", 0.1)]) == ()


def rows(count: int) -> list[ModelRow]:
    return [
        ModelRow(
            id=number, name=str(number), domain="d", digest=f"{number:064x}", file_path="/m.pt"
        )
        for number in range(1, count + 1)
    ]


def test_the_draw_is_the_same_whatever_else_is_registered_or_removed() -> None:
    every = rows(500)
    drawn = whom_to_ask(every, "f" * 64, "seed")
    assert len(drawn) == 40
    fewer = [row for row in every if row in drawn or row.id % 2]
    assert whom_to_ask(fewer, "f" * 64, "seed") == drawn
    assert whom_to_ask(every, "f" * 64, "another seed") != drawn
    # A removed one leaves its place to exactly one other.
    after = whom_to_ask([row for row in every if row is not drawn[0]], "f" * 64, "seed")
    assert len(set(after) - set(drawn)) == 1


def test_a_thousand_models_have_forty_pairs_each_and_every_one_is_known_to_be_missing() -> None:
    every = rows(1000)
    family = {row.name: row.id for row in every}
    wanted = missing(every, (), family, "seed")
    assert len(wanted) == sum(min(40, index) for index in range(1000))
    there = {f"{source.id}/{other.id}" for source, other in wanted[:-3]}
    assert missing(every, there, family, "seed") == wanted[-3:]
    every[999].file_path = None
    assert missing(every, there, family, "seed") == []


def test_pairs_that_nobody_measured_are_measured_later(registry: Registry, tmp_path: Path) -> None:
    """Three models are planned before any is committed, as three processes would."""
    from registry import run

    models = [saved(tmp_path, name, seed) for seed, name in enumerate("abc")]
    tasks = [registry.plan(model, **QUICK) for model in models]  # type: ignore[arg-type]
    for task, model in zip(tasks, models, strict=True):
        registry.commit(run(task, model))
    both = [MissingPair(source=s, other=o) for s, o in ("ab", "ac", "bc")]
    assert list(registry.missing_pairs()) == both
    warnings = registry.verify(saved(tmp_path, "suspect", 9)).warnings
    assert [line for line in warnings if "fp registry mend" in line] == [
        "3 pairs of models are not measured yet, so margins rest on fewer; run 'fp registry mend'"
    ]
    refused = registry.mend()
    assert (refused.measured, refused.left) == ((), 3)
    assert [line.split(":")[0] for line in refused.reasons] == ["'b'", "'c'"]
    module = "tests.registry.test_registration"
    assert registry.mend(limit=1, code=[module]).measured == tuple(both[:1])
    # The next registration does the rest, of models of its own kind.
    registry.register(saved(tmp_path, "d", 3), **QUICK)  # type: ignore[arg-type]
    assert registry.missing_pairs() == ()
    assert {other for other, _ in known(registry, "a")} == {"b", "c", "d"}
    assert registry.mend().measured == ()
    assert not [w for w in registry.verify(saved(tmp_path, "x", 9)).warnings if "mend" in w]
    registry.check()


def test_two_who_mend_at_once_write_each_pair_once(registry: Registry, tmp_path: Path) -> None:
    from registry.registration import measure_missing

    for seed, name in enumerate("ab"):
        put(registry, name, seed)
    with registry._catalogue() as catalogue:
        ((source, other),) = catalogue.missing()
        peers = catalogue.peers([source, other])
    measured, reasons = measure_missing([(peers[source.id], peers[other.id])])
    assert (measured, len(reasons)) == ((), 1)
    from registry import changes
    from registry.registration import Measured

    one = Measured(source=source.id, other=other.id, ratios=ratios(0.9), verdict="independent")
    for ratio in (0.9, 0.1):
        again = Measured(**{**vars(one), "ratios": ratios(ratio)})
        with registry._writing() as session:
            changes.add_pairs(session, [again], seed=registry.seed)
    ((neighbour, ratio),) = known(registry, "a")
    assert neighbour == "b"
    assert ratio == pytest.approx(0.9)
    registry.check()
    assert make_model(0).digest == registry.model("a").model_digest


def test_those_drawn_are_the_nearest_and_of_equally_near_the_first() -> None:
    generator = np.random.default_rng(0)
    for count in (ASKED - 1, ASKED, ASKED + 1, 500):
        places = generator.integers(0, 60, count, dtype=np.uint64)
        distances = [int(place) ^ 9 for place in places]
        expected = sorted(sorted(range(count), key=lambda one: (distances[one], one))[:ASKED])
        assert _drawn(places, 9) == expected
