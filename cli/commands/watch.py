"""``fp watch``: is a file or a service still what it was?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options, session
from cli.allowed import AllowedOptions
from cli.bundles import bundled
from cli.endpoints import AskingOptions
from cli.errors import ExitCode
from cli.groups import command_group
from cli.output import Output
from cli.targets import Target
from cli.watching import Settings, TargetName, begin, crontab_line, seen
from fingerprint.text import clean

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.text import Text

    from fingerprint.network import InputSpec
    from registry import Registry, Watch, WatchSettings

__all__ = ["app"]

app = command_group("Notice when a file or a service no longer answers as it did.")


def _complete(context: typer.Context, incomplete: str) -> list[str]:
    """Completes the name of a watch in the shell; no registry, no completions."""
    try:
        with session.open_registry(context.params.get("registry")) as opened:
            names = [watch.name for watch in opened.watches.all()]
    except Exception:
        # A shell waiting for completions has no place for an error.
        return []
    return [name for name in names if name.startswith(incomplete) and name == clean(name, 10_000)]


Name = Annotated[
    str, typer.Argument(metavar="NAME", help="What the watch is called.", autocompletion=_complete)
]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Watches; by default all.", autocompletion=_complete),
]
WatchFile = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="FILE",
        dir_okay=False,
        help="Run the watches of this TOML file, a table of options of 'fp watch init' each, and "
        "begin those that are new.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@bundled
def init(
    name: Name,
    target: TargetName,
    how: options.How,
    graph: options.Graph,
    asking: AskingOptions,
    settings: Settings,
    screen: options.Screen,
    *,
    registry: options.RegistryUrl = None,
) -> None:
    """Record what a target answers, to be told by 'fp watch run' when it no longer does.

    The target is asked everything twice. If the answers are equal, within their precision, any
    other answer will be a change; if they are not, everything is asked --repeats times more, and a
    change is what such noise does not explain.
    """
    from registry import WatchSettings

    wanted = Target(target, how, graph, asking)
    given = WatchSettings(**settings)
    with session.open_registry(registry, writing=True) as opened:
        if asking.dry_run:
            questions = partial(_asked_first, opened, name, given)
            names = [given.model] if given.model else []
            plan = asking.plan(target, how, graph, opened, names, None, questions)
            screen.data(plan.to_dict(), plan.view())
            return
        watch, said = begin(opened, name, wanted, given, screen)
        line = crontab_line(opened, watch)
    from cli import watch_view

    document = {"schema": 1, **watch.to_dict(), "crontab": line}
    screen.data(document, watch_view.begun(watch, said), watch_view.crontab(line))


def _asked_first(
    registry: Registry, name: str, settings: WatchSettings, spec: InputSpec
) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Returns what would be asked at most, and how many inputs at a time."""
    inputs, _ = registry.watches.choose(name, settings, spec)
    return inputs, (len(inputs),) * (2 + settings.repeats)


@bundled
def run(
    screen: options.Screen,
    allowed: AllowedOptions,
    *,
    names: Names = None,
    file: WatchFile = None,
    registry: options.RegistryUrl = None,
) -> None:
    """Ask watched targets a few questions, and say of each in one line whether it has changed.

    Made for cron: other questions each time, nothing to be answered, no bar without a terminal.
    Whatever was found changed stays so; 'fp watch remove' and 'fp watch init' begin anew.

    What the registry says is not believed where it names code, a token or no sandbox: that is given
    again here, as in the line for cron that 'fp watch init' prints, or stands in --file.

    Exit code 0: all are unchanged; 1: one has changed; 4: one could not be asked anything, and none
    has changed.
    """
    from cli import watch_view
    from fingerprint.errors import NoEvidence

    with session.open_registry(registry, writing=True) as opened:
        stated: dict[str, Watch] = {}
        failed: list[tuple[str, str]] = []
        if file is not None:
            from cli.watch_file import begun

            more, failed = begun(opened, file, screen)
            stated = {one.name: one for one in more}
        # All are looked up before any is asked: a mistyped name is told at once.
        watches = {one.name: one for one in map(opened.watches.get, names or ())}
        # The very ones that were compared with the file: a row may have changed meanwhile.
        watches |= stated
        if not watches and file is None:
            watches = {one.name: one for one in opened.watches.all()}
            if not watches:
                raise NoEvidence("nothing is watched; 'fp watch init NAME TARGET' begins")
        found = []
        for name, watch in watches.items():
            observed = seen(opened, watch, None if name in stated else allowed)
            found.append((name, opened.watches.record(name, observed)))
            _print(screen, watch_view.line(*found[-1]))
    for name, reason in failed:
        _print(screen, watch_view.failed(name, reason))
    if screen.json:
        rows = [{"name": name, **one.to_dict()} for name, one in found]
        failures = [{"name": name, "reason": reason} for name, reason in failed]
        screen.data({"schema": 1, "runs": rows, "not_begun": failures})
    states = {one.state for _, one in found}
    if "changed" in states:
        raise typer.Exit(ExitCode.POLICY_FAILED)
    if "unclear" in states or failed:
        raise typer.Exit(ExitCode.INCONCLUSIVE)


def _print(screen: Output, line: Text) -> None:
    """Writes the line of one target, as soon as it is known; a document comes at the end."""
    if not screen.json:
        screen.data({}, line)


@bundled
def show(
    screen: options.Screen,
    *,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A watch; by default all.", autocompletion=_complete),
    ] = None,
    registry: options.RegistryUrl = None,
) -> None:
    """Show what is watched, or draw the history of one watch."""
    from cli import watch_view

    with session.open_registry(registry) as opened:
        if name is not None:
            watch = opened.watches.get(name)
            screen.data({"schema": 1, **watch.to_dict()}, watch_view.history(watch))
            return
        watches = opened.watches.all()
    document = {"schema": 1, "watches": [watch.to_dict() for watch in watches]}
    screen.data(document, watch_view.overview(watches))


@bundled
def remove(
    name: Name,
    screen: options.Screen,
    *,
    yes: Yes = False,
    registry: options.RegistryUrl = None,
) -> None:
    """Stop watching a target, and forget what it answered; the chain keeps that it was watched."""
    if not yes:
        raise typer.BadParameter("expected --yes: the history of the watch goes with it")
    with session.open_registry(registry, writing=True) as opened:
        opened.watches.remove(name)
    screen.message(f"{clean(name)} is not watched any more")
    if screen.json:
        screen.data({"schema": 1, "name": name, "removed": True})


for command, verb, example in (
    (init, "init", "fp watch init prod https://models.example/v2/models/m --adapter oip"),
    (run, "run", "fp watch run prod"),
    (show, "show", "fp watch show prod"),
    (remove, "remove", "fp watch remove prod --yes"),
):
    app.command(verb, epilog=f"Example: {example}")(command)
