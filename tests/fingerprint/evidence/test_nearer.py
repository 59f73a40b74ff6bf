"""Who arranges the panel like whom, of registered models that were all asked it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fingerprint.answers import ask
from fingerprint.evidence.nearer import Nearer, arranged, clearly_alike, perhaps_alike
from fingerprint.evidence.resemblance import Panel, arrangement, compare
from fingerprint.network.spec import OutputSpec
from fingerprint.probes.probe import Fingerprint
from fingerprint.questions import questions_for
from fingerprint.suspects import ModelSuspect
from tests.support.fingerprints import make_deep, make_model


def answering(rows: NDArray[np.float64]) -> Fingerprint:
    """A model that gave these answers to the panel."""
    return replace(
        make_deep(make_model(1, classes=rows.shape[1]), panel=96),
        panel_answers=rows.astype(np.float32),
        output=OutputSpec(classes=rows.shape[1]),
    )


def noise(seed: int, classes: int = 9) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(96, classes))


def test_the_nearer_of_two_is_told_by_the_panel_that_both_were_asked() -> None:
    suspect = make_model(1, classes=9)
    base = make_deep(suspect, panel=96)
    child = answering(base.panel_answers + 0.3 * base.panel_answers.std() * noise(2))
    named = {"base": base, "child": child}
    nearer = Nearer(named, ask(ModelSuspect(suspect), questions_for(named)))
    forth, back = nearer("base", "child"), nearer("child", "base")
    assert forth is not None
    assert back is not None
    assert forth.low > 0 > back.high
    assert nearer("child", "nobody") is None


def test_models_of_other_panels_are_not_compared() -> None:
    suspect = make_model(1, classes=9)
    base = make_deep(suspect, panel=96)
    for other in (
        replace(base, seed="ab" * 32),
        replace(base, panel_answers=base.panel_answers[:0]),
    ):
        named = {"base": base, "other": other}
        answers = ask(ModelSuspect(suspect), questions_for(named))
        assert Nearer(named, answers)("base", "other") is None
        assert clearly_alike(base, [("other", other)]) == {}
        assert clearly_alike(other, [("base", base)]) == {}


def test_whoever_lies_above_the_margin_with_the_whole_interval_is_alike() -> None:
    rows = noise(0)
    found = clearly_alike(
        answering(rows),
        [
            ("near", answering(rows + 0.3 * noise(1))),
            ("fewer classes", answering(rows @ noise(2)[:9, :6] + 0.1 * noise(3, 6))),
            ("stranger", answering(noise(4))),
            ("nearly", answering(rows + 1.2 * noise(5))),
        ],
    )
    assert set(found) == {"near", "fewer classes"}
    assert all(one.low > 0.4 for one in found.values())


def test_models_that_are_nearly_linear_are_not_called_alike() -> None:
    ours = make_deep(make_model(1, classes=9), panel=96)
    near = answering(ours.panel_answers + 0.1 * ours.panel_answers.std() * noise(1))
    assert clearly_alike(ours, [("near", near)]) == {}


def test_nobody_who_is_clearly_alike_is_lost_at_first_sight() -> None:
    ours = answering(noise(0))
    near = [
        answering(noise(0) + size * noise(place + 50)) for place, size in enumerate((0.1, 0.6, 1))
    ]
    far = [answering(noise(seed)) for seed in range(1, 20)]
    alike = answering(np.ones((96, 9)))
    others = dict(enumerate([*near, *far, alike, answering(noise(0)[:, :2])]))
    kept = perhaps_alike(ours, {place: arranged(one) for place, one in others.items()})
    named = clearly_alike(ours, ((str(place), one) for place, one in others.items()))
    assert {int(place) for place in named} <= set(kept)
    assert named
    assert not set(kept) & set(range(3, 22)), "no stranger is read again"
    other_panel = replace(near[0], seed="ff" * 32)
    assert perhaps_alike(ours, {1: arranged(other_panel)}) == []


def test_the_product_of_two_arrangements_is_their_alignment() -> None:
    first, second = (Panel.of(noise(0) + noise(seed)) for seed in (1, 2))
    vectors = [arrangement(one) for one in (first, second)]
    assert vectors[0] is not None
    assert vectors[1] is not None
    measured = compare(first, second)
    assert measured is not None
    assert float(vectors[0] @ vectors[1]) == pytest.approx(measured.value, abs=1e-5)
    assert arrangement(Panel.of(np.ones((96, 4)))) is None
    missing = noise(0)
    missing[5] = np.nan
    assert arrangement(Panel.of(missing)) is None
