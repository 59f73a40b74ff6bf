"""Every layer of trained networks, against NumPy; and what else an inspection promises."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fingerprint import Inspection, inspect
from fingerprint.errors import IncompatibleModel, NoInformation, UsageError
from fingerprint.inspection.affine import Budget, affine_facts
from fingerprint.inspection.calls import record
from fingerprint.network.inputs import sample_inputs
from tests.fingerprint.inspection.judge import check_against, matrices, model_of, written_out
from tests.support.digits import network
from tests.support.extracted import SIZE


@pytest.mark.parametrize("kind", ["cnn", "vit", "mlp"])
def test_every_affine_layer_of_a_trained_network_is_as_numpy_says(kind: str) -> None:
    model = model_of(network(kind), *SIZE)
    modules = matrices(model, sample_inputs(model.input, 1).double())
    found = {layer.name: layer for layer in inspect(model).layers}
    assert len(modules) >= 3
    for name, matrix in modules.items():
        check_against(matrix, found[name])


class _Odd(nn.Module):
    """Affine calls in forms that the digits networks do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.around = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")
        self.weight = nn.Parameter(torch.randn(4, 6))
        self.windows = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.avg_pool2d(self.around(x), 3, 2, 1)
        x = functional.interpolate(x, scale_factor=2, mode="bilinear")
        x = torch.einsum("nchw,cd->nhwd", x, self.weight)
        x = x.reshape(4 * len(x), 16, 6)  # four windows of each input
        x = self.windows(x).reshape(-1, 64, 5)
        return x.mean(dim=1)


def test_affine_calls_of_every_form_are_as_numpy_says() -> None:
    model = model_of(_Odd(), 3, 8, 8)
    x = sample_inputs(model.input, 1).double()
    calls = {call.name: call for call in record(model, x, lambda *_: None).calls}
    found = inspect(model).layers
    assert [layer.function for layer in found] == [
        "conv2d",
        "avg_pool2d",
        "interpolate",
        "einsum",
        "linear",
        "mean",
    ]
    for layer in found:
        call = calls[layer.name]
        assert call.apply is not None
        # Four windows go through the linear layer at once: a block for each.
        matrix = written_out(call.apply, call.in_shape[1:])
        check_against(np.kron(np.eye(call.in_shape[0]), matrix), layer)


def test_the_segment_is_the_harmless_space_of_the_input() -> None:
    segment = inspect(model_of(network("mlp"), *SIZE), values=0).segment
    assert (segment.n, segment.rank, segment.dimension) == (256, 96, 160)
    assert segment.ended_by == "relu"


def test_the_document_is_plain_and_complete() -> None:
    found = inspect(model_of(network("mlp"), *SIZE))
    document = json.loads(json.dumps(found.to_dict()))
    assert document["input"] == "seeded uniform noise"
    first = document["layers"][0]
    for key in ("name", "kind", "in_shape", "out_shape", "n", "m", "rank", "dimension"):
        assert first[key] is not None
    for key in ("at_least", "free", "of", "singular_values", "note"):
        assert key in first


def test_two_inspections_of_one_network_are_equal() -> None:
    model = model_of(network("cnn"), *SIZE)
    found = [inspect(model, layer="convolutions.2").to_dict() for _ in range(2)]
    assert found[0] == found[1]


def test_nonlinear_layers_are_looked_at_with_the_input_that_is_given() -> None:
    model = model_of(nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(8, 2)), 8, bounds=(-1, 1))
    given = np.array([-1, -0.5, 0, 0.5, 1, 1, 1, 1], dtype=np.float32)
    layer = inspect(model, input=given).layers[0]
    assert (layer.kind, layer.free, layer.of) == ("activation", 3, 8)


def _of_one_layer(found: Inspection) -> list[str]:
    return [layer.name for layer in found.layers]


def test_a_layer_or_all_of_a_module_can_be_asked_for_by_name() -> None:
    model = model_of(network("vit"), *SIZE)
    assert _of_one_layer(inspect(model, layer="patch_embed")) == ["patch_embed"]
    inside = _of_one_layer(inspect(model, layer="blocks.1.mlp"))
    assert inside == ["blocks.1.mlp.0", "blocks.1.mlp.1", "blocks.1.mlp.2"]


def test_an_unknown_layer_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UsageError, match=r"'patch_embd'; nearest: patch_embed"):
        inspect(model_of(network("vit"), *SIZE), layer="patch_embd")


def test_nan_weights_are_refused_by_name() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    model = model_of(module, 4, bounds=(-1, 1))
    model.module[1].weight.data[0, 0] = float("nan")  # type: ignore[index,union-attr]
    with pytest.raises(NoInformation, match=r"1\.weight"):
        inspect(model)


@pytest.mark.parametrize("values", [-1])
def test_a_wrong_call_is_a_usage_error(values: int) -> None:
    model = model_of(network("mlp"), *SIZE)
    with pytest.raises(UsageError, match="values"):
        inspect(model, values=values)
    with pytest.raises(UsageError, match="input: expected one of shape"):
        inspect(model, input=np.zeros((1, 8, 8), dtype=np.uint8))


def test_a_network_that_fails_on_the_input_is_refused() -> None:
    class Fails(nn.Module):
        ready = True

        def forward(self, x: Tensor) -> Tensor:
            if not self.ready:
                raise ValueError("not today")
            return x.flatten(1)[:, :3]

    model = model_of(Fails(), 4, bounds=(-1, 1))
    model.module.ready = False
    with pytest.raises(IncompatibleModel, match="not today"):
        inspect(model)


def test_the_network_itself_is_left_as_it_was() -> None:
    model = model_of(network("mlp"), *SIZE)
    inspect(model, values=0)
    for module in model.module.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_what_is_too_large_says_so_with_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Flatten(), nn.LazyLinear(3))
    module(torch.zeros(1, 3, 16, 16))
    model = model_of(module, 3, 16, 16)
    monkeypatch.setattr(Budget, "affords", lambda self, way: False)
    layer = inspect(model).layers[0]
    assert layer.rank is layer.dimension is None
    assert layer.at_least == 3 * 16 * 16 - 4 * 8 * 8
    assert layer.note.startswith("not computed: overlapping 3x3 convolution")


def test_a_deficient_kernel_gives_a_bound_where_nothing_is_decomposed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    convolution = nn.Conv2d(4, 8, 3, padding=1)
    convolution.weight.data[:, 3] = convolution.weight.data[:, 0]
    module = nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = model_of(module, 4, 6, 6)
    monkeypatch.setattr(Budget, "affords", lambda self, way: False)
    assert inspect(model).layers[0].at_least == 36


def test_no_more_is_spent_than_the_budget_of_the_network() -> None:
    model = model_of(network("mlp"), *SIZE)
    x = sample_inputs(model.input, 1).double()
    calls = [c for c in record(model, x, lambda *_: None).calls if c.apply is not None]
    budget = Budget(left=1e8)
    ranks = [affine_facts(call, 3, budget).rank for call in calls]
    assert ranks[0] is not None
    budget.left = 0.0
    refused = affine_facts(calls[0], 3, budget)
    assert refused.rank is None
    assert "spent" in refused.note
