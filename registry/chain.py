"""The hash chain that binds every action on a registry to the ones before it.

Each entry hashes its own content with the digest of its predecessor; the first one follows the
registry's seed, and the last one's digest is kept apart as the head. So an entry that is
edited, deleted, inserted or cut off the end shows, whatever the clocks said. Judging a chain is
pure: it needs the entries, the seed and the head, no database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fingerprint.canonical import canonical, sha256_of, utc_now
from registry.tables import ChainRow, SettingRow

__all__ = ["HEAD_KEY", "Entry", "Head", "append", "broken", "entries_of", "origin", "standing"]

HEAD_KEY = "chain_head"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One action.

    Attributes:
        seq: Its place, from 1.
        previous: Digest of the entry before it.
        action: ``register``, ``remove`` or ``verify``.
        payload: What was done, plain JSON values.
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


def append(session: Session, action: str, payload: dict[str, Any], *, seed: str) -> Entry:
    """Adds an entry at the end, in the caller's transaction, and moves the head."""
    setting = session.get(SettingRow, HEAD_KEY)
    head = Head.parse(setting.value) if setting else origin(seed)
    entry = Entry(
        seq=head.seq + 1,
        previous=head.digest,
        action=action,
        payload=payload,
        created=utc_now(),
    )
    digest = entry.computed_digest
    session.add(
        ChainRow(
            seq=entry.seq,
            previous=entry.previous,
            digest=digest,
            action=action,
            payload=payload,
            created=entry.created,
        )
    )
    session.merge(SettingRow(key=HEAD_KEY, value=str(Head(entry.seq, digest))))
    return entry


def entries_of(session: Session) -> list[Entry]:
    """Reads the whole chain in its order."""
    return [
        Entry(
            seq=row.seq,
            previous=row.previous,
            action=row.action,
            payload=row.payload,
            created=row.created,
            digest=row.digest,
        )
        for row in session.scalars(select(ChainRow).order_by(ChainRow.seq))
    ]


def broken(entries: Sequence[Entry], *, seed: str, head: str | None) -> tuple[str, ...]:
    """Returns what is wrong with a chain, a line for each row; nothing for a whole one.

    Args:
        entries: The chain in its order.
        seed: The registry's seed, which the first entry follows.
        head: The recorded head; None if there is none.
    """
    found = []
    expected = origin(seed)
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


def standing(entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """Returns the models that the chain says are registered: the payload of each, by name."""
    models: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name = entry.payload.get("name")
        if entry.action == "register":
            models[str(name)] = entry.payload
        elif entry.action == "remove":
            models.pop(str(name), None)
    return models
