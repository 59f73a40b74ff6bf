"""Which layer of one network stands for which of another, where they agree only in part."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from difflib import SequenceMatcher

from fingerprint.weights.wiring import Layer

__all__ = ["in_order", "paired"]

Pair = tuple[Layer, Layer]

_MOST = 2**12
"""Most layers that are paired by their order, whose effort grows with the square of their number;
and most pairs."""


def paired(ours: Sequence[Layer], theirs: Sequence[Layer]) -> list[Pair]:
    """Pairs layers by name where kind and shape agree, else in order by kind and shape.

    Layers of one name that differ in width only are paired too, where nothing else fits: channels
    may have been split or merged.

    Returns:
        Pairs in the order in which our network calls its layers, the first 4096 of them.
    """
    named = {layer.name: layer for layer in theirs}
    found = {
        layer.name: named[layer.name]
        for layer in ours
        if layer.name in named and _form(layer) == _form(named[layer.name])
    }
    left = [layer for layer in ours if layer.name not in found]
    right = _without(theirs, found.values())
    for i, j in in_order([_form(one) for one in left], [_form(one) for one in right]):
        found[left[i].name] = right[j]
    free = {layer.name: layer for layer in _without(theirs, found.values())}
    for layer in ours:
        other = free.get(layer.name)
        if layer.name not in found and other is not None and _kin(layer, other):
            found[layer.name] = other
    return [(layer, found[layer.name]) for layer in ours if layer.name in found][:_MOST]


def in_order(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Pairs equal things in order, skipping what the other lacks; returns their places.

    Only the first 4096 of each are paired.
    """
    matcher = SequenceMatcher(None, ours[:_MOST], theirs[:_MOST], autojunk=False)
    blocks = matcher.get_matching_blocks()
    return [(block.a + step, block.b + step) for block in blocks for step in range(block.size)]


def _form(layer: Layer) -> tuple[object, ...]:
    return (layer.kind, *layer.weight.shape)


def _kin(one: Layer, other: Layer) -> bool:
    return one.kind == other.kind and one.weight.shape[2] == other.weight.shape[2]


def _without(layers: Sequence[Layer], taken: Iterable[Layer]) -> list[Layer]:
    gone = {layer.name for layer in taken}
    return [layer for layer in layers if layer.name not in gone]
