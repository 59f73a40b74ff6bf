from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fingerprint.architectures.architecture import fit, key_difference, parse_architecture
from fingerprint.errors import IncompatibleModel, UsageError
from tests.fingerprint.network.networks import small


@pytest.mark.parametrize(
    ("text", "source", "name", "options"),
    [
        ("timm:resnet18", "timm", "resnet18", {}),
        ("timm:resnet50.a1_in1k", "timm", "resnet50.a1_in1k", {}),
        (
            "timm:vit_tiny_patch16_224,img_size=(96, 64),global_pool=avg,class_token=False",
            "timm",
            "vit_tiny_patch16_224",
            {"img_size": (96, 64), "global_pool": "avg", "class_token": False},
        ),
        ("my_nets:small", "my_nets", "small", {}),
        ("a.b.c:make,width=2,scale=-0.5", "a.b.c", "make", {"width": 2, "scale": -0.5}),
    ],
)
def test_text_is_parsed_and_written_back(
    text: str, source: str, name: str, options: dict[str, Any]
) -> None:
    parsed = parse_architecture(text)
    assert (parsed.source, parsed.name, parsed.options) == (source, name, options)
    assert parse_architecture(parsed.text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "", "resnet18", "timm:", ":resnet18", "os;system:x", "a b:c", "a:b.c", "timm:x,1",
        "timm:x,a=open('f')", "timm:x,a=__import__('os')", "timm:x,**k", "timm:x,a=1)+f(",
        "timm:x," + "a=" + "(" * 300, "timm:x,a=" + "1" * 2000,
    ],
)  # fmt: skip
def test_anything_else_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="arch"):
        parse_architecture(text)


def test_fitting_puts_the_values_in() -> None:
    source, target = small(), nn.Sequential(*(small()[:-1]), nn.Linear(4, 5))
    fit(target, source.state_dict(), "small")
    assert torch.equal(target[-1].weight, source[-1].weight)


def test_a_mismatch_is_one_short_line_with_counts() -> None:
    state = {f"extra{index}": torch.ones(1) for index in range(50)}
    state |= {"0.weight": torch.ones(4, 3, 5, 5)}
    with pytest.raises(IncompatibleModel) as caught:
        fit(small(), state, "small")
    message = str(caught.value)
    assert "missing 0.bias, 1.weight, 1.bias and 4 more" in message
    assert "unexpected extra0, extra1, extra2 and 47 more" in message
    assert "other shape 0.weight 4x3x5x5 for 4x3x3x3" in message
    assert len(message) < 300
    assert "\n" not in message


def test_hostile_names_cannot_break_the_line() -> None:
    with pytest.raises(IncompatibleModel) as caught:
        fit(small(), {"a\nb\x1b[31m" + "x" * 10_000: torch.ones(1)}, "small")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_counters_of_seen_batches_may_be_missing() -> None:
    state = small().state_dict()
    del state["1.num_batches_tracked"]
    assert not key_difference(small(), state)


def test_one_of_two_tied_names_may_be_missing() -> None:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    state = {name: tensor for name, tensor in tied.state_dict().items() if name != "1.weight"}
    assert not key_difference(tied, state)
    assert key_difference(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), state).missing == (
        "1.weight",
    )


def test_integer_weights_are_refused_by_dtype() -> None:
    state = small().state_dict()
    state["0.weight"] = state["0.weight"].to(torch.int8)
    with pytest.raises(IncompatibleModel, match=r"0\.weight.*int8"):
        fit(small(), state, "small")


class WithTable(nn.Module):
    """Computes a table when built and does not save it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("table", torch.arange(4), persistent=False)


def test_a_table_the_network_computes_itself_may_be_in_the_file_if_it_is_equal() -> None:
    state = WithTable().layer.state_dict(prefix="layer.")
    assert not key_difference(WithTable(), {**state, "table": torch.arange(4)})
    assert key_difference(WithTable(), {**state, "table": torch.ones(4)}).unexpected == ("table",)
