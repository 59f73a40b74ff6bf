"""Who may do what to a registry on a server, kept by the server itself.

| | reader | registrar | owner |
| --- | --- | --- | --- |
| list, show, verify without a record | yes | yes | yes |
| register, declare, renew, record verdicts, watch | no | yes | yes |
| remove models, watches and aliases; upgrade; grant | no | no | yes |

A registrar may add to the chain and not change what stands there, so whatever it does to a row
stays to be seen. Roles themselves are made by the server's administrator (``CREATE ROLE``).
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection, text

from fingerprint.errors import UsageError
from fingerprint.text import clean
from registry.errors import RegistryUnavailable
from registry.tables import (
    Base,
    FingerprintRow,
    ModelRow,
    PairRow,
    ProbeSetRow,
    SettingRow,
    VerificationRow,
)

__all__ = ["May", "allow", "allowed", "grant"]

May = Literal["read", "register", "nothing"]

_SETTINGS = SettingRow.__tablename__
_ADDED = tuple(name for name in Base.metadata.tables if name != _SETTINGS)
# A parent that is stated later, a fingerprint that is made anew, a verdict that gets its number,
# and where the chain ends.
_CHANGED = tuple(
    kind.__tablename__
    for kind in (ModelRow, FingerprintRow, ProbeSetRow, VerificationRow, SettingRow)
)
# What was answered to probes that are made anew.
_DROPPED = (PairRow.__tablename__,)

_ROLE = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
_OWNERS = text(
    "SELECT pg_get_userbyid(relowner), pg_has_role(relowner, 'USAGE') FROM pg_class "
    "WHERE oid = CAST('chain' AS regclass)"
)
_ALLOWED = text(
    "SELECT pg_get_userbyid(one.grantee), bool_or(one.privilege_type = 'INSERT') "
    "FROM pg_class, aclexplode(relacl) AS one "
    "WHERE oid = CAST('chain' AS regclass) AND one.grantee NOT IN (0, relowner) GROUP BY 1"
)


def grant(connection: Connection, role: str, may: May, where: str) -> None:
    """Lets a role do this much, and no more than this.

    Raises:
        UsageError: The registry is a file, there is no such role, or it owns the registry.
        RegistryUnavailable: The registry belongs to somebody else.
    """
    if connection.dialect.name != "postgresql":
        raise UsageError(
            f"registry {where}: expected one on a server, got a file; who may read and write a "
            "file is said by its permissions"
        )
    owner, ours = connection.execute(_OWNERS).one()
    if not ours:
        raise RegistryUnavailable(
            f"registry {where}: only its owner {clean(owner)} may grant; connect as that role"
        )
    if role == owner:
        raise UsageError(f"role: {clean(role)} owns the registry and may do everything")
    if connection.execute(_ROLE, {"role": role}).first() is None:
        raise UsageError(
            f"role: the server has none named {clean(role)}; its administrator makes one with "
            "CREATE ROLE"
        )
    allow(connection, role, may)


def allowed(connection: Connection) -> dict[str, May]:
    """Returns what roles other than the owner may do."""
    return {
        role: "register" if registers else "read"
        for role, registers in connection.execute(_ALLOWED)
    }


def allow(connection: Connection, role: str, may: May) -> None:
    """Writes down what a role may do, in place of what it might until now."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    schema = quote(connection.exec_driver_sql("SELECT current_schema()").scalar_one())
    whom, tables = quote(role), f"ALL TABLES IN SCHEMA {schema}"
    sequences = f"ALL SEQUENCES IN SCHEMA {schema}"
    statements = [
        f"REVOKE ALL ON {tables} FROM {whom}",
        f"REVOKE ALL ON {sequences} FROM {whom}",
    ]
    if may != "nothing":
        statements += [
            f"GRANT USAGE ON SCHEMA {schema} TO {whom}",
            f"GRANT SELECT ON {tables} TO {whom}",
        ]
    if may == "register":
        statements += [
            f"GRANT USAGE ON {sequences} TO {whom}",
            f"GRANT INSERT ON {', '.join(map(quote, _ADDED))} TO {whom}",
            f"GRANT UPDATE ON {', '.join(map(quote, _CHANGED))} TO {whom}",
            f"GRANT DELETE ON {', '.join(map(quote, _DROPPED))} TO {whom}",
        ]
    for statement in statements:
        connection.exec_driver_sql(statement)
