"""A real MLflow server with a SQLite store, in a process group of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.foreign_servers import INTERPRETER, running

__all__ = ["NEEDED", "mlflow_server"]

NEEDED = "needs MLflow and a server of it: 'make test-pipelines' installs them"
STARTS_WITHIN = 180.0


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Runs a server until the block ends, and says where it is."""

    def command(port: int) -> list[str]:
        return [
            *(INTERPRETER, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", f"sqlite:///{folder / 'store.db'}", "--workers", "1"),
            *("--artifacts-destination", str(folder / "artifacts"), "--serve-artifacts"),
        ]

    # Its own programs are looked for on PATH, beside its interpreter.
    found = os.pathsep.join((os.path.dirname(INTERPRETER), os.environ["PATH"]))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {**kept, "PATH": found, **settings}
    with running(command, folder, environment, within=STARTS_WITHIN) as address:
        yield address
