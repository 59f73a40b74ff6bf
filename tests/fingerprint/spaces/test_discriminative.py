from __future__ import annotations

import pytest
import torch

from fingerprint.errors import UsageError
from fingerprint.operators import Convolution, Dense, Diagonal, LinearOperator, Product
from fingerprint.spaces import frobenius_norm, intersection, null_space, outside
from tests.fingerprint.spaces.judge import random

SHAPE = (3, 16, 16)


def model(seed: int, channels: int = 64, shape: tuple[int, ...] = SHAPE) -> Convolution:
    return Convolution(random(channels, 3, 8, 8, seed=seed), shape, stride=8)


def relative_response(operator: LinearOperator, x: torch.Tensor) -> float:
    """The response to one perturbation, relative to that of white noise, by the definition."""
    white = frobenius_norm(operator) / operator.n**0.5
    return float(operator.matvec(x).norm()) / float(x.norm()) / white


def test_without_ascent_only_the_intersection_is_removed() -> None:
    source, other = model(0), model(1)
    start = random(*SHAPE)
    sample = outside(null_space(source), [other], start, steps=0)
    both = intersection([source, other])
    harmless = null_space(source).project(start)
    expected = harmless - both.project(harmless)
    expected = expected * (start.norm() / expected.norm())
    assert sample.status == "outside"
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


def test_reported_numbers_are_those_of_the_sample() -> None:
    source, others = model(0), [model(1), model(2, channels=40)]
    start = random(*SHAPE)
    sample = outside(null_space(source), others, start)
    for other, response in zip(others, sample.responses, strict=True):
        assert relative_response(other, sample.delta) == pytest.approx(response)
    cosine = torch.cosine_similarity(sample.delta.reshape(-1), start.reshape(-1), dim=0)
    assert float(cosine) == pytest.approx(sample.cosine)


@pytest.mark.parametrize("count", [1, 3, 6])
def test_the_least_response_rises_with_every_stage(count: int) -> None:
    space = null_space(model(0))
    others = [model(seed, channels=20 + 10 * seed) for seed in range(1, count + 1)]
    start = random(*SHAPE)
    removed = outside(space, others, start, steps=0)
    raised = outside(space, others, start, steps=20)
    assert min(removed.responses) > min(removed.start_responses)
    assert min(raised.responses) > 1.1 * min(removed.responses)
    assert raised.steps > 0


def test_the_sample_stays_near_its_start_and_differs_between_starts() -> None:
    space, others = null_space(model(0)), [model(1), model(2)]
    samples = [outside(space, others, random(*SHAPE, seed=seed)) for seed in (7, 8)]
    assert all(sample.cosine > 0.4 for sample in samples)
    between = torch.cosine_similarity(
        samples[0].delta.reshape(-1), samples[1].delta.reshape(-1), dim=0
    )
    # The same high ground draws both, the starts keep them apart.
    assert abs(float(between)) < 0.5


def test_a_copy_of_the_first_layer_cannot_be_told_apart() -> None:
    source = model(0)
    rescaled = Product(Diagonal(random(64, 1, 1).exp(), source.out_shape), source)
    start = random(*SHAPE)
    sample = outside(null_space(source), [rescaled, source], start)
    assert sample.status == "shared"
    assert sample.shared == (0, 1)
    assert max(sample.responses) < 1e-12
    assert float(source.matvec(sample.delta).norm()) < 1e-10


def test_a_copy_among_others_is_named_and_the_rest_answers() -> None:
    source = model(0)
    sample = outside(null_space(source), [model(1), source, model(2)], random(*SHAPE))
    assert sample.status == "partly shared"
    assert sample.shared == (1,)
    assert min(sample.responses[0], sample.responses[2]) > 1.0


def test_nothing_can_be_drawn_from_a_trivial_space() -> None:
    space = null_space(Dense(random(9, 9)))
    sample = outside(space, [Dense(random(3, 9, seed=1))], random(9))
    assert sample.status == "trivial"
    assert not sample.delta.any()


def test_without_other_models_the_start_is_only_projected() -> None:
    space = null_space(model(0))
    start = random(*SHAPE)
    sample = outside(space, [], start)
    projected = space.project(start)
    assert sample.status == "alone"
    torch.testing.assert_close(sample.delta, projected * (start.norm() / projected.norm()))


def test_overlapping_convolutions_need_no_matrix() -> None:
    shape = (3, 16, 16)
    source = Convolution(random(2, 3, 3, 3), shape, padding=1)
    other = Convolution(random(2, 3, 3, 3, seed=1), shape, padding=1)
    space = null_space(source, max_dense=0)
    start = random(*shape)
    sample = outside(space, [other], start, steps=3)
    assert sample.status == "outside"
    assert float(source.matvec(sample.delta).norm()) < 1e-9 * float(start.norm())
    assert sample.responses[0] > sample.start_responses[0]


@pytest.mark.parametrize(
    "start", [random(3, 8, 8), torch.zeros(*SHAPE), torch.full(SHAPE, 1 / 0.1)]
)
def test_starts_that_do_not_fit_are_refused(start: torch.Tensor) -> None:
    if start.shape == SHAPE and bool(start.any()):
        start = start / 0.0
    with pytest.raises(UsageError, match="expected"):
        outside(null_space(model(0)), [model(1)], start)
