"""``fp inspect``: what does each layer of a network leave harmless?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options, plots, session
from cli.bundles import bundled
from cli.progress import progress_bars

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.network.spec import InputSpec

__all__ = ["inspect"]

Layer = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Only this layer, or those inside the module of this name; more is spent on them.",
    ),
]
Values = Annotated[
    int, typer.Option(min=0, max=64, help="How many of the smallest singular values to find.")
]
Input = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Look at nonlinear layers with this picture or .npy array; by default with noise.",
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Draw the harmless share of every layer to a .png, .svg or .pdf file."
    ),
]


def _input(path: Path | None, spec: InputSpec) -> NDArray[Any] | None:
    if path is None:
        return None
    from cli.images import read_inputs
    from fingerprint.errors import UsageError

    values = read_inputs([path], spec).values
    if len(values) != 1:
        raise UsageError(f"--input: expected one input in {path}, got {len(values)}")
    one: NDArray[Any] = values[0]
    return one


@bundled
def inspect(
    model: options.ModelPath,
    how: options.How,
    screen: options.Screen,
    *,
    layer: Layer = None,
    values: Values = 3,
    input: Input = None,
    plot: Plot = None,
) -> None:
    """Show what each layer of a network leaves harmless.

    For affine layers the rank, the dimension of the harmless space and the smallest singular
    values; for nonlinear layers how many dimensions are free at one input. Says what it did
    not compute, and why.
    """
    if plot is not None:
        plots.check(plot, "--plot")
    loaded = session.load(model, how)
    given = _input(input, loaded.input)
    from fingerprint.inspection import inspect as inspect_model

    with progress_bars(screen) as progress:
        found = inspect_model(loaded, input=given, layer=layer, values=values, progress=progress)
    if input is not None:
        found = replace(found, given=str(input))
    for warning in found.warnings:
        screen.warn(warning)
    if plot is not None:
        from cli import inspection_plot

        inspection_plot.draw(found, plot)
        screen.message(f"drew {plot}")
    from cli.inspection_view import inspection

    screen.data({"schema": 1, **found.to_dict()}, inspection(found))
