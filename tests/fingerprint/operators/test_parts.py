"""Convolutions side by side, read off a function that adds them, against NumPy's sum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fingerprint.operators import Convolution, Sum, linear_operator, same_kernel
from tests.support.operator_contract import check_operator, matrix_of

SHAPE = (2, 7, 8)
Branch = Callable[[Tensor], Tensor]


def branch(kernel: int | tuple[int, int], out: int = 4, **options: Any) -> nn.Module:
    torch.manual_seed(len(options))
    return nn.Conv2d(2, out, kernel, **options).double()


def normed(convolution: nn.Module) -> nn.Module:
    norm = nn.BatchNorm2d(4).double()
    nn.init.normal_(norm.weight)
    return nn.Sequential(convolution, norm).eval()


MERGING: dict[str, list[nn.Module]] = {
    "same kernels": [branch(3, stride=2), branch(3, stride=2)],
    "one and three taps": [branch(1, stride=2), branch(3, stride=2, padding=1)],
    "three and one and five": [branch(3, padding=1), branch(1), branch(5, padding=2)],
    "different reach behind": [
        branch(3, padding=1, stride=3),
        nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), branch(2, stride=3)),
    ],
    "lopsided": [
        nn.Sequential(nn.ZeroPad2d((0, 2, 1, 0)), branch((2, 3))),
        branch(1),
    ],
    "groups": [branch(3, padding=1, groups=2), branch(1, groups=2)],
    "batch norms": [normed(branch(1, stride=2)), normed(branch(3, stride=2, padding=1))],
}
APART: dict[str, list[nn.Module]] = {
    "groups": [branch(3, padding=1), branch(1, groups=2)],
    "dilation": [branch(3, padding=2, dilation=2), branch(1)],
    "matrix behind": [
        branch(1),
        nn.Sequential(nn.Flatten(), nn.Linear(112, 224), nn.Unflatten(1, (4, 7, 8))).double(),
    ],
}


def summed(branches: list[nn.Module]) -> Branch:
    def function(x: Tensor) -> Tensor:
        answer = branches[0](x)
        for other in branches[1:]:
            answer = answer + other(x)
        return answer

    return function


@pytest.mark.parametrize("name", MERGING)
def test_branches_that_fit_become_one_convolution(name: str) -> None:
    function = summed(MERGING[name])
    operator = linear_operator(function, SHAPE)
    check_operator(operator, matrix_of(function, SHAPE))
    assert isinstance(same_kernel(operator), Convolution)


@pytest.mark.parametrize("name", APART)
def test_branches_that_do_not_fit_stay_a_sum(name: str) -> None:
    function = summed(APART[name])
    operator = linear_operator(function, SHAPE)
    assert isinstance(operator, Sum)
    check_operator(operator, matrix_of(function, SHAPE))
