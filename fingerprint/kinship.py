"""Who is kin: what owners declared of their models, and which of them share their weights.

::

    kinship = Kinship(parents={"tuned": "base"}, digests={"base": "5e...", "tuned": "0c..."})
    kinship.families()            # {"base": 0, "tuned": 0}
    kinship.relatives("tuned")    # {"base"}

Kin share harmless perturbations, so they are neither screened against each other nor taken for
independent models when a margin is calibrated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

__all__ = ["Kinship"]


@dataclass(frozen=True, kw_only=True)
class Kinship:
    """What is declared and known of registered models, by name.

    Attributes:
        parents: Each model's declared parent; models without one are left out.
        from_scratch: Models whose owner states that they have no parent at all.
        digests: Content digest of each model's weights; equal ones are copies.
        references: Public models that explain and calibrate; nobody is accused of being one.
    """

    parents: Mapping[str, str] = field(default_factory=dict)
    from_scratch: frozenset[str] = frozenset()
    digests: Mapping[str, str] = field(default_factory=dict)
    references: frozenset[str] = frozenset()

    def families(self) -> dict[str, int]:
        """Numbers the groups of models joined by parents or weights, however far.

        Returns:
            The number of each model's family; two are kin when their numbers are equal.
        """
        from scipy.cluster.hierarchy import DisjointSet

        names = self._names()
        joined: DisjointSet = DisjointSet(names)
        for child, parent in self.parents.items():
            joined.merge(child, parent)
        first: dict[str, str] = {}
        for name, digest in self.digests.items():
            joined.merge(name, first.setdefault(digest, name))
        numbers: dict[str, int] = {}
        return {name: numbers.setdefault(joined[name], len(numbers)) for name in names}

    def family(self, name: str) -> frozenset[str]:
        """Returns a model with everyone of its family, as :meth:`families` numbers them."""
        found: set[str] = set()
        fresh = {name}
        while fresh:
            found |= fresh
            joined = self._copies(fresh)
            joined |= {self.parents[one] for one in fresh if one in self.parents}
            fresh = joined.union(*map(self._children, fresh)) - found
        return frozenset(found)

    def relatives(self, name: str) -> frozenset[str]:
        """Returns a model's ancestors and their other descendants.

        Never its own descendants or copies: that they explain a suspect as well does not weaken
        the claim that it descends from this model.
        """
        own = self._descendants({name})
        ancestors: set[str] = set()
        fresh = self._copies({name})
        while fresh:
            parents = {self.parents[one] for one in fresh if one in self.parents}
            fresh = self._copies(parents) - ancestors
            ancestors |= fresh
        return frozenset(self._descendants(ancestors) - own)

    def descendants(self, name: str) -> frozenset[str]:
        """Returns what descends from a model or from a copy of it, as declared, copies included.

        A suspect that matches one of these has to do with this model as well, whatever it answers.
        """
        return frozenset(self._descendants({name}) - {name})

    def has_no_parent(self, name: str) -> bool:
        """Whether it is stated of these weights that they were trained from scratch.

        A parent that is declared of them, or of a copy, contradicts it: then nothing is known.
        """
        copies = self._copies({name})
        return bool(copies & self.from_scratch) and not copies & self.parents.keys()

    def with_model(
        self,
        name: str,
        *,
        digest: str | None = None,
        parent: str | None = None,
        from_scratch: bool = False,
        reference: bool = False,
    ) -> Kinship:
        """Returns this with what is declared of one more model, or more of one that is known."""
        return replace(
            self,
            parents=self.parents if parent is None else {**self.parents, name: parent},
            digests=self.digests if digest is None else {**self.digests, name: digest},
            from_scratch=self.from_scratch | ({name} if from_scratch else set()),
            references=self.references | ({name} if reference else set()),
        )

    @cached_property
    def _twins(self) -> dict[str, list[str]]:
        """By weights, the models that have them."""
        return _by_value(self.digests)

    @cached_property
    def _below(self) -> dict[str, list[str]]:
        """By parent, its children."""
        return _by_value(self.parents)

    def _children(self, name: str) -> list[str]:
        return self._below.get(name, [])

    def _names(self) -> list[str]:
        found = dict.fromkeys(self.digests)
        found |= dict.fromkeys(one for pair in self.parents.items() for one in pair)
        return list(found)

    def _copies(self, names: Iterable[str]) -> set[str]:
        """Returns models together with those of the same weights."""
        chosen = set(names)
        digests = {self.digests[name] for name in chosen if name in self.digests}
        return chosen.union(*(self._twins[digest] for digest in digests))

    def _descendants(self, names: Iterable[str]) -> set[str]:
        """Returns models with everything that descends from them or from copies of them."""
        found: set[str] = set()
        fresh = self._copies(names)
        while fresh:
            found |= fresh
            fresh = self._copies(chain.from_iterable(map(self._children, fresh))) - found
        return found


def _by_value(mapping: Mapping[str, str]) -> dict[str, list[str]]:
    """Returns the keys of each value: looked up for every candidate, so gone through once."""
    found: dict[str, list[str]] = {}
    for key, value in mapping.items():
        found.setdefault(value, []).append(key)
    return found
