"""Serves an application on one address until it is told to end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from cli.service.app import application
from cli.service.service import Service
from fingerprint.errors import EnvironmentFailure
from fingerprint.text import clean

__all__ = ["serve"]

_AT_A_TIME = 128
"""Connections; more are answered that they come too many."""
_IDLE_SECONDS = 15
_FAREWELL_SECONDS = 10


def serve(
    service: Service,
    *,
    host: str,
    port: int,
    certificate: Path | None,
    key: Path | None,
    ready: Callable[[str], None],
) -> None:
    """Serves until SIGTERM or Ctrl-C.

    Args:
        service: What is served.
        host: Address to listen at.
        port: 0 for one that is free.
        certificate: Of TLS, as PEM; None for plain HTTP.
        key: Its private key.
        ready: Told where it listens, before the first request is answered.

    Raises:
        EnvironmentFailure: The address or the certificate cannot be used, or another server has the
            folder.
    """
    app = application(service)
    app.state.supervisor.claim()
    try:
        listening = socket.create_server((host, port), family=_family(host))
    except OSError as error:
        raise EnvironmentFailure(
            f"{clean(host)}:{port}: {error.strerror}; give another --host or --port"
        ) from error
    with listening:
        config = uvicorn.Config(
            app,
            ssl_certfile=certificate,
            ssl_keyfile=key,
            # Requests are not logged: what changes something, or shows probes, is in the chain.
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_AT_A_TIME,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_FAREWELL_SECONDS,
            ws="none",
            lifespan="on",
        )
        try:
            config.load()
        except OSError as error:  # of ssl too
            raise EnvironmentFailure(
                f"--certificate, --key: {clean(error.strerror or error)}"
            ) from error
        scheme = "http" if certificate is None else "https"
        shown = f"[{host}]" if ":" in host else host
        ready(f"{scheme}://{shown}:{listening.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listening])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
