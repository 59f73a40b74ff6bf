"""``fp probes``: what a suspect would be asked, for whoever can show it pictures by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, session
from cli.bundles import bundled
from cli.groups import command_group
from fingerprint.text import clean

__all__ = ["app"]

app = command_group("Take probes out as pictures, for a suspect that only people can ask.")

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...",
        help="Registered models, all of one input size.",
        autocompletion=session.complete_name,
    ),
]
Target = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="DIR", help="Folder to make; it may not be there yet."),
]


@bundled
def export(
    names: Names,
    screen: options.Screen,
    *,
    output: Target,
    registry: options.RegistryUrl = None,
) -> None:
    """Write all that a suspect would be asked as PNG files (.npy where inputs are no pictures).

    Show each file of DIR/pictures to the model, write down what it answers in a table (a label, a
    label with its score, or one column for each class, as many decimals as there are), and give
    the table to 'fp verify'. Names and order say nothing about the pictures; the registry alone
    knows which is which. A few are there twice, under two names.
    """
    with session.open_registry(registry, writing=True) as opened:
        made = opened.export_probes(names, output)
    shown = ", ".join(map(clean, made.models))
    screen.message(f"wrote {made.pictures} pictures of {shown} to {clean(output)}")
    if screen.json:
        screen.data({"schema": 2, **made.to_dict(), "folder": str(output)})


app.command("export", epilog="Example: fp probes export ours -o handout")(export)
