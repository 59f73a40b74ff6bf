from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from fingerprint.errors import UsageError
from fingerprint.operators import Convolution, Dense, Diagonal, LinearOperator, Product
from fingerprint.spaces import (
    MatrixFreeSubspace,
    discriminative,
    frobenius_norm,
    intersection,
    null_space,
    outside,
)
from tests.fingerprint.spaces.judge import random

SHAPE = (3, 16, 16)


def model(seed: int, channels: int = 64, shape: tuple[int, ...] = SHAPE) -> Convolution:
    return Convolution(random(channels, 3, 8, 8, seed=seed), shape, stride=8)


def relative_response(operator: LinearOperator, x: torch.Tensor) -> float:
    """The response to one perturbation, relative to that of white noise, by the definition."""
    white = frobenius_norm(operator) / operator.n**0.5
    return float(operator.matvec(x).norm()) / float(x.norm()) / white


def least_response(operators: Sequence[LinearOperator], x: torch.Tensor) -> float:
    return min(relative_response(operator, x) for operator in operators)


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.cosine_similarity(one.reshape(-1), other.reshape(-1), dim=0))


def test_without_ascent_only_the_intersection_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discriminative, "_ASCENT_STEPS", 0)
    source, other = model(0), model(1)
    start = random(*SHAPE)
    sample = outside(null_space(source), [other], start)
    both = intersection([source, other])
    harmless = null_space(source).project(start)
    expected = harmless - both.project(harmless)
    expected = expected * (start.norm() / expected.norm())
    assert sample.shared == ()
    torch.testing.assert_close(sample.delta, expected, rtol=1e-4, atol=1e-4)


def test_the_sample_is_harmless_for_the_source_and_outside_the_intersection() -> None:
    source, other = model(0), model(1)
    start = random(*SHAPE)
    sample = outside(null_space(source), [other], start)
    size = float(start.norm())
    assert float(sample.delta.norm()) == pytest.approx(size)
    assert float(source.matvec(sample.delta).norm()) < 1e-10 * size
    shared = intersection([source, other]).project(sample.delta)
    assert float(shared.norm()) < 1e-10 * size


@pytest.mark.parametrize("count", [1, 3, 6])
def test_the_least_response_rises_with_every_stage(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = null_space(model(0))
    others = [model(seed, channels=20 + 10 * seed) for seed in range(1, count + 1)]
    start = random(*SHAPE)
    raised = least_response(others, outside(space, others, start).delta)
    monkeypatch.setattr(discriminative, "_ASCENT_STEPS", 0)
    removed = least_response(others, outside(space, others, start).delta)
    assert raised > 1.1 * removed
    assert removed > least_response(others, space.project(start))


def test_the_sample_stays_near_its_start_and_differs_between_starts() -> None:
    space, others = null_space(model(0)), [model(1), model(2)]
    starts = [random(*SHAPE, seed=seed) for seed in (7, 8)]
    one, other = (outside(space, others, start).delta for start in starts)
    assert min(cosine(one, starts[0]), cosine(other, starts[1])) > 0.4
    # The same high ground draws both, the starts keep them apart.
    assert abs(cosine(one, other)) < 0.5


def test_a_copy_of_the_first_layer_cannot_be_told_apart() -> None:
    source = model(0)
    rescaled = Product(Diagonal(random(64, 1, 1).exp(), source.out_shape), source)
    start = random(*SHAPE)
    sample = outside(null_space(source), [rescaled, source], start)
    assert sample.shared == (0, 1)
    assert relative_response(rescaled, sample.delta) < 1e-12
    assert float(source.matvec(sample.delta).norm()) < 1e-10


def test_a_copy_among_others_is_named_and_the_rest_answers() -> None:
    source = model(0)
    sample = outside(null_space(source), [model(1), source, model(2)], random(*SHAPE))
    assert sample.shared == (1,)
    assert least_response([model(1), model(2)], sample.delta) > 1.0


def test_nothing_can_be_drawn_from_a_trivial_space() -> None:
    space = null_space(Dense(random(9, 9)))
    sample = outside(space, [Dense(random(3, 9, seed=1))], random(9))
    assert not sample.delta.any()


def test_without_other_models_the_start_is_only_projected() -> None:
    space = null_space(model(0))
    start = random(*SHAPE)
    sample = outside(space, [], start)
    projected = space.project(start)
    torch.testing.assert_close(sample.delta, projected * (start.norm() / projected.norm()))


def test_overlapping_convolutions_need_no_matrix() -> None:
    shape = (3, 16, 16)
    source = Convolution(random(2, 3, 3, 3), shape, padding=1)
    other = Convolution(random(2, 3, 3, 3, seed=1), shape, padding=1)
    space = MatrixFreeSubspace(source)
    start = random(*shape)
    delta = outside(space, [other], start).delta
    assert float(source.matvec(delta).norm()) < 1e-9 * float(start.norm())
    assert relative_response(other, delta) > relative_response(other, space.project(start))


@pytest.mark.parametrize(
    "start", [random(3, 8, 8), torch.zeros(*SHAPE), torch.full(SHAPE, 1 / 0.1)]
)
def test_starts_that_do_not_fit_are_refused(start: torch.Tensor) -> None:
    if start.shape == SHAPE and bool(start.any()):
        start = start / 0.0
    with pytest.raises(UsageError, match="expected"):
        outside(null_space(model(0)), [model(1)], start)
