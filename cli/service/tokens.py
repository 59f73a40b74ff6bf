"""Who may use a service: tokens with roles. Of a token only its hash is kept.

::

    tokens = Tokens(store)
    secret = tokens.make("alice", ("auditor",))     # shown once, here
    tokens.holder(secret)                            # Token(name="alice", ...)

A token is 256 random bits, so a plain hash of it is as hard to turn back as a slow one. It is found
by its public part and compared in constant time.
"""

from __future__ import annotations

import hmac
import re
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cli.service.store import Store
from fingerprint.canonical import sha256_of, utc_now
from fingerprint.errors import InputRefused, UsageError
from fingerprint.text import clean

__all__ = ["ROLES", "Token", "Tokens"]

ROLES = ("reader", "registrar", "auditor", "admin")
"""What a token may be: see :attr:`Token.roles`."""

_FORM = re.compile(r"fp_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._@-]{0,62}[A-Za-z0-9]|[A-Za-z0-9]")
_NOBODY = sha256_of("nobody")


@dataclass(frozen=True, kw_only=True)
class Token:
    """Somebody who may use a service.

    Attributes:
        name: What the chain calls them. A name is given once, and not again after it was revoked.
        roles: ``reader`` sees models, verdicts and their reports without probes, ``registrar``
            registers too, ``auditor`` verifies and sees probes too, ``admin`` may do all of it,
            stop the jobs of others and read who did what.
        created: When, ISO 8601 in UTC.
        revoked: When it ended; None while it holds.
    """

    name: str
    roles: tuple[str, ...]
    created: str
    revoked: str | None

    def may(self, *roles: str) -> bool:
        """Whether it has one of these roles; an admin has every role."""
        return not {*roles, "admin"}.isdisjoint(self.roles)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values; the secret is not known here."""
        return {**vars(self), "roles": list(self.roles)}


class Tokens:
    """The tokens of a service."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def make(self, name: str, roles: Sequence[str]) -> str:
        """Makes a token and returns its secret, which nobody can find out later.

        Raises:
            UsageError: The name cannot be one, or a role is none.
            InputRefused: Somebody has or had this name.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"name: expected letters, digits, blanks and . _ @ -, at most 64, got {clean(name)}"
            )
        unknown = [role for role in roles if role not in ROLES]
        if unknown or not roles:
            found = clean(unknown[0]) if unknown else "none"
            raise UsageError(f"role: expected {', '.join(ROLES)}, got {found}")
        public = secrets.token_hex(6)
        secret = f"fp_{public}_{secrets.token_urlsafe(32)}"
        row = (public, name, " ".join(dict.fromkeys(roles)), sha256_of(secret), utc_now())
        with self._store.writing() as connection:
            if connection.execute("SELECT 1 FROM tokens WHERE name = ?", (name,)).fetchone():
                raise InputRefused(f"name: {clean(name)} has or had a token; choose another name")
            connection.execute(
                "INSERT INTO tokens (id, name, roles, digest, created) VALUES (?, ?, ?, ?, ?)", row
            )
        return secret

    def all(self) -> list[Token]:
        """Returns every token, oldest first, those that were revoked too."""
        with self._store.reading() as connection:
            return [
                _token(row) for row in connection.execute("SELECT * FROM tokens ORDER BY rowid")
            ]

    def revoke(self, name: str) -> None:
        """Ends a token; its name stays taken, so that the chain's names stay one holder's.

        Raises:
            UsageError: Nobody of this name has one.
        """
        with self._store.writing() as connection:
            done = connection.execute(
                "UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL",
                (utc_now(), name),
            )
            if done.rowcount == 0:
                raise UsageError(
                    f"name: {clean(name)} has no token that holds; see 'fp token list'"
                )

    def holder(self, secret: str) -> Token | None:
        """Returns whose secret it is; None if it is nobody's, or was revoked."""
        match = _FORM.fullmatch(secret)
        row = None
        if match is not None:
            with self._store.reading() as connection:
                query = "SELECT * FROM tokens WHERE id = ?"
                row = connection.execute(query, (match[1],)).fetchone()
        expected = row["digest"] if row is not None else _NOBODY
        holds = hmac.compare_digest(expected, sha256_of(secret))
        if row is None or not holds or row["revoked"] is not None:
            return None
        return _token(row)


def _token(row: sqlite3.Row) -> Token:
    return Token(
        name=row["name"],
        roles=tuple(row["roles"].split()),
        created=row["created"],
        revoked=row["revoked"],
    )
