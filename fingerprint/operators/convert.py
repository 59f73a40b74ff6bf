"""From a torch layer to its linear operator.

    linear_operator(nn.Conv2d(3, 8, 3), (3, 32, 32)).matvec(x)

For a whole network, :func:`~fingerprint.operators.segment.first_affine_segment` finds the
layers itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Repeated
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.dense import Dense
from fingerprint.operators.normalization import batch_norm
from fingerprint.operators.pooling import adaptive_average_pooling, average_pooling
from fingerprint.operators.reshape import Gather, Pad, Reshape
from fingerprint.operators.simplify import compose

__all__ = ["linear_operator"]

_Converter = Callable[[Any, tuple[int, ...], torch.dtype, torch.device], LinearOperator]


def linear_operator(
    module: nn.Module,
    in_shape: tuple[int, ...],
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> LinearOperator:
    """Returns the linear part of a layer, its bias left out.

    Args:
        module: A linear layer, convolution, average pooling, padding, flattening or unflattening
            layer, an identity, BatchNorm or dropout in evaluation mode, or an ``nn.Sequential``
            of these.
        in_shape: Shape of one input, without the batch dimension.
        dtype: What the operator is made of.
        device: Where it lives; the layer's own device if omitted.

    Raises:
        UsageError: The layer is of another kind, in training mode, or does not fit the input.
    """
    if device is None:
        device = next((p.device for p in module.parameters()), torch.device("cpu"))
    if isinstance(module, nn.Sequential):
        factors: list[LinearOperator] = [_reshape(in_shape, in_shape, dtype, device)]
        for layer in module:
            shape = factors[0].out_shape
            factors.insert(0, linear_operator(layer, shape, dtype=dtype, device=device))
        return compose(*factors)
    for kinds, convert in _CONVERTERS:
        if isinstance(module, kinds):
            return convert(module, tuple(in_shape), dtype, torch.device(device))
    raise UsageError(
        f"linear operator: expected a layer that is affine, got {type(module).__name__}; "
        "first_affine_segment stops there by itself"
    )


def _unchanged(
    module: Any, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> LinearOperator:
    if module.training and not isinstance(module, nn.Identity):
        raise UsageError("dropout: expected evaluation mode, got training mode; call eval()")
    return _reshape(shape, shape, dtype, device)


def _flattened(
    module: Any, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> LinearOperator:
    try:
        out = tuple(module(torch.zeros(2, *shape, device="meta")).shape)
    except (RuntimeError, IndexError) as error:
        raise UsageError(f"flatten: expected settings that fit {shape}, got {module}") from error
    if out[0] != 2:
        raise UsageError(f"flatten: expected the batch dimension to be kept, got {module}")
    return _reshape(shape, out[1:], dtype, device)


def _linear(
    module: Any, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> LinearOperator:
    if not shape or shape[-1] != module.in_features:
        raise UsageError(f"linear layer: expected {module.in_features} features last, got {shape}")
    dense = Dense(module.weight.detach().to(device, dtype))
    return Repeated(dense, shape[:-1]) if len(shape) > 1 else dense


def _convolution(
    module: Any, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> LinearOperator:
    options = {"stride": module.stride, "dilation": module.dilation, "groups": module.groups}
    weight = module.weight.detach().to(device, dtype)
    convolution = Convolution(weight, shape, padding=module.padding, **options)
    if module.padding_mode == "zeros":
        return compose(convolution)
    border = _border(shape, convolution.padding, module.padding_mode, dtype, device)
    return compose(Convolution(weight, border.out_shape, **options), border)


def _border(
    shape: tuple[int, ...],
    padding: Sequence[tuple[int, int]],
    mode: str,
    dtype: torch.dtype,
    device: torch.device,
) -> Gather:
    """Circular, reflecting or replicating padding of ``(C, *sizes)``."""
    labels = torch.arange(math.prod(shape), dtype=torch.float64, device=device)
    widths = [amount for pair in reversed(padding) for amount in pair]
    try:
        padded = nn.functional.pad(labels.reshape(1, *shape), widths, mode=mode)[0]
    except RuntimeError as error:
        raise UsageError(
            f"{mode} padding: expected amounts that fit {shape}, got {widths}"
        ) from error
    return Gather(shape, padded.to(torch.int64), dtype=dtype)


def _batch_norm(
    module: Any, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> LinearOperator:
    if module.training or module.running_var is None:
        raise UsageError(
            "batch norm: expected evaluation mode with running statistics; call eval()"
        )
    weight = None if module.weight is None else module.weight.detach().to(device, dtype)
    variance = module.running_var.detach().to(device, dtype)
    return batch_norm(shape, variance, weight, module.eps)


def _padded(
    module: Any, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> LinearOperator:
    widths = list(module.padding)
    pairs = list(zip(widths[::2], widths[1::2], strict=True))[::-1]
    amounts = [(0, 0)] * (len(shape) - len(pairs)) + pairs
    return Pad(shape, amounts, dtype=dtype, device=device)


def _adaptive(
    module: Any, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> LinearOperator:
    return adaptive_average_pooling(shape, module.output_size, dtype=dtype, device=device)


def _averaged(
    module: Any, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> LinearOperator:
    return average_pooling(
        shape,
        module.kernel_size,
        module.stride,
        module.padding,
        ceil_mode=module.ceil_mode,
        count_include_pad=module.count_include_pad,
        divisor_override=getattr(module, "divisor_override", None),
        dtype=dtype,
        device=device,
    )


def _reshape(
    in_shape: tuple[int, ...],
    out_shape: tuple[int, ...],
    dtype: torch.dtype,
    device: torch.device | str,
) -> Reshape:
    return Reshape(in_shape, out_shape, dtype=dtype, device=device)


_CONVERTERS: tuple[tuple[tuple[type[nn.Module], ...], _Converter], ...] = (
    ((nn.Linear,), _linear),
    ((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    ((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _batch_norm),
    ((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _averaged),
    ((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), _adaptive),
    ((nn.Flatten, nn.Unflatten), _flattened),
    (
        (
            nn.ZeroPad1d,
            nn.ZeroPad2d,
            nn.ZeroPad3d,
            nn.ConstantPad1d,
            nn.ConstantPad2d,
            nn.ConstantPad3d,
        ),
        _padded,
    ),
    (
        (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout),
        _unchanged,
    ),
)
