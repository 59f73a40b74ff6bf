"""One training loop that takes seconds and gives the same weights for the same seed.

trained(networks.cnn, digits(), Settings(epochs=4), seed=0)
train(student, digits(), seed=1, loss=from_logits(teacher))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fingerprint.lab.data import Data
from fingerprint.lab.networks import head
from fingerprint.progress import Progress, silent

__all__ = [
    "Distortion",
    "Loss",
    "Settings",
    "accuracy",
    "attacked",
    "from_labels",
    "from_logits",
    "noised",
    "one_thread",
    "pixels",
    "train",
    "trained",
    "untrained",
]

Network = TypeVar("Network", bound=nn.Module)
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
Distortion = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a network is trained.

    Attributes:
        epochs: Passes over the training images.
        lr: Learning rate; the largest one when it is scheduled.
        optimizer: ``adamw``, or ``sgd`` with momentum 0.9.
        scheduled: Whether the learning rate goes up and down in one cycle.
        shift: Largest random shift of an image, in pixels.
        flip: Whether half of the images are mirrored.
        batch: Images that are learned from at a time.
        head_only: Whether everything but the head is left as it is, statistics included.
    """

    epochs: int = 12
    lr: float = 3e-3
    optimizer: Literal["adamw", "sgd"] = "adamw"
    scheduled: bool = True
    shift: int = 0
    flip: bool = False
    batch: int = 64
    head_only: bool = False


_FROM_SCRATCH = Settings()


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


def accuracy(network: nn.Module, data: Data) -> float:
    """Returns the share of test images a network names correctly."""
    with torch.inference_mode():
        named = network(pixels(data.test_images)).argmax(dim=1)
    return float((named == torch.from_numpy(data.test_labels)).float().mean())


def _hard(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(network(images), labels)


def from_logits(teacher: nn.Module) -> Loss:
    """Makes the loss of knowledge distillation: KL divergence from the teacher's answers."""

    def loss(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        del labels
        with torch.no_grad():
            wanted = teacher(images).log_softmax(dim=1)
        return functional.kl_div(
            network(images).log_softmax(dim=1), wanted, reduction="batchmean", log_target=True
        )

    return loss


def from_labels(teacher: nn.Module) -> Loss:
    """Makes the loss of a label-only extraction: the teacher's first choice is the truth."""

    def loss(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        del labels
        with torch.no_grad():
            wanted = teacher(images).argmax(dim=1)
        return functional.cross_entropy(network(images), wanted)

    return loss


def noised(std: float) -> Distortion:
    """Makes a distortion that adds Gaussian noise to the pixels."""

    def distort(
        network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        del network, labels
        return images + std * torch.randn(images.shape, generator=generator).to(images.device)

    return distort


def attacked(eps: float = 8 / 255, steps: int = 3) -> Distortion:
    """Makes the distortion of adversarial training: projected gradient ascent (Madry 2018)."""

    def distort(
        network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        low, high = (images - eps).clamp_min(0), (images + eps).clamp_max(1)
        start = torch.rand(images.shape, generator=generator).to(images.device)
        x = (images + eps * (2 * start - 1)).clamp(0, 1)
        for _ in range(steps):
            x.requires_grad_()
            (slope,) = torch.autograd.grad(_hard(network, x, labels), x)
            x = (x.detach() + 2 * eps / steps * slope.sign()).clamp(low, high)
        return x.detach()

    return distort


def _augmented(images: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
    """Shifts and mirrors each image by its own draw; what comes in is mirrored at the edge."""
    n, _, height, width = images.shape
    if settings.shift:
        room = settings.shift
        padded = functional.pad(images, (room,) * 4, mode="reflect")
        rows, columns = torch.randint(2 * room + 1, (2, n), generator=generator).tolist()
        shifted = [
            image[:, row : row + height, column : column + width]
            for image, row, column in zip(padded, rows, columns, strict=True)
        ]
        images = torch.stack(shifted)
    if settings.flip:
        mirrored = (torch.rand(n, generator=generator) < 0.5).to(images.device)
        images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
    return images


def train(
    network: Network,
    data: Data,
    settings: Settings = _FROM_SCRATCH,
    *,
    seed: int,
    loss: Loss = _hard,
    distort: Distortion | None = None,
    keep_zeros: bool = False,
    progress: Progress = silent,
) -> Network:
    """Trains a network in place and where it lies, on one thread, the same way for the same seed.

    Args:
        network: Takes pixels, gives logits ``(N, classes)``.
        data: Gives the training images and labels.
        settings: How.
        seed: Decides the order of the batches and every other draw.
        loss: Of a network, images and labels.
        distort: Changes each batch before it is learned from.
        keep_zeros: Whether weights that are zero at the start stay zero.
        progress: Called after each epoch.

    Returns:
        The same network, in evaluation mode, with every parameter trainable.
    """
    device = next(network.parameters()).device
    images = pixels(data.train_images).to(device)
    labels = torch.from_numpy(data.train_labels).to(device)
    generator = torch.Generator().manual_seed(seed)
    trained = list((head(network) if settings.head_only else network).parameters())
    network.requires_grad_(False).train(not settings.head_only)
    for parameter in trained:
        parameter.requires_grad_()
    kept = [parameter.detach() != 0 for parameter in trained] if keep_zeros else []
    optimizer = _optimizer(trained, settings)
    batches = -(-len(labels) // settings.batch)
    cycle = (
        torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.lr, total_steps=settings.epochs * batches
        )
        if settings.scheduled
        else None
    )
    with one_thread():
        for epoch in range(settings.epochs):
            order = torch.randperm(len(labels), generator=generator)
            for batch in torch.split(order, settings.batch):
                x, y = _augmented(images[batch], settings, generator), labels[batch]
                if distort is not None:
                    x = distort(network, x, y, generator)
                optimizer.zero_grad()
                torch.autograd.backward(loss(network, x, y))
                optimizer.step()
                if cycle is not None:
                    cycle.step()
                with torch.no_grad():
                    for parameter, mask in zip(trained, kept, strict=False):
                        parameter.mul_(mask)
            progress("training", epoch + 1, settings.epochs)
    return network.requires_grad_(True).eval()


def _optimizer(parameters: list[nn.Parameter], settings: Settings) -> torch.optim.Optimizer:
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=settings.lr, momentum=0.9)
    return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=1e-2)


def untrained(factory: Callable[[], Network], seed: int) -> Network:
    """Builds a network from a seed, leaving the global random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return factory()


def trained(
    factory: Callable[[], Network],
    data: Data,
    settings: Settings = _FROM_SCRATCH,
    *,
    seed: int,
    loss: Loss = _hard,
    progress: Progress = silent,
) -> Network:
    """Builds a network from a seed and trains it, leaving the global random state alone.

    Args:
        factory: Builds the untrained network.
        data: What to train on.
        settings: How.
        seed: Decides the initial weights, the order of the batches and every other draw.
        loss: Of a network, images and labels.
        progress: Called after each epoch.

    Returns:
        The trained network, in evaluation mode.
    """
    network = untrained(factory, seed)
    return train(network, data, settings, seed=seed, loss=loss, progress=progress)
