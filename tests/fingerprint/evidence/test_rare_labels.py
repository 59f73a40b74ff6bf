"""Rare labels: which pictures are chosen, who calibrates them, and when nothing can be said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fingerprint.answers import Answers
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.rare_labels import Least, Pictures, RareLabels, labels_of, rarest
from fingerprint.kinship import Kinship
from fingerprint.network.spec import OutputSpec

N, CLASSES, ASKED = 400, 10, 20
TEN = OutputSpec(classes=CLASSES)
EIGHT = tuple(f"r{place}" for place in range(8))


def confused(seed: int, share: float = 0.3) -> np.ndarray[Any, Any]:
    """What a network that is mostly right calls the pictures; its mistakes are its own."""
    generator = np.random.default_rng(seed)
    truth = np.arange(N) % CLASSES
    return np.where(generator.random(N) < share, generator.integers(CLASSES, size=N), truth)


def pictures(**changes: Any) -> Pictures:
    names = ("ours", *EIGHT)
    made = Pictures(
        inputs=np.random.default_rng(0).integers(0, 256, (N, 1, 4, 4), np.uint8),
        labels={name: confused(seed) for seed, name in enumerate(names)},
        outputs=dict.fromkeys(names, TEN),
        count=ASKED,
    )
    return replace(made, **changes)


def answers(given: Pictures, labels: np.ndarray[Any, Any], classes: int = CLASSES) -> Answers:
    rows = np.where(labels[:, None] >= 0, np.eye(classes)[labels], np.nan).astype(np.float32)
    return Answers(
        output=OutputSpec(classes=classes),
        values={one: row for one, row in zip(given.ids, rows, strict=True) if row[0] == row[0]},
    )


def measured(given: Pictures, labels: np.ndarray[Any, Any], **declared: Any) -> Finding:
    return RareLabels(given, Kinship(**declared)).measure("ours", answers(given, labels))


def test_a_copy_is_found_and_a_stranger_is_not() -> None:
    given = pictures()
    copy, stranger = measured(given, confused(0)), measured(given, confused(99))
    assert (copy.statistic, copy.used) == (1.0, ASKED)
    assert copy.detail["shares"]
    assert copy.p_value == copy.least_p == pytest.approx(1 / 9)
    assert not stranger.detail["shares"]
    assert stranger.p_value is not None
    assert stranger.p_value > 0.2
    assert (copy.decides, stranger.decides) == ("nothing", "nothing")


def test_the_rarest_are_those_that_fewest_references_give_and_kin_give_as_one() -> None:
    own = np.array([0, 1, 2, 3])
    first = np.array([[0, 1, 9, 9], [0, 9, 9, 3]])  # two models of one family
    second = np.array([[0, 9, 9, 9]])
    places, given = rarest(own, [first, second], np.arange(4), 3)
    assert places.tolist() == [2, 1, 3]
    assert given.tolist() == [0, 1, 1]


def test_whoever_chose_the_pictures_does_not_calibrate_them() -> None:
    """A reference that agrees with the source wherever nobody else does has the highest count."""
    given = pictures()
    twin = {**given.labels, "r0": given.labels["ours"]}
    rare = RareLabels(replace(given, labels=twin), Kinship())
    choice = rare.choice("ours")
    assert choice.agreed["r0",] == (ASKED, ASKED)
    assert (choice.given >= 1).all(), "it has a say in what the suspect is asked"
    without = {name: labels for name, labels in twin.items() if name != "r0"}
    least = Least(references=7)
    seven = RareLabels(replace(given, labels=without), Kinship(), least).choice("ours")
    assert seven.given.max() == 0, "and none where it is itself asked"
    assert choice.agreed["r1",][0] < ASKED / 2
    found = rare.measure("ours", answers(given, given.labels["ours"]))
    assert not found.detail["shares"], "as much as a reference, left out, agrees"
    assert found.p_value == 1.0


def test_kin_of_a_reference_are_left_out_with_it() -> None:
    """Else a reference would be asked pictures that its own fine-tune chose."""
    given = pictures()
    tuned = {**given.labels, "tuned": given.labels["r0"]}
    outputs = {**given.outputs, "tuned": TEN}
    more = replace(given, labels=tuned, outputs=outputs)
    alone = RareLabels(given, Kinship()).choice("ours")
    declared = RareLabels(more, Kinship(parents={"tuned": "r0"})).choice("ours")
    undeclared = RareLabels(more, Kinship()).choice("ours")
    assert declared.agreed["r0", "tuned"] == alone.agreed["r0",]
    assert len(declared.agreed) == 8
    assert undeclared.agreed["r0",][0] < alone.agreed["r0",][0]


def test_kin_of_the_source_are_no_references() -> None:
    given = pictures()
    child = {**given.labels, "r0": given.labels["ours"]}
    found = measured(replace(given, labels=child), confused(0), parents={"r0": "ours"})
    assert found.missing == (
        "expected at least 8 references that name the same classes and are no kin, got 7"
    )


def test_the_p_value_is_the_larger_of_two_exact_ones() -> None:
    given = pictures()
    choice = RareLabels(given, Kinship()).choice("ours")
    hits, asked = max(choice.agreed.values())
    labels = (given.labels["ours"] + 1) % CLASSES
    same = hits + 1
    labels[choice.places[:same]] = given.labels["ours"][choice.places[:same]]
    found = measured(given, labels)
    fisher = stats.fisher_exact(
        [[same, ASKED - same], [hits, asked - hits]], alternative="greater"
    ).pvalue
    assert found.detail["p_rank"] == pytest.approx(1 / 9)
    assert found.detail["p_count"] == pytest.approx(fisher)
    assert found.p_value == max(found.detail["p_rank"], found.detail["p_count"])
    assert found.margin is not None
    assert (found.margin.value, found.margin.pairs) == (hits / asked, 8)
    assert found.margin.source == "references"
    assert found.margin.floor == pytest.approx(1 / 9)
    assert found.to_dict()["bound"] is None


def test_under_the_null_no_more_are_above_all_references_than_k_allow() -> None:
    """Strangers drawn like the references: 400 pairs of a source and a suspect."""
    above = 0
    for seed in range(40):
        names = ("ours", *EIGHT)
        labels = {name: confused(100 * seed + place) for place, name in enumerate(names)}
        given = pictures(labels=labels)
        rare = RareLabels(given, Kinship())
        places = rare.choice("ours").places
        told = [confused(100 * seed + 50 + place)[places] for place in range(10)]
        ranks = [rare.told("ours", one, CLASSES).detail["p_rank"] for one in told]
        above += sum(rank <= 1 / 9 + 1e-9 for rank in ranks)
    assert above <= stats.binom.ppf(0.999, 400, 1 / 9)


def test_answers_that_are_missing_are_not_counted_and_too_many_say_nothing() -> None:
    given = pictures()
    places = RareLabels(given, Kinship()).choice("ours").places
    labels = confused(0)
    labels[places[:5]] = -1
    found = measured(given, labels)
    assert (found.used, found.statistic) == (ASKED - 5, 1.0)
    labels[places[:6]] = -1
    assert measured(given, labels).missing == f"6 of {ASKED} pictures were not answered"
    assert measured(given, np.full(N, -1)).statistic is None


def test_rows_of_nan_name_nothing() -> None:
    rows = np.array([[0.1, 0.9], [np.nan, 0.9], [np.nan, np.nan], [np.inf, 0.0]], np.float32)
    assert labels_of(rows, OutputSpec(classes=2)).tolist() == [1, -1, -1, -1]
    top = np.array([[0.0, 0.4], [0.0, 0.0]], np.float32)
    assert labels_of(top, OutputSpec(classes=2, kind="top-k")).tolist() == [1, -1]


def test_a_source_or_a_reference_that_answers_nan_is_neither_asked_nor_counted_there() -> None:
    given = pictures()
    own, other = given.labels["ours"].copy(), given.labels["r0"].copy()
    own[:100] = other[100:200] = -1
    found = RareLabels(replace(given, labels={**given.labels, "ours": own, "r0": other}), Kinship())
    choice = found.choice("ours")
    assert choice.places.min() >= 100
    assert choice.agreed["r0",][1] <= ASKED


def test_equal_pictures_count_once() -> None:
    given = pictures()
    inputs = given.inputs.copy()
    inputs[200:] = inputs[:200]
    places = RareLabels(replace(given, inputs=inputs), Kinship()).choice("ours").places
    assert len(places) == ASKED
    assert len({inputs[place].tobytes() for place in places}) == ASKED
    inputs[100:] = inputs[0]
    found = measured(replace(given, inputs=inputs), confused(0))
    assert found.missing == "expected at least 200 different pictures, got 100"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"labels": {"ours": confused(0)}}, "references that name the same classes"),
        ({"labels": {}, "absent": {"ours": "its file is gone"}}, "its file is gone"),
        ({"labels": {}}, "not known what it calls"),
        ({"count": 41}, "at least 410 different pictures"),
    ],
)
def test_too_little_to_go_by_is_said_and_nothing_is_asked(
    changes: dict[str, Any], reason: str
) -> None:
    given = pictures(**changes)
    rare = RareLabels(given, Kinship())
    assert rare.wanted(["ours"], CLASSES) == {}
    found = rare.measure("ours", answers(given, confused(0)))
    assert reason in found.missing
    assert (found.statistic, found.p_value, found.used) == (None, None, 0)


def test_pictures_that_everybody_was_trained_on_say_nothing_of_a_copy_either() -> None:
    """All are right on all but a few pictures: what is left to choose is no rare mistake."""
    seen = {name: confused(seed, share=0.02) for seed, name in enumerate(("ours", *EIGHT))}
    given = pictures(labels=seen)
    rare = RareLabels(given, Kinship())
    assert "trained on are no use" in measured(given, seen["ours"]).missing
    assert rare.wanted(["ours"], CLASSES) == {}, "and nothing is asked"
    half = np.where(np.arange(N) < 200, seen["ours"], confused(0))
    mixed = {**seen, "ours": half}
    assert measured(pictures(labels=mixed), half).detail["shares"], "among others they do no harm"


def test_other_classes_are_another_language() -> None:
    given = pictures()
    single = dict.fromkeys(given.outputs, OutputSpec(classes=1))
    nothing = dict.fromkeys(given.labels, np.zeros(N, np.int64))
    assert "expected at least 10 classes, got 1" in (
        measured(replace(given, outputs=single, labels=nothing), nothing["ours"]).missing
    )
    rare = RareLabels(given, Kinship())
    found = rare.measure("ours", answers(given, np.zeros(N, np.int64), classes=4))
    assert found.missing == "the suspect names 4 classes, the model 10"
    assert rare.wanted(["ours"], 4) == {}
    assert len(rare.wanted(["ours"], CLASSES)["ours"]) == ASKED
    turned = {**given.labels, "r0": (given.labels["r0"] + 1) % CLASSES}
    assert "got 7" in measured(replace(given, labels=turned), confused(0)).missing


def test_everything_it_rests_on_is_in_its_detail() -> None:
    given = pictures(absent={"gone": "its file is gone"})
    found = measured(given, confused(0))
    again = Finding.from_dict(found.to_dict())
    assert again.to_dict() == found.to_dict()
    detail = found.detail
    assert detail["chosen"] == RareLabels(given, Kinship()).choice("ours").places.tolist()
    assert [one["models"] for one in detail["references"]] == [[name] for name in EIGHT]
    assert (detail["agreed"], detail["pictures"]) == (ASKED, N)
    assert detail["absent"] == {"gone": "its file is gone"}
    other = given.inputs.copy()
    other[detail["chosen"][0]] ^= 1
    changed = measured(replace(given, inputs=other), confused(0)).detail
    assert changed["pictures_sha256"] != detail["pictures_sha256"]
