"""Fingerprints that stay where they are until they are needed: of many, few are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fingerprint.probes.probe import Fingerprint, Outline

__all__ = ["Shelf", "outlines_of", "taken"]


class Shelf(Mapping[str, "Fingerprint"]):
    """Candidates by name, of which only the answers to the panel are at hand.

    Args:
        outlines: By name, what the panel needs.
        read: Reads some fingerprints, by name, from wherever they are.
    """

    def __init__(
        self,
        outlines: Mapping[str, Outline],
        read: Callable[[Collection[str]], Mapping[str, Fingerprint]],
    ) -> None:
        self.outlines, self.read = outlines, read

    def __getitem__(self, name: str) -> Fingerprint:
        if name not in self.outlines:
            raise KeyError(name)
        return self.read([name])[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outlines)

    def __len__(self) -> int:
        return len(self.outlines)


def outlines_of(candidates: Mapping[str, Fingerprint]) -> Mapping[str, Outline]:
    """Returns what the panel needs of candidates, reading nothing that is on a shelf."""
    if isinstance(candidates, Shelf):
        return candidates.outlines
    return {name: one.outline for name, one in candidates.items()}


def taken(
    candidates: Mapping[str, Fingerprint], names: Collection[str]
) -> Mapping[str, Fingerprint]:
    """Returns the fingerprints of some candidates, those on a shelf read at once."""
    if isinstance(candidates, Shelf):
        return candidates.read(names)
    return {name: candidates[name] for name in names}
