"""``fp verify``: whose model is this?"""

from __future__ import annotations

from typing import Annotated

import typer

from cli import options, session
from cli.bundles import bundled
from cli.policy import judge
from cli.progress import progress_bars

__all__ = ["verify"]

Against = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Compare with this model only; may be given several times.",
        autocompletion=session.complete_name,
    ),
]
Expect = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Fail unless the suspect is this model or derived from it.",
        autocompletion=session.complete_name,
    ),
]
Forbid = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Fail if the suspect is this model or derived from it; may be given several times.",
        autocompletion=session.complete_name,
    ),
]
Alpha = Annotated[
    float, typer.Option(min=1e-12, max=0.5, help="Accepted rate of false claims of descent.")
]


@bundled
def verify(
    suspect: options.ModelPath,
    how: options.How,
    screen: options.Screen,
    *,
    against: Against = None,
    expect: Expect = None,
    forbid: Forbid = None,
    alpha: Alpha = 0.001,
    registry: options.RegistryUrl = None,
) -> None:
    """Compare a suspect with the registered models and say whose it is.

    Exit code 0: answered, and every --expect and --forbid holds; 1: one does not; 4:
    inconclusive.
    """
    with session.open_registry(registry) as opened:
        limits = session.require(opened, against or [])
        forbidden = session.require(opened, forbid or [])
        expected = session.require(opened, [expect] if expect is not None else [])
        if limits:
            # A policy is about evidence, so the model it names is compared in any case.
            limits = list(dict.fromkeys([*limits, *forbidden, *expected]))
        loaded = session.load(suspect, how)
        with progress_bars(screen) as progress:
            result = opened.verify(loaded, against=limits, alpha=alpha, progress=progress)
    for warning in dict.fromkeys((*loaded.warnings, *result.warnings)):
        screen.warn(warning)
    from cli import render

    screen.data(result.to_dict(), render.verification(result))
    judgement = judge(result, expect=expected, forbid=forbidden)
    for reason in judgement.reasons:
        screen.message(reason)
    raise typer.Exit(judgement.code)
