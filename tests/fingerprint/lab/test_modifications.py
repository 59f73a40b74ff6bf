"""Each change does what its name says, and leaves its source alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fingerprint.lab import modifications, networks
from fingerprint.lab.data import TASKS
from fingerprint.lab.modifications import on_grid, without_smallest
from fingerprint.lab.symmetries import equivalent
from fingerprint.lab.training import Settings, accuracy, pixels
from tests.fingerprint.lab.parts import few_images
from tests.support.digits import digits, network


def _answers(module: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        answers: torch.Tensor = module(pixels(digits().test_images))
    return answers


def _source() -> networks.Cnn:
    source = network("cnn")
    assert isinstance(source, networks.Cnn)
    return source


def test_quantised_channels_hold_at_most_255_values_and_answers_stay_close() -> None:
    source = _source()
    changed = modifications.quantised(source)
    row = changed.head.weight[0]
    steps = row / (row.abs().max() / 127)
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
    assert not torch.equal(_answers(changed), _answers(source))
    assert accuracy(changed, digits()) > 0.9


def test_a_dead_channel_survives_quantisation() -> None:
    weight = torch.randn(3, 4)
    weight[1] = 0
    assert torch.equal(on_grid(weight, 8)[1], torch.zeros(4))
    assert torch.isfinite(on_grid(weight, 8)).all()


def test_pruning_removes_the_smallest_weights_of_the_network_and_no_others() -> None:
    source = _source()
    changed = modifications.pruned(source, share=0.3)
    before = torch.cat([p.flatten() for p in source.parameters() if p.dim() > 1])
    after = torch.cat([p.flatten() for p in changed.parameters() if p.dim() > 1])
    gone = after == 0
    assert gone.float().mean().item() == pytest.approx(0.3, abs=1e-3)
    assert before[gone].abs().max() <= before[~gone].abs().min()
    assert torch.equal(before[~gone], after[~gone])


def test_pruning_a_single_weight_takes_its_smallest_entries_and_never_all() -> None:
    weight = torch.tensor([[3.0, -1.0], [0.5, -4.0]])
    assert torch.equal(without_smallest(weight, 0.5), torch.tensor([[3.0, 0.0], [0.0, -4.0]]))
    assert torch.equal(without_smallest(weight, 1.0), torch.tensor([[0.0, 0.0], [0.0, -4.0]]))


def test_pruning_spares_biases_and_normalisation() -> None:
    source, changed = _source(), modifications.pruned(_source(), share=0.9)
    for left, right in zip(source.parameters(), changed.parameters(), strict=True):
        if left.dim() == 1:
            assert torch.equal(left, right)


def test_fine_tuning_on_fewer_classes_gives_a_new_head() -> None:
    data = few_images()
    changed = modifications.fine_tuned(_source(), data, Settings(epochs=1), seed=0)
    assert changed.head.out_features == 10
    pairs = modifications.fine_tuned(
        _source(), TASKS["class pairs"].of(data), Settings(epochs=1), seed=0
    )
    assert pairs.head.out_features == TASKS["class pairs"].classes


def test_a_change_leaves_its_source_alone() -> None:
    source = _source()
    before = copy.deepcopy(source.state_dict())
    modifications.pruned(source)
    modifications.quantised(source)
    modifications.rounded(source)
    modifications.folded(source)
    modifications.fine_tuned(source, few_images(), Settings(epochs=1), seed=0)
    equivalent(source, seed=0, reordered=True)
    for key, value in source.state_dict().items():
        assert torch.equal(value, before[key]), key
