"""``fp report``: a verdict as one page for whoever must defend it, or judge it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, session
from cli import report as reports
from cli.bundles import bundled

__all__ = ["report"]

Subject = Annotated[
    str,
    typer.Argument(
        metavar="VERIFICATION|NAME|SUSPECT",
        help="The number of a recorded verdict; or a registered model or a suspect's file, of "
        "which the latest verdict is taken.",
    ),
]
Page = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="Write the page to this .html file.")
]
NoProbes = Annotated[
    bool,
    typer.Option(
        "--no-probes",
        help="Leave pictures of probes out: who has seen them could train against them.",
    ),
]


@bundled
def report(
    subject: Subject,
    screen: options.Screen,
    *,
    output: Page,
    no_probes: NoProbes = False,
    registry: options.RegistryUrl = None,
) -> None:
    """Write a recorded verdict, with all it rests on, as one page that can be read alone.

    It needs no network, runs no script and prints well. What it says of other models is as they
    are registered now; what was asked is only shown while the probes of that time are there.
    """
    reports.check(output, "-o")
    with session.open_registry(registry) as opened:
        dossier = opened.dossier(reports.find(opened, subject))
    reports.write(dossier, output, pictures=not no_probes)
    screen.message(f"wrote {output}")
    from rich.text import Text

    from registry.reports.words import sentence

    result = dossier.verification
    document = {"schema": 2, "verification": result.verification, "verdict": result.verdict}
    screen.data({**document, "report": str(output)}, Text(sentence(result)))
