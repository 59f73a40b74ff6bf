"""A small detection benchmark as a guard: whoever changes a verdict for the worse hears of it.

It asks for verdicts, never for time: no independent network may be called derived, and copies
that plainly share weights must be recognised.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks.data import load_data
from benchmarks.detection.measure import Bench, document
from benchmarks.detection.methods.harmless import DEFAULT_PROBES
from benchmarks.detection.plan import plan
from benchmarks.detection.zoo import build, members

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

BASES = (
    *(f"digits cnn {number}" for number in range(3)),
    *(f"digits vit {number}" for number in range(3)),
    "digits slim cnn 0",
    *(f"digits mlp {number}" for number in range(2)),
)
COPIES = (
    "int8 weights",
    "int4 weights",
    "pruned 20 %",
    "pruned 40 %",
    "channels permuted",
    "channels rescaled",
    "fine-tuned, last layer",
    "fine-tuned, all layers, sgd lr 1e-3",
    "fine-tuned, all layers, adamw lr 1e-4",
    "new head, five classes, last layer",
)
UNDECIDED = ("digits cnn 0/int4 weights",)
"""Its early ratio lies near 0.4: twelve probes seldom tell it from the margin."""
SOURCES = ("digits cnn 0", "digits vit 0")
Pair = dict[str, Any]


@cache
def pairs(directory: Path) -> tuple[Pair, ...]:
    """Builds and measures the small zoo."""
    data = load_data(None)
    wanted = {*BASES, *(f"{source}/{copy}" for source in SOURCES for copy in COPIES)}
    recipes = [recipe for recipe in plan(data, None) if recipe.name in wanted]
    build(data, directory, recipes=recipes)
    bench = Bench(data, directory, methods=(), lengths=(DEFAULT_PROBES,))
    return tuple(document(bench, members(directory), {}, progress=False)["pairs"])


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, ...]:
    return pairs(tmp_path_factory.mktemp("zoo"))


def _said(pair: Pair) -> str:
    said = pair["verdicts"]["logits"]
    return f"{pair['suspect']} of {pair['source']}: {said['verdict']}, ratio {said['ratio']}"


def test_there_are_as_many_pairs_as_the_guard_means_to_guard(measured: tuple[Pair, ...]) -> None:
    independent = [pair for pair in measured if not pair["related"]]
    assert len(independent) >= len(BASES) * (len(BASES) - 1)
    assert len([pair for pair in measured if pair["related"]]) >= len(BASES) + 16


@pytest.mark.parametrize("kind", ["logits", "probabilities", "top-5", "labels"])
def test_no_independent_network_is_called_the_source_or_derived_from_it(
    measured: tuple[Pair, ...], kind: str
) -> None:
    accused = [
        _said(pair)
        for pair in measured
        if not pair["related"] and pair["verdicts"][kind]["verdict"] in ("same", "derived")
    ]
    assert accused == []


def test_every_source_is_called_the_same_as_itself(measured: tuple[Pair, ...]) -> None:
    missed = [
        _said(pair)
        for pair in measured
        if pair["source"] == pair["suspect"] and pair["verdicts"]["logits"]["verdict"] != "same"
    ]
    assert missed == []


def test_copies_that_plainly_share_weights_are_recognised(measured: tuple[Pair, ...]) -> None:
    missed = [
        _said(pair)
        for pair in measured
        if pair["related"]
        and pair["suspect"] not in UNDECIDED
        and pair["verdicts"]["logits"]["verdict"] not in ("same", "derived")
    ]
    assert missed == []


def test_no_copy_is_called_independent(measured: tuple[Pair, ...]) -> None:
    lost = [
        _said(pair)
        for pair in measured
        if pair["related"] and pair["verdicts"]["logits"]["verdict"] == "independent"
    ]
    assert lost == []
