"""The images that the benchmarks train and test networks on, and the files networks are kept in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from fingerprint.files import write_whole
from fingerprint.lab.data import Data, digits

__all__ = ["load_data", "read_data", "write_weights"]

_CIFAR_FILE = "cifar10_sample.npz"
_ORDER_SEED = 0


def load_data(folder: Path | None) -> Data:
    """Loads the images of the benchmark.

    Args:
        folder: Has ``cifar10_sample.npz``, images ``(N, 32, 32, 3)``. Without it, the
            lab's digits, ``(N, 1, 16, 16)``.

    Raises:
        FileNotFoundError: The folder has no such file.
    """
    return digits() if folder is None else read_data(folder / _CIFAR_FILE, name="cifar10")


def read_data(path: Path, *, name: str) -> Data:
    """Reads labelled pictures from one file.

    Args:
        path: An .npz file with ``train_images``, ``train_labels``, ``test_images`` and
            ``test_labels``; images are uint8, shape ``(N, H, W, C)``.
        name: What the pictures are called.

    Raises:
        FileNotFoundError: There is no such file.
        KeyError: It lacks one of the four.
    """
    with np.load(path) as arrays:
        train = _shuffled(arrays["train_images"], arrays["train_labels"])
        test = _shuffled(arrays["test_images"], arrays["test_labels"])
    return Data(
        name=name,
        train_images=train[0],
        train_labels=train[1],
        test_images=test[0],
        test_labels=test[1],
    )


def write_weights(network: nn.Module, path: Path, *, half: bool = False) -> None:
    """Writes a network's weights as safetensors, perhaps rounded to float16.

    The file is complete or not there.
    """
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    if half:
        state = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    write_whole(path, lambda stream: stream.write(save(state)))


def _shuffled(
    images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns channels-first images in an order in which any few of them show all classes."""
    order = np.random.default_rng(_ORDER_SEED).permutation(len(labels))
    channels_first = images[order].transpose(0, 3, 1, 2)
    return np.ascontiguousarray(channels_first), labels[order].astype(np.int64)
