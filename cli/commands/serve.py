"""``fp serve``: the registry for a team, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, session
from cli.bundles import bundled

__all__ = ["Folder", "serve"]

Folder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        file_okay=False,
        help="Where tokens, uploads and jobs are kept; by default beside the registry's file.",
    ),
]
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen at.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for one that is free.")]
Certificate = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Certificate (PEM) to serve https with.")
]
Key = Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key (PEM).")]
BehindProxy = Annotated[
    bool,
    typer.Option(
        "--behind-proxy",
        help="Listen at an address of a network without TLS: something in front of it does that.",
    ),
]
Workers = Annotated[
    int, typer.Option(min=1, max=64, metavar="N", help="Jobs that are done at a time.")
]
MaxUpload = Annotated[
    int,
    typer.Option(min=1, metavar="MB", help="Size of one upload, and of one file that is fetched."),
]
Rate = Annotated[
    int, typer.Option(min=1, metavar="N", help="Requests a minute of one token at most.")
]
Hours = Annotated[float, typer.Option(min=0.001, metavar="H", help="Time that one job may take.")]
Code = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-code",
        metavar="MODULE",
        help="Import this module where a caller names a factory of it; may be given several times.",
    ),
]
AllowPrivate = Annotated[
    bool,
    typer.Option(
        "--allow-private",
        help="Let callers have addresses asked that are not of the public internet.",
    ),
]


@bundled
def serve(
    screen: options.Screen,
    *,
    host: Host = "127.0.0.1",
    port: Port = 8017,
    certificate: Certificate = None,
    key: Key = None,
    behind_proxy: BehindProxy = False,
    folder: Folder = None,
    workers: Workers = 1,
    max_upload: MaxUpload = 2048,
    rate: Rate = 600,
    hours: Hours = 6.0,
    device: options.Device = "cpu",
    allow_code: Code = None,
    allow_private: AllowPrivate = False,
    registry: options.RegistryUrl = None,
) -> None:
    """Serve the registry to a team: register, verify and read verdicts over HTTP.

    Whoever calls needs a token ('fp token add'). Registering and verifying are jobs, which go on
    where they were after the server was killed. See docs/service.md; /openapi.json describes it to
    programs.
    """
    _check(host, certificate, key, behind_proxy=behind_proxy)
    _require_extra()
    from cli.service.server import serve as serving
    from cli.service.service import Service
    from cli.service.settings import Settings, folder_of
    from cli.service.store import Store

    with session.open_registry(registry, writing=True) as opened:
        settings = Settings(
            registry=registry,
            folder=folder_of(opened, folder),
            workers=workers,
            max_upload=max_upload * 2**20,
            rate=rate,
            hours=hours,
            device=device,
            code=tuple(allow_code or ()),
            allow_private=allow_private,
        )
        store = Store(settings.folder)
        service = Service(settings=settings, registry=opened, store=store)
        if not any(token.revoked is None for token in service.tokens.all()):
            screen.warn("nobody has a token yet: fp token add NAME --role admin")
        serving(
            service,
            host=host,
            port=port,
            certificate=certificate,
            key=key,
            ready=lambda address: screen.message(f"serving {opened.url} at {address}"),
        )


def _check(host: str, certificate: Path | None, key: Path | None, *, behind_proxy: bool) -> None:
    """Refuses what would send tokens over a network for everybody on it to read."""
    import ipaddress

    from fingerprint.errors import UsageError
    from fingerprint.text import clean

    if (certificate is None) is not (key is None):
        raise UsageError("expected --certificate and --key, got one of them")
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise UsageError(
            f"--host: expected an IP address such as 127.0.0.1 or 0.0.0.0, got {clean(host)}"
        ) from None
    if not here and certificate is None and not behind_proxy:
        raise UsageError(
            f"--host {host}: tokens would go over the network in plain text; give --certificate "
            "and --key, or --behind-proxy where something in front of it does TLS"
        )


def _require_extra() -> None:
    from importlib.util import find_spec

    from fingerprint.errors import EnvironmentFailure

    missing = [
        name for name in ("fastapi", "uvicorn", "limits", "matplotlib") if find_spec(name) is None
    ]
    if missing:
        raise EnvironmentFailure(f"fp serve needs {missing[0]}; pip install 'nullprint[serve]'")
