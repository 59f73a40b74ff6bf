"""Running a model on inputs as they are sent: 8-bit images or float32 vectors, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.network.spec import InputSpec

__all__ = ["Asked", "full_precision", "run", "to_inputs", "to_tensor"]

BATCH = 16


class Asked(Protocol):
    """What can be run on inputs: a whole model, or one up to a depth of it."""

    @property
    def input(self) -> InputSpec:
        """What it takes."""

    @property
    def device(self) -> torch.device:
        """Where it runs."""

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""

    def __call__(self, x: Tensor) -> Tensor:
        """Answers a batch: ``(N, *input.shape)`` in ``input.bounds`` -> ``(N, width)``."""


def run(model: Asked, inputs: NDArray[Any], *, batch: int = BATCH) -> NDArray[np.float32]:
    """Answers inputs in evaluation mode, without gradients and without TensorFloat-32.

    Args:
        model: The model, or a depth of it.
        inputs: Shape ``(N, *model.input.shape)``; uint8 for pixels, float32 otherwise.
        batch: Inputs a forward pass.

    Returns:
        float32 answers of shape ``(N, classes)``, or ``(N, width)`` of a depth.
    """
    rows: list[NDArray[np.float32]] = []
    with torch.no_grad(), full_precision():
        for begin in range(0, len(inputs), batch):
            values = to_tensor(inputs[begin : begin + batch], model.input, model.dtype)
            rows.append(model(values.to(model.device)).float().cpu().numpy())
    return np.concatenate(rows)


def to_tensor(inputs: NDArray[Any], spec: InputSpec, dtype: torch.dtype = torch.float32) -> Tensor:
    """Turns inputs as they are sent into the tensor a :class:`Model` takes.

    Args:
        inputs: Shape ``(..., *spec.shape)``; uint8 for pixels, float32 otherwise.
        spec: What the network takes.
        dtype: Floating-point type of the result.

    Returns:
        Tensor of the same shape in ``spec.bounds``.
    """
    values = torch.from_numpy(np.ascontiguousarray(inputs)).to(dtype)
    return values / 255 if spec.kind == "pixels" else values


def to_inputs(values: Tensor, spec: InputSpec) -> NDArray[Any]:
    """Rounds tensors in ``spec.bounds`` to inputs as they are sent; undoes :func:`to_tensor`.

    Args:
        values: Shape ``(..., *spec.shape)``.
        spec: What the network takes.

    Returns:
        Array of the same shape; uint8 for pixels, float32 otherwise.
    """
    low, high = spec.bounds
    boxed = values.detach().clamp(low, high).cpu().double().numpy()
    if spec.kind == "pixels":
        return np.round(boxed * 255).astype(np.uint8)
    return np.clip(boxed.astype(np.float32), np.float32(low), np.float32(high))


@contextmanager
def full_precision() -> Iterator[None]:
    """Runs a block without TensorFloat-32, whose 1e-3 errors would blur "same" and "derived"."""
    matmul = torch.backends.cuda.matmul.allow_tf32
    # None leaves what a caller has set; left out, cuDNN would be switched off.
    kept: dict[str, Any] = {"enabled": None, "benchmark": None, "deterministic": None}
    with torch.backends.cudnn.flags(allow_tf32=False, **kept):
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = matmul
