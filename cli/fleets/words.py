"""Options as they are typed, from what a command was called with and from a list of models.

A command of its own is run for each model, so what was said for all of them is said again, and what
is said for one comes behind it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from fingerprint.text import clean

__all__ = ["parsed", "said", "said_of"]

_OF_ALL = frozenset(
    (
        *("each", "list", "workers", "scheduler", "limit-each"),
        *("journal", "registry", "json", "format", "quiet", "report", "dry-run"),
    )
)
"""Options that speak of all models together."""


def said(context: typer.Context) -> tuple[str, ...]:
    """Returns the options that a command was called with, as far as they speak of each model."""
    words: list[str] = []
    for option, name in _options(context).items():
        if option in _OF_ALL:
            continue
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            words += _words(option, context.params[name])
    return tuple(words)


def said_of(context: typer.Context, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns what a list says of one model.

    Raises:
        ValueError: There is no such option, or it speaks of all models.
    """
    known = _options(context)
    words: list[str] = []
    for key, value in options.items():
        option = str(key).replace("_", "-")
        if option not in known or option in _OF_ALL:
            raise ValueError(f"{clean(option)}: no option of one model")
        one = isinstance(value, list) and not _is_several(context, known[option])
        words += _words(option, ",".join(map(str, value)) if one else value)
    return tuple(words)


def parsed(context: typer.Context, verb: str, words: Iterable[str], model: str) -> dict[str, Any]:
    """Returns what a command would understand, without running it.

    Raises:
        ValueError: It would not.
    """
    try:
        within = context.command.make_context(verb, [*words, "--", model], parent=context.parent)
    except typer.TyperException as error:
        raise ValueError(clean(error.format_message(), 300)) from error
    return dict(within.params)


def _options(context: typer.Context) -> dict[str, str]:
    """Returns the parameter that each option is, by its long name without dashes."""
    return {
        word.removeprefix("--"): str(one.name)
        for one in context.command.params
        for word in one.opts
        if word.startswith("--")
    }


def _is_several(context: typer.Context, name: str) -> bool:
    params = context.command.params
    return any(one.name == name and getattr(one, "multiple", False) for one in params)


def _words(option: str, value: Any) -> list[str]:
    """Returns one option as it is typed; files by their whole path."""
    if isinstance(value, bool):
        return [f"--{option}"] if value else []
    if isinstance(value, list | tuple):
        return [word for one in value for word in _words(option, one)]
    return [f"--{option}={os.path.abspath(value) if isinstance(value, Path) else value}"]
