"""What rounding explains, judged by the size of answers and their dtype."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint.distances import answer_distance
from fingerprint.precision import Precision, differ, rounding

SIZES = [1e-30, 1e-10, 1e-3, 1.0, 1e6, 1e20, 3e38]
GENERATOR = np.random.default_rng(0)


def ulps_away(values: torch.Tensor, seed: int = 0, *, most: int = 4) -> torch.Tensor:
    """Moves each value by up to a few units in its last place."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randint(-most, most + 1, values.shape, generator=generator)
    for _ in range(most):
        towards = torch.where(steps > 0, torch.inf, -torch.inf).to(values.dtype)
        values = torch.where(steps != 0, torch.nextafter(values, towards), values)
        steps = steps - steps.sign()
    return values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", SIZES)
def test_a_few_ulps_are_no_difference_at_any_size_and_a_thousandth_is(
    size: float, dtype: torch.dtype
) -> None:
    answers = torch.full((4, 1000), size, dtype=dtype)
    assert not differ(ulps_away(answers, 1), ulps_away(answers, 2))
    assert differ(answers, answers * 0.999)
    assert not differ(answers, answers * 0.999, tolerance=0.01)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_may_be_off_by_more(dtype: torch.dtype) -> None:
    answers = torch.tensor([[1.0, -0.5]], dtype=dtype)
    eps = torch.finfo(dtype).eps
    assert not differ(answers, answers * (1 + 2 * eps))
    assert differ(answers.float(), answers.float() * (1 + 2 * eps))
    assert differ(answers, answers * 1.25)


def test_what_some_processors_round_to_zero_is_no_difference() -> None:
    assert not differ(torch.tensor([1e-39, 0.0]), torch.tensor([0.0, 1e-40]))
    assert rounding(0.0) > 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_differs_from_itself_and_from_everything(value: float) -> None:
    answers, finite = torch.tensor([1.0, value]), torch.tensor([1.0, 2.0])
    assert differ(answers, answers)
    assert differ(answers, finite)
    assert differ(finite, answers)
    assert differ(answers, finite, tolerance=0.1)


@pytest.mark.parametrize("decimals", range(6))
def test_decimals_are_seen_in_probabilities(decimals: int) -> None:
    exact = GENERATOR.dirichlet(np.ones(5), size=200)
    assert Precision.of(exact.astype(np.float32), "probabilities").step == 0.0
    rounded = np.round(exact, decimals).astype(np.float32)
    rounded[3] = np.nan
    found = Precision.of(rounded, "probabilities")
    assert found.step == pytest.approx(10.0**-decimals)


@pytest.mark.parametrize("decimals", range(4))
def test_decimals_are_seen_in_logits(decimals: int) -> None:
    exact = GENERATOR.normal(scale=8, size=(200, 5))
    assert Precision.of(exact.astype(np.float32), "logits").step == 0.0
    rounded = np.round(exact, decimals).astype(np.float32)
    assert Precision.of(rounded, "logits").step == pytest.approx(10.0**-decimals)


GRIDS = [1 / 255, 1 / 100, 1 / 1024, 1 / 20000, np.pi / 40, 0.3, 2.0]


@pytest.mark.parametrize("shape", [(24, 5), (300, 2), (200, 1000)])
@pytest.mark.parametrize("step", GRIDS)
def test_any_uniform_grid_is_seen(step: float, shape: tuple[int, int]) -> None:
    draws = np.random.default_rng(1)
    levels = np.round(draws.normal(scale=max(3.0, 0.2 / step), size=shape))
    rows = step * (levels - levels.min())
    noisy = draws.uniform(-0.3, 0.3, size=shape) * step + rows
    shift = draws.normal(size=(len(rows), 1)) * step
    for kind, given in (("probabilities", rows), ("logits", rows), ("logits", rows + shift)):
        found = Precision.of(given.astype(np.float32), kind).step
        assert found >= step * 0.999
        assert found / step == pytest.approx(round(found / step), rel=1e-3)
    assert Precision.of(noisy.astype(np.float32), "logits").step == 0.0


def test_one_answer_off_the_grid_shows_that_there_is_none() -> None:
    rows = np.arange(60).reshape(12, 5) * np.pi / 40
    assert Precision.of(rows.astype(np.float32), "logits").step == pytest.approx(np.pi / 40)
    rows[3, 2] += 0.01
    assert Precision.of(rows.astype(np.float32), "logits").step == 0.0


def test_equal_answers_and_none_have_no_grid() -> None:
    assert Precision.of(np.full((4, 3), np.pi, np.float32), "logits").step == 0.0
    assert Precision.of(np.full((4, 3), np.nan, np.float32), "logits").step == 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_coarsest_type_that_holds_the_answers_is_found(dtype: torch.dtype) -> None:
    answers = torch.from_numpy(GENERATOR.normal(size=(50, 4))).to(dtype).float().numpy()
    assert Precision.of(answers, "logits").dtype == dtype


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_logits_that_rounding_moves_are_within_the_least_distance(
    size: float, classes: int
) -> None:
    answers = torch.full((8, classes), size)
    rows = torch.cat([ulps_away(answers, 1), ulps_away(answers, 2)]).numpy()
    apart = answer_distance(rows[:8], rows[8:], "logits")
    known = Precision.of(rows, "logits")
    assert known.step == 0.0 or size >= 1e6  # numbers beyond 2²⁴ are all integers
    assert (apart <= known.least_distance(rows)).all()
    assert known.float_distance(rows) < 1e-3 * size * classes**0.5 + 1e-35 * classes**0.5


@pytest.mark.parametrize("kind", ["probabilities", "top-k"])
def test_probabilities_that_rounding_moves_are_within_the_least_distance(kind: str) -> None:
    one = torch.softmax(torch.randn(8, 10, generator=torch.Generator().manual_seed(0)) * 20, 1)
    rows = torch.cat([ulps_away(one, 1), ulps_away(one, 2)]).numpy()
    apart = answer_distance(rows[:8], rows[8:], kind)
    assert (apart <= Precision.of(rows, kind).least_distance(rows)).all()


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_one_unit_in_the_last_decimal_of_the_largest_answer_is_no_movement_and_two_are(
    kind: str,
) -> None:
    before = np.array([0.6, 0.3, 0.1], np.float32)
    apart = [
        float(answer_distance(before, before + np.array([units / 10, 0, 0], np.float32), kind))
        for units in (0, -1, -2)
    ]
    least = Precision(kind, step=0.1).least_distance(before[None])
    assert apart[0] < least < apart[2]
    if kind == "logits":
        assert apart[1] < least
        assert least == pytest.approx(0.1 * np.sqrt(2 / 3), rel=0.01)
    else:
        assert least == pytest.approx(np.log(0.7 / 0.6) * np.sqrt(2 / 3), rel=0.01)


def test_labels_are_exact_and_no_answers_need_no_distance() -> None:
    assert Precision("labels", step=1.0).least_distance(np.eye(3)) == 0.0
    assert Precision("logits", step=0.1).least_distance(np.full((2, 3), np.nan)) == 0.0
