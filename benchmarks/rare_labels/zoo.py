"""The networks of the detection benchmark, each asked the rare labels of every source of its half.

A suspect's own base network, and what shares its weights, never chooses the pictures that it is
asked. The references of the settings half are its own; the reporting half has few networks, so its
references are base networks of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.methods.akh import Akh
from benchmarks.detection.rivals import ANY, CONFERRABLE, RARE, RIVALS
from benchmarks.detection.split import Half, members_of
from benchmarks.detection.zoo import Member
from benchmarks.rare_labels.conferrable import STUDENTS, blended, conferred
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.rare_labels import Pictures, RareLabels
from fingerprint.kinship import Kinship
from fingerprint.lab.data import Data
from fingerprint.network.spec import OutputSpec

__all__ = ["AKH", "ASKED", "CONFERRABLE", "METHODS", "OTHERS", "RARE", "RELATIVE", "SAME"]
__all__ += ["STRANGER", "Labels", "Pair", "Places", "Pool", "Told", "Zoo", "taught"]

Labels = NDArray[np.int64]
Places = slice | NDArray[np.intp]
Told = Callable[[str, Places], Labels]
"""What a network, by its name, calls the pictures of the pool at some places."""

ASKED = (24, 100)
TRAINING = 1000
"""Training pictures, to see what asking those says."""
EXACT = {"ONNX export", "bf16 weights", "int8 weights", "channels permuted", "channels rescaled"}
EXACT |= {"batch normalisation folded"}
STRANGER, SAME = "strangers", "strangers of the source's architecture"
AKH = "AKH"
OTHERS = tuple(method for method in RIVALS if method.name != AKH)
METHODS = (RARE, CONFERRABLE, AKH, *(method.name for method in OTHERS))
RELATIVE = (RARE, CONFERRABLE, AKH)
"""Methods that compare labels: a reference can be asked whether it is the better teacher."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A suspect asked the rare labels of a source.

    Attributes:
        source: Its name.
        suspect: Its name.
        kind: What the suspect is to the source; a row of the tables.
        found: What rare labels say.
    """

    source: str
    suspect: str
    kind: str
    found: Finding

    @property
    def kin(self) -> bool:
        """Whether the suspect was made of the source."""
        return self.kind not in (STRANGER, SAME)

    @property
    def references(self) -> tuple[str, ...]:
        """Who chose the pictures."""
        return tuple(name for one in self.found.detail["references"] for name in one["models"])


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """The pictures that networks are asked: test pictures, blends of them, training pictures."""

    images: NDArray[np.uint8]
    tests: int

    @classmethod
    def of(cls, data: Data) -> Pool:
        """Returns the pictures of a data set."""
        tests = data.test_images
        parts = (tests, blended(tests), data.train_images[:TRAINING])
        return cls(images=np.concatenate(parts), tests=len(tests))

    @property
    def training(self) -> slice:
        """Where the training pictures are."""
        return slice(len(self.images) - TRAINING, len(self.images))

    @property
    def unseen(self) -> slice:
        """Where the others are."""
        return slice(0, self.training.start)


def taught(source: str) -> tuple[str, ...]:
    """Returns the names of the students that the owner of a source trains."""
    return tuple(f"{source}, taught to {architecture}" for architecture in STUDENTS)


class Zoo:
    """Networks of one label space, and what they call the pictures.

    Args:
        networks: All of them.
        told: What they, and the sources' students, call the pool's pictures.
        data: The pictures.
        others: By source and suspect, then by method and number of queries, the scores of
            :data:`OTHERS`.
    """

    def __init__(
        self,
        networks: Sequence[Member],
        told: Told,
        data: Data,
        others: Mapping[tuple[str, str], Mapping[str, Mapping[str, float | None]]],
    ) -> None:
        self.networks, self.told, self.data, self.others = tuple(networks), told, data, others
        self.classes = int(data.test_labels.max()) + 1
        self.pool = Pool.of(data)
        self._conferred: dict[tuple[object, ...], NDArray[np.intp]] = {}

    @cached_property
    def mistakes(self) -> dict[str, NDArray[np.intp]]:
        """By source, the places of the pictures that AKH asks, in its order."""
        places = {one.tobytes(): place for place, one in enumerate(self.data.test_images)}
        found = {}
        for source in (one for one in self.networks if one.source):
            chosen = Akh().prepare(source.network(), self.data, queries=max(ASKED)).queries
            found[source.name] = np.array([places[one.tobytes()] for one in chosen])
        return found

    def merged(self, classes: int) -> Zoo:
        """Returns the zoo with its classes joined to so many."""

        def told(name: str, places: Places) -> Labels:
            joined: Labels = self.told(name, places) * classes // self.classes
            return joined

        zoo = Zoo(self.networks, told, self.data, {})
        zoo.classes = classes
        return zoo

    def pairs(
        self,
        half: Half,
        asked: int,
        *,
        references: int | None = None,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[Pair]:
        """Yields all suspects of a half, asked the pictures of all sources of that half.

        Args:
            half: Which.
            asked: Pictures asked.
            references: How many choose; all by default.
            begin: First picture of the pool to choose from.
            end: One after the last; by default, that of the test pictures.
        """
        suspects = members_of(self.networks, half)
        bases = suspects if half == "settings" else self.networks
        for source in (one for one in suspects if one.source):
            choosing: dict[frozenset[str], RareLabels] = {}
            for suspect in suspects:
                kin = frozenset({*suspect.kin, suspect.base, source.name})
                if suspect.name == source.name:
                    continue
                if kin not in choosing:
                    others = [one for one in bases if one.group == "base" and one.name not in kin]
                    drawn = np.random.default_rng(0).permutation(len(others))[:references]
                    names = [source.name, *(others[place].name for place in sorted(drawn))]
                    part = slice(begin, self.pool.tests if end is None else end)
                    choosing[kin] = self._rare(names, asked, part)
                rare = choosing[kin]
                told = self.told(suspect.name, begin + rare.choice(source.name).places)
                yield Pair(
                    source=source.name,
                    suspect=suspect.name,
                    kind=_kind(source, suspect),
                    found=rare.told(source.name, told, self.classes),
                )

    def _rare(self, names: Sequence[str], asked: int, part: slice) -> RareLabels:
        pictures = Pictures(
            inputs=self.pool.images[part],
            labels={name: self.told(name, part) for name in names},
            outputs=dict.fromkeys(names, OutputSpec(classes=self.classes)),
            count=asked,
        )
        return RareLabels(pictures, Kinship(), replace(ANY, classes=self.classes))

    def places(self, pair: Pair, method: str, asked: int) -> NDArray[np.intp]:
        """Returns the pictures that a method which compares labels asks, as places in the pool."""
        if method == RARE:
            return np.array(pair.found.detail["chosen"])
        if method == AKH:
            return self.mistakes[pair.source][:asked]
        key = (pair.source, pair.references, asked)
        if key not in self._conferred:
            self._conferred[key] = conferred(
                self.told(pair.source, self.pool.unseen),
                [self.told(name, self.pool.unseen) for name in taught(pair.source)],
                [self.told(name, self.pool.unseen) for name in pair.references],
                asked,
            )
        return self._conferred[key]

    def score(self, pair: Pair, *, method: str, asked: int, relative: bool = False) -> float | None:
        """Returns how alike a method finds the two; None where that was not measured.

        Args:
            pair: The two.
            method: Of :data:`METHODS`.
            asked: Pictures asked.
            relative: Less the highest agreement with a reference on the same pictures, as if that
                were the teacher; for methods of :data:`RELATIVE`.
        """
        if method not in RELATIVE:
            measured = self.others.get((pair.source, pair.suspect), {})
            return measured.get(method, {}).get(str(asked))
        places = self.places(pair, method, asked)
        told = self.told(pair.suspect, places)

        def agreement(name: str) -> float:
            return float((told == self.told(name, places)).mean())

        nearest = max(map(agreement, pair.references)) if relative else 0.0
        return agreement(pair.source) - nearest


def _kind(source: Member, suspect: Member) -> str:
    """What a suspect is to a source, as the tables say it."""
    if source.name not in suspect.kin:
        return SAME if suspect.architecture == source.architecture else STRANGER
    change = suspect.modification
    if suspect.group != "shares weights":
        return f"{suspect.group}: {change}" if suspect.group == "student" else change
    if change in EXACT:
        return "exported, rounded to 8 or 16 bits, rewritten"
    for start, row in (("fine-tuned", "fine-tuned"), ("pruned", "pruned"), ("merged", "merged")):
        if change.startswith(start):
            return row
    return change
