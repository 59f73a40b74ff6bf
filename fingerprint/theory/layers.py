"""From a layer, or the call of a torch function, to the set of what it does not notice.

    harmless_set(nn.MaxPool2d(2), z).free
    harmless_set(torch.sigmoid, z)
    set_of_call("softmax", z, (), {"dim": -1})

Functions are known by their names in ``torch.nn.functional`` and take the same arguments. An
affine layer's set is the null space of its operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fingerprint.errors import UsageError
from fingerprint.operators.segment import linear_operator
from fingerprint.theory.activations import ACTIVATIONS, injective
from fingerprint.theory.harmless_set import HarmlessSet
from fingerprint.theory.linear_set import LinearSet
from fingerprint.theory.max_pooling import adaptive_max_pooling, max_pooling
from fingerprint.theory.row_constants import RowConstants, hidden_by_zeros

__all__ = ["harmless_set", "set_of_call"]


def harmless_set(layer: Callable[[Tensor], Tensor], z: Tensor) -> HarmlessSet:
    """Returns the set of perturbations of z that a layer does not notice (Definition 2).

    Args:
        layer: A function that makes one call of an activation, softmax, normalisation by rows
            or max pooling and answers what that returns, such as a module of torch; or an affine
            layer in evaluation mode.
        z: The features as the layer takes them, batch dimension included.

    Raises:
        UsageError: Nothing is known of such a layer, or it does not take such features.
    """
    calls = _Calls(z.detach().clone())
    try:
        with torch.no_grad(), calls:
            answer = layer(calls.z)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise UsageError(
            f"harmless set: expected a layer that takes {tuple(z.shape)}, got {error}"
        ) from error
    for result, function, args, kwargs in calls.made:
        if result is answer and function in _MAKERS:
            return set_of_call(function, z, args, kwargs)
    try:
        return LinearSet(z, linear_operator(layer, tuple(z.shape[1:]), device=z.device))
    except UsageError as error:
        raise UsageError(
            f"harmless set: expected an activation, softmax, pooling or affine layer; {error}; "
            "solve_network solves for whole networks"
        ) from error


class _Calls(TorchFunctionMode):
    """Remembers the calls that read z: what each returned, its name and other arguments."""

    def __init__(self, z: Tensor) -> None:
        super().__init__()
        self.z = z
        self.made: list[tuple[Any, str, tuple[Any, ...], dict[str, Any]]] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if args and args[0] is self.z:
            name: str = getattr(func, "__name__", "")
            self.made.append((result, name.strip("_"), args[1:], kwargs or {}))
        return result


def set_of_call(
    function: str, z: Tensor, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
) -> HarmlessSet:
    """Returns the harmless set of a call of a nonlinear function of torch (Definition 2).

    Args:
        function: Its name, such as ``relu`` or ``max_pool2d``.
        z: Its first argument in that call, batch dimension included.
        args: Its other positional arguments.
        kwargs: Its keyword arguments.

    Raises:
        UsageError: Nothing is known of this function, or it does not take these arguments.
    """
    if function not in _MAKERS:
        raise UsageError(
            f"harmless set: expected an activation, softmax, normalisation by rows or max "
            f"pooling, got {function}; solve_network solves for whole networks"
        )
    named = {name: value for name, value in (kwargs or {}).items() if name != "inplace"}
    try:
        return _MAKERS[function](z, *args, **named)
    except TypeError as error:
        raise UsageError(f"{function}: expected the arguments of torch, got {error}") from error


def _softmax(z: Tensor, dim: int | None = None, *_: Any, **__: Any) -> HarmlessSet:
    # Without an axis torch takes the first of 0, 1 or 3, else the second.
    axis = (0 if z.ndim in (0, 1, 3) else 1) if dim is None else dim
    return RowConstants(z, [axis % z.ndim])


def _layer_norm(
    z: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> HarmlessSet:
    _check_eps(eps)
    first = z.ndim - len(normalized_shape)
    hidden = math.prod(z.shape[:first]) * hidden_by_zeros(weight)
    return RowConstants(z, range(first, z.ndim), hidden=hidden)


def _group_norm(
    z: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> HarmlessSet:
    _check_eps(eps)
    view = (len(z), num_groups, z[0].numel() // num_groups)
    hidden = len(z) * hidden_by_zeros(weight, num_groups, z[0, 0].numel())
    return RowConstants(z, [2], view=view, hidden=hidden)


def _instance_norm(
    z: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> HarmlessSet:
    if not use_input_stats:
        raise UsageError("instance norm: expected its own statistics, got running ones: affine")
    return _group_norm(z, z.shape[1], weight, eps=eps)


def _check_eps(eps: float) -> None:
    if eps <= 0:
        raise UsageError(f"normalisation: expected a positive eps, got {eps}; scaling is free")


def _rms_norm(
    z: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> HarmlessSet:
    if eps == 0 or (weight is not None and bool((weight == 0).any())):
        raise UsageError("rms norm: expected an eps and weights that are not zero")
    return injective(z)


_MAKERS: dict[str, Callable[..., HarmlessSet]] = {
    **ACTIVATIONS,
    **dict.fromkeys(("softmax", "log_softmax", "softmin"), _softmax),
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "rms_norm": _rms_norm,
    **{f"max_pool{axes}d": partial(max_pooling, axes) for axes in (1, 2, 3)},
    **{f"max_pool{axes}d_with_indices": partial(max_pooling, axes) for axes in (1, 2, 3)},
    **{f"adaptive_max_pool{axes}d": partial(adaptive_max_pooling, axes) for axes in (1, 2, 3)},
}
