"""``fp demo``: see the method at work in a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.bundles import bundled
from cli.errors import ExitCode
from cli.progress import progress_bars

__all__ = ["demo"]

Keep = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Keep the weights files and the registry in this new folder."),
]


@bundled
def demo(
    screen: options.Screen,
    *,
    keep: Keep = None,
    device: options.Device = "cpu",
) -> None:
    """Train small networks, change copies of them, and recognise every one.

    Takes about a minute, downloads nothing and leaves your own registry alone. Exit code 1 if
    any verdict is not as expected.
    """
    from cli.demo.result import view
    from cli.demo.run import run_demo

    with progress_bars(screen) as progress:
        result = run_demo(keep=keep, device=device, progress=progress)
    screen.data(result.to_dict(), view(result))
    raise typer.Exit(ExitCode.OK if result.as_expected else ExitCode.POLICY_FAILED)
