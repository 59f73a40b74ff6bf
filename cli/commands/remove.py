"""``fp remove``: forget a registered model."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli import options, session
from cli.bundles import bundled
from cli.commands.show import Name
from fingerprint.text import clean

__all__ = ["remove"]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def _confirmed(name: str) -> bool:
    if not sys.stdin.isatty():
        raise typer.BadParameter("expected --yes where nobody can be asked for confirmation")
    sys.stderr.write(f"Remove {clean(name)} and its probes? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@bundled
def remove(
    name: Name,
    screen: options.Screen,
    *,
    yes: Yes = False,
    registry: options.RegistryUrl = None,
) -> None:
    """Remove a model and its probes from the registry; the verdicts it took part in stay.

    Of a model with several names, one that is an alias is removed alone.
    """
    with session.open_registry(registry, writing=True) as opened:
        model = opened.model(name)
        name = name if name in model.aliases else model.name
        removed = yes or _confirmed(name)
        if removed:
            opened.remove(name)
    screen.message(f"removed {clean(name)}" if removed else f"kept {clean(name)}")
    if screen.json:
        screen.data({"schema": 2, "name": name, "removed": removed})
