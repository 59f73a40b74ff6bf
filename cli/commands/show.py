"""``fp show``: what is known of one registered model?"""

from __future__ import annotations

from typing import Annotated

import typer

from cli import options, session
from cli.bundles import bundled

__all__ = ["Name", "show"]

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="Name of a registered model.", autocompletion=session.complete_name
    ),
]


@bundled
def show(
    name: Name,
    screen: options.Screen,
    *,
    registry: options.RegistryUrl = None,
) -> None:
    """Show everything known of a registered model, and the verdicts it took part in.

    Also the independent models that were asked its probes: their harm ratios set its margin.
    """
    with session.open_registry(registry) as opened:
        model = opened.model(name)
        fingerprint = opened.fingerprint(name)
        recorded = opened.verifications(model.name)
        pairs = opened.pairs(name)
    from cli import render

    document = {
        "schema": 2,
        **model.to_dict(),
        "fingerprint": {
            "state": "current" if model.current else "old",
            "method": model.facts["method"],
            **fingerprint.to_dict(),
        },
        "verifications": [record.to_dict() for record in recorded],
        "pairs": [pair.to_dict() for pair in pairs],
    }
    views = [render.model_facts(model), render.pairs_table(pairs)]
    if recorded:
        views.append(render.verifications_table(recorded))
    screen.data(document, *views)
