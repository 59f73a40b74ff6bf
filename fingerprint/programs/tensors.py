"""What networks that run in torch give, as arrays by name; for the processes that run them."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from fingerprint.errors import IncompatibleModel

__all__ = ["arrays"]

_ONE = "output"
"""What the only output is called."""


def arrays(given: Any) -> dict[str, NDArray[Any]]:
    """Names the tensors of what came: by key, by number, or as the only one.

    Raises:
        IncompatibleModel: There are none.
    """
    if isinstance(given, torch.Tensor):
        every: list[tuple[str, Any]] = [(_ONE, given)]
    elif isinstance(given, dict):
        every = [(str(name), value) for name, value in given.items()]
    elif isinstance(given, list | tuple):
        every = [(str(place), value) for place, value in enumerate(given)]
    else:
        every = []
    found = {name: _array(value) for name, value in every if isinstance(value, torch.Tensor)}
    if not found:
        raise IncompatibleModel(f"expected tensors, got {type(given).__name__}")
    return found


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    plain = tensor.detach().cpu()
    # NumPy has no bfloat16.
    array: NDArray[Any] = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    return array
