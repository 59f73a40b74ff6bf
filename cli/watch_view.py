"""From watches to what people read: a line for each look, and the history as bars."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from cli import render
from fingerprint.text import clean
from fingerprint.watching import Run
from registry import Watch

__all__ = ["begun", "crontab", "failed", "history", "line", "overview"]

_STYLES = {"unchanged": "green", "changed": "bold red", "unclear": "magenta"}
_SHOWN = 40
_WIDTH = 24
_LINE = 300


def line(name: str, run: Run) -> Text:
    """Returns what a run says, in one line."""
    since = "" if run.since is None else f" between {_times(run.since)} UTC"
    return Text.assemble(
        f"{clean(name)}: ",
        _state(run.state),
        f"{since}: {clean(run.reason, _LINE)} (run {run.number})",
    )


def failed(name: str, reason: str) -> Text:
    """Returns why a target could not be watched, in one line."""
    return Text(f"{clean(name)}: not watched yet: {clean(reason, _LINE)}")


def begun(watch: Watch, said: str) -> Text:
    """Returns what a new watch rests on, in one line."""
    return Text(f"{clean(watch.name)}: watched from now on: {said}")


def crontab(line: str) -> Text:
    """Returns the line that asks it again, whole, to be copied."""
    return Text(clean(line, 4000), no_wrap=True, overflow="ignore")


def overview(watches: Sequence[Watch]) -> RenderableType:
    """Returns a row for each watch."""
    if not watches:
        return Text("Nothing is watched; 'fp watch init NAME TARGET' begins.")
    rows = []
    for watch in watches:
        last = watch.runs[-1] if watch.runs else None
        rows.append(
            (
                clean(watch.name),
                clean(watch.target.get("target", "")),
                _state(last.state) if last else Text("-"),
                _times(last.since) if last and last.since else "-",
                str(len(watch.runs)),
                render.when(last.time) if last else "-",
            )
        )
    return render.table(
        ("watch", "target", "state", "changed between (UTC)", "runs", "last (UTC)"), rows
    )


def history(watch: Watch) -> RenderableType:
    """Returns what is watched and a bar for each of the latest runs.

    The bar of a target whose answers repeat shows how many were other ones; else the evidence,
    against what is needed to say that it has changed.
    """
    settings = watch.settings
    held = clean(settings.model) if settings.model else "what it answered first"
    facts = [
        ("target", clean(watch.target.get("target", ""), _LINE)),
        ("held against", held),
        ("begun", f"{render.when(watch.created)} UTC"),
        ("false alarms", f"at most {settings.alpha:g} ever, where answers do not repeat"),
    ]
    runs = watch.runs[-_SHOWN:]
    rows = [
        (str(run.number), render.when(run.time), _bar(run, settings.alpha), _said(run))
        for run in runs
    ]
    parts: list[RenderableType] = [render.facts(facts)]
    if watch.runs:
        parts += [Text(""), line(watch.name, watch.runs[-1]), Text("")]
    if len(watch.runs) > len(runs):
        parts.append(Text(f"{len(watch.runs) - len(runs)} earlier runs; --json has all"))
    if rows:
        parts.append(render.table(("run", "time (UTC)", "evidence", "answers"), rows))
    return Group(*parts)


def _said(run: Run) -> str:
    if not run.heard:
        return clean(run.failure or run.reason, _LINE)
    if run.repeatable:
        equal = sum(score == 0 for _, score in run.scores)
        return f"{equal} of {run.asked} as recorded"
    return f"{len(run.scores)} of {run.asked}; 10^{run.evidence:.1f}"


def _bar(run: Run, alpha: float) -> Text:
    """Draws how much speaks for a change; a full bar is enough."""
    if not run.heard:
        return Text("?", style=_STYLES["unclear"])
    if run.repeatable:
        share = sum(score > 0 for _, score in run.scores) / len(run.scores)
    else:
        share = run.evidence / -math.log10(alpha)
    filled = round(_WIDTH * min(max(share, 0.0), 1.0))
    filled = max(filled, 1) if share > 0 else filled
    return Text("█" * filled + "·" * (_WIDTH - filled), style=_STYLES[run.state])


def _state(text: str) -> Text:
    return Text(clean(text), style=_STYLES.get(text, ""))


def _times(since: tuple[str, str]) -> str:
    return " and ".join(map(render.when, since))
