"""Every kind of change is told apart from the others."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fingerprint.lab.modifications import on_grid, without_smallest
from fingerprint.network.loading import load_model
from fingerprint.weights.difference import KINDS, Change, diff


def _module() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(24, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh()).append(
        nn.Linear(32, 4)
    )


def _change(change: Any) -> Change:
    before = _module()
    after = copy.deepcopy(before)
    with torch.no_grad():
        after[2].weight.copy_(change(before[2].weight))
    found = _difference(before, after)
    assert all(one.kind == "unchanged" for one in found.changes if one.name != "2.weight")
    return next(one for one in found.changes if one.name == "2.weight")


def _difference(before: nn.Module, after: nn.Module) -> Any:
    one, other = (
        load_model(module.eval(), input_size=(24,), bounds=(-1, 1)) for module in (before, after)
    )
    return diff(one, other)


def _lora(weight: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    up, down = torch.randn(32, 3, generator=generator), torch.randn(3, 32, generator=generator)
    return weight + 0.05 * up @ down


def _noise(weight: Tensor) -> Tensor:
    return weight + 0.1 * torch.randn(32, 32, generator=torch.Generator().manual_seed(1))


_ORDER = torch.randperm(32, generator=torch.Generator().manual_seed(2))
_SCALE = torch.linspace(0.3, 3, 32)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("unchanged", lambda w: w),
        ("reordered", lambda w: w[_ORDER]),
        ("rescaled", lambda w: w * _SCALE[:, None] / _SCALE.flip(0)),
        ("rounded", lambda w: w.half().float()),
        ("rounded", lambda w: on_grid(w, 8)),
        ("rounded", lambda w: on_grid(w, 4)),
        ("pruned", lambda w: without_smallest(w, 0.5)),
        ("low rank", _lora),
        ("all", _noise),
        ("not finite", lambda w: torch.full_like(w, float("nan"))),
    ],
)
def test_every_kind_is_recognised(kind: str, change: Any) -> None:
    found = _change(change)
    assert found.kind == kind
    assert found.kind in KINDS
    assert (found.relative is None) == (kind == "not finite")


def test_how_is_said_in_numbers() -> None:
    assert _change(lambda w: on_grid(w, 4)).bits == 4
    assert _change(lambda w: without_smallest(w, 0.5)).zeros == pytest.approx(0.5, abs=0.01)
    low = _change(_lora)
    assert (low.rank, low.full_rank) == (3, 32)
    assert _change(lambda w: 1.5 * w).relative == pytest.approx(0.5)


def test_layers_without_a_counterpart_are_named() -> None:
    after = _module()
    after[4] = nn.Linear(32, 7)
    found = _difference(_module(), after)
    assert found.only_ours == found.only_theirs == ("4.weight", "4.bias")
    assert found.counts == {"unchanged": 4}
    assert found.to_dict()["only_theirs"] == ["4.weight", "4.bias"]


def test_tensors_of_other_names_are_paired_in_order() -> None:
    found = _difference(_module(), nn.Sequential(_module()))
    assert [one.theirs for one in found.changes] == [f"0.{one.name}" for one in found.changes]
    assert found.counts == {"unchanged": 6}


def test_numbers_whose_squares_are_infinite_have_a_relative_change() -> None:
    before = _module()
    after = copy.deepcopy(before)
    with torch.no_grad():
        before[2].weight.fill_(1e30)
        after[2].weight.fill_(1.5e30)
    found = next(one for one in _difference(before, after).changes if one.name == "2.weight")
    assert found.relative == pytest.approx(0.5)
