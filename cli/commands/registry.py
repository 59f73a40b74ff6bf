"""``fp registry``: look after the registry itself, and take models to another one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, session
from cli.bundles import bundled
from cli.commands.show import Name
from cli.errors import ExitCode
from cli.groups import command_group
from cli.progress import progress_bars
from fingerprint.text import clean

__all__ = ["app"]

app = command_group("Check the registry, complete it, and take models to another one.")

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


for command, verb, example in (
    (check, "check", "fp registry check --head 12:82aeb0d9..."),
    (head, "head", "fp registry head > head.txt"),
    (mend, "mend", "fp registry mend --limit 100"),
    (export, "export", "fp registry export ours -o ours.model"),
    (import_model, "import", "fp registry import ours.model --name theirs"),
):
    app.command(verb, epilog=f"Example: {example}")(command)
