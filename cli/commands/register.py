"""``fp register``: extract a model's fingerprint and keep it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options, session
from cli.bundles import bundled
from cli.fleets.options import Fleet, FleetOptions
from cli.progress import progress_bars
from fingerprint.text import clean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.network import Model
    from fingerprint.network.spec import InputSpec
    from registry import Registry

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
Reference = Annotated[
    bool,
    typer.Option(
        "--reference",
        help="It is a public checkpoint: it explains other models, and nobody is accused of it.",
    ),
]
Again = Annotated[
    str | None,
    typer.Option(
        "--again",
        metavar="NAME",
        help="Make the fingerprint of this registered model anew, and state with --parent or "
        "--from-scratch where it comes from. FILE is needed only where it was moved; an "
        "architecture that is code, only if --arch names it.",
        autocompletion=session.complete_name,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILE]",
        help="Weights: .safetensors, or a PyTorch state_dict; an .onnx file (pip install "
        "'nullprint[onnx]'); or models:/NAME/VERSION, models:/NAME@ALIAS or runs:/RUN/PATH of "
        "MLflow (pip install 'nullprint[mlflow]').",
        readable=False,
        show_default=False,
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


def _check_again(
    again: str | None,
    model: Path | None,
    how: options.ModelOptions,
    graph: options.GraphOptions,
    *,
    stated: bool,
) -> None:
    """Refuses what does not go together, before anything is opened."""
    if again is None and model is None:
        raise typer.BadParameter("expected FILE, or --again NAME to renew a registered model")
    if again is None:
        return
    if stated:
        raise typer.BadParameter(
            "expected --again without --name and --reference; register the model once more to "
            "state them, then renew it"
        )
    given = [
        f"--{key.replace('_', '-')}"
        for key, value in how.arguments.items()
        if key not in ("arch", "device") and value not in (None, False)
    ] + [f"--{key}" for key in graph.stated]
    if model is None and given:
        raise typer.BadParameter(
            f"{given[0]}: expected FILE with it; without, {clean(again)} is loaded as it was"
        )


def _loaded(
    opened: Registry,
    again: str | None,
    model: Path | None,
    how: options.ModelOptions,
    graph: options.GraphOptions,
) -> Model:
    if model is not None:
        return session.load_source(model, how, graph)
    assert again is not None
    # A factory is code: the registry may name it, and it is run where the caller does so too.
    code = [how.arguments["arch"].partition(":")[0]] if how.arguments["arch"] else []
    return opened.load_again(again, code=code, device=how.arguments["device"])


def _check_many(fleet: FleetOptions, name: str | None, again: str | None) -> None:
    """Refuses what can only be said of one model."""
    if name is not None or again is not None:
        option = "--name" if name is not None else "--again"
        raise typer.BadParameter(f"{option} is for one model; a --list gives each its own name")


@bundled
def register(
    context: typer.Context,
    how: options.How,
    graph: options.Graph,
    fleet: Fleet,
    screen: options.Screen,
    *,
    model: Weights = None,
    name: Name = None,
    parent: Parent = None,
    from_scratch: FromScratch = False,
    reference: Reference = False,
    again: Again = None,
    probes: Probes = 24,
    answers_only: AnswersOnly = False,
    data: Data = None,
    registry: options.RegistryUrl = None,
) -> None:
    """Extract a model's fingerprint and keep it in the registry.

    An ONNX file is converted for its gradients, and what comes of that compared with ONNX Runtime;
    where it differs, the file is registered by its answers only.

    With --each or --list, many models are registered, each in a process of its own: one that fails
    or takes too long is a row and not the end. A second run does what is missing. The exit code is
    the worst of all.
    """
    if from_scratch and parent is not None:
        raise typer.BadParameter("expected --parent or --from-scratch, got both; leave one out")
    if fleet.wanted:
        from cli.fleets.batch import batch

        fleet.require_one(model, "FILE")
        _check_many(fleet, name, again)
        raise typer.Exit(batch(context, "register", fleet, screen, registry))
    _check_again(again, model, how, graph, stated=bool(name or reference))
    with ExitStack() as held:
        opened = held.enter_context(session.open_registry(registry, writing=True))
        session.require(opened, [one for one in (parent, again) if one is not None])
        found = held.enter_context(session.at_hand(str(model or ""), screen, kept=True))
        if found is not None:
            model = Path(found.path)
            name = found.uri.label if name is None and again is None else name
        loaded = _loaded(opened, again, model, how, graph)
        images = _images(data, loaded.input)
        with progress_bars(screen) as progress:
            registered = opened.register(
                loaded,
                name=name,
                parent=parent,
                from_scratch=from_scratch,
                reference=reference,
                again=again,
                images=images,
                probes=probes,
                answers_only=answers_only or bool(loaded.asked_only),
                progress=progress,
            )
        if found is not None and Path(registered.file_path or "").is_relative_to(found.path):
            found.keep()
    for warning in registered.warnings:
        screen.warn(warning)
    if again is not None:
        screen.message(
            f"renewed {clean(registered.name)}; 'fp registry mend' asks other models its new probes"
        )
    elif registered.aliases:
        from registry.names import default_name

        called = name if name is not None else default_name(loaded)
        if called in registered.aliases:
            known, alias = clean(registered.name), clean(called)
            screen.message(f"registered already as {known}; {alias} is another name of it")
    from cli import render

    screen.data({"schema": 2, **registered.to_dict()}, render.model_facts(registered))
