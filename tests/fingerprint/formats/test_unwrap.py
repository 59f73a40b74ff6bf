from __future__ import annotations

from typing import Any

import pytest
import torch

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.formats.unwrap import chosen, entries, strip_prefixes

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
    found = entries(content)[0]
    assert found.tensors.keys() == STATE.keys()
    assert all(torch.equal(found.tensors[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("raw", ["model", "state_dict", "student"])
@pytest.mark.parametrize("averaged", ["ema", "state_dict_ema", "model_ema", "swa_state"])
def test_the_moving_average_comes_first(raw: str, averaged: str) -> None:
    found = entries({raw: STATE, averaged: EMA})
    assert [entry.key for entry in found] == [averaged, raw]
    assert torch.equal(found[0].tensors["a.weight"], EMA["a.weight"])


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ({"epoch": torch.tensor(3), "best": torch.tensor(3), "teacher": STATE}, ["teacher", ""]),
        ({"model": STATE, "ema": {"updates": torch.tensor(3), "shadow": EMA}},
         ["ema.shadow", "model", "ema"]),
        ({"checkpoint": {"inner": {"model": STATE}}}, ["checkpoint.inner.model"]),
        ([STATE, EMA], ["0", "1"]),
        ((STATE, 3), ["0"]),
        ({"optim": {**EMA, "c": torch.ones(1)}, "anything": STATE}, ["anything", "optim"]),
        ({"generator": STATE, "discriminator": EMA}, ["generator", "discriminator"]),
    ],
    ids=str,
)  # fmt: skip
def test_every_set_of_weights_is_found_the_likeliest_first(content: Any, keys: list[str]) -> None:
    assert [entry.key for entry in entries(content)] == keys


@pytest.mark.parametrize(
    ("key", "value"), [("ema", 1.0), ("shadow", 1.0), ("model", 0.0), ("model.a", 0.0), ("a", 0.0)]
)
def test_a_key_chooses_a_set_or_a_prefix(key: str, value: float) -> None:
    content = {"model": STATE, "ema": {"shadow": EMA}}
    found = chosen(entries({"model": STATE} if key == "a" else content), key)
    name = "bias" if key.endswith("a") and key != "ema" else "a.bias"
    assert {float(found[0].tensors[name].max())} == {value}


def test_a_key_that_is_not_there_lists_what_is() -> None:
    with pytest.raises(UsageError, match=r"nothing under 'student'; it has a, ema, model"):
        chosen(entries({"model": STATE, "ema": EMA}), "student")


def test_a_network_with_a_part_called_model_is_a_state_dict() -> None:
    state = {"model.weight": torch.ones(1), "head.weight": torch.ones(1)}
    assert entries(state)[0].tensors.keys() == state.keys()


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
        entries(content)


def test_a_dictionary_that_holds_itself_ends() -> None:
    loop: dict[str, Any] = {"epoch": 1}
    loop["state_dict"] = loop
    with pytest.raises(IncompatibleModel):
        entries(loop)
