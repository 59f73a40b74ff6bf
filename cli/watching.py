"""What ``fp watch`` does with one target: begins to watch it, and asks it again."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import session
from cli.allowed import Allowed, needed, require, typed
from cli.bundles import Bundle
from cli.output import Output
from cli.progress import progress_bars
from cli.targets import Target, is_answers
from fingerprint.text import clean, first_line

if TYPE_CHECKING:
    from fingerprint.watching import Observation
    from registry import Registry, Watch, WatchSettings

__all__ = ["Settings", "TargetName", "begin", "crontab_line", "seen"]

TargetName = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="Weights, an .onnx file, or an address that answers (https://...), as of fp verify.",
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Hold it against what this registered model answers, and refuse it if it is not that; "
        "by default against what it answers now.",
        autocompletion=session.complete_name,
    ),
]
Questions = Annotated[
    int, typer.Option(min=4, max=1000, metavar="N", help="Questions there are, asked in turn.")
]
Ask = Annotated[int, typer.Option(min=1, metavar="N", help="Questions that one run asks.")]
Repeats = Annotated[
    int,
    typer.Option(
        min=4, metavar="N", help="Times each is asked at first where answers do not repeat."
    ),
]
Alpha = Annotated[
    float,
    typer.Option(
        min=1e-12,
        max=0.5,
        help="Probability of ever saying that it changed while it did not, however often it is "
        "run; for answers that do not repeat.",
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="SHARE",
        help="Difference, as a share of an answer's size, that is none; by default 0.0001, or what "
        "was measured of --model.",
    ),
]


def settings_options(
    *,
    model: ModelName = None,
    questions: Questions = 48,
    ask: Ask = 8,
    repeats: Repeats = 12,
    alpha: Alpha = 0.001,
    tolerance: Tolerance = None,
) -> dict[str, Any]:
    """Collects how a target is watched, for ``WatchSettings``."""
    return {
        "model": model,
        "questions": questions,
        "ask": ask,
        "repeats": repeats,
        "alpha": alpha,
        "tolerance": tolerance,
    }


Settings = Annotated[dict[str, Any], Bundle(settings_options)]


def begin(
    registry: Registry, name: str, target: Target, settings: WatchSettings, screen: Output
) -> tuple[Watch, str]:
    """Asks a target for the first time, and keeps what it answers.

    Returns:
        The watch, and what was found, one line.

    Raises:
        UsageError: The target is a file of answers.
        WatchTaken: Something is watched by this name.
        InputRefused: It cannot be compared, or is not the registered model.
        NoEvidence: It answered too little.
        EnvironmentFailure: It does not answer.
    """
    from fingerprint.errors import UsageError
    from fingerprint.watching import first_seen

    if is_answers(target.name):
        raise UsageError(
            f"{clean(target.name)}: expected what can be asked again, got a file of answers; watch "
            "the model or the address that gave them"
        )
    if settings.model is not None:
        (model,) = session.require(registry, [settings.model])
        settings = replace(settings, model=model)
    reached = target.reach(registry, [settings.model] if settings.model else [])
    for warning in reached.warnings:
        screen.warn(warning)
    suspect = reached.suspect
    inputs, recorded = registry.watches.choose(name, settings, suspect.input)
    with progress_bars(screen) as progress:
        baseline = first_seen(
            suspect,
            inputs,
            recorded=recorded,
            repeats=settings.repeats,
            few=settings.ask,
            tolerance=settings.tolerance,
            progress=progress,
        )
    standing = target.standing(suspect.input)
    watch = registry.watches.add(name, baseline, target=standing.to_dict(), settings=settings)
    held = f"what {clean(settings.model)} answers" if settings.model else "what it answered now"
    answers = "answers repeat" if baseline.repeatable else "answers do not repeat and are ranked"
    said = f"{len(baseline.inputs)} questions, held against {held}; {answers}"
    return watch, f"{said} ({baseline.queries} inputs asked)"


def seen(registry: Registry, watch: Watch, allowed: Allowed | None) -> Observation:
    """Asks a target; whatever keeps it from being asked is a reason, not an end.

    Args:
        registry: Where it is kept.
        watch: Which.
        allowed: What whoever calls lets it do; None where they wrote down the target themselves.
    """
    from fingerprint.errors import FingerprintError
    from fingerprint.watching import observe, rotation, unheard
    from registry import RegistryError

    baseline = registry.watches.baseline(watch.name)
    turn, count = len(watch.runs), watch.settings.ask
    places = rotation(baseline, registry.watches.key(watch.name), turn=turn, count=count)
    repeatable = watch.runs[-1].repeatable if watch.runs else baseline.repeatable
    try:
        names = [] if watch.settings.model is None else [watch.settings.model]
        target = Target.from_dict(watch.target)
        if allowed is not None:
            require(target, allowed)
        suspect = target.reach(registry, names).suspect
        return observe(baseline, suspect, places, repeatable=repeatable)
    except RegistryError:
        raise
    except (FingerprintError, typer.TyperException, OSError, MemoryError) as error:
        return unheard(first_line(error, limit=300))


def crontab_line(registry: Registry, watch: Watch) -> str:
    """Returns what a crontab takes to ask a target every half hour, with all that it needs.

    A module of one's own is looked for where ``fp`` is started, which cron does elsewhere.
    """
    pairs = needed(Target.from_dict(watch.target))
    where = str(registry.path) if registry.path is not None else registry.url
    options = typed([*pairs, ("--registry", where)])
    program = shlex.quote(shutil.which("fp") or "fp")
    code = any(option == "--allow-code" for option, _ in pairs)
    folder = f"cd {shlex.quote(os.getcwd())} && " if code else ""
    line = f"{folder}{program} watch run {options} -- {shlex.quote(watch.name)}"
    return "*/30 * * * *  " + line.replace("%", r"\%")  # a bare one ends the line for cron
