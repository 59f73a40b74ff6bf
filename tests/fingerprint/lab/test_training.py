"""The one training loop."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from fingerprint.lab import networks, training
from fingerprint.lab.architectures import build
from fingerprint.lab.modifications import pruned
from fingerprint.lab.training import Settings, accuracy, train, trained
from tests.fingerprint.lab.parts import few_images, images_for, unsettled
from tests.support.digits import digits, network

ONCE = Settings(epochs=1, lr=1e-2, optimizer="sgd", scheduled=False, shift=1, flip=True)


def _moved(before: nn.Module, after: nn.Module) -> set[str]:
    state = after.state_dict()
    return {name for name, t in before.state_dict().items() if not torch.equal(t, state[name])}


@pytest.mark.parametrize("kind", ["cnn", "vit", "mlp"])
def test_a_trained_network_names_nine_of_ten_unseen_digits(kind: str) -> None:
    assert accuracy(network(kind), digits()) >= 0.9


def test_training_from_scratch_is_reproducible_and_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    first, second = (trained(networks.mlp, few_images(), ONCE, seed=3) for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert not _moved(first, second)


def test_training_reports_each_epoch() -> None:
    seen: list[tuple[str, int, int]] = []
    train(
        networks.mlp(),
        few_images(),
        Settings(epochs=2),
        seed=0,
        progress=lambda stage, done, total: seen.append((stage, done, total)),
    )
    assert seen == [("training", 1, 2), ("training", 2, 2)]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    first, second, other = (
        train(unsettled("digits cnn"), few_images(), ONCE, seed=seed) for seed in (3, 3, 4)
    )
    assert not _moved(first, second)
    assert _moved(first, other)


def test_head_only_moves_the_head_and_no_statistic() -> None:
    network = unsettled("digits cnn")
    settings = Settings(epochs=1, lr=1e-2, head_only=True)
    tuned = train(copy.deepcopy(network), few_images(), settings, seed=0)
    assert _moved(network, tuned) == {"head.weight", "head.bias"}
    assert all(parameter.requires_grad for parameter in tuned.parameters())


def test_pruned_weights_stay_zero_only_when_asked_to() -> None:
    sparse = pruned(unsettled("digits cnn"), share=0.5)
    zeros = [parameter == 0 for parameter in sparse.parameters()]
    kept, refilled = (
        train(copy.deepcopy(sparse), few_images(), ONCE, seed=0, keep_zeros=keep)
        for keep in (True, False)
    )
    assert all(not p[z].any() for p, z in zip(kept.parameters(), zeros, strict=True))
    assert any(p[z].any() for p, z in zip(refilled.parameters(), zeros, strict=True))
    assert _moved(sparse, kept)


def test_attacks_stay_within_eps_and_raise_the_loss() -> None:
    network, images = unsettled("digits vit"), images_for("digits vit", 20)
    labels = network(images).argmax(dim=1)
    attacked = training.attacked(eps=0.1)(network, images, labels, torch.Generator().manual_seed(0))
    assert (attacked - images).abs().max() <= 0.1 + 1e-6
    assert 0 <= attacked.min() <= attacked.max() <= 1
    before, after = (functional.cross_entropy(network(x), labels) for x in (images, attacked))
    assert after > before


def test_a_students_loss_ends_where_it_answers_as_its_teacher() -> None:
    teacher, other = unsettled("digits vit"), build("digits mlp")
    images = images_for("digits vit")
    nothing = torch.zeros(len(images), dtype=torch.int64)
    loss = training.from_logits(teacher)
    assert loss(teacher, images, nothing).abs() < 1e-6
    assert loss(other, images, nothing) > 1e-3


def test_labels_are_all_that_a_label_extraction_sees() -> None:
    teacher, student = unsettled("digits vit"), build("digits mlp")
    images = images_for("digits vit")
    named = teacher(images).argmax(dim=1)
    lied_about = (named + 1) % 10
    loss = training.from_labels(teacher)(student, images, lied_about)
    torch.testing.assert_close(loss, functional.cross_entropy(student(images), named))
