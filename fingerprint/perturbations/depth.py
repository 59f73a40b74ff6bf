"""How what a network does not notice grows with depth (Lemma 1).

    first_unnoticed(layers, x, delta)   # the layer after which δ is gone
    growth(layers, x)                   # local dimensions of P⁽⁰⁾, P⁽¹⁾, ..., which never fall
    local_dimension(network, x)         # that of the whole network

P⁽ˡ⁾ holds the perturbations of the input that no longer show behind the first l + 1 layers. What
one layer has lost no later layer can bring back, so each contains the one before, and the last
is all of P.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from fingerprint.errors import UsageError
from fingerprint.perturbations.definition import check_pair, unnoticed
from fingerprint.spaces.rank import numerical_rank

__all__ = ["MAX_INPUTS", "first_unnoticed", "growth", "local_dimension"]

MAX_INPUTS = 3 * 32 * 32
"""Largest input whose Jacobian is written out: that of CIFAR-10."""

_MAX_ENTRIES = 2**26
"""Most entries of a Jacobian (512 MiB in float64)."""

_BATCH = 256
"""Copies of the input a pass."""

Layer = Callable[[Tensor], Tensor]


def first_unnoticed(
    layers: Sequence[Layer], x: Tensor, delta: Tensor, *, rtol: float | None = None
) -> list[int | None]:
    """Finds for each perturbation the first l with δ in P⁽ˡ⁾: where it is gone.

    Args:
        layers: The network cut into functions of batches, in order.
        x: One input, shape ``(1, *shape)``.
        delta: Perturbations, shape ``(B, *shape)``.
        rtol: What counts as gone; see :func:`~fingerprint.perturbations.definition.is_harmless`.

    Returns:
        Indices into ``layers``; None where even the last layer's answer changes. Rounding left
        over by one layer may be magnified by later ones, so an early loss is judged where it
        happens and stands (Lemma 1).

    Raises:
        UsageError: The shapes differ, or δ is not finite.
    """
    check_pair(x, delta)
    found: list[int | None] = [None] * len(delta)
    with torch.no_grad():
        before, after = x, x + delta.to(x)
        for number, layer in enumerate(layers):
            before, after = layer(before.clone()), layer(after.clone())
            gone = unnoticed(before, after, x, delta, rtol=rtol).tolist()
            found = [
                number if earlier is None and now else earlier
                for earlier, now in zip(found, gone, strict=True)
            ]
    return found


def growth(layers: Sequence[Layer], x: Tensor) -> list[int]:
    """Computes the local dimensions of P⁽⁰⁾, P⁽¹⁾, ... at an input.

    Each is ``n`` minus the rank of the Jacobian of the layers so far, which is the dimension of
    P⁽ˡ⁾ near 0 wherever the rank does not change around x: at almost all inputs. On the kink of
    a ReLU the derivative is taken to be 0, and the perturbation may move one way only.

    Args:
        layers: The network cut into functions of batches, in evaluation mode and float64.
        x: One input of at most ``MAX_INPUTS`` entries, shape ``(1, *shape)``, float64.

    Returns:
        One dimension for each layer; they never fall.

    Raises:
        UsageError: The input is too large or not float64, or a layer's answer is not.
    """
    return [x.numel() - _rank(matrix) for matrix in _jacobians(layers, x)]


def local_dimension(function: Layer, x: Tensor) -> int:
    """Computes the local dimension of all that a network does not notice at an input.

    The last entry of :func:`growth`, with less work where a network has fewer outputs than
    inputs. See there for what it means and needs.
    """
    _check_input(x)
    with torch.no_grad():
        answer = _checked(function(x.clone()))
    outputs = answer.numel()
    if outputs >= x.numel():
        (matrix,) = _jacobians([function], x)
        return x.numel() - _rank(matrix)
    rows = []
    for chosen in _batches(torch.eye(outputs, dtype=x.dtype, device=x.device)):
        copies = x.detach().expand(len(chosen), *x.shape[1:]).clone().requires_grad_(True)
        with torch.enable_grad():
            seen = (function(copies * 1.0).reshape(len(chosen), outputs) * chosen).sum()
            (slopes,) = torch.autograd.grad(seen, copies)
        rows.append(slopes.flatten(1))
    return x.numel() - _rank(torch.cat(rows))


def _jacobians(layers: Iterable[Layer], x: Tensor) -> Iterator[Tensor]:
    """Yields the transposed Jacobian of each composition, ``(n, m)``.

    Every input direction is sent through the layers beside x, by forward differentiation.
    """
    _check_input(x)
    point, n = x.detach(), x.numel()
    tangents = torch.eye(n, dtype=x.dtype, device=x.device).reshape(n, *x.shape[1:])
    for layer in layers:
        moved = [_pushed(layer, point, some) for some in _batches(tangents)]
        point = moved[0][0]
        if n * point.numel() > _MAX_ENTRIES:
            raise UsageError(
                f"local dimension: expected layers of at most {_MAX_ENTRIES // n} outputs, got "
                f"{point.numel()}; use local_dimension on the whole network, or a smaller input"
            )
        tangents = torch.cat([part for _, part in moved])
        yield tangents.flatten(1)


def _pushed(layer: Layer, point: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
    """Returns a layer's answer ``(1, ...)`` and its derivatives along ``(B, ...)``."""
    copies = point.expand(len(tangents), *point.shape[1:]).clone()
    with torch.no_grad(), warnings.catch_warnings(), forward_ad.dual_level():
        # Torch compiles some of its derivatives by a way of its own that it warns of.
        warnings.filterwarnings("ignore", ".*torch.jit", FutureWarning)
        answer = layer(forward_ad.make_dual(copies, tangents.clone()))  # type: ignore[no-untyped-call]
        primal, tangent = forward_ad.unpack_dual(answer)  # type: ignore[no-untyped-call]
        _checked(primal)
        # An answer that does not depend on the input has no tangent.
        slopes = torch.zeros_like(primal) if tangent is None else tangent
        return primal[:1].clone(), slopes.clone()


def _batches(rows: Tensor) -> Iterator[Tensor]:
    for begin in range(0, len(rows), _BATCH):
        yield rows[begin : begin + _BATCH]


def _rank(matrix: Tensor) -> int:
    shape = (matrix.shape[0], matrix.shape[1])
    return numerical_rank(torch.linalg.svdvals(matrix), shape, torch.float64)


def _check_input(x: Tensor) -> None:
    if x.ndim < 2 or len(x) != 1 or not 0 < x.numel() <= MAX_INPUTS:
        raise UsageError(
            f"local dimension: expected one input (1, *shape) of at most {MAX_INPUTS} entries, "
            f"got {tuple(x.shape)}"
        )
    _checked(x)


def _checked(values: Tensor) -> Tensor:
    if values.dtype != torch.float64 or not bool(torch.isfinite(values).all()):
        raise UsageError(
            f"local dimension: expected finite float64 inputs and answers, got {values.dtype}"
            "; double() the network and the input"
        )
    return values
