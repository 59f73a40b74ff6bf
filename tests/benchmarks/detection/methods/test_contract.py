"""What holds for every black-box baseline."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest
import torch

from benchmarks.detection.methods import BUDGETS, Prepared, QueryMethod, baselines
from tests.benchmarks.detection.methods import cases
from tests.support.digits import digits

QUERYING = {method.name: method for method in baselines() if isinstance(method, QueryMethod)}
LABELS_ONLY = ("AKH", "IPGuard")

every_method = pytest.mark.parametrize("name", QUERYING)


@cache
def prepared(name: str) -> Prepared:
    return QUERYING[name].prepare(cases.source(), digits(), queries=100, seed=0)


def test_the_four_black_box_baselines_and_the_white_box_one_are_there() -> None:
    names = [method.name for method in baselines()]
    assert names == ["AKH", "IPGuard", "SAC", "ModelDiff", "weight cosine"]


@every_method
def test_the_source_itself_scores_above_every_other_network(name: str) -> None:
    method = QUERYING[name]
    own = method.scores(prepared(name), cases.source())
    best = {"SAC": 0.0}.get(name, 1.0)
    for budget in BUDGETS:
        assert own[budget] == pytest.approx(best, abs=1e-6)
        for other in (cases.fine_tuned(), cases.independent()):
            score = method.scores(prepared(name), other)[budget]
            assert score is not None
            assert score <= best + 1e-6


# Training on removes the very mistakes that AKH asks about: test_akh.py has a milder copy.
@pytest.mark.parametrize("name", [name for name in QUERYING if name != "AKH"])
def test_a_fine_tune_ranks_above_an_independent_network(name: str) -> None:
    method = QUERYING[name]
    derived = method.scores(prepared(name), cases.fine_tuned())[100]
    other = method.scores(prepared(name), cases.independent())[100]
    assert derived is not None
    assert other is not None
    assert derived > other


@every_method
@pytest.mark.parametrize("budget", BUDGETS)
def test_a_suspect_is_asked_exactly_the_budget(name: str, budget: int) -> None:
    suspect = cases.Counting(cases.source())
    QUERYING[name].scores(prepared(name), suspect, (budget,))
    found = len(prepared(name).queries)
    assert suspect.asked == min(budget, found)
    assert found == 100 or name == "AKH"


@every_method
def test_all_budgets_together_ask_once_and_score_as_each_alone(name: str) -> None:
    method, suspect = QUERYING[name], cases.Counting(cases.independent())
    together = method.scores(prepared(name), suspect)
    assert suspect.asked == len(prepared(name).queries)
    for budget in BUDGETS:
        alone = method.scores(prepared(name), cases.independent(), (budget,))[budget]
        assert together[budget] == pytest.approx(alone, abs=1e-6)


@every_method
def test_another_label_space_is_answered_only_by_methods_that_need_no_common_one(
    name: str,
) -> None:
    scores = QUERYING[name].scores(prepared(name), cases.other_task())
    assert all((score is None) == (name in LABELS_ONLY) for score in scores.values())


@every_method
def test_queries_are_8_bit_images_and_the_same_for_the_same_seed(name: str) -> None:
    queries = prepared(name).queries
    assert queries.dtype == np.uint8
    assert queries.shape[1:] == digits().input_size
    again = QUERYING[name].prepare(cases.source(), digits(), queries=100, seed=0).queries
    assert np.array_equal(queries, again)


@every_method
def test_preparing_leaves_the_source_without_gradients_and_unchanged(name: str) -> None:
    network = copy.deepcopy(cases.source())
    network.zero_grad(set_to_none=True)
    QUERYING[name].prepare(network, digits(), queries=12, seed=0)
    assert all(parameter.grad is None for parameter in network.parameters())
    for key, value in cases.source().state_dict().items():
        assert torch.equal(network.state_dict()[key], value)


@every_method
def test_no_query_no_score(name: str) -> None:
    suspect = cases.Counting(cases.source())
    assert QUERYING[name].scores(prepared(name), suspect, (0,)) == {0: None}
    assert suspect.asked == 0
