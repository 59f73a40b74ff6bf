"""A suspect under other flags: was it loaded as it wants to be fed?

::

    for flags, variant in variants(model):      # ("--mean 0.5 --std 0.5", Model), ...
        run(variant, fingerprint.panel)
    for flags, spec, flipped in ways(suspect.input):            # of whatever is fed by itself
        ...

Wrong normalisation, scale or channel order make a copy answer like a stranger. Where the suspect
runs here, it costs a few forward passes to see whether one of the usual ones fits better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor, nn

from fingerprint.network.model import Model
from fingerprint.network.spec import InputSpec

__all__ = ["FLIPPED", "variants", "ways"]

FLIPPED = "channels in BGR order"
"""What is said of inputs whose channels are taken the other way round."""

Values = tuple[float, ...]

_BYTE = 1 / 255
_IMAGENET: Values = (0.485, 0.456, 0.406)
_COLOUR: tuple[tuple[Values, Values], ...] = (
    ((), ()),
    (_IMAGENET, (0.229, 0.224, 0.225)),
    ((0.5,), (0.5,)),
    ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),  # CIFAR-10
    ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),  # CIFAR-100
    ((0.0,), (_BYTE,)),  # 0..255
    (_IMAGENET, (_BYTE,)),  # Caffe: 0..255 less the mean
)
_GREY: tuple[tuple[Values, Values], ...] = (
    ((), ()),
    ((0.5,), (0.5,)),
    ((0.1307,), (0.3081,)),  # MNIST
    ((0.0,), (_BYTE,)),
)
_SAME = 2e-3
"""Relative difference of means and deviations that are one another's rounding."""


def ways(spec: InputSpec) -> Iterator[tuple[str, InputSpec, bool]]:
    """Yields every usual normalisation, scale and order of channels but the one given.

    Args:
        spec: Pixels of one or three channels; there are no other ways to feed others.

    Yields:
        The flags that state it, empty where only channels turn; the inputs with them; and whether
        the channels turn round behind the normalisation.
    """
    if spec.kind != "pixels" or spec.shape[0] not in (1, 3) or len(spec.shape) != 3:
        return
    known = _COLOUR if spec.shape[0] == 3 else _GREY
    others = [
        (_flags(mean, std), replace(spec, mean=mean, std=std))
        for mean, std in known
        if not _alike(spec, mean, std)
    ]
    for flags, other in others:
        yield flags, other, False
    if spec.shape[0] == 3:
        for flags, other in [("", spec), *others]:
            yield flags, other, True


def variants(model: Model) -> Iterator[tuple[str, Model]]:
    """Yields a model under every usual normalisation, scale and order of channels but its own.

    Args:
        model: Takes pixels of one or three channels; there are no variants of others.

    Yields:
        The flags that state it, and the model with them; weights are shared, not copied.
    """
    for flags, spec, flipped in ways(model.input):
        module = _Flipped(model.module).eval() if flipped else model.module
        stated = [FLIPPED] * flipped + [flags] * bool(flags)
        yield " and ".join(stated), replace(model, input=spec, module=module)


class _Flipped(nn.Module):
    """Turns the channels of normalised images round before the network sees them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> object:
        """Whatever the network answers to ``x`` with its channels the other way round."""
        return self.network(x.flip(1))


def _alike(spec: InputSpec, mean: Values, std: Values) -> bool:
    channels = spec.shape[0]
    given = _broadcast(spec.mean, spec.std, channels), _broadcast(mean, std, channels)
    return bool(np.allclose(*given, rtol=_SAME, atol=1e-6))


def _broadcast(mean: Values, std: Values, channels: int) -> np.ndarray[tuple[int, ...], np.dtype]:
    return np.stack([np.broadcast_to(mean or 0.0, channels), np.broadcast_to(std or 1.0, channels)])


def _flags(mean: Values, std: Values) -> str:
    """``--mean 0.5 --std 0.5``; no normalisation is a mean of 0 and a deviation of 1."""
    numbers = [
        ",".join(f"{value:.6g}" for value in values) for values in (mean or (0.0,), std or (1.0,))
    ]
    return f"--mean {numbers[0]} --std {numbers[1]}"
