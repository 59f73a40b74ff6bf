from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fingerprint.errors import IncompatibleModel, NoInformation
from fingerprint.network import load_model
from fingerprint.network.checks import check_informative, deterministic, require_deterministic
from tests.fingerprint.network.networks import small


class Always(nn.Module):
    """Wraps a network so that something happens in evaluation mode too."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner = small()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "dropout":
            return torch.nn.functional.dropout(self.inner(x), p=0.5, training=True)
        if self.kind == "crop":
            left = int(torch.randint(0, 8, ()))
            return self.inner(x[..., left : left + 16])
        return self.inner(x)


def test_an_ordinary_network_is_informative_and_deterministic() -> None:
    model = load_model(small(), input_size=(3, 32, 32))
    check_informative(model)
    assert deterministic(model)


@pytest.mark.parametrize("kind", ["dropout", "crop"])
def test_a_network_that_answers_at_random_is_found_out(kind: str) -> None:
    model = load_model(Always(kind), input_size=(3, 32, 32))
    assert not deterministic(model)
    with pytest.raises(IncompatibleModel, match="differently each time"):
        require_deterministic(model)
    assert deterministic(load_model(Always("nothing"), input_size=(3, 32, 32)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_load_with_a_warning_but_carry_no_information(
    value: float,
) -> None:
    network = small()
    with torch.no_grad():
        network[0].weight[0, 0, 0, 0] = value
    model = load_model(network, input_size=(3, 32, 32))
    assert any("'0.weight'" in warning for warning in model.warnings)
    with pytest.raises(NoInformation, match=r"NaN or infinity in '0\.weight'"):
        check_informative(model)


def test_an_all_zero_layer_that_kills_the_network_carries_no_information() -> None:
    network = small()
    with torch.no_grad():
        network[0].weight.zero_()
    with pytest.raises(NoInformation, match="same answer"):
        check_informative(load_model(network, input_size=(3, 32, 32)))


def test_answers_that_differ_only_by_a_common_constant_carry_no_information() -> None:
    class Shift(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Parameter(torch.randn(5))

        def forward(self, x: Tensor) -> Tensor:
            return self.head + x.mean(dim=(1, 2, 3))[:, None]

    with pytest.raises(NoInformation, match="same answer"):
        check_informative(load_model(Shift(), input_size=(3, 8, 8)))


def test_answers_that_overflow_carry_no_information() -> None:
    network = small()
    with torch.no_grad():
        network[-1].weight.fill_(3e38)
    with pytest.raises(NoInformation):
        check_informative(load_model(network, input_size=(3, 32, 32)))
