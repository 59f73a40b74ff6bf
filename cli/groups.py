"""Groups of commands: by themselves they show what there is, and that is no call."""

from __future__ import annotations

import sys

import typer

from cli.errors import ExitCode

__all__ = ["command_group", "require_command"]


def command_group(help: str) -> typer.Typer:
    """Returns an empty group, whose help is one sentence."""
    app = typer.Typer(help=help, invoke_without_command=True, rich_markup_mode=None)
    app.callback(help=help)(require_command)
    return app


def require_command(context: typer.Context) -> None:
    """Shows the help and ends as a wrong call does, where no command was named."""
    if context.invoked_subcommand is None:
        sys.stderr.write(context.get_help() + "\n")
        raise typer.Exit(ExitCode.USAGE)
