"""Findings of depths, on answers that were laid down: a δ and its turns, and nothing in between."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fingerprint.answers import Answers, Identity
from fingerprint.evidence.calibration import EARLY, MARGINS, Calibration, Margin, PairRatio
from fingerprint.evidence.depths import depth_findings, measured_orbits
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.harm_ratio import HarmRatio
from fingerprint.evidence.orbits import labels_test, least_joint, over_separate_depths, swap_test
from fingerprint.network.spec import AnswerKind, OutputSpec
from fingerprint.probes.probe import DepthFacts, Fingerprint
from fingerprint.questions import question_id
from tests.support.fingerprints import make_deep, make_model

CLASSES, BASES, TURNS = 6, 8, 3
PROBES = 2 * BASES
DEEP = make_deep(make_model(classes=CLASSES), bases=BASES, panel=0)
HARMLESS, CONTROLS = DEEP.harmless, DEEP.controls.reshape(PROBES, TURNS, *DEEP.input.shape)
BOTH = make_deep(make_model(classes=CLASSES), bases=BASES, panel=0, turns=(0, 1, 4, 5))
OF_BOTH = BOTH.controls.reshape(PROBES, 4, *BOTH.input.shape)
ORIGIN = np.random.default_rng(1).normal(size=(BASES, CLASSES)) * np.pi
Sizes = NDArray[np.float64]


def answers(
    sizes: Sizes, kind: AnswerKind = "logits", *, form: Callable[[Any], Any] = np.asarray
) -> Answers:
    """Answers that each member of an orbit, the probe first, moves by a size of its own."""
    rows = {question_id(base): ORIGIN[place] for place, base in enumerate(DEEP.bases)}
    for place, probe in enumerate(DEEP.probes):
        members = [HARMLESS[place], *CONTROLS[place]]
        for member, size in zip(members, sizes[place], strict=True):
            moved = ORIGIN[probe.base].copy()
            moved[0] += size
            rows[question_id(member)] = moved
    return Answers(
        output=OutputSpec(classes=CLASSES, kind=kind),
        values={asked: np.asarray(form(row), np.float32) for asked, row in rows.items()},
        identity=Identity(),
    )


def ratio_of(early: float, late: float, *, spread: float = 0.1, seed: int = 0) -> Sizes:
    """Sizes of a suspect that the probes of each depth move so much as their turns."""
    sizes: Sizes = np.exp(spread * np.random.default_rng(seed).normal(size=(PROBES, TURNS + 1)))
    sizes[:BASES, 0] *= early
    sizes[BASES:, 0] *= late
    return sizes


def measured(given: Answers, fingerprint: Fingerprint = DEEP) -> tuple[Finding, ...]:
    return depth_findings("ours", fingerprint, given, Calibration())


def test_each_depth_has_a_finding_of_its_own_in_the_order_of_the_network() -> None:
    early, late = measured(answers(ratio_of(0.1, 1.0)))
    assert (early.depth, late.depth) == ("stage1", "individual features")
    assert (early.speaks_for, late.speaks_for) == ("family", "individual")
    assert early.used == late.used == BASES
    assert early.statistic == pytest.approx(0.1, rel=0.2)
    assert late.statistic == pytest.approx(1.0, rel=0.2)
    assert early.p_value is not None
    assert late.p_value is not None
    assert early.p_value < 1e-3 < late.p_value
    assert len(early.detail["per_probe"]) == BASES
    assert [row["base"] for row in early.detail["per_probe"]] == [*range(BASES)]
    again = HarmRatio().measure("ours", DEEP, answers(ratio_of(0.1, 1.0)), Calibration())
    assert [one.to_dict() for one in again] == [early.to_dict(), late.to_dict()]


def test_the_statistic_is_the_geometric_mean_over_the_turns() -> None:
    sizes = ratio_of(0.3, 0.8, spread=0.5)
    logs = np.log(sizes)
    wanted = np.exp((logs[:, 0] - logs[:, 1:].mean(axis=1)).reshape(2, BASES).mean(axis=1))
    found = measured(answers(sizes))
    assert [one.statistic for one in found] == pytest.approx(wanted, rel=1e-4)
    orbits = measured_orbits(DEEP, answers(sizes))
    # Harm is in units of distance; ratios and the differences of logarithms have none.
    np.testing.assert_allclose(
        orbits.logs - orbits.logs[:, :1], logs - logs[:, :1], rtol=0, atol=1e-4
    )


def test_both_depths_are_corrected_together_by_one_exact_law() -> None:
    sizes = ratio_of(0.3, 0.4, spread=0.5)
    found = measured(answers(sizes))
    logs = measured_orbits(DEEP, answers(sizes)).logs.reshape(2, BASES, TURNS + 1)
    tests = [
        swap_test(part, one.margin.tested)
        for part, one in zip(logs, found, strict=True)
        if one.margin is not None
    ]
    for one, test in zip(found, tests, strict=True):
        reached = [other.at_most(test.z) for other in tests]
        assert one.p_value == pytest.approx(test.p_value)
        assert one.joint_p == pytest.approx(1 - math.prod(1 - p for p in reached))
        assert one.joint_p is not None
        assert one.p_value is not None
        assert one.joint_p >= one.p_value
    assert {one.least_p for one in found} == {least_joint([(BASES, TURNS)] * 2)}


def test_nothing_beats_the_least_p_value_and_a_silent_probe_comes_near_it() -> None:
    found = measured(answers(ratio_of(1e-9, 1.0)))
    assert found[0].joint_p is not None
    assert found[0].least_p is not None
    assert found[0].p_value == pytest.approx((TURNS + 1.0) ** -BASES)
    assert found[0].least_p / 3 <= found[0].joint_p <= found[0].least_p * 1.001


def margins_of(**told: float) -> tuple[Margin, Margin]:
    """Margins of the early and of the individual probes of a fingerprint that says so much."""
    made = replace(DEEP, parameters={**DEEP.parameters, **told})
    early, late = (one.margin for one in measured(answers(ratio_of(0.1, 0.1)), made))
    assert early is not None
    assert late is not None
    return early, late


def test_depths_have_margins_and_bounds_of_their_own() -> None:
    early, late = margins_of()
    assert (early.value, early.bound) == (0.4, 0.5)
    assert (late.value, late.source, late.bound) == (0.2, "copies", math.inf)


@pytest.mark.parametrize(
    ("copy", "value", "source"),
    [(0.1, 0.15, "copies"), (0.3, 0.35, "default"), (1, 0.35, "default")],
)
def test_what_a_pruned_copy_reaches_lowers_the_margin_of_individual_probes_alone(
    copy: float, value: float, source: str
) -> None:
    early, late = margins_of(rough_copy=copy)
    assert (early.value, early.source) == (0.4, "default")
    assert (late.value, late.source) == (pytest.approx(value), source)


@pytest.mark.parametrize(
    ("near", "value", "source"),
    [(1.2, 0.35, "default"), (0.8, 0.28, "relatives"), (0.2, 0.07, "relatives")],
)
def test_individual_probes_that_hardly_move_relatives_have_a_lower_margin(
    near: float, value: float, source: str
) -> None:
    early, late = margins_of(rough_copy=1, near_relatives=near)
    assert (early.value, early.source) == (0.4, "default")
    assert (late.value, late.source) == (pytest.approx(value), source)
    assert late.usable == (near > 0.2)


@pytest.mark.parametrize(("early", "bound"), [(True, math.inf), (False, 0.7)])
def test_late_probes_speak_of_independence_only_where_no_early_ones_can(
    early: bool, bound: float
) -> None:
    late = DepthFacts(name="features", width=6, share=0.9, speaks_for="family", contrast=0.1)
    first = replace(DEEP.depths[0], share=EARLY if early else 0.51)
    both = make_deep(make_model(classes=CLASSES), depths=(first, late), panel=0)
    margin = Calibration().margin(
        "ours", both, test="harm_ratio", depth="features", answer_kind="logits"
    )
    assert (margin.value, margin.bound) == (0.5, bound)


@pytest.mark.parametrize(
    ("kind", "on_grid", "both_kinds", "one_kind"),
    [("logits", 0.5, 0.4, 0.3), ("top-k", 0.45, 0.35, 0.25), ("labels", 0.45, 0.35, 0.25)],
)
def test_early_margins_of_large_inputs_are_lower_the_nearer_strangers_come_to_such_controls(
    kind: AnswerKind, on_grid: float, both_kinds: float, one_kind: float
) -> None:
    """Highest beside turns on the grid, lowest beside turns that exchange the axes alone."""
    wide = replace(BOTH, input=replace(BOTH.input, shape=(3, 224, 224)))
    for made, early in (
        (DEEP, 0.4),
        (BOTH, 0.4),
        (replace(wide, turns=(7, 8, 9, 10)), on_grid),
        (wide, both_kinds),
        (replace(wide, turns=(0, 1, 2)), one_kind),
    ):
        values = [
            Calibration().margin("ours", made, test="harm_ratio", depth=one.name, answer_kind=kind)
            for one in made.depths
        ]
        assert values[0].value == early
        assert values[0].bound >= 0.5
    assert values[1].value == MARGINS["individual"][kind]


def test_probes_that_move_their_own_source_far_say_less_of_independence_or_nothing() -> None:
    def bound(own: float) -> float:
        probes = tuple(replace(probe, harm_ratio=own) for probe in DEEP.probes)
        early = measured(answers(ratio_of(0.1, 0.1)), replace(DEEP, probes=probes))[0].margin
        assert early is not None
        assert early.value == 0.4, "a claim needs what it needs"
        return early.bound

    assert (bound(0.1), bound(0.33), bound(math.nan)) == (0.5, 0.5, 0.5)
    assert bound(0.38) == pytest.approx(0.57)
    assert bound(0.45) == math.inf


def test_known_strangers_lower_the_margin_of_their_depth_alone() -> None:
    known = Calibration(ratios={"ours": [PairRatio("harm_ratio", "stage1", "logits", 0.3)]})
    early, late = (
        one.margin for one in depth_findings("ours", DEEP, answers(ratio_of(0.1, 0.1)), known)
    )
    assert early is not None
    assert late is not None
    assert (early.value, early.source, early.bound) == (0.3, "registry", 0.5)
    assert (late.value, late.source) == (0.2, "copies"), "no pruned copy was measured"


def test_strangers_at_the_margin_are_not_claimed_more_often_than_alpha() -> None:
    """Their orbits are exchangeable once the probe is shifted; over both depths together."""
    p_values = []
    for seed in range(300):
        given = answers(ratio_of(0.4, 0.4, spread=0.6, seed=seed))
        p_values.append(min(one.joint_p or 1.0 for one in measured(given)))
    for alpha in (0.2, 0.05, 0.01):
        rejected = sum(p <= alpha for p in p_values)
        assert rejected <= stats.binom.ppf(1 - 1e-4, len(p_values), alpha)


# Answers that say less, or nothing.


def test_a_depth_without_answers_is_missing_and_the_other_is_tested_alone() -> None:
    given = answers(ratio_of(0.1, 0.1))
    gone = {question_id(one) for one in HARMLESS[BASES:]}
    values = {asked: row for asked, row in given.values.items() if asked not in gone}
    early, late = measured(replace(given, values=values))
    assert late.missing == "the answers are missing or not finite"
    assert (late.statistic, late.p_value, late.joint_p, late.used) == (None, None, None, 0)
    assert (late.detail["answered"], late.detail["probes"]) == (0, BASES)
    assert early.joint_p == pytest.approx(early.p_value)
    assert early.least_p == pytest.approx((TURNS + 1.0) ** -BASES)


def test_an_orbit_counts_only_if_all_of_it_was_answered() -> None:
    given = answers(ratio_of(0.1, 0.1))
    values = {**given.values}
    del values[question_id(CONTROLS[2, 1])]
    early, _ = measured(replace(given, values=values))
    assert early.used == early.detail["answered"] == BASES - 1
    assert [row["used"] for row in early.detail["per_probe"]] == [
        place != 2 for place in range(BASES)
    ]
    assert early.detail["per_probe"][2]["harm_ratio"] is None


@pytest.mark.parametrize("kind", ["logits", "labels"])
@pytest.mark.parametrize("apart", [True, False])
def test_whoever_leaves_out_turns_of_one_kind_is_not_judged_by_the_others(
    kind: AnswerKind, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if apart:
        monkeypatch.setattr("fingerprint.probes.turns._LARGE", BOTH.input.size - 1)
    sizes = np.tile([1.0, 10.0, 10.0, 1.0, 1.0], (PROBES, 1))
    given = moved_by(sizes, kind)
    gone = {question_id(one) for one in OF_BOTH[:, 2:].reshape(-1, *BOTH.input.shape)}
    values = {asked: row for asked, row in given.values.items() if asked not in gone}
    for one in measured(replace(given, values=values), BOTH):
        assert one.missing == "the answers are missing or not finite"
        assert (one.p_value, one.used, one.detail["answered"]) == (None, 0, 0)


def moved_by(sizes: Sizes, kind: AnswerKind = "logits") -> Answers:
    """Answers to probes with turns of both kinds, each moved by a size of its own."""
    rows = {question_id(base): ORIGIN[place] for place, base in enumerate(BOTH.bases)}
    for place, probe in enumerate(BOTH.probes):
        for member, size in zip([BOTH.harmless[place], *OF_BOTH[place]], sizes[place], strict=True):
            rows[question_id(member)] = ORIGIN[probe.base] + size * np.eye(CLASSES)[0]
    values = {asked: np.asarray(row, np.float32) for asked, row in rows.items()}
    output = OutputSpec(classes=CLASSES, kind=kind)
    return Answers(output=output, values=values, identity=Identity())


def beside_both(exchanging: float, keeping: float) -> tuple[Finding, ...]:
    """Findings of a suspect with one ratio to the turns of each kind, the same at both depths."""
    spread = np.exp(0.1 * np.random.default_rng(3).normal(size=(PROBES, 5)))
    sizes = spread * [1.0, *[1 / exchanging] * 2, *[1 / keeping] * 2]
    return measured(moved_by(sizes), BOTH)


def test_a_finding_on_large_inputs_says_what_holds_against_both_kinds_of_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is moved less than by turns of one kind alone is not claimed."""
    monkeypatch.setattr("fingerprint.probes.turns._LARGE", BOTH.input.size - 1)
    one, other = beside_both(0.1, 0.9)[0], beside_both(0.9, 0.1)[0]
    for found in (one, other):
        assert found.statistic == pytest.approx(0.9, rel=0.1)
        assert found.interval is not None
        assert found.interval == pytest.approx((0.1, 0.9), rel=0.2)
        assert found.p_value is not None
        assert found.joint_p is not None
        assert min(found.p_value, found.joint_p) > 0.9
        assert found.least_p == pytest.approx(least_joint([(BASES, 2)] * 2))
    early, late = beside_both(0.25, 0.3)
    assert early.p_value is not None
    assert late.p_value is not None
    # The group that the null hypothesis holds for may be another at each depth.
    joint = over_separate_depths([early.p_value, late.p_value])
    assert [early.joint_p, late.joint_p] == pytest.approx(joint)
    both = beside_both(0.1, 0.2)[0]
    assert both.statistic == pytest.approx(0.2, rel=0.1)
    assert both.p_value == pytest.approx(3.0**-BASES)


def test_a_finding_on_small_inputs_takes_all_turns_together() -> None:
    found = beside_both(0.1, 0.2)[0]
    assert found.statistic == pytest.approx(math.sqrt(0.1 * 0.2), rel=0.1)
    assert found.p_value == pytest.approx(5.0**-BASES)
    assert found.least_p == pytest.approx(least_joint([(BASES, 4)] * 2))


@pytest.mark.parametrize("kind", ["logits", "labels"])
def test_a_constant_network_is_silent(kind: AnswerKind) -> None:
    for one in measured(answers(np.zeros((PROBES, TURNS + 1)), kind, form=one_hot_or(kind))):
        assert "constant or dead" in one.missing
        assert one.p_value is None


def one_hot_or(kind: AnswerKind) -> Callable[[Any], Any]:
    """What a suspect of a kind says: its row, or a one at the class it names."""
    if kind != "labels":
        return np.asarray
    return lambda row: np.eye(CLASSES)[int(np.argmax(row))]


def test_probes_are_at_most_as_harmless_as_coarse_answers_can_show() -> None:
    early, _ = measured(answers(ratio_of(1e-6, 1.0), form=lambda row: np.round(row, 1)))
    assert early.statistic is not None
    assert early.statistic == pytest.approx(early.detail["least_ratio"])
    assert 0.02 < early.statistic < 0.2


def test_labels_count_changes_and_have_no_interval() -> None:
    sizes = np.full((PROBES, TURNS + 1), 100.0)
    sizes[:BASES, 0] = 0.0
    early, late = measured(answers(sizes, "labels", form=one_hot_or("labels")))
    changed = np.repeat(np.argmax(ORIGIN, axis=1) != 0, TURNS + 1).reshape(BASES, TURNS + 1)
    assert early.margin is not None
    assert late.margin is not None
    assert late.p_value == pytest.approx(labels_test(changed, late.margin.tested))
    changed[:, 0] = False
    assert early.p_value == pytest.approx(labels_test(changed, early.margin.tested))
    assert (early.statistic, early.interval, early.used) == (0.0, (0.0, math.inf), BASES)
    assert late.statistic == pytest.approx(1.0)
    joint = over_separate_depths([early.p_value or 0.0, late.p_value or 0.0])
    assert [one.joint_p for one in (early, late)] == pytest.approx(joint)
    assert early.detail["exact"] is late.detail["exact"] is True


@pytest.mark.parametrize("kind", ["logits", "probabilities", "top-k", "labels"])
@pytest.mark.parametrize("apart", [0.0, 0.02, 0.5])
def test_whoever_answers_a_picture_as_upside_down_gives_no_evidence(
    kind: AnswerKind, apart: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that averages over both is moved by the controls as by the probes: no stranger."""
    monkeypatch.setattr("fingerprint.probes.turns._LARGE", BOTH.input.size - 1)
    fingerprint = make_deep(make_model(classes=CLASSES), bases=BASES, panel=0, turns=(7, 8, 9, 10))
    logits = {question_id(base): ORIGIN[place] for place, base in enumerate(fingerprint.bases)}
    controls = fingerprint.controls.reshape(PROBES, 4, *fingerprint.input.shape)
    for place, probe in enumerate(fingerprint.probes):
        for member in (probe.harmless, *controls[place]):
            logits[question_id(member)] = ORIGIN[probe.base] + np.eye(CLASSES)[0]
    for place, flipped in enumerate(fingerprint.flipped_bases):
        logits[question_id(flipped)] = ORIGIN[place] + apart * np.eye(CLASSES)[1]

    def form(row: Sizes) -> Sizes:
        odds = np.exp(row - row.max())
        return row if kind in ("logits", "labels") else odds / odds.sum()

    given = Answers(
        output=OutputSpec(classes=CLASSES, kind=kind),
        values={asked: np.asarray(form(row), np.float32) for asked, row in logits.items()},
        identity=Identity(),
    )
    alike = apart < 0.1 and kind != "labels"
    for one in measured(given, fingerprint):
        assert ("upside down alike" in (one.missing or "")) == alike
        assert (one.p_value is None) == alike
