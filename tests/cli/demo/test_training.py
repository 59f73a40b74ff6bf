"""The demo's networks are really trained, and each change does what its name says."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from cli.demo import data, modifications, networks
from cli.demo.training import accuracy, pixels, train, trained
from tests.support.digits import digits, network


@pytest.mark.parametrize("kind", ["cnn", "vit", "mlp"])
def test_a_trained_network_names_nine_of_ten_unseen_digits(kind: str) -> None:
    assert accuracy(network(kind), digits()) >= 0.9


def test_digits_are_eight_bit_images_that_use_the_whole_range() -> None:
    loaded = digits()
    assert loaded.train_images.dtype == np.uint8
    assert loaded.train_images.shape[1:] == loaded.input_size == (1, 16, 16)
    assert loaded.train_images.min() == 0
    assert loaded.train_images.max() == 255


def test_another_size_gives_images_of_that_size() -> None:
    assert data.digits(8).input_size == (1, 8, 8)


def test_training_and_test_images_do_not_overlap() -> None:
    loaded = digits()
    seen = {image.tobytes() for image in loaded.train_images}
    assert not any(image.tobytes() in seen for image in loaded.test_images)


def test_training_is_reproducible_and_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    first = trained(networks.mlp, digits(), seed=3, epochs=1)
    second = trained(networks.mlp, digits(), seed=3, epochs=1)
    assert torch.equal(before, torch.random.get_rng_state())
    for left, right in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(left, right)


def test_training_reports_each_epoch() -> None:
    seen: list[tuple[str, int, int]] = []
    train(
        networks.mlp(),
        digits(),
        seed=0,
        epochs=2,
        progress=lambda stage, done, total: seen.append((stage, done, total)),
    )
    assert seen == [("training", 1, 2), ("training", 2, 2)]


def test_the_transformer_embeds_a_patch_in_fewer_numbers_than_it_has_pixels() -> None:
    embedding = networks.Vit().patch_embed
    assert embedding.out_channels < embedding.weight[0].numel()


def _answers(module: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        answers: torch.Tensor = module(pixels(digits().test_images))
    return answers


def _source() -> networks.Cnn:
    source = network("cnn")
    assert isinstance(source, networks.Cnn)
    return source


@pytest.mark.parametrize("change", ["permuted", "folded"])
def test_function_preserving_changes_keep_every_answer(change: str) -> None:
    source = _source()
    changed = (
        modifications.permuted(source, seed=1)
        if change == "permuted"
        else modifications.folded(source)
    )
    torch.testing.assert_close(_answers(changed), _answers(source), rtol=1e-4, atol=1e-4)
    (first, _), (original, _) = next(changed.layers()), next(source.layers())
    assert not torch.equal(first.weight, original.weight)


def test_folding_leaves_no_normalisation_behind() -> None:
    changed = modifications.folded(_source())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in changed.modules())
    networks.folded_cnn().load_state_dict(changed.state_dict())


def test_quantised_channels_hold_at_most_255_values_and_answers_stay_close() -> None:
    source = _source()
    changed = modifications.quantised(source)
    assert isinstance(changed, networks.Cnn)
    row = changed.head.weight[0]
    steps = row / (row.abs().max() / 127)
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
    assert not torch.equal(_answers(changed), _answers(source))
    assert accuracy(changed, digits()) > 0.9


def test_a_dead_channel_survives_quantisation() -> None:
    source = copy.deepcopy(_source())
    with torch.no_grad():
        next(source.layers())[0].weight[0] = 0
    assert torch.isfinite(_answers(modifications.quantised(source))).all()


def test_pruning_removes_the_smallest_weights_of_the_network_and_no_others() -> None:
    source = _source()
    changed = modifications.pruned(source, share=0.3)
    before = torch.cat([p.flatten() for p in source.parameters() if p.dim() > 1])
    after = torch.cat([p.flatten() for p in changed.parameters() if p.dim() > 1])
    gone = after == 0
    assert gone.float().mean().item() == pytest.approx(0.3, abs=1e-3)
    assert before[gone].abs().max() <= before[~gone].abs().min()
    assert torch.equal(before[~gone], after[~gone])


def test_pruning_spares_biases_and_normalisation() -> None:
    source, changed = _source(), modifications.pruned(_source(), share=0.9)
    for left, right in zip(source.parameters(), changed.parameters(), strict=True):
        if left.dim() == 1:
            assert torch.equal(left, right)


def test_a_change_leaves_its_source_alone() -> None:
    source = _source()
    before = copy.deepcopy(source.state_dict())
    modifications.pruned(source)
    modifications.quantised(source)
    modifications.permuted(source, seed=0)
    modifications.folded(source)
    modifications.fine_tuned(source, digits(), seed=0, epochs=1)
    for key, value in source.state_dict().items():
        assert torch.equal(value, before[key]), key
