"""The features a network's last linear layer reads: what it knows before it names a class.

::

    features = penultimate(model)   # None where the last step is not a linear layer
    features(x)                     # (N, *input.shape) -> (N, width)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fingerprint.errors import NoInformation
from fingerprint.network.model import Model

__all__ = ["MAX_WIDTH", "Features", "penultimate"]

MAX_WIDTH = 8192
"""Widest features that are used; wider ones are whole feature maps."""


@dataclass(frozen=True, eq=False)
class Features:
    """The map from a network's inputs to what one of its layers reads.

    Call it with ``(N, *input.shape)``; it returns ``(N, width)``, differentiable, and raises
    :class:`NoInformation` where the layer did not run on one row for each input.

    Attributes:
        model: The network.
        layer: The layer.
        width: Numbers it reads for each input.
    """

    model: Model
    layer: nn.Linear
    width: int

    def __call__(self, x: Tensor) -> Tensor:
        """Runs the network and returns what the layer read."""
        return _read(self.model, self.layer, x)


def penultimate(model: Model) -> Features | None:
    """Returns the map from inputs to the input of the last linear layer that ran.

    The layer is looked for by running the network on grey inputs, two and then three of them: a
    layer that reads one row for each input does so for both.

    Args:
        model: Whose features.

    Returns:
        A differentiable function ``(N, *input.shape)`` -> ``(N, width)``; None where no linear
        layer of ``output.classes`` outputs ran last, where it does not read one row for each
        input, or no more than one number or more than ``MAX_WIDTH``, or where no gradient
        reaches them. The function raises :class:`NoInformation` for inputs that this layer was
        not run on, which networks with several exits have.
    """
    layer = _last_linear(model)
    # One output stands for two classes.
    outputs = (model.output.classes, 1) if model.output.classes == 2 else (model.output.classes,)
    if layer is None or layer.out_features not in outputs:
        return None
    for count in (2, 3):
        inputs = _grey(model, count).requires_grad_(True)
        try:
            with torch.enable_grad():
                seen = _read(model, layer, inputs)
        except NoInformation:
            return None
        if not (seen.requires_grad and 1 < seen.shape[1] <= MAX_WIDTH):
            return None
    return Features(model, layer, width=seen.shape[1])


def _last_linear(model: Model) -> nn.Linear | None:
    ran: list[nn.Linear] = []
    # Pre-hooks whose result is None leave the inputs alone.
    hooks = [
        module.register_forward_pre_hook(lambda layer, _: ran.append(layer))
        for module in model.module.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with torch.no_grad():
            model(_grey(model, 2))
    finally:
        for hook in hooks:
            hook.remove()
    return ran[-1] if ran else None


def _read(model: Model, layer: nn.Linear, x: Tensor) -> Tensor:
    seen: list[Tensor] = []

    def note(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.append(inputs[0] if inputs else named["input"])

    hook = layer.register_forward_pre_hook(note, with_kwargs=True)
    try:
        model(x)
    finally:
        hook.remove()
    if not seen or len(seen[-1]) != len(x):
        raise NoInformation("expected one row of features for each input, got none or others")
    return seen[-1].flatten(1)


def _grey(model: Model, count: int) -> Tensor:
    low, high = model.input.bounds
    shape = (count, *model.input.shape)
    return torch.full(shape, (low + high) / 2, dtype=model.dtype, device=model.device)
