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


class Constant(nn.Module):
    """Answers a constant, to which each input adds rounding noise of a few ulps of its own."""

    def __init__(self, size: float, *, told: float = 0.0, dtype: torch.dtype) -> None:
        super().__init__()
        row = torch.linspace(0.2, 1.0, 7, dtype=torch.float64)
        self.row = nn.Parameter((size * row).to(dtype), requires_grad=False)
        self.told = told

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(1, 8, dtype=torch.float64)
        keys = (x.double().sum(dim=(1, 2, 3))[:, None] * 1e3 + 1) * places
        steps = (keys.sin() * 4).round()
        half = self.row.element_size() < 4
        noise = torch.finfo(self.row.dtype).eps * (steps.clamp(-1, 1) if half else steps)
        rows = self.row.double() * (1 + noise + self.told * keys.cos())
        return rows.clamp(max=3.3e38).to(self.row.dtype)


SIZES = [1e-30, 1e-20, 1e-8, 1e-3, 1.0, 1e4, 1e15, 1e30, 3e38]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_constant_is_one_at_any_size_whatever_its_rounding(
    size: float, dtype: torch.dtype
) -> None:
    dead = load_model(Constant(size, dtype=dtype), input_size=(3, 8, 8))
    assert dead.module(torch.rand(9, 3, 8, 8)).double().std(dim=0).max() > 0  # it is not exact
    with pytest.raises(NoInformation, match="same answer"):
        check_informative(dead)
    assert deterministic(dead)
    alive = load_model(Constant(size, told=0.5, dtype=dtype), input_size=(3, 8, 8))
    check_informative(alive)


@pytest.mark.parametrize("size", SIZES)
def test_chance_is_told_from_rounding_at_any_size(size: float) -> None:
    class Wavering(nn.Module):
        def __init__(self, share: float) -> None:
            super().__init__()
            self.row = nn.Parameter(torch.linspace(0.2, 0.9, 7) * size, requires_grad=False)
            self.share = share

        def forward(self, x: Tensor) -> Tensor:
            return self.row * (1 + self.share * (torch.rand(len(x), 7) - 0.5))

    eps = torch.finfo(torch.float32).eps
    for share, repeats in ((8 * eps, True), (0.1, False)):
        model = load_model(Wavering(share), input_size=(3, 8, 8))
        assert deterministic(model) == repeats


def test_answers_that_overflow_carry_no_information() -> None:
    network = small()
    with torch.no_grad():
        network[-1].weight.fill_(3e38)
    with pytest.raises(NoInformation):
        check_informative(load_model(network, input_size=(3, 32, 32)))
