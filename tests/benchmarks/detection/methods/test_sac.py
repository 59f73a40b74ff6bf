from __future__ import annotations

import numpy as np
import torch

from benchmarks.detection.methods import Sac
from benchmarks.detection.methods.sac import correlation_matrix
from tests.benchmarks.detection.methods import cases
from tests.support.digits import digits


def test_the_matrix_is_numpys_correlation_of_softmax_outputs() -> None:
    logits = torch.randn(6, 10, generator=torch.Generator().manual_seed(0)).double()
    outputs = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(correlation_matrix(logits).numpy(), np.corrcoef(outputs))


def test_renamed_classes_change_nothing() -> None:
    logits = torch.randn(12, 10, generator=torch.Generator().manual_seed(1))
    renamed = logits[:, torch.randperm(10, generator=torch.Generator().manual_seed(2))]
    score = Sac().compare(logits, renamed)
    assert score is not None
    assert abs(score) < 1e-9


def test_every_pixel_of_a_query_comes_from_one_of_two_training_images() -> None:
    data = digits()
    query = Sac().prepare(cases.source(), data, queries=1, seed=5).queries[0]
    equal = (data.train_images == query).all(axis=1).reshape(len(data.train_images), -1)
    first = int(equal.sum(axis=1).argmax())
    assert bool((equal[first] | equal).all(axis=1).any())


def test_a_suspect_that_always_answers_alike_is_scored_and_ranks_low() -> None:
    logits = torch.eye(10) * 9
    constant = Sac().compare(logits, torch.zeros(10, 10))
    assert constant is not None
    assert constant < -0.1
