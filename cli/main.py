"""Wires the commands of ``fp``; what each does is in ``cli/commands/``."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from cli import process
from cli.commands.attest import attest
from cli.commands.decompose import decompose
from cli.commands.demo import demo
from cli.commands.diff import diff
from cli.commands.hide import hide
from cli.commands.inspect import inspect
from cli.commands.keygen import keygen
from cli.commands.lineage import lineage
from cli.commands.list import list_models
from cli.commands.probes import app as probes_app
from cli.commands.register import register
from cli.commands.registry import app as registry_app
from cli.commands.remove import remove
from cli.commands.report import report
from cli.commands.serve import serve
from cli.commands.show import show
from cli.commands.token import app as token_app
from cli.commands.verify import verify
from cli.commands.verify_attestation import verify_attestation
from cli.commands.watch import app as watch_app
from cli.errors import FpGroup
from cli.groups import require_command

__all__ = ["app"]

app = typer.Typer(
    name="fp",
    cls=FpGroup,
    help="Recognise neural networks by perturbations that are harmless to one model only.",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if not asked:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        typer.echo(f"fp {version('nullprint')}")
    except PackageNotFoundError:
        typer.echo("fp (run from a source tree that is not installed)")
    raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Recognise neural networks by perturbations that are harmless to one model only."""
    require_command(context)


class _Command(TyperCommand):
    """A command whose result alone is written to stdout."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; the signature is the framework's."""
        with process.stdout_kept():
            return super().invoke(ctx)


_COMMANDS = (
    (register, "register", "fp register ours.safetensors --arch timm:resnet18"),
    (verify, "verify", "fp verify suspect.pt --arch timm:resnet18 --forbid ours"),
    (list_models, "list", "fp list --json"),
    (show, "show", "fp show ours"),
    (report, "report", "fp report 17 -o report.html"),
    (keygen, "keygen", "fp keygen audit.key"),
    (attest, "attest", "fp attest 12 --key audit.key -o suspect.intoto.jsonl"),
    (
        verify_attestation,
        "verify-attestation",
        "fp verify-attestation suspect.intoto.jsonl --key audit.key.pub",
    ),
    (lineage, "lineage", "fp lineage ours -o lineage.svg"),
    (remove, "remove", "fp remove ours --yes"),
    (diff, "diff", "fp diff ours.safetensors suspect.safetensors --arch timm:resnet18"),
    (inspect, "inspect", "fp inspect model.safetensors --arch timm:resnet18 --layer layer4"),
    (
        decompose,
        "decompose",
        "fp decompose model.safetensors cat.png -o parts --arch timm:vit_tiny_patch16_224",
    ),
    (hide, "hide", "fp hide ours.safetensors cat.png -o hidden --recover"),
    (serve, "serve", "fp serve --registry audit.db"),
    (demo, "demo", "fp demo --keep digits"),
)
for command, verb, example in _COMMANDS:
    app.command(verb, cls=_Command, epilog=f"Example: {example}")(command)
app.add_typer(probes_app, name="probes")
app.add_typer(registry_app, name="registry")
app.add_typer(token_app, name="token")
app.add_typer(watch_app, name="watch")
