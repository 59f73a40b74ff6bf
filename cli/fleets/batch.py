"""Many models by one command: chooses them, runs the command for each, and says what came of all.

::

    raise typer.Exit(batch(context, "register", fleet, screen, registry))
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli import session
from cli.errors import ExitCode
from cli.fleets import scheduling, words
from cli.fleets.choosing import Choice, in_folder, in_list
from cli.fleets.jobs import Job, Row, worst
from cli.fleets.journal import Journal
from cli.fleets.options import FleetOptions
from cli.output import Output
from cli.progress import progress_bars
from fingerprint.text import clean, listed

if TYPE_CHECKING:
    from registry import RegisteredModel, Registry

__all__ = ["batch"]

_REGISTERED = ("against", "expect", "forbid", "again")
"""Options that name registered models, none of which can be one of the list."""


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What is known of the registry before anything is begun.

    Attributes:
        url: Where workers of this machine find it.
        origin: Where its chain starts.
        models: What is registered.
        on_server: Whether it is a server's, so that its URL may hold a password.
    """

    url: str
    origin: str
    models: tuple[RegisteredModel, ...]
    on_server: bool

    @property
    def names(self) -> set[str]:
        """What models are called."""
        return {name for one in self.models for name in (one.name, *one.aliases)}

    def told(self, row: Row) -> Row:
        """Returns a row that tells what was there before from what was registered now."""
        before = row.outcome == "registered" and (row.result or {}).get("name") in self.names
        return replace(row, outcome="known") if before else row


def batch(
    context: typer.Context,
    verb: str,
    fleet: FleetOptions,
    screen: Output,
    registry: str | None,
    *,
    journal: Path | None = None,
) -> ExitCode:
    """Runs a command for each of many models.

    Args:
        context: Of the command, which says by what options.
        verb: The command.
        fleet: Which models, and who does the work.
        screen: Where to say what came of them.
        registry: As it was given.
        journal: Where verdicts are kept; registering needs none.

    Returns:
        The worst exit code of all.

    Raises:
        UsageError: Something about the call as a whole is wrong; nothing was begun.
        InputRefused: The list or the journal is.
        EnvironmentFailure: The registry cannot be opened, or no worker is there.
    """
    began = time.monotonic()
    choices, left_out = _chosen(fleet)
    with session.open_registry(registry, writing=verb == "register") as opened:
        known = _known(opened, registry)
        jobs = _jobs(context, verb, fleet, choices, opened, known)
    if left_out:
        screen.message(f"left out, as no models: {listed(left_out, shown=5)}")
    kept = Journal(journal, known.origin, known.models)
    rows = {job.name: row for job in jobs if (row := kept.row(job)) is not None}
    missing = [job for job in jobs if job.name not in rows]
    if rows:
        screen.message(f"{len(rows)} of {len(jobs)} are in the journal already")
    device = str(context.params.get("device") or "cpu")
    with _running(fleet, device, len(missing), screen) as run, _shown(screen, len(missing)) as show:
        for row in map(known.told, run(missing)):
            kept.keep(row)
            rows[row.name] = row
            show(row)
    return _said(screen, [rows[job.name] for job in jobs], left_out, time.monotonic() - began)


def _said(screen: Output, rows: Sequence[Row], left_out: Sequence[str], seconds: float) -> ExitCode:
    """Shows what came of all models, in the order they were named in."""
    from cli.fleets import view

    code = worst(rows)
    document = {
        "schema": 1,
        "exit_code": int(code),
        "counts": view.counts(rows),
        "seconds": round(seconds, 1),
        "left_out": list(left_out),
        "models": [row.to_dict() for row in rows],
    }
    screen.data(document, view.overview(rows, seconds))
    return code


def _chosen(fleet: FleetOptions) -> tuple[list[Choice], list[str]]:
    if fleet.each is not None:
        return in_folder(fleet.each)
    assert fleet.listed is not None
    return in_list(fleet.listed), []


def _known(registry: Registry, given: str | None) -> _Known:
    from fingerprint.errors import UsageError
    from registry.engine import locate
    from registry.ledger import origin

    location = locate(given)
    if location.path is None and location.server is None:
        raise UsageError("--registry: one in memory cannot be shared; name a file or a server")
    path = location.path
    return _Known(
        url=location.url.render_as_string(hide_password=False)
        if path is None
        else str(path.absolute()),
        origin=origin(registry.seed).digest,
        models=tuple(registry.models()),
        on_server=path is None,
    )


def _jobs(
    context: typer.Context,
    verb: str,
    fleet: FleetOptions,
    choices: Sequence[Choice],
    registry: Registry,
    known: _Known,
) -> list[Job]:
    """Returns a job for each model, parents first; every option was understood.

    Raises:
        UsageError: An option was not, a name is given twice, or one is its own ancestor.
        UnknownModel: A name that should be registered is not.
    """
    from fingerprint.errors import UsageError

    common = words.said(context)
    jobs: dict[str, Job] = {}
    parents: dict[str, str] = {}
    for choice in choices:
        name = choice.name or (_default_name(choice.model) if verb == "register" else choice.given)
        try:
            own = words.said_of(context, choice.options)
            named = (f"--name={name}",) if verb == "register" else ()
            line = (*common, *own, *named)
            meant = words.parsed(context, verb, line, choice.model)
        except ValueError as error:
            raise UsageError(f"{clean(choice.model)}: {error}") from error
        if name in jobs:
            raise UsageError(
                f"{clean(choice.model)} and {clean(jobs[name].model)} would both be called "
                f"{clean(name)}; give them names in a --list"
            )
        session.require(registry, _named(meant))
        parents[name] = str(meant.get("parent") or "")
        away = fleet.scheduler is not None
        jobs[name] = Job(
            verb=verb,
            model=choice.model,
            name=name,
            words=line,
            registry=None if away and known.on_server else known.url,
            origin=known.origin if away else None,
            seconds=fleet.seconds,
            folder=os.getcwd(),
        )
    unknown = {one for one in parents.values() if one} - jobs.keys()
    session.require(registry, sorted(unknown))
    return _in_order(jobs, parents)


def _named(meant: dict[str, Any]) -> Iterator[str]:
    """Returns the names of registered models among a command's options."""
    for option in _REGISTERED:
        value = meant.get(option)
        yield from (value,) if isinstance(value, str) else value or ()


def _default_name(model: str) -> str:
    """Returns what a model is called when nobody says."""
    from fingerprint.formats.default_name import default_name

    # A folder is called as the folder of a file would be that hubs call so.
    return default_name(os.path.join(model, "model.bin") if os.path.isdir(model) else model)


def _in_order(jobs: dict[str, Job], parents: dict[str, str]) -> list[Job]:
    """Returns the jobs with parents before their children, else in the order they came in."""
    from fingerprint.errors import UsageError

    above = {name: [parents[name]] if parents[name] in jobs else [] for name in jobs}
    try:
        order = TopologicalSorter(above).static_order()
        return [replace(jobs[name], after=tuple(above[name])) for name in order]
    except CycleError as error:
        raise UsageError(f"parents: {listed(error.args[1])} come from each other") from error


def _running(
    fleet: FleetOptions, device: str, missing: int, screen: Output
) -> AbstractContextManager[scheduling.Run]:
    """Returns what runs jobs, on as many workers as there is work and room for."""
    if fleet.scheduler is not None:
        return scheduling.elsewhere(fleet.scheduler, device=device)
    workers = fleet.workers or scheduling.places(device)
    if fleet.workers is None and workers > 1 and not scheduling.installed():
        screen.message(f"one model at a time; {scheduling.WAY_OUT} does {workers} at a time")
        workers = 1
    workers = min(workers, missing)
    if workers <= 1:
        return scheduling.one_by_one()
    return scheduling.here(workers=workers, device=device)


@contextmanager
def _shown(screen: Output, total: int) -> Iterator[Callable[[Row], None]]:
    """Yields what tells of each row: a bar on a terminal, a line elsewhere."""
    from cli.fleets.view import duration

    began, done = time.monotonic(), 0
    with progress_bars(screen) as progress:
        progress("models", 0, total)

        def show(row: Row) -> None:
            nonlocal done
            done += 1
            progress("models", done, total)
            if not screen.shows_progress:
                left = (time.monotonic() - began) / done * (total - done)
                more = f", about {duration(left)} left" if done < total else ""
                screen.message(f"{done} of {total}{more}: {clean(row.name)} {row.outcome}")

        yield show
