"""How what a network does not notice grows with depth (Lemma 1).

    growth(layers, x)       # local dimensions of P⁽⁰⁾, P⁽¹⁾, ..., which never fall
    growth([network], x)    # that of the whole network

P⁽ˡ⁾ holds the perturbations of the input that no longer show behind the first l + 1 layers. What
one layer has lost no later layer can bring back, so each contains the one before, and the last
is all of P. Where one perturbation is lost says
:func:`~fingerprint.theory.definition.first_unnoticed`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import vmap

from fingerprint.errors import UsageError
from fingerprint.operators.linearized import slope
from fingerprint.spaces.rank import numerical_rank
from fingerprint.theory.definition import Layer

__all__ = ["growth"]

_MAX_INPUTS = 3 * 32 * 32
"""Largest input whose Jacobian is written out: that of CIFAR-10."""

_MAX_ENTRIES = 2**26
"""Most entries of a Jacobian (512 MiB in float64)."""

_BATCH = 256
"""Directions a pass."""


def growth(layers: Sequence[Layer], x: Tensor) -> list[int]:
    """Computes the local dimensions of P⁽⁰⁾, P⁽¹⁾, ... at an input.

    Each is ``n`` minus the rank of the Jacobian of the layers so far, which is the dimension of
    P⁽ˡ⁾ near 0 wherever the rank does not change around x: at almost all inputs. On the kink of
    a ReLU the derivative is taken to be 0, and the perturbation may move one way only.

    Args:
        layers: The network cut into functions of batches, in evaluation mode and float64.
        x: One input of at most 3 x 32 x 32 entries, shape ``(1, *shape)``, float64.

    Returns:
        One dimension for each layer; they never fall.

    Raises:
        UsageError: The input is too large or not float64, or a layer's answer is not.
    """
    if x.ndim < 2 or len(x) != 1 or not 0 < x.numel() <= _MAX_INPUTS:
        raise UsageError(
            f"local dimension: expected one input (1, *shape) of at most {_MAX_INPUTS} entries, "
            f"got {tuple(x.shape)}"
        )
    point, n = _checked(x.detach()), x.numel()
    tangents = torch.eye(n, dtype=x.dtype, device=x.device).reshape(n, *x.shape)
    dimensions = []
    for layer in layers:
        with torch.no_grad():
            answer = _checked(layer(point.clone()))
            if n * answer.numel() > _MAX_ENTRIES:
                raise UsageError(
                    f"local dimension: expected layers of at most {_MAX_ENTRIES // n} outputs, "
                    f"got {answer.numel()}; join it with the next ones, or use a smaller input"
                )
            tangents = _pushed(layer, point, tangents)
        point = answer
        matrix = tangents.reshape(n, -1)
        shape = (n, matrix.shape[1])
        rank = numerical_rank(torch.linalg.svdvals(matrix), shape, torch.float64)
        dimensions.append(n - rank)
    return dimensions


def _pushed(layer: Layer, point: Tensor, tangents: Tensor) -> Tensor:
    """Returns the derivatives of a layer's answer ``(1, ...)`` along ``(n, 1, ...)``."""

    def along(tangent: Tensor) -> Tensor:
        return slope(lambda z: layer(z * 1.0), (point,), (tangent,))

    found: Tensor = vmap(along, chunk_size=_BATCH)(tangents)
    return found


def _checked(values: Tensor) -> Tensor:
    if values.dtype != torch.float64 or not bool(torch.isfinite(values).all()):
        raise UsageError(
            f"local dimension: expected finite float64 inputs and answers, got {values.dtype}"
            "; double() the network and the input"
        )
    return values
