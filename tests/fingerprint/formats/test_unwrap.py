from __future__ import annotations

from typing import Any

import pytest
import torch

from fingerprint.errors import IncompatibleModel
from fingerprint.formats.unwrap import strip_prefixes, unwrap

STATE = {"a.weight": torch.ones(2), "a.bias": torch.zeros(2)}
EMA = {name: tensor + 1 for name, tensor in STATE.items()}
MOMENTS = {"state": {0: {"exp_avg": torch.ones(9)}}, "param_groups": [{"lr": 0.1}]}


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE},
        {"model": STATE, "optimizer": MOMENTS, "epoch": 3, "args": object()},
        {"model_state_dict": STATE, "loss": torch.tensor(0.1)},
        {"epoch": 1, "model": {"state_dict": STATE}},
        {"state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}},
        {f"_orig_mod.{name}": tensor for name, tensor in STATE.items()},
        {f"module._orig_mod.{name}": tensor for name, tensor in STATE.items()},
        {f"_orig_mod.module.{name}": tensor for name, tensor in STATE.items()},
        {"ema": STATE},
        {"state_dict_ema": STATE, "optimizer": MOMENTS},
    ],
    ids=lambda content: "+".join(map(str, content)),
)
def test_the_weights_are_found_inside(content: dict[str, Any]) -> None:
    found = unwrap(content)
    assert found.tensors.keys() == STATE.keys()
    assert all(torch.equal(found.tensors[name], STATE[name]) for name in STATE)
    assert found.warnings == ()


@pytest.mark.parametrize("raw", ["model", "state_dict"])
@pytest.mark.parametrize("averaged", ["ema", "state_dict_ema", "model_ema"])
def test_the_moving_average_is_preferred_and_warned_of(raw: str, averaged: str) -> None:
    found = unwrap({raw: STATE, averaged: EMA})
    assert torch.equal(found.tensors["a.weight"], EMA["a.weight"])
    assert f"'{averaged}' was taken" in found.warnings[0]


def test_a_network_with_a_part_called_model_is_a_state_dict() -> None:
    state = {"model.weight": torch.ones(1), "head.weight": torch.ones(1)}
    assert unwrap(state).tensors.keys() == state.keys()


def test_module_prefix_stays_where_not_every_name_has_it() -> None:
    state = {"module.weight": torch.ones(1), "head.weight": torch.ones(1)}
    assert strip_prefixes(state).keys() == state.keys()


@pytest.mark.parametrize(
    "content",
    [{}, [], 3, torch.ones(2), {"optimizer": MOMENTS, "epoch": 1}, {"state_dict": {}}],
    ids=str,
)
def test_content_without_weights_is_incompatible(content: object) -> None:
    with pytest.raises(IncompatibleModel, match="expected a state_dict"):
        unwrap(content)


def test_a_dictionary_that_holds_itself_ends() -> None:
    loop: dict[str, Any] = {"epoch": 1}
    loop["state_dict"] = loop
    with pytest.raises(IncompatibleModel):
        unwrap(loop)
