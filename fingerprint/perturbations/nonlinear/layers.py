"""From a layer to the set of what it does not notice."""

from __future__ import annotations

from torch import Tensor, nn

from fingerprint.errors import UsageError
from fingerprint.perturbations.nonlinear.calls import set_of_call
from fingerprint.perturbations.nonlinear.harmless_set import HarmlessSet
from fingerprint.perturbations.nonlinear.linear_set import LinearSet

__all__ = ["harmless_set"]

_POOLING = "kernel_size stride padding dilation ceil_mode"

_CALLS: dict[type[nn.Module], tuple[str, str]] = {
    nn.ReLU: ("relu", ""),
    nn.ReLU6: ("relu6", ""),
    nn.Hardtanh: ("hardtanh", "min_val max_val"),
    nn.Hardsigmoid: ("hardsigmoid", ""),
    nn.Threshold: ("threshold", "threshold value"),
    nn.Hardshrink: ("hardshrink", "lambd"),
    nn.Softshrink: ("softshrink", "lambd"),
    nn.LeakyReLU: ("leaky_relu", "negative_slope"),
    nn.PReLU: ("prelu", "weight"),
    nn.RReLU: ("rrelu", "lower upper training"),
    nn.ELU: ("elu", "alpha"),
    nn.CELU: ("celu", "alpha"),
    nn.SELU: ("selu", ""),
    nn.Sigmoid: ("sigmoid", ""),
    nn.Tanh: ("tanh", ""),
    nn.Softplus: ("softplus", "beta threshold"),
    nn.Softsign: ("softsign", ""),
    nn.LogSigmoid: ("logsigmoid", ""),
    nn.Tanhshrink: ("tanhshrink", ""),
    nn.Hardswish: ("hardswish", ""),
    nn.SiLU: ("silu", ""),
    nn.Mish: ("mish", ""),
    nn.GELU: ("gelu", "approximate"),
    nn.Softmax: ("softmax", "dim"),
    nn.LogSoftmax: ("log_softmax", "dim"),
    nn.Softmin: ("softmin", "dim"),
    nn.LayerNorm: ("layer_norm", "normalized_shape weight bias eps"),
    nn.GroupNorm: ("group_norm", "num_groups weight bias eps"),
    nn.RMSNorm: ("rms_norm", "normalized_shape weight eps"),
    nn.MaxPool1d: ("max_pool1d", _POOLING),
    nn.MaxPool2d: ("max_pool2d", _POOLING),
    nn.MaxPool3d: ("max_pool3d", _POOLING),
    nn.AdaptiveMaxPool1d: ("adaptive_max_pool1d", "output_size"),
    nn.AdaptiveMaxPool2d: ("adaptive_max_pool2d", "output_size"),
    nn.AdaptiveMaxPool3d: ("adaptive_max_pool3d", "output_size"),
}
"""The function each layer calls, and its attributes that are arguments of that."""


def harmless_set(layer: nn.Module, z: Tensor) -> HarmlessSet:
    """Returns the set of perturbations of z that a layer does not notice (Definition 2).

    Args:
        layer: An activation, softmax, normalisation by rows or max pooling of torch itself
            (a subclass may compute something else and is refused), or a layer that
            :func:`~fingerprint.operators.segment.linear_operator` takes.
        z: The features as the layer takes them, batch dimension included.

    Raises:
        UsageError: Nothing is known of such a layer, or it does not take such features.
    """
    known = _CALLS.get(type(layer))
    if known is not None:
        function, settings = known
        return set_of_call(function, z, (), {key: getattr(layer, key) for key in settings.split()})
    try:
        return LinearSet.of(z, layer)
    except UsageError as error:
        raise UsageError(
            f"harmless set: expected an activation, softmax, pooling or linear layer of torch "
            f"that fits {tuple(z.shape)}, got {layer}"
        ) from error
