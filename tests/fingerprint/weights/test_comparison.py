"""Copies are found whatever was done to their units; strangers of the same digits are not."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import nn

from fingerprint.lab import networks
from fingerprint.lab.modifications import folded, pruned, quantised, with_weights
from fingerprint.lab.symmetries import equivalent
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from fingerprint.weights import comparison, pairing
from fingerprint.weights.comparison import Comparison, compare, compare_layers
from fingerprint.weights.finding import WeightsFinding, judged, not_compared
from fingerprint.weights.wiring import layers_of
from tests.support.digits import digits, network

ALPHA = 0.001


def _model(module: nn.Module) -> Model:
    return load_model(module, input_size=(1, 16, 16))


def _p(found: Comparison) -> float:
    return 1.0 if found.p_value is None else found.p_value


def _noisy(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    noise = lambda w: w + 0.3 * w.std() * torch.randn(w.shape, generator=generator)  # noqa: E731
    return with_weights(module, noise)


CHANGES: dict[str, Any] = {
    "copied": copy.deepcopy,
    "noise": _noisy,
    "int8": quantised,
    "pruned": lambda n: pruned(n, share=0.6),
    "folded": folded,
    "permuted": lambda n: equivalent(n, seed=1, reordered=True),
    "rescaled": lambda n: equivalent(n, seed=1, rescaled=True),
    "all": lambda n: folded(quantised(equivalent(n, seed=1, reordered=True, rescaled=True))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found_whatever_was_done_to_its_units(
    trained_cnn: nn.Module, change: str
) -> None:
    found = compare(_model(trained_cnn), _model(CHANGES[change](trained_cnn)))
    assert _p(found) < ALPHA
    assert found.share is not None
    assert found.share > 0.9


def test_a_stranger_of_the_same_architecture_and_data_is_not(
    trained_cnn: nn.Module, trained_independent_cnn: nn.Module
) -> None:
    found = compare(_model(trained_cnn), _model(trained_independent_cnn))
    assert _p(found) > 0.1
    assert found.least_p is not None
    assert found.least_p < ALPHA


def test_architectures_may_agree_in_part_or_in_nothing(
    trained_cnn: nn.Module, trained_mlp: nn.Module
) -> None:
    slim = _model(networks.slim_cnn().eval())
    for other in (slim, _model(trained_mlp)):
        assert _p(compare(_model(trained_cnn), other)) > 0.1


def test_names_may_differ(trained_cnn: nn.Module) -> None:
    assert _p(compare(_model(trained_cnn), _model(nn.Sequential(trained_cnn).eval()))) < ALPHA


def test_weights_that_are_no_numbers_are_left_out(trained_cnn: nn.Module) -> None:
    broken = copy.deepcopy(trained_cnn)
    assert isinstance(broken, networks.Cnn)
    first, second = broken.convolutions[0], broken.convolutions[2]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(second, nn.Conv2d)
    first.weight.data.fill_(float("nan"))
    second.weight.data[0] = float("inf")
    found = compare(_model(trained_cnn), _model(broken))
    assert found.layers[0].cosine is None
    assert found.layers[2].p_value is None


@pytest.mark.parametrize("factor", [0.0, 1e-40, 1e30])
def test_layers_of_any_size_of_numbers_are_compared(factor: float) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh())
    net.append(nn.Linear(40, 3))
    net[2].weight.data *= factor
    model = load_model(net.eval(), input_size=(16,), bounds=(-1, 1))
    found = compare(model, model)
    assert len(found.layers) == 3
    assert (_p(found) < ALPHA) == (factor != 0.0)


def test_a_network_without_hidden_layers_decides_nothing() -> None:
    model = load_model(nn.Linear(16, 3).eval(), input_size=(16,), bounds=(-1, 1))
    found = compare(model, model)
    assert found.p_value is None
    assert judged("a", found, same=False, alpha=ALPHA).verdict == "undecided"


def test_no_matrix_is_larger_than_the_cap(
    trained_cnn: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    real = comparison.assigned

    def noted(gain: Any) -> Any:
        sizes.append(gain.size)
        return real(gain)

    monkeypatch.setattr(comparison, "CELLS", 512)
    monkeypatch.setattr(comparison, "assigned", noted)
    first = compare(_model(trained_cnn), _model(trained_cnn))
    assert max(sizes) <= 512
    assert first == compare(_model(trained_cnn), _model(trained_cnn))
    assert first.agree == first.units > 0


def test_a_finding_survives_its_document(trained_cnn: nn.Module) -> None:
    found = compare(_model(trained_cnn), _model(quantised(trained_cnn)))
    for finding in (
        judged("ours", found, same=False, alpha=ALPHA, candidates=3),
        not_compared("theirs", "its file has changed"),
    ):
        assert WeightsFinding.from_dict(finding.to_dict()) == finding


def test_more_candidates_cost_significance(trained_cnn: nn.Module) -> None:
    found = compare(_model(trained_cnn), _model(quantised(trained_cnn)))
    one, many = (judged("a", found, same=False, alpha=ALPHA, candidates=n) for n in (1, 10**9))
    assert one.verdict == "shared"
    assert many.verdict == "undecided"
    assert judged("a", found, same=True, alpha=ALPHA).verdict == "same"


@pytest.mark.slow
def test_none_of_21_pairs_of_strangers_is_claimed() -> None:
    assert digits().train_images.shape[0] > 0
    models = [_model(network("cnn", seed)) for seed in range(7)]
    found = [compare(one, other) for one, other in itertools.combinations(models, 2)]
    assert len(found) == 21
    assert min(map(_p, found)) > 0.05


def test_no_more_layers_are_paired_than_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pairing.in_order("aaaa", "aaaa") == [(k, k) for k in range(4)]
    monkeypatch.setattr(pairing, "_MOST", 3)
    assert pairing.in_order("aaaa", "aaaa") == [(k, k) for k in range(3)]
    net = nn.Sequential(*[nn.Linear(4, 4) for _ in range(5)])
    layers = layers_of(
        load_model(
            nn.Sequential(*[nn.Sequential(one, nn.ReLU()) for one in net]).eval(),
            input_size=(4,),
            bounds=(-1, 1),
        )
    )
    assert len(layers) == 5
    assert len(compare_layers(layers, layers).layers) == 3


def _from_one_start(half: int) -> nn.Module:
    """A perceptron of one seed, trained on one half of the digits."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(256, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh())
    net.append(nn.Linear(48, 10))
    x = torch.from_numpy(digits().train_images[half::2]) / 255
    y = torch.from_numpy(digits().train_labels[half::2])
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(30):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()
    return net.eval()


def test_networks_of_one_random_start_share_it_whatever_they_were_trained_on() -> None:
    found = compare(_model(_from_one_start(0)), _model(_from_one_start(1)))
    finding = judged("a", found, same=False, alpha=ALPHA)
    assert finding.verdict == "shared"
    assert "in 1 of 1 tested layers" in finding.reason
