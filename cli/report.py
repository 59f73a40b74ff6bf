"""Reports as files: which verdict is meant, and the page of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli import plots
from cli.endpoints import is_address
from fingerprint.text import clean

if TYPE_CHECKING:
    from registry import Registry
    from registry.reports.dossier import Dossier

__all__ = ["check", "find", "write"]

_SUFFIXES = (".html", ".htm")


def check(path: Path, option: str) -> None:
    """Sees to it that a report can be written before any work is begun.

    Args:
        path: Where to.
        option: What it was given with, for messages.

    Raises:
        typer.BadParameter: The file's name ends in nothing that a browser opens.
        EnvironmentFailure: matplotlib or the folder is missing, or cannot be written to.
    """
    plots.check(path, option, _SUFFIXES)


def find(registry: Registry, wanted: str) -> int:
    """Returns the number of the verdict that is meant.

    Args:
        registry: Where it is recorded.
        wanted: Its number; a suspect's file, folder or address, or the name of a registered
            model, of which the latest verdict is meant.

    Raises:
        UnknownModel: It is none of these.
        UsageError: There is no verdict on it.
        InputRefused: The file cannot be taken for a suspect's.
    """
    from fingerprint.errors import UsageError

    if wanted.isascii() and wanted.isdigit() and len(wanted) < 19:
        return int(wanted)
    if is_address(wanted):
        from fingerprint.suspects.endpoints.address import parse_address

        found = _of(registry, "address", str(parse_address(wanted)))
    elif Path(wanted).is_file() or (Path(wanted).is_dir() and not _is_registered(registry, wanted)):
        found = _of(registry, "file_sha256", _sha256(wanted))
    else:
        name = registry.model(wanted).name
        found = [one.number for one in registry.verifications(name)]
    if not found:
        raise UsageError(
            f"{clean(wanted)}: no verdict on it is recorded; 'fp verify SUSPECT --report FILE' "
            "gives one"
        )
    return found[-1]


def _is_registered(registry: Registry, name: str) -> bool:
    return any(name in (one.name, *one.aliases) for one in registry.models())


def _of(registry: Registry, fact: str, value: str) -> list[int]:
    """Returns the numbers of the verdicts on a suspect of whom a fact is known."""
    return [
        one.number
        for one in registry.verifications()
        if dict(one.evidence.get("suspect") or {}).get(fact) == value
    ]


def _sha256(path: str) -> str:
    """Returns the digest by which verdicts know a file, the weights of a folder, or shards."""
    from fingerprint.formats.file_bytes import read_file
    from fingerprint.formats.folder import network_file
    from fingerprint.formats.weights_file import is_onnx, read_weights

    if Path(path).is_dir() or path.endswith(".index.json"):
        file = network_file(path)
        return read_file(file).sha256 if is_onnx(file) else read_weights(path).file.sha256
    return read_file(path).sha256


def write(dossier: Dossier, path: Path, *, pictures: bool = True) -> None:
    """Writes the page of a verdict: all of it or nothing; a file that is there is replaced.

    Args:
        dossier: What is known of the verdict.
        path: Where to.
        pictures: Whether probes are shown.

    Raises:
        EnvironmentFailure: The file cannot be written.
    """
    from importlib.metadata import PackageNotFoundError, version

    from fingerprint.canonical import utc_now
    from registry.reports.page import write_page
    from registry.reports.view import view_of

    try:
        release = version("nullprint")
    except PackageNotFoundError:
        release = ""
    write_page(view_of(dossier, made=utc_now(), release=release, pictures=pictures), path)
