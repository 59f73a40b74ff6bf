"""The registered models as a plan or a verdict needs them: every row compared with the chain.

::

    catalogue = Catalogue(books)                   # RegistryCorrupt, if a row is not what it was
    rows = catalogue.named(["ours"])
    fingerprints = catalogue.fingerprints(rows)

It reads what it is asked for, in the one transaction of its books, and refuses damage at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from fingerprint.canonical import sha256_of
from registry import pairs
from registry.errors import RegistryError
from registry.ledger import Books
from registry.names import unknown
from registry.records import fingerprint_of, outline_of, registered
from registry.registration import Peer
from registry.tables import (
    AliasRow,
    FingerprintRow,
    ModelRow,
    PairRow,
    ProbeSetRow,
    SettingRow,
)
from registry.values import Pair

if TYPE_CHECKING:
    from fingerprint.evidence.nearer import Arranged
    from fingerprint.kinship import Kinship
    from fingerprint.probes.probe import Fingerprint, Outline
    from fingerprint.shelf import Shelf

__all__ = ["Catalogue"]


class Catalogue:
    """What is registered.

    Args:
        books: The chain, and the rows it speaks of.
        seed: The registry's seed.

    Attributes:
        rows: Every model, in the order of registration.

    Raises:
        RegistryCorrupt: The chain is broken, or a model, alias or setting is not what it says.
    """

    def __init__(self, books: Books, seed: str) -> None:
        self.books, self.seed = books, seed
        with self._settled():
            books.rows(SettingRow)
            self.rows = books.models()
            self._aliases = books.rows(AliasRow)
        self._by_id = {row.id: row for row in self.rows}
        self._names = {row.id: row.name for row in self.rows}

    @cached_property
    def kinship(self) -> Kinship:
        """Who is kin, by what was declared and by weights."""
        return pairs.kinship_of(self.rows)

    def named(self, names: Sequence[str]) -> list[ModelRow]:
        """Returns the models that names or aliases speak of, each once.

        Raises:
            UnknownModel: One of them names nothing.
        """
        known = {row.name: row for row in self.rows}
        known |= {alias.name: self._by_id[alias.model_id] for alias in self._aliases}
        found = [known[name] if name in known else unknown(name, known) for name in names]
        return list({row.id: row for row in found}.values())

    def of_domain(self, domain: str) -> list[ModelRow]:
        """Returns the models that can be asked the same inputs."""
        return [row for row in self.rows if row.domain == domain]

    def parent(self, row: ModelRow) -> ModelRow | None:
        """Returns the declared parent of a model."""
        return None if row.parent_id is None else self._by_id[row.parent_id]

    def fingerprints(self, rows: Collection[ModelRow]) -> dict[str, Fingerprint]:
        """Returns the probes of models, by name."""
        return {peer.name: fingerprint for peer, fingerprint in self._probes(rows)}

    def commitments(self, rows: Collection[ModelRow]) -> dict[str, str]:
        """Returns by name what binds models' probes to them and to their seed."""
        with self._settled():
            facts = self.books.rows(FingerprintRow, [row.id for row in rows])
        return {self._names[one.model_id]: one.commitment for one in facts}

    def each_outline(self, rows: Collection[ModelRow]) -> Iterator[tuple[str, Outline]]:
        """Yields by name what the panel needs of models, one after another."""
        return ((self._names[one.model_id], outline) for one, outline in self._outlined(rows))

    def arranged(
        self, rows: Collection[ModelRow], known: Mapping[int, tuple[str, Arranged]]
    ) -> dict[int, tuple[str, Arranged]]:
        """Returns how models arrange the panel, by number, with the digest that vouches for it.

        Args:
            rows: The models.
            known: What was found before; what the chain still says is not read again.
        """
        from fingerprint.evidence.nearer import arranged

        digests = self.books.digests(ProbeSetRow)
        wanted = {row.id: row for row in rows}
        there = {
            number: known[number]
            for number in wanted.keys() & known.keys()
            if known[number][0] == digests.get(str(number))
        }
        missing = [row for number, row in wanted.items() if number not in there]
        for one, outline in self._outlined(missing):
            there[one.model_id] = (digests[str(one.model_id)], arranged(outline))
        return there

    def shelf(
        self, rows: Collection[ModelRow], read: Callable[[Collection[int]], Mapping[int, bytes]]
    ) -> Shelf:
        """Returns the probes of models, by name, to be read again only where they are needed.

        All are compared with the chain now, and with what they were now when they are read.

        Args:
            rows: The models.
            read: Reads encoded probes by model, in a transaction of its own.
        """
        from fingerprint.shelf import Shelf

        ids = sorted({row.id for row in rows})
        numbers = {self._names[number]: number for number in ids}
        outlines, digests = {}, {}
        with self._settled():
            facts = {one.model_id: one for one in self.books.rows(FingerprintRow, ids)}
        for one, outline in self._outlined(rows):
            outlines[self._names[one.model_id]] = outline
            digests[one.model_id] = sha256_of(one.blob)

        def fingerprints(names: Collection[str]) -> dict[str, Fingerprint]:
            found = {}
            for number, blob in read([numbers[name] for name in names]).items():
                row = self._by_id[number]
                if sha256_of(blob) == digests[number]:
                    probe_set = ProbeSetRow(model_id=number, blob=blob)
                    where = self.books.where
                    found[row.name] = fingerprint_of(row, facts[number], probe_set, where)
            if gone := [name for name in names if name not in found]:
                raise RegistryError(
                    f"{gone[0]!r} was removed or renewed while the suspect was asked; verify again"
                )
            return found

        return Shelf(outlines, fingerprints)

    def peers(self, rows: Collection[ModelRow]) -> dict[int, Peer]:
        """Returns models with their encoded probes, by number, ready to leave the registry."""
        return {peer.id: peer for peer, _ in self._probes(rows)}

    def files(self, rows: Sequence[ModelRow]) -> list[Peer]:
        """Returns models in the order given, to be loaded again; without their probes."""
        with self._settled():
            found = self.books.rows(FingerprintRow, sorted(row.id for row in rows))
        facts = {one.model_id: one for one in found}
        return [
            Peer(
                id=row.id,
                model=registered(row, facts[row.id], self.books.where, names=self._names),
                blob=b"",
            )
            for row in rows
        ]

    def pairs(self, rows: Collection[ModelRow]) -> tuple[Pair, ...]:
        """Returns what independent models did to these models' probes, smallest ratio first."""
        with self._settled():
            found = self.books.rows(PairRow, [row.id for row in rows])
        return pairs.independent(found, self.rows, self.kinship.families())

    def measured(self) -> list[Pair]:
        """Returns all that was measured between registered models, kin included."""
        with self._settled():
            found = self.books.rows(PairRow)
        return pairs.measured_pairs(found, self.rows)

    def missing(self) -> list[tuple[ModelRow, ModelRow]]:
        """Returns the pairs nobody has measured yet: whose probes, and who is to be asked."""
        measured = self.books.keys(PairRow)
        return pairs.missing(self.rows, measured, self.kinship.families(), self.seed)

    def _probes(self, rows: Collection[ModelRow]) -> Iterator[tuple[Peer, Fingerprint]]:
        ids = sorted({row.id for row in rows})
        with self._settled():
            facts = {one.model_id: one for one in self.books.rows(FingerprintRow, ids)}
        where = self.books.where
        with self._settled():
            for one in self.books.each(ProbeSetRow, ids):
                row, fact = self._by_id[one.model_id], facts[one.model_id]
                model = registered(row, fact, where, names=self._names)
                fingerprint = fingerprint_of(row, fact, one, where)
                yield Peer(id=row.id, model=model, blob=one.blob), fingerprint

    def _outlined(self, rows: Collection[ModelRow]) -> Iterator[tuple[ProbeSetRow, Outline]]:
        with self._settled():
            for one in self.books.each(ProbeSetRow, sorted({row.id for row in rows})):
                yield one, outline_of(self._by_id[one.model_id], one, self.books.where)

    @contextmanager
    def _settled(self) -> Iterator[None]:
        yield
        self.books.settle()
