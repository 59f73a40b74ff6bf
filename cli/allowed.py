"""What a target that a registry keeps may do when it is asked again, by cron as well.

A row of a registry is data: whoever can write it could name code of their own, an address that gets
somebody's token, or no sandbox. Such options count only if whoever calls gives them again::

    needed(target)                  # (("--allow-code", "my.networks"),)
    require(target, allowed)        # InputRefused: expected --allow-code my.networks
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable
from typing import Annotated

import typer

from cli.bundles import Bundle
from cli.endpoints import is_address
from cli.targets import Target
from fingerprint.text import clean

__all__ = ["Allowed", "AllowedOptions", "needed", "require", "typed"]

Allowed = frozenset[tuple[str, str]]
"""Options and their values; an option that takes none has an empty one."""

_PLAIN_ADAPTERS = ("oip", "kserve-v1", "mlflow", "huggingface")
"""Protocols that read no file of this machine and sign nothing in its user's name."""

_SEVERAL = "may be given several times."

Code = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-code", metavar="MODULE", help=f"Import this module to build targets; {_SEVERAL}"
    ),
]
NoSandbox = Annotated[
    bool,
    typer.Option(
        "--no-sandbox", help="Run files that were begun without a sandbox with the rights you have."
    ),
]
TokenEnv = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help=f"Send the token in this variable, to hosts of --to; {_SEVERAL}"
    ),
]
AdapterName = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="NAME",
        help=f"Ask hosts of --to by sagemaker, or by this generic:FILE; {_SEVERAL}",
    ),
]
To = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="HOST",
        help="Host that may get a token, be asked by such an adapter, and not be a public one; "
        f"HOST:PORT where the address says so; {_SEVERAL}",
    ),
]


def allowed_options(
    *,
    allow_code: Code = None,
    no_sandbox: NoSandbox = False,
    token_env: TokenEnv = None,
    adapter: AdapterName = None,
    to: To = None,
) -> Allowed:
    """Collects what whoever calls lets stored targets do."""
    given = {
        "--allow-code": allow_code,
        "--no-sandbox": [""] if no_sandbox else None,
        "--token-env": token_env,
        "--adapter": adapter,
        "--to": to,
    }
    return frozenset((option, value) for option, values in given.items() for value in values or ())


AllowedOptions = Annotated[Allowed, Bundle(allowed_options)]


def needed(target: Target) -> tuple[tuple[str, str], ...]:
    """Returns what a target may only do if whoever calls says so.

    Raises:
        UsageError: Its architecture or its address does not parse.
    """
    from fingerprint.architectures.architecture import parse_architecture
    from fingerprint.suspects.endpoints import parse_address

    found = []
    arch, asking = target.how.arguments.get("arch"), target.asking
    if arch is not None:
        source = parse_architecture(arch).source
        if source not in ("timm", "transformers"):
            found.append(("--allow-code", source))
    if target.graph.no_sandbox:
        found.append(("--no-sandbox", ""))
    if not is_address(target.name):
        return tuple(found)
    rights = []
    if asking.token_env is not None:
        rights.append(("--token-env", asking.token_env))
    if asking.adapter is not None and asking.adapter not in _PLAIN_ADAPTERS:
        rights.append(("--adapter", asking.adapter))
    if rights or asking.allow_private:
        # A token that is meant for one host is no use to the writer of a row that names another.
        rights.append(("--to", parse_address(target.name).authority))
    return (*found, *rights)


def require(target: Target, allowed: Collection[tuple[str, str]]) -> None:
    """Refuses a target that a registry keeps, if it does what nobody here has allowed.

    Raises:
        InputRefused: It does; the message says which options are missing.
        UsageError: See :func:`needed`.
    """
    from fingerprint.errors import InputRefused

    missing = [pair for pair in needed(target) if pair not in allowed]
    if missing:
        raise InputRefused(
            f"expected {clean(typed(missing), 200)} on the command line, got it from the registry "
            "alone; add it if it is meant"
        )


def typed(pairs: Iterable[tuple[str, str]]) -> str:
    """Returns options as a shell takes them."""
    return shlex.join(word for pair in pairs for word in pair if word)
