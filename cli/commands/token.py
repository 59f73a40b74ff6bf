"""``fp token``: who may use ``fp serve``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options, session
from cli.bundles import bundled
from cli.commands.serve import Folder
from cli.groups import command_group
from fingerprint.text import clean

if TYPE_CHECKING:
    from cli.service.tokens import Tokens
    from registry import Registry

__all__ = ["app"]

app = command_group("Say who may use 'fp serve', and for what.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Whose it is; the registry's chain will call them so.")
]
Roles = Annotated[
    list[str],
    typer.Option(
        "--role",
        metavar="ROLE",
        help="reader: see models, verdicts and reports without probes; registrar: register too; "
        "auditor: verify and see probes too; admin: everything, and who did what. May be given "
        "several times.",
    ),
]


@contextmanager
def _opened(
    registry: str | None, folder: Path | None, *, writing: bool
) -> Iterator[tuple[Registry, Tokens]]:
    """Opens the registry and the tokens of its service."""
    with session.open_registry(registry, writing=writing) as opened:
        from cli.service.settings import folder_of
        from cli.service.store import Store
        from cli.service.tokens import Tokens

        yield opened, Tokens(Store(folder_of(opened, folder)))


def _noted(registry: Registry, what: str, **payload: Any) -> None:
    """Says in the chain which user of this machine did something to a token."""
    import getpass

    registry.note("token", {"done": what, **payload, "by": {"user": clean(getpass.getuser())}})


@bundled
def add(
    name: Name,
    screen: options.Screen,
    *,
    role: Roles,
    folder: Folder = None,
    registry: options.RegistryUrl = None,
) -> None:
    """Make a token for somebody, and show it this once: only its hash is kept."""
    with _opened(registry, folder, writing=True) as (opened, tokens):
        secret = tokens.make(name, role)
        _noted(opened, "add", name=name, roles=list(role))
    screen.message(f"the token of {clean(name)}; it is shown this once")
    from rich.text import Text

    screen.data({"schema": 2, "name": name, "roles": list(role), "token": secret}, Text(secret))


@bundled
def list_tokens(
    screen: options.Screen, *, folder: Folder = None, registry: options.RegistryUrl = None
) -> None:
    """List who has a token, and who had one."""
    with _opened(registry, folder, writing=False) as (_, tokens):
        found = tokens.all()
    from rich.table import Table

    from fingerprint.readable import when

    table = Table("name", "roles", "since (UTC)", "until (UTC)", box=None)
    for one in found:
        until = when(one.revoked) if one.revoked is not None else "-"
        table.add_row(clean(one.name), ", ".join(one.roles), when(one.created), until)
    screen.data({"schema": 2, "tokens": [one.to_dict() for one in found]}, table)


@bundled
def revoke(
    name: Name,
    screen: options.Screen,
    *,
    folder: Folder = None,
    registry: options.RegistryUrl = None,
) -> None:
    """End a token at once; jobs that it asked for go on."""
    with _opened(registry, folder, writing=True) as (opened, tokens):
        tokens.revoke(name)
        _noted(opened, "revoke", name=name)
    from rich.text import Text

    screen.data({"schema": 2, "revoked": name}, Text(f"revoked the token of {clean(name)}"))


app.command("add", epilog="Example: fp token add alice --role auditor")(add)
app.command("list", epilog="Example: fp token list")(list_tokens)
app.command("revoke", epilog="Example: fp token revoke alice")(revoke)
