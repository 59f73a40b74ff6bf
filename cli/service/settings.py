"""What a service is started with, and where it keeps what is its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fingerprint.errors import UsageError

if TYPE_CHECKING:
    from registry import Registry

__all__ = ["Settings", "folder_of"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a service behaves.

    Attributes:
        registry: The registry's path or URL, as it was given.
        folder: Where tokens, uploads and jobs are kept.
        workers: Jobs that are done at a time.
        max_upload: Bytes of one upload, and of one file that is fetched.
        rate: Requests a minute of one token.
        hours: How long one job may take.
        device: Where networks run.
        code: Modules whose factories ``arch`` may name.
        allow_private: Whether addresses that are not of the public internet may be asked.
    """

    registry: str | None
    folder: Path
    workers: int = 1
    max_upload: int = 2**31
    rate: int = 600
    hours: float = 6.0
    device: str = "cpu"
    code: tuple[str, ...] = ()
    allow_private: bool = False


def folder_of(registry: Registry, given: Path | None) -> Path:
    """Returns the folder of the service of a registry: beside its file, unless one is given.

    Raises:
        UsageError: The registry is in memory, or in another database and no folder is given.
    """
    if given is not None:
        return given.absolute()
    if registry.path is None:
        raise UsageError("--folder: expected a folder for tokens, uploads and jobs of the service")
    return registry.path.with_name(f"{registry.path.name}.service")
