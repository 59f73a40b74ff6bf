"""Who is kin: models joined by declared parents or by identical weights, however far.

Kin share harmless perturbations, so they are neither screened against each other nor taken for
independent models when a margin is calibrated.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

__all__ = ["families"]


def families(edges: Iterable[tuple[str, Hashable]]) -> dict[str, int]:
    """Numbers the connected components of a graph.

    Args:
        edges: Pairs of a model's name and anything it is joined to: its parent's name, itself
            (to be counted though alone), or the digest of its weights.

    Returns:
        The number of each name's family; two names are kin when their numbers are equal.
    """
    leader: dict[Hashable, Hashable] = {}

    def lead(node: Hashable) -> Hashable:
        while leader.setdefault(node, node) != node:
            leader[node] = leader[leader[node]]
            node = leader[node]
        return node

    names = []
    for name, joined in edges:
        names.append(name)
        leader[lead(name)] = lead(joined)
    numbers: dict[Hashable, int] = {}
    return {name: numbers.setdefault(lead(name), len(numbers)) for name in names}
