"""From the call of a torch function to the set of what it does not notice.

    set_of_call("max_pool2d", z, (2,)).free
    set_of_call("softmax", z, (), {"dim": -1})

Functions are known by their names in ``torch.nn.functional`` and take the same arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor
from torch.nn import functional

from fingerprint.errors import UsageError
from fingerprint.perturbations.nonlinear.activation_calls import ACTIVATIONS, Maker
from fingerprint.perturbations.nonlinear.activations import injective
from fingerprint.perturbations.nonlinear.harmless_set import HarmlessSet
from fingerprint.perturbations.nonlinear.linear_set import LinearSet
from fingerprint.perturbations.nonlinear.max_pooling import adaptive_max_pooling, max_pooling
from fingerprint.perturbations.nonlinear.row_constants import RowConstants

__all__ = ["set_of_call"]


def set_of_call(
    function: str, z: Tensor, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
) -> HarmlessSet:
    """Returns the harmless set of a call of a function of torch (Definition 2).

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
            f"harmless set: expected an activation, softmax, normalisation by rows or pooling, "
            f"got {function}; solve_network solves for whole networks"
        )
    try:
        return _MAKERS[function](z, *args, **(kwargs or {}))
    except TypeError as error:
        raise UsageError(f"{function}: expected the arguments of torch, got {error}") from error


def _softmax(z: Tensor, dim: int | None = None, *_: Any, **__: Any) -> HarmlessSet:
    # Without an axis torch takes the first of 0, 1 or 3, else the second.
    axis = (0 if z.ndim in (0, 1, 3) else 1) if dim is None else dim
    return RowConstants.softmax(z, axis)


def _layer_norm(
    z: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> HarmlessSet:
    _check_eps(eps)
    return RowConstants.layer_norm(z, normalized_shape, weight)


def _group_norm(
    z: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> HarmlessSet:
    _check_eps(eps)
    return RowConstants.group_norm(z, num_groups, weight)


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
    _check_eps(eps)
    return RowConstants.group_norm(z, z.shape[1] if z.ndim > 1 else 0, weight)


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


def _max_pool(
    axes: int,
    z: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> HarmlessSet:
    return max_pooling(z, kernel_size, stride, padding, dilation, ceil_mode=ceil_mode, axes=axes)


def _adaptive_max_pool(
    axes: int, z: Tensor, output_size: int | Sequence[int | None], return_indices: bool = False
) -> HarmlessSet:
    return adaptive_max_pooling(z, output_size, axes=axes)


def _average(function: Callable[..., Tensor], z: Tensor, *args: Any, **kwargs: Any) -> HarmlessSet:
    return LinearSet.of(z, lambda x: function(x, *args, **kwargs))


_MAKERS: dict[str, Maker] = {
    **ACTIVATIONS,
    **dict.fromkeys(("softmax", "log_softmax", "softmin"), _softmax),
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "rms_norm": _rms_norm,
    **{f"max_pool{axes}d": partial(_max_pool, axes) for axes in (1, 2, 3)},
    **{f"max_pool{axes}d_with_indices": partial(_max_pool, axes) for axes in (1, 2, 3)},
    **{f"adaptive_max_pool{axes}d": partial(_adaptive_max_pool, axes) for axes in (1, 2, 3)},
    **{
        name: partial(_average, getattr(functional, name))
        for axes in (1, 2, 3)
        for name in (f"avg_pool{axes}d", f"adaptive_avg_pool{axes}d")
    },
}
