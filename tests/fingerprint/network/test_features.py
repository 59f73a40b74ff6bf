"""Features: what the last linear layer reads, where a linear layer gives the answers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from fingerprint.errors import NoInformation
from fingerprint.network.features import MAX_WIDTH, penultimate
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from tests.support.extracted import SIZE, model_of

CLASSES = 5


def features_of(model: Model, count: int = 7) -> tuple[Tensor, Tensor]:
    """Returns random inputs and their features."""
    features = penultimate(model)
    assert features is not None
    inputs = torch.rand(count, *model.input.shape, generator=torch.Generator().manual_seed(0))
    return inputs, features(inputs)


def body() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 12), nn.Tanh())


@pytest.mark.parametrize("kind", ["cnn", "vit", "mlp"])
def test_they_are_what_the_head_turns_into_the_answers(kind: str) -> None:
    model = model_of(kind)
    inputs, features = features_of(model)
    module: Any = model.module
    head = module.layers[-1] if kind == "mlp" else module.head
    torch.testing.assert_close(features @ head.weight.T + head.bias, model(inputs))


def test_those_of_a_perceptron_are_its_hidden_layers() -> None:
    model = model_of("mlp")
    inputs, features = features_of(model)
    first, second = [part for part in model.module.modules() if isinstance(part, nn.Linear)][:2]
    hidden = (inputs.flatten(1) @ first.weight.T + first.bias).clamp_min(0)
    torch.testing.assert_close(features, (hidden @ second.weight.T + second.bias).clamp_min(0))


def test_gradients_reach_the_input_and_no_hook_is_left_behind() -> None:
    model = model_of("cnn")
    features = penultimate(model)
    assert features is not None
    inputs = torch.rand(2, *SIZE, requires_grad=True)
    (gradient,) = torch.autograd.grad(features(inputs).sum(), inputs)
    assert bool((gradient != 0).any())
    assert not any(part._forward_pre_hooks for part in model.module.modules())


class Shared(nn.Module):
    """Its head is called by keyword, twice, and its answer is a field among others."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.mix = body(), nn.Linear(12, 12)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.body(x)
        draft = self.head(input=hidden)
        return {"draft": draft, "logits": self.head(input=torch.tanh(self.mix(hidden)))}


def test_a_layer_that_is_called_twice_counts_where_it_is_called_last() -> None:
    module = Shared()
    inputs, features = features_of(load_model(module, input_size=SIZE, output="logits"))
    torch.testing.assert_close(features, torch.tanh(module.mix(module.body(inputs))))


def test_a_head_whose_weights_are_computed_is_a_linear_layer() -> None:
    head = parametrizations.weight_norm(nn.Linear(12, CLASSES))
    first = body()
    inputs, features = features_of(load_model(nn.Sequential(first, head), input_size=SIZE))
    torch.testing.assert_close(features, first(inputs))


class OfRows(nn.Module):
    """Folds the rows of an image into the batch, or puts them before it."""

    def __init__(self, *, folded: bool) -> None:
        super().__init__()
        self.folded, self.head = folded, nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.tanh(x[:, 0])
        if self.folded:
            answers: Tensor = self.head(rows.reshape(-1, 16)).reshape(len(x), 16, CLASSES).mean(1)
            return answers
        answers = self.head(rows.transpose(0, 1)).mean(0)
        return answers


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(body(), nn.Linear(12, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x.detach())
        return logits


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(1, CLASSES, 16), nn.Flatten()),
        nn.Sequential(body(), nn.Linear(12, 25), nn.Unflatten(1, (5, 5)), nn.AvgPool1d(5)),
        nn.Sequential(nn.Flatten(), nn.Linear(256, 1), nn.Tanh(), nn.Linear(1, CLASSES)),
        nn.Sequential(nn.Upsample(96), nn.Flatten(), nn.Linear(96 * 96, CLASSES)),
        OfRows(folded=True),
        OfRows(folded=False),
        Detached(),
    ],
    ids=["no linear", "other width", "one", "too many", "folded", "rows first", "no gradient"],
)
def test_a_network_without_usable_features_has_none(module: nn.Module) -> None:
    assert MAX_WIDTH < 96 * 96
    if isinstance(module[-1] if isinstance(module, nn.Sequential) else None, nn.AvgPool1d):
        module.append(nn.Flatten())
    assert penultimate(load_model(module, input_size=SIZE)) is None


class Exits(nn.Module):
    """Bright inputs leave by another head."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.other = body(), nn.Linear(12, CLASSES), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        head = self.other if float(x.mean()) > 0.9 else self.head
        answers: Tensor = head(self.body(x))
        return answers


def test_an_input_that_leaves_by_another_exit_says_so() -> None:
    features = penultimate(load_model(Exits(), input_size=SIZE))
    assert features is not None
    assert features(torch.zeros(2, *SIZE)).shape == (2, 12)
    with pytest.raises(NoInformation, match="one row of features"):
        features(torch.ones(2, *SIZE))
