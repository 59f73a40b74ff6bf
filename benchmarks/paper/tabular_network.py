r"""A network on a table to take fingerprints of: digits as 64 plain numbers.

    table = digit_features()
    network = trained_perceptron(table, seed=0)
    model = load_model(network, **INPUT)

    fp register perceptron.safetensors --arch benchmarks.paper.tabular_network:perceptron \
        --input-size 64 --bounds 0,16

scikit-learn ships the counts of dark pixels in 64 cells of handwritten digits, 0 to 16 each. They
are taken as a table: nothing in the network knows that cells are neighbours. Its first layer has
32 outputs for 64 inputs, so half of the input space is harmless.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "INPUT",
    "Perceptron",
    "Table",
    "accuracy",
    "digit_features",
    "perceptron",
    "trained_perceptron",
    "tuned",
]

FEATURES = 64
HIDDEN = 32
CLASSES = 10
LARGEST = 16.0

INPUT: dict[str, Any] = {"input_size": (FEATURES,), "bounds": (0.0, LARGEST)}
"""How ``load_model`` is told the inputs: the range of the table's columns."""

_TRAINING_SHARE = 0.8
_BATCH = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows of numbers and their labels, split once for everyone.

    Attributes:
        train: float32, shape ``(N, 64)``.
        train_labels: int64, shape ``(N,)``.
        test: float32, shape ``(M, 64)``.
        test_labels: int64, shape ``(M,)``.
    """

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor


def digit_features() -> Table:
    """Returns 1438 training and 359 test rows; the split does not depend on any caller's seed."""
    raw = load_digits()
    rows, labels = torch.from_numpy(raw.data).float(), torch.from_numpy(raw.target).long()
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(rows)))
    train, test = order.tensor_split([round(len(rows) * _TRAINING_SHARE)])
    return Table(
        train=rows[train],
        train_labels=labels[train],
        test=rows[test],
        test_labels=labels[test],
    )


class Perceptron(nn.Module):
    """Four linear layers; the first, 64 to 32, leaves half of the input unread."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(FEATURES, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Answers rows ``(N, 64)`` of numbers in 0 to 16 with logits ``(N, 10)``."""
        logits: Tensor = self.layers(x / LARGEST)
        return logits


def perceptron() -> Perceptron:
    """Returns an untrained perceptron."""
    return Perceptron()


def trained_perceptron(table: Table, *, seed: int, epochs: int = 40) -> Perceptron:
    """Builds a perceptron from a seed and trains it, leaving the global random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = perceptron()
    return tuned(network, table, seed=seed, epochs=epochs, lr=5e-3)


def tuned(
    network: Perceptron, table: Table, *, seed: int, epochs: int = 4, lr: float = 1e-3
) -> Perceptron:
    """Trains a copy further.

    Args:
        network: Left alone.
        table: What to train on.
        seed: Decides the order of the batches.
        epochs: Passes over the training rows.
        lr: Largest learning rate.

    Returns:
        The copy, in evaluation mode.
    """
    network = copy.deepcopy(network)
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=1e-2)
    batches = -(-len(table.train) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * batches)
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(table.train), generator=order).split(_BATCH):
            loss = functional.cross_entropy(network(table.train[batch]), table.train_labels[batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return network.eval()


def accuracy(network: nn.Module, table: Table) -> float:
    """Returns the share of test rows a network names correctly."""
    with torch.inference_mode():
        named = network(table.test).argmax(dim=1)
    return float((named == table.test_labels).double().mean())
