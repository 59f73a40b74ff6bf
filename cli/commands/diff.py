"""``fp diff``: what changed between two networks?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options, plots, session
from cli.bundles import bundled

if TYPE_CHECKING:
    from fingerprint.network import Model

__all__ = ["diff"]

Before = Annotated[
    str,
    typer.Argument(
        metavar="A",
        help="A weights file, or the name of a registered model.",
        autocompletion=session.complete_name,
    ),
]
After = Annotated[
    str,
    typer.Argument(
        metavar="B",
        help="What it may have become: a file or a name as well.",
        autocompletion=session.complete_name,
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--output-file",
        "-o",
        metavar="FILE",
        help="Draw how much every tensor changed to a .png, .svg or .pdf file.",
    ),
]


_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pkl", ".onnx")
"""Endings of files; a model may be called ``ours.v2``."""


@bundled
def diff(
    before: Before,
    after: After,
    how: options.How,
    screen: options.Screen,
    *,
    plot: Plot = None,
    registry: options.RegistryUrl = None,
) -> None:
    """Show which layers changed between two networks, how much and how.

    Unchanged, reordered, rescaled, rounded (to how many bits), pruned, of low rank as LoRA leaves
    it, or all of it. The options of a model hold for both files.
    """
    if plot is not None:
        plots.check(plot, "-o")
    one, other = (_loaded(what, how, registry) for what in (before, after))
    from fingerprint.weights.difference import diff as compare

    found = compare(one, other)
    for warning in dict.fromkeys((*one.warnings, *other.warnings)):
        screen.warn(warning)
    if plot is not None:
        from cli import diff_plot

        diff_plot.draw(found, plot, names=(before, after))
        screen.message(f"drew {plot}")
    from cli.diff_view import difference

    document = {"schema": 1, "ours": before, "theirs": after, **found.to_dict()}
    screen.data(document, difference(found))


def _loaded(what: str, how: options.ModelOptions, registry: str | None) -> Model:
    """Loads a file, or else a registered model from its own."""
    from registry import UnknownModel

    path = Path(what)
    if path.exists() or path.suffix.lower() in _SUFFIXES:
        return session.load(path, how)
    arch, device = how.arguments.get("arch"), str(how.arguments["device"])
    # Code that the registry names is only run if it was named here too.
    code = (arch.partition(":")[0],) if arch else ()
    with session.open_registry(registry) as opened:
        try:
            return opened.load_again(what, code=code, device=device)
        except UnknownModel:
            if "/" in what or "\\" in what:
                return session.load(path, how)
            raise
