"""The tensors in the arguments of a call, and a call as a function of one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

__all__ = ["AffineCall", "tensors"]


class AffineCall:
    """An affine call with everything but its variable fixed: a function of one batch.

    Attributes:
        dtype: What it takes.
        device: Where its weights are.
        constants: How many numbers its weights have.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        variable: Tensor,
    ) -> None:
        self.dtype = variable.dtype
        self.device = variable.device
        self._function = function
        self._args = replaced(args, variable, _Variable)
        self._kwargs = replaced(kwargs, variable, _Variable)
        self.constants = sum(t.numel() for t in tensors((self._args, self._kwargs)))

    def __call__(self, x: Tensor) -> Tensor:
        """Makes the call on another tensor."""
        args, kwargs = (replaced(part, _Variable, x) for part in (self._args, self._kwargs))
        answer: Tensor = self._function(*args, **kwargs)
        return answer


class _Variable:
    """Stands where the variable of a call goes."""


def tensors(value: Any) -> Iterator[Tensor]:
    """Yields the tensors in a value, in nested sequences and mappings too."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)


def replaced(value: Any, old: Any, new: Any) -> Any:
    """Returns a nest of sequences and mappings with one object exchanged for another."""
    if value is old:
        return new
    if isinstance(value, list):
        return [replaced(item, old, new) for item in value]
    if type(value) is tuple:
        return tuple(replaced(item, old, new) for item in value)
    if isinstance(value, dict):
        return {key: replaced(item, old, new) for key, item in value.items()}
    return value
