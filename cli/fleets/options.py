"""The options that make one command a command for many models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cli.bundles import Bundle

__all__ = ["Fleet", "FleetOptions"]

Each = Annotated[
    Path | None,
    typer.Option(
        "--each",
        metavar="DIR",
        help="Every file and folder in this folder is a model; each gets a row of its own.",
        readable=False,
    ),
]
ListFile = Annotated[
    Path | None,
    typer.Option(
        "--list",
        metavar="FILE",
        help="The models of a .csv, .jsonl or .toml file: a column 'model', and columns that are "
        "called like options of this command, for that model alone.",
        readable=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Of many models, how many at a time; by default one for each processor, or GPU "
        "(pip install 'nullprint[fleet]').",
    ),
]
SchedulerAddress = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Of many models: the Dask cluster that does the work; by default this machine.",
    ),
]
LimitEach = Annotated[
    float,
    typer.Option(
        "--limit-each",
        min=1,
        metavar="SECONDS",
        help="Of many models, how long each may take before it is ended.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class FleetOptions:
    """Which models, and who does the work.

    Attributes:
        each: The folder whose entries are models.
        listed: The file that names models.
        workers: How many at a time; None where nobody said.
        scheduler: Address of a cluster; None for this machine.
        seconds: How long each model may take.
    """

    each: Path | None = None
    listed: Path | None = None
    workers: int | None = None
    scheduler: str | None = None
    seconds: float = 21600.0

    @property
    def wanted(self) -> bool:
        """Whether many models are meant."""
        return self.each is not None or self.listed is not None

    def require_one(self, model: object, called: str) -> None:
        """Refuses a call that names models in two ways, or in none.

        Raises:
            typer.BadParameter: It does.
        """
        named = {called: model, "--each": self.each, "--list": self.listed}
        given = [name for name, value in named.items() if value is not None]
        if len(given) != 1:
            got = f", got {' and '.join(given)}" if given else ""
            raise typer.BadParameter(f"expected one of {called}, --each and --list{got}")


def fleet_options(
    *,
    each: Each = None,
    listed: ListFile = None,
    workers: Workers = None,
    scheduler: SchedulerAddress = None,
    limit_each: LimitEach = 21600.0,
) -> FleetOptions:
    """Gathers the options of many models."""
    if workers is not None and scheduler is not None:
        raise typer.BadParameter("--workers and --scheduler: expected one; a cluster has its own")
    if each is None and listed is None and (workers is not None or scheduler is not None):
        option = "--workers" if workers is not None else "--scheduler"
        raise typer.BadParameter(f"{option} is for many models; give --each or --list")
    return FleetOptions(
        each=each, listed=listed, workers=workers, scheduler=scheduler, seconds=limit_each
    )


Fleet = Annotated[FleetOptions, Bundle(fleet_options)]
