"""``fp registry``: look after the registry itself, share it, and take models to another one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli import options, session
from cli.bundles import bundled
from cli.commands.show import Name
from cli.errors import ExitCode
from cli.groups import command_group
from cli.progress import progress_bars
from fingerprint.text import clean

__all__ = ["app"]

app = command_group("Check the registry, complete it, share it, and take models elsewhere.")

Head = Annotated[
    str | None,
    typer.Option(
        metavar="HASH",
        help="A head that was kept elsewhere: the registry must have gone through it.",
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Measure at most so many pairs.")]
Code = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-code",
        metavar="MODULE",
        help="Import this module to build registered models; may be given several times.",
    ),
]
Target = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the file.")
]
Source = Annotated[Path, typer.Argument(metavar="FILE", help="What another registry exported.")]
NewName = Annotated[
    str | None, typer.Option("--name", help="Name here; by default the one it had there.")
]

Role = Annotated[str, typer.Argument(metavar="ROLE", help="A role of the PostgreSQL server.")]
Allowed = Annotated[
    Literal["read", "register", "nothing"],
    typer.Option("--may", help="read: list and verify. register: all but removing."),
]
Place = Annotated[
    str, typer.Argument(metavar="URL", help="A file that is not there, or an empty database.")
]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Where to search, with all that is below.")
]


@bundled
def check(
    screen: options.Screen, *, head: Head = None, registry: options.RegistryUrl = None
) -> None:
    """Compare every row of the registry with its chain, and name those that were changed."""
    from registry import RegistryCorrupt

    damage: tuple[str, ...] = ()
    with session.open_registry(registry) as opened:
        try:
            opened.check(head=head)
        except RegistryCorrupt as error:
            damage = error.rows
        found = None if damage else opened.head()
    if screen.json or damage:
        from rich.text import Text

        document = {"schema": 2, "whole": not damage, "head": found, "damage": list(damage)}
        screen.data(document, *(Text(clean(line, 500)) for line in damage))
    if damage:
        lines = "1 row is" if len(damage) == 1 else f"{len(damage)} rows are"
        screen.message(f"{lines} not what the chain says; restore the registry from a backup")
        raise typer.Exit(ExitCode.ENVIRONMENT)
    screen.message("the registry is whole")


@bundled
def head(screen: options.Screen, *, registry: options.RegistryUrl = None) -> None:
    """Print where the chain ends: keep it where nobody who can write the registry can.

    'fp registry check --head' tells later whether the registry is still the one it was.
    """
    with session.open_registry(registry) as opened:
        found = opened.head()
    from rich.text import Text

    screen.data({"schema": 2, "head": found}, Text(found))


@bundled
def mend(
    screen: options.Screen,
    *,
    limit: Limit = None,
    allow_code: Code = None,
    device: options.Device = "cpu",
    registry: options.RegistryUrl = None,
) -> None:
    """Ask registered models the probes of others that they were not asked yet.

    Models registered at the same time have not seen each other. Margins rest on such pairs.
    """
    with (
        session.open_registry(registry, writing=True) as opened,
        progress_bars(screen) as progress,
    ):
        mended = opened.mend(limit=limit, code=allow_code or (), device=device, progress=progress)
    for reason in mended.reasons:
        screen.warn(reason)
    screen.message(f"{len(mended.measured)} pairs measured, {mended.left} left")
    if screen.json:
        screen.data({"schema": 2, **mended.to_dict()})


@bundled
def export(
    name: Name,
    screen: options.Screen,
    *,
    output: Target,
    registry: options.RegistryUrl = None,
) -> None:
    """Write a model, without its weights, as a file for another registry."""
    with session.open_registry(registry) as opened:
        model = opened.export_model(name, output)
    screen.warn("the file holds the secret seed of this registry: give it only to who may know it")
    screen.message(f"wrote {clean(model.name)} to {clean(output)}")
    if screen.json:
        screen.data({"schema": 2, "name": model.name, "file": str(output)})


@bundled
def import_model(
    source: Source,
    screen: options.Screen,
    *,
    name: NewName = None,
    registry: options.RegistryUrl = None,
) -> None:
    """Register a model from a file that another registry wrote.

    Its probes derive from that registry's seed, for which this one cannot vouch; verdicts that
    rest on it say so.
    """
    with session.open_registry(registry, writing=True) as opened:
        model = opened.import_model(source, name=name)
    for warning in model.warnings:
        screen.warn(warning)
    from cli import render

    screen.data({"schema": 2, **model.to_dict()}, render.model_facts(model))


@bundled
def upgrade(screen: options.Screen, *, registry: options.RegistryUrl = None) -> None:
    """Bring a registry of an older release up to date: all of it, or nothing.

    A file is upgraded whenever it is opened, and its old state kept beside it. One on a server is
    upgraded by this command alone: back it up first (docs/team.md).
    """
    from registry import upgrade_registry
    from registry.schema import HEAD

    before = upgrade_registry(registry)
    if before is None:
        screen.message(f"nothing to do: the registry has schema {HEAD}")
    else:
        screen.message(f"upgraded from schema {before} to {HEAD}")
    if screen.json:
        screen.data({"schema": 2, "from": before or HEAD, "to": HEAD})


@bundled
def copy(target: Place, screen: options.Screen, *, registry: options.RegistryUrl = None) -> None:
    """Copy the whole registry, as of this moment, to a new file or an empty database.

    A backup while others write, or the way of a team from a file to a server. The chain is copied
    with it, so 'fp registry check --head' tells of a copy as of the registry itself.
    """
    from rich.text import Text

    with session.open_registry(registry) as opened:
        found = str(opened.copy(target))
    screen.data({"schema": 2, "head": found}, Text(found))


@bundled
def grant(
    role: Role, screen: options.Screen, *, may: Allowed, registry: options.RegistryUrl = None
) -> None:
    """Say what a role of the server may do to this registry: its owner may.

    A reader lists, shows and verifies, and nothing is recorded of it. A registrar also registers
    and records; it removes nothing, and cannot change what stands in the chain.
    """
    with session.open_registry(registry, writing=True) as opened:
        opened.grant(role, may)
    screen.message(f"{clean(role)} may {may} from now on")
    if screen.json:
        screen.data({"schema": 2, "role": role, "may": may})


@bundled
def relocate(
    folder: Folder, screen: options.Screen, *, registry: options.RegistryUrl = None
) -> None:
    """Find the files of registered models again, on another machine or after a move.

    Files are told by their SHA-256, whatever they are called now. The registry keeps one place for
    each, so a team's files are best at the same place for everybody.
    """
    from rich.text import Text

    with (
        session.open_registry(registry, writing=True) as opened,
        progress_bars(screen) as progress,
    ):
        found = opened.relocate(folder, progress=progress)
    for name in found.missing:
        screen.warn(f"{clean(name)}: its file is not in {clean(folder)}")
    screen.message(
        f"{len(found.moved)} found, {len(found.there)} where they were, "
        f"{len(found.missing)} missing"
    )
    lines = [Text(f"{clean(name)}  {clean(path, 500)}") for name, path in found.moved.items()]
    screen.data({"schema": 2, **found.to_dict()}, *lines)


for command, verb, example in (
    (check, "check", "fp registry check --head 12:82aeb0d9..."),
    (head, "head", "fp registry head > head.txt"),
    (mend, "mend", "fp registry mend --limit 100"),
    (relocate, "relocate", "fp registry relocate /mnt/models"),
    (copy, "copy", "fp registry copy backup.db"),
    (upgrade, "upgrade", "fp registry upgrade --registry postgresql+psycopg://host/audit"),
    (grant, "grant", "fp registry grant alice --may register"),
    (export, "export", "fp registry export ours -o ours.model"),
    (import_model, "import", "fp registry import ours.model --name theirs"),
):
    app.command(verb, epilog=f"Example: {example}")(command)
