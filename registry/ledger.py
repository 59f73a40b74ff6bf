"""The ledger: a hash chain over every action, and through it over every row.

Each entry hashes its own content with the digest of its predecessor; the first one follows the
registry's seed, and the last one's digest is kept apart as the head. So an entry that is edited,
deleted, inserted or cut off the end shows, whatever the clocks said.

An entry also lists what it did to the rows: the digest over *all* columns of each row it wrote,
nothing for each it deleted. Followed to its end the chain therefore says what every row must be,
and :class:`Books` hands out no row that is not. Columns are found by reflection over the mapped
tables, so that a new one cannot be forgotten.

::

    books = Books(session, seed, where)
    models = books.rows(ModelRow)
    books.settle()                 # RegistryCorrupt, naming each row that was changed
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Table, inspect, select
from sqlalchemy.orm import Session

from fingerprint.canonical import canonical, sha256_of, utc_now
from fingerprint.errors import UsageError
from registry.errors import RegistryCorrupt
from registry.tables import Base, ChainRow, ModelRow, SettingRow

__all__ = [
    "BOUND",
    "BY",
    "HEAD_KEY",
    "Books",
    "Entry",
    "Head",
    "Row",
    "append",
    "broken",
    "key_of",
    "origin",
    "parts",
    "row_digest",
    "standing",
]

HEAD_KEY = "chain_head"
BY = "by"
"""Of a session and of an entry: who acts, where whoever opened the registry said so."""
# How many keys one query names: every database takes as many.
_KEYS = 500

Row = TypeVar("Row", bound=Base)
Key = TypeVar("Key", int, str)
Keys = Collection[int] | Collection[str]
# By table and key, the digest of a row; None where it was deleted.
Rows = Mapping[str, Mapping[str, str | None]]

BOUND: tuple[type[Base], ...] = tuple(
    mapper.class_ for mapper in Base.registry.mappers if mapper.class_ is not ChainRow
)
"""Every table whose rows the chain speaks of: all but the chain's own."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One action.

    Attributes:
        seq: Its place, from 1.
        previous: Digest of the entry before it.
        action: What was done, such as ``register``, ``remove`` or ``verify``.
        payload: What it was done to, plain JSON values; under ``rows`` the digests of the rows.
        created: When, ISO 8601 in UTC; the order is that of ``seq``.
        digest: The recorded hash; ``computed_digest`` is what it must be.
    """

    seq: int
    previous: str
    action: str
    payload: dict[str, Any]
    created: str
    digest: str = ""

    @property
    def computed_digest(self) -> str:
        """The hash over everything but the hash itself."""
        return sha256_of(
            canonical(
                {
                    "seq": self.seq,
                    "previous": self.previous,
                    "action": self.action,
                    "payload": self.payload,
                    "created": self.created,
                }
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values, as the entry stands in the chain."""
        return dict(vars(self))


@dataclass(frozen=True)
class Head:
    """Where a chain ends: its length and its last digest."""

    seq: int
    digest: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Reads what ``str`` wrote; a ``ValueError`` for anything else."""
        seq, _, digest = text.partition(":")
        return cls(int(seq), digest)


def origin(seed: str) -> Head:
    """Returns where the chain of a registry with this seed starts."""
    return Head(0, sha256_of(f"nullprint registry {seed}"))


def row_digest(values: Mapping[str, Any]) -> str:
    """Returns the hash over all columns of a row, by their names; bytes count by their hash."""
    plain = {
        str(column): {"sha256": sha256_of(bytes(value))} if _is_bytes(value) else value
        for column, value in values.items()
    }
    try:
        return sha256_of(canonical(plain))
    except RecursionError:
        return "nested too deeply to be of ours"


def _is_bytes(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def key_of(table: Table, values: Mapping[str, Any]) -> str:
    """Returns what the chain calls a row: its primary key, parts joined by ``/``."""
    return "/".join(str(values[column.key]) for column in table.primary_key)


def append(
    session: Session,
    action: str,
    payload: Mapping[str, Any],
    *,
    seed: str,
    written: Iterable[Base] = (),
    deleted: Iterable[tuple[str, str]] = (),
) -> Entry:
    """Adds an entry at the end, in the caller's transaction, and moves the head.

    It says who acts, if the session knows (``session.info``).

    Args:
        session: The transaction, with everything in it that the entry speaks of.
        action: What is done.
        payload: To what.
        seed: The registry's.
        written: Rows that were added or changed; they are read back as the database has them.
        deleted: Table and key of each row that was deleted.
    """
    session.flush()
    rows: dict[str, dict[str, str | None]] = {}
    for row in written:
        session.refresh(row)
        values = _values(row)
        rows.setdefault(row.__tablename__, {})[key_of(_table(row), values)] = row_digest(values)
    for table, key in deleted:
        rows.setdefault(table, {})[key] = None
    setting = session.get(SettingRow, HEAD_KEY)
    head = Head.parse(setting.value) if setting else origin(seed)
    acting = {BY: session.info[BY]} if BY in session.info else {}
    entry = Entry(
        seq=head.seq + 1,
        previous=head.digest,
        action=action,
        payload={**payload, **acting, "rows": rows},
        created=utc_now(),
    )
    digest = entry.computed_digest
    session.add(ChainRow(**{**vars(entry), "digest": digest}))
    session.merge(SettingRow(key=HEAD_KEY, value=str(Head(entry.seq, digest))))
    return entry


def _table(row: Base | type[Base]) -> Table:
    table = row.__table__
    assert isinstance(table, Table)
    return table


def _values(row: Base) -> dict[str, Any]:
    """Returns every mapped column of a row, whatever columns there are."""
    return {
        attribute.columns[0].name: getattr(row, attribute.key)
        for attribute in inspect(type(row)).column_attrs
    }


def broken(
    entries: Sequence[Entry], *, seed: str, head: str | None, after: Head | None = None
) -> tuple[str, ...]:
    """Returns what is wrong with a chain, a line for each row; nothing for a whole one.

    Args:
        entries: The chain in its order.
        seed: The registry's seed, which the first entry follows.
        head: The recorded head; None if there is none.
        after: Where the part of the chain ends that was gone through before.
    """
    found = []
    expected = after or origin(seed)
    for entry in entries:
        if entry.seq != expected.seq + 1:
            missing = f"chain {expected.seq + 1}: missing before entry {entry.seq}"
            found.append(missing)
        elif entry.previous != expected.digest:
            found.append(f"chain {entry.seq}: does not follow the entry before it")
        if entry.computed_digest != entry.digest:
            found.append(f"chain {entry.seq}: does not hash to what was recorded")
        expected = Head(entry.seq, entry.digest)
    if str(expected) != (head or str(origin(seed))):
        found.append(f"chain {expected.seq}: is not the recorded end of the chain")
    return tuple(found)


def standing(
    entries: Iterable[Entry], before: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, dict[str, str]]:
    """Returns by table and key the digest of every row that the chain says is there.

    Args:
        entries: The chain, or the part of it behind what was gone through before.
        before: What that said.
    """
    rows = {table: dict(digests) for table, digests in (before or {}).items()}
    for entry in entries:
        for table, digests in _changes(entry).items():
            there = rows.setdefault(table, {})
            for key, digest in digests.items():
                if digest is None:
                    there.pop(key, None)
                else:
                    there[key] = digest
    return rows


def _changes(entry: Entry) -> Rows:
    """Returns what an entry says of rows; nothing that a file from elsewhere may hold instead."""
    rows = entry.payload.get("rows")
    if not isinstance(rows, dict):
        return {}
    return {table: digests for table, digests in rows.items() if isinstance(digests, dict)}


def parts(keys: Collection[Key]) -> list[list[Key]]:
    """Returns keys in order, in as many lists as it takes queries to name them all."""
    ordered = sorted(keys)
    return [ordered[start : start + _KEYS] for start in range(0, len(ordered), _KEYS)]


class Books:
    """The chain of a registry, and its rows, each compared with what the chain says of it.

    Reading does not stop at damage: what is wrong is gathered in ``damage``, and ``settle``
    raises it all at once.

    Args:
        session: One transaction, so that chain and rows are of one moment.
        seed: The registry's seed.
        where: The registry, for messages.
        before: Books of the same registry that the same process has gone through. What they
            compared with the chain, and the chain still says, is neither read nor compared again:
            entries and models. A row that was damaged meanwhile is not looked at, and what is used
            instead is what it was.

    Attributes:
        entries: The chain in its order.
        damage: What is wrong so far, a line for each row.
        start: What the first entry follows.
        head: Where the chain ends.
    """

    def __init__(
        self, session: Session, seed: str, where: str, *, before: Books | None = None
    ) -> None:
        self.session = session
        self.where = where
        self.start = origin(seed)
        if before is None or before.damage or not before._leads_here(session):
            before = None
        gone = before.head if before else self.start
        later = tuple(_entries(session, gone.seq))
        setting = session.get(SettingRow, HEAD_KEY)
        recorded = setting.value if setting else None
        self.entries: tuple[Entry, ...] = (*before.entries, *later) if before else later
        self.damage: list[str] = list(broken(later, seed=seed, head=recorded, after=gone))
        self.head: Head = Head(later[-1].seq, later[-1].digest) if later else gone
        self._rows: dict[str, dict[str, str]] = standing(later, before._rows if before else None)
        self._names: dict[str, str] = (before._names if before else {}) | {
            key.partition("/")[0]: str(entry.payload["name"])
            for entry in later
            if "name" in entry.payload
            for key in _changes(entry).get(ModelRow.__tablename__, {})
        }
        self._models: dict[int, ModelRow] = before._models_of(self) if before else {}

    def keys(self, kind: type[Base]) -> Collection[str]:
        """Returns the keys of the rows that the chain says a table has; reads none of them."""
        return self.digests(kind).keys()

    def digests(self, kind: type[Base]) -> Mapping[str, str]:
        """Returns by key what the rows of a table must hash to; reads none of them."""
        return self._rows.get(kind.__tablename__, {})

    def models(self) -> list[ModelRow]:
        """Reads every model as :meth:`rows` does, but those that earlier books have compared.

        Whether each is there, and no other one, is seen in any case.
        """
        there = list(self.session.scalars(select(ModelRow.id).order_by(ModelRow.id)))
        all_there = len(there) == len(self.digests(ModelRow)) and self._models.keys() <= set(there)
        if not all_there:
            self._models = {}
        fresh = [number for number in there if number not in self._models]
        read = self.rows(ModelRow, fresh if self._models else None)
        self._models |= {row.id: row for row in read}
        return [self._models[number] for number in there if number in self._models]

    def _models_of(self, later: Books) -> dict[int, ModelRow]:
        """Returns the models compared here that the chain still says the same of."""
        here, there = self.digests(ModelRow), later.digests(ModelRow)
        return {
            number: row
            for number, row in self._models.items()
            if here[str(number)] == there.get(str(number))
        }

    def _leads_here(self, session: Session) -> bool:
        """Whether the chain of a session has gone through the end of this one."""
        row = session.get(ChainRow, self.head.seq)
        return self.head == self.start if row is None else row.digest == self.head.digest

    def changed_since(self, kind: type[Base], seq: int) -> frozenset[str]:
        """Returns the keys of the rows of a table that an entry after this one speaks of."""
        later = (entry for entry in self.entries if entry.seq > seq)
        return frozenset(
            key for entry in later for key in _changes(entry).get(kind.__tablename__, {})
        )

    def rows(self, kind: type[Row], models: Keys | None = None) -> list[Row]:
        """Reads rows and compares them with the chain, in the order of their keys.

        Args:
            kind: The table.
            models: Only the rows whose key begins with one of these, models' ids mostly.

        Returns:
            Those rows that are what the chain says.
        """
        return list(self.each(kind, models))

    def each(self, kind: type[Row], models: Keys | None = None) -> Iterator[Row]:
        """Reads rows as :meth:`rows` does, one after another, and lets go of each."""
        table = _table(kind)
        expected = dict(self._rows.get(table.name, {}))
        if models is not None:
            wanted = {str(model) for model in models}
            expected = {k: v for k, v in expected.items() if k.partition("/")[0] in wanted}
        for row in self._read(kind, models):
            values = _values(row)
            key = key_of(table, values)
            if (table.name, key) == (SettingRow.__tablename__, HEAD_KEY):
                continue  # It moves with every entry, and is compared with the last one above.
            digest = expected.pop(key, None)
            if digest is None:
                self._report(table, key, values, "has no entry in the chain")
            elif digest != row_digest(values):
                self._report(table, key, values, "is not what the chain says")
            else:
                yield row
        for key in expected:
            self._report(table, key, {}, "is in the chain but missing")

    def settle(self) -> None:
        """Refuses what was read if any of it is damaged.

        Raises:
            RegistryCorrupt: Naming the entries and rows.
        """
        if self.damage:
            raise RegistryCorrupt(self.where, tuple(self.damage))

    def holds(self, head: str) -> bool:
        """Tells whether a head that was kept elsewhere is one this chain has gone through.

        Args:
            head: ``SEQ:DIGEST`` as ``str(Head)`` writes it, or the digest alone.

        Raises:
            UsageError: It is neither.
        """
        seq, separator, digest = head.strip().rpartition(":")
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise UsageError(f"head: expected SEQ:DIGEST as `fp registry head` prints it: {head!r}")
        if separator and not (seq.isascii() and seq.isdigit()):
            raise UsageError(f"head: expected a number before the digest, got {seq[:40]!r}")
        passed = {self.start.digest: 0, **{one.digest: one.seq for one in self.entries}}
        return digest in passed and (not separator or passed[digest] == int(seq))

    def _read(self, kind: type[Row], models: Keys | None) -> Iterator[Row]:
        keys = list(_table(kind).primary_key)
        query = select(kind).order_by(*keys)
        if models is None:
            chosen = [query]
        else:
            chosen = [query.where(keys[0].in_(part)) for part in parts([*models])]
        for one in chosen:
            # A few at a time: probe sets together may be larger than memory.
            for row in self.session.scalars(one.execution_options(yield_per=10)):
                self.session.expunge(row)
                yield row

    def _report(self, table: Table, key: str, values: Mapping[str, Any], what: str) -> None:
        name = values.get("name") or self._names.get(key.partition("/")[0])
        models = {ModelRow.__tablename__, "fingerprints", "probe_sets", "pairs"}
        named = f" ({str(name)[:100]!r})" if name is not None and table.name in models else ""
        self.damage.append(f"{table.name} {key}{named}: {what}")


def _entries(session: Session, after: int = 0) -> Iterator[Entry]:
    query = select(ChainRow).where(ChainRow.seq > after) if after else select(ChainRow)
    for row in session.scalars(query.order_by(ChainRow.seq)):
        yield Entry(
            seq=row.seq,
            previous=row.previous,
            action=row.action,
            payload=row.payload if isinstance(row.payload, dict) else {},
            created=row.created,
            digest=row.digest,
        )
