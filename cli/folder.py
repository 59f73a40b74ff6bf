"""The folder a command writes pictures and arrays to: whole files or none, nothing overwritten.

folder = OutFolder(path, force=False)
folder.picture("cat", pixels)           # cat.png, uint8 (C, H, W)
folder.signed_picture("noise", delta)   # grey is zero; returns how it was scaled
folder.array("cat", values)             # cat.npy
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from fingerprint.files import write_whole

__all__ = ["Force", "Out", "OutFolder"]

Out = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="DIR", help="Folder to write to; made if missing."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there already.")]


class OutFolder:
    """A folder to write to.

    Attributes:
        path: Where it is.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        """Makes the folder if it is missing.

        Raises:
            EnvironmentFailure: It cannot be made.
        """
        from fingerprint.errors import EnvironmentFailure

        self.path = path
        self.force = force
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFailure(f"{path}: {error.strerror}; choose another --out") from error

    def check(self, files: Iterable[str], inputs: Iterable[Path] = ()) -> None:
        """Refuses files that are there already, before any work is begun.

        Args:
            files: What will be written.
            inputs: What was read; it is never replaced.

        Raises:
            UsageError: One of them is, and ``force`` was not given, or it is an input.
        """
        from fingerprint.errors import UsageError

        read = {path.resolve() for path in inputs}
        for file in files:
            self._refuse(self.path / file)
            if (self.path / file).resolve() in read:
                raise UsageError(
                    f"{self.path / file}: would replace the image it is made of; "
                    "choose another --out"
                )

    def picture(self, name: str, pixels: Any) -> Path:
        """Writes 8-bit pixels, uint8 ``(C, H, W)`` with 1 or 3 channels, as ``name.png``.

        Raises:
            UsageError: The file is there already and ``force`` was not given.
            EnvironmentFailure: The disk is full or the folder may not be written to.
        """
        from PIL import Image

        rows = pixels.transpose(1, 2, 0)
        image = Image.fromarray(rows[:, :, 0] if rows.shape[2] == 1 else rows)
        return self._write(f"{name}.png", lambda stream: image.save(stream, format="PNG"))

    def signed_picture(self, name: str, values: Any) -> tuple[Path, float]:
        """Writes signed values ``(C, H, W)`` around mid-grey, the largest as black or white.

        Returns:
            The file, and the magnitude that black and white stand for.
        """
        import numpy as np

        scale = float(np.abs(values).max()) or 1.0
        # The quotient first: products of the smallest numbers round far.
        pixels = np.round(127.5 + 127.5 * (values / scale)).astype(np.uint8)
        return self.picture(name, pixels), scale

    def array(self, name: str, values: Any) -> Path:
        """Writes an array as ``name.npy``; see :meth:`picture` for what it raises."""
        import numpy as np

        return self._write(f"{name}.npy", lambda stream: np.save(stream, values))

    def text(self, file: str, text: str) -> Path:
        """Writes a text file of this name; see :meth:`picture` for what it raises."""
        return self._write(file, lambda stream: stream.write(text.encode("utf-8")))

    def _refuse(self, target: Path) -> None:
        from fingerprint.errors import UsageError

        # A link that leads nowhere is there as well.
        if not self.force and os.path.lexists(target):
            raise UsageError(f"{target}: is there already; choose another --out or give --force")

    def _write(self, file: str, save: Callable[[IO[bytes]], object]) -> Path:
        target = self.path / file
        self._refuse(target)
        write_whole(target, save)
        return target
