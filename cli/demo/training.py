"""Training that takes seconds and gives the same weights for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cli.demo.data import Digits
from fingerprint.progress import Progress, silent

__all__ = ["accuracy", "one_thread", "pixels", "train", "trained"]

_BATCH = 64

Network = TypeVar("Network", bound=nn.Module)


def pixels(images: NDArray[np.uint8]) -> Tensor:
    """Returns 8-bit images ``(N, C, H, W)`` as float32 in [0, 1]."""
    return torch.from_numpy(images).float() / 255


@contextmanager
def one_thread() -> Iterator[None]:
    """Computes on one thread: these networks are too small to gain from more.

    On a busy machine a second thread makes training many times slower, and another number of
    threads would give other weights.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    network: Network,
    data: Digits,
    *,
    seed: int,
    epochs: int = 12,
    lr: float = 3e-3,
    progress: Progress = silent,
) -> Network:
    """Trains a network in place with AdamW and a one-cycle schedule.

    Args:
        network: Takes pixels, gives logits ``(N, classes)``.
        data: What to train on.
        seed: Decides the order of the batches.
        epochs: Passes over the training images.
        lr: Largest learning rate.
        progress: Called after each epoch.

    Returns:
        The same network, in evaluation mode.
    """
    images, labels = pixels(data.train_images), torch.from_numpy(data.train_labels)
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=1e-2)
    batches = -(-len(labels) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * batches)
    network.train()
    with one_thread():
        for epoch in range(epochs):
            for batch in torch.split(torch.randperm(len(labels), generator=order), _BATCH):
                optimizer.zero_grad()
                loss = functional.cross_entropy(network(images[batch]), labels[batch])
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
            progress("training", epoch + 1, epochs)
    return network.eval()


def trained(
    factory: Callable[[], Network],
    data: Digits,
    *,
    seed: int,
    epochs: int = 12,
    lr: float = 3e-3,
    progress: Progress = silent,
) -> Network:
    """Builds a network from a seed and trains it, leaving the global random state alone.

    Args:
        factory: Builds the untrained network.
        data: What to train on.
        seed: Decides the initial weights and the order of the batches.
        epochs: Passes over the training images.
        lr: Largest learning rate.
        progress: Called after each epoch.

    Returns:
        The trained network, in evaluation mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = factory()
    return train(network, data, seed=seed, epochs=epochs, lr=lr, progress=progress)


def accuracy(network: nn.Module, data: Digits) -> float:
    """Returns the share of test images a network names correctly."""
    with torch.inference_mode():
        named = network(pixels(data.test_images)).argmax(dim=1)
    return float((named == torch.from_numpy(data.test_labels)).float().mean())
