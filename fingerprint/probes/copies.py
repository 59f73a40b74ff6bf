"""Copies that usual tools make of a network: rounded to integers, or without its smallest weights.

::

    copies_of(model)["pruned by 30 %"]()      # a Model

What such a tool makes depends on the weights alone, so whoever has these can make it as well, and
know what it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from fingerprint.lab.modifications import (
    layers,
    matrices,
    on_grid,
    pruned,
    quantised,
    with_weights,
    without_smallest,
)
from fingerprint.network.model import Model

__all__ = ["copies_of"]

_PRUNED = (10, 20, 30, 40, 50)
"""Per cent of the weights that go; a network that lacks more is of no use until it learns again."""

Recipe = Callable[[nn.Module], nn.Module]


def copies_of(model: Model) -> dict[str, Callable[[], Model]]:
    """Returns what makes each copy of a model, by its name.

    Weights are rounded to 8 bits with one scale for each output channel or tensor. Magnitudes
    decide what is pruned: of the weights of all linear layers and convolutions, of each by itself,
    or of all matrices, where there are others. No copies of a model without matrices.
    """
    return {name: partial(_copy, model, recipe) for name, recipe in _recipes(model.module)}


def _copy(model: Model, recipe: Recipe) -> Model:
    return replace(model, module=recipe(model.module))


def _recipes(module: nn.Module) -> Iterator[tuple[str, Recipe]]:
    everywhere, in_layers = list(matrices(module)), list(layers(module))
    if everywhere:
        yield "int8 weights", quantised
        yield "int8 weights, one scale for each tensor", partial(with_weights, change=_one_scale)
    for percent in _PRUNED:
        name, share = f"pruned by {percent} %", percent / 100
        if in_layers:
            yield name, partial(pruned, share=share, of=layers)
            yield f"{name} in each layer", partial(_in_each, share=share)
        if len(everywhere) > len(in_layers):
            yield f"{name} in all matrices", partial(pruned, share=share)


def _one_scale(weight: Tensor) -> Tensor:
    return on_grid(weight[None], 8)[0]


def _in_each(network: nn.Module, *, share: float) -> nn.Module:
    return with_weights(network, partial(without_smallest, share=share), of=layers)
