"""``fp register``: extract a model's fingerprint and keep it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options, session
from cli.bundles import bundled
from cli.progress import progress_bars
from fingerprint.text import clean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.network.spec import InputSpec

__all__ = ["register"]

Name = Annotated[
    str | None, typer.Option(help="Name in the registry; by default the file's, without suffix.")
]
Parent = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The registered model this one was derived from.",
        autocompletion=session.complete_name,
    ),
]
FromScratch = Annotated[
    bool,
    typer.Option(
        "--from-scratch",
        help="State that it was trained from scratch, so has no parent; may be stated later.",
    ),
]
# The least that can be tested, and the most that a verification should ask; the library's own
# numbers, known here so that a mistake is told before a model is loaded.
Probes = Annotated[int, typer.Option(min=6, max=480, help="How many probes to make.")]
AnswersOnly = Annotated[
    bool,
    typer.Option(
        "--answers-only",
        help="Ask it the registry's panel and solve nothing: for models without gradients. Less "
        "can be told of its copies.",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Pictures to use as base inputs; by default textures from the registry's seed.",
    ),
]


def _images(folder: Path | None, spec: InputSpec) -> NDArray[Any] | None:
    if folder is None:
        return None
    from cli.images import load_images

    return load_images(folder, spec)


@bundled
def register(
    model: options.ModelPath,
    how: options.How,
    screen: options.Screen,
    *,
    name: Name = None,
    parent: Parent = None,
    from_scratch: FromScratch = False,
    probes: Probes = 24,
    answers_only: AnswersOnly = False,
    data: Data = None,
    registry: options.RegistryUrl = None,
) -> None:
    """Extract a model's fingerprint and keep it in the registry."""
    if from_scratch and parent is not None:
        raise typer.BadParameter("expected --parent or --from-scratch, got both; leave one out")
    with session.open_registry(registry, writing=True) as opened:
        session.require(opened, [parent] if parent is not None else [])
        loaded = session.load(model, how)
        images = _images(data, loaded.input)
        with progress_bars(screen) as progress:
            registered = opened.register(
                loaded,
                name=name,
                parent=parent,
                from_scratch=from_scratch,
                images=images,
                probes=probes,
                answers_only=answers_only,
                progress=progress,
            )
    for warning in registered.warnings:
        screen.warn(warning)
    if name in registered.aliases:
        known, alias = clean(registered.name), clean(name)
        screen.message(f"registered already as {known}; {alias} is another name of it")
    from cli import render

    screen.data({"schema": 2, **registered.to_dict()}, render.model_facts(registered))
