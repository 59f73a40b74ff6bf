from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine

from benchmarks.detection.methods import ModelDiff
from benchmarks.detection.methods.base import answers
from benchmarks.detection.methods.modeldiff import decision_distances, objective
from tests.benchmarks.detection.methods import cases
from tests.support.digits import digits


def test_distances_are_scipys_cosine_distances_of_neighbours() -> None:
    logits = torch.randn(7, 10, generator=torch.Generator().manual_seed(0))
    expected = [cosine(logits[i].double(), logits[i + 1].double()) for i in (0, 2, 4)]
    np.testing.assert_allclose(decision_distances(logits).numpy(), expected, rtol=1e-9)


def test_variants_stay_within_the_radius_of_training_images() -> None:
    data, radius = digits(), 8 / 255
    queries = ModelDiff(radius=radius).prepare(cases.source(), data, queries=20, seed=0).queries
    seeds, variants = queries[0::2].astype(int), queries[1::2].astype(int)
    known = {image.tobytes() for image in data.train_images}
    assert all(image.tobytes() in known for image in queries[0::2])
    assert 0 < np.abs(seeds - variants).max() <= 8


def test_the_search_finds_variants_with_a_better_score_than_noise() -> None:
    prepared = ModelDiff().prepare(cases.source(), digits(), queries=40, seed=0)
    seeds, variants = prepared.answers[0::2], prepared.answers[1::2]
    signs = np.random.default_rng(0).choice([-48, 48], prepared.queries[0::2].shape)
    noised = (prepared.queries[0::2] + signs).clip(0, 255).astype(np.uint8)
    plain = answers(cases.source(), noised)
    assert objective(seeds, variants, 1.0) > 1.5 * objective(seeds, plain, 1.0)


def test_a_suspect_that_never_moves_is_not_similar() -> None:
    logits = torch.randn(12, 10, generator=torch.Generator().manual_seed(0))
    assert ModelDiff().compare(logits, torch.ones(12, 10)) == pytest.approx(0, abs=1e-6)


def test_a_single_query_makes_no_pair() -> None:
    assert ModelDiff().compare(torch.ones(1, 10), torch.ones(1, 10)) is None
