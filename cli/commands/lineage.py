"""``fp lineage``: which registered models come from which?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, plots, session
from cli.bundles import bundled

__all__ = ["lineage"]

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="Only what is connected with this registered model.",
        autocompletion=session.complete_name,
    ),
]
Drawing = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Draw it to a .svg, .png or .pdf file."),
]


@bundled
def lineage(
    screen: options.Screen,
    *,
    name: Name = None,
    output: Drawing = None,
    registry: options.RegistryUrl = None,
) -> None:
    """Show which registered models come from which.

    Declared parents, beside links that were measured: answers alone say that two models are
    related, not which came first. What contradicts a declaration is named, with the way out.
    """
    if output is not None:
        plots.check(output, "-o")
    with session.open_registry(registry) as opened:
        found = opened.lineage(name)
    if output is not None:
        from registry.reports.family import family_figure

        plots.save(family_figure(found), output)
        screen.message(f"drew {output}")
    from cli.lineage_view import lineage as view

    screen.data({"schema": 2, **found.to_dict()}, view(found))
