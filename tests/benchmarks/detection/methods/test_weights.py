from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from benchmarks.detection.methods import BUDGETS, WeightCosine
from fingerprint.lab import networks
from tests.benchmarks.detection.methods import cases
from tests.support.digits import digits


def _score(suspect: nn.Module) -> float | None:
    method = WeightCosine()
    prepared = method.prepare(cases.source(), digits())
    scores = method.scores(prepared, suspect, BUDGETS)
    assert list(scores) == [0]
    return scores[0]


def test_the_source_scores_one_and_a_fine_tune_above_an_independent_network() -> None:
    tuned, other = _score(cases.fine_tuned()), _score(cases.independent())
    assert _score(cases.source()) == pytest.approx(1)
    assert tuned is not None
    assert other is not None
    assert 1 > tuned > 0.9 > other


def test_the_cosine_is_that_of_the_weights_written_out() -> None:
    one, other = nn.Linear(2, 1), nn.Linear(2, 1)
    for layer, values in ((one, (3.0, 0.0, 4.0)), (other, (0.0, 1.0, 1.0))):
        nn.init.zeros_(layer.weight)
        layer.weight.data[0] = torch.tensor(values[:2])
        layer.bias.data[0] = values[2]
    method = WeightCosine()
    score = method.scores(method.prepare(one, digits()), other)[0]
    assert score == pytest.approx(4 / (5 * 2**0.5))


def test_a_new_head_is_left_out_of_the_comparison() -> None:
    assert _score(cases.other_task()) == pytest.approx(1)


def test_running_statistics_do_not_count() -> None:
    shifted = copy.deepcopy(cases.source())
    for module in shifted.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var *= 100
    assert _score(shifted) == pytest.approx(1)


def test_networks_without_a_common_tensor_get_no_answer() -> None:
    assert _score(networks.mlp()) is None
    assert _score(cases.Counting(cases.source())) is None


def test_what_was_prepared_does_not_follow_later_changes_of_the_source() -> None:
    changing = copy.deepcopy(cases.source())
    method = WeightCosine()
    prepared = method.prepare(changing, digits())
    with torch.no_grad():
        for parameter in changing.parameters():
            parameter.zero_()
    assert method.scores(prepared, cases.source())[0] == pytest.approx(1)
    assert method.scores(prepared, changing)[0] is None
