"""Writing a file: all of it or nothing, whatever happens in between."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from fingerprint.text import clean

__all__ = ["write_whole"]


def write_whole(target: Path, save: Callable[[IO[bytes]], object]) -> None:
    """Writes a file beside its place and moves it there; one that is there is replaced.

    Args:
        target: The file.
        save: Writes the content to a stream.

    Raises:
        EnvironmentFailure: The disk is full or the folder may not be written to.
    """
    from fingerprint.errors import EnvironmentFailure

    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".fp-", delete=False) as stream:
            temporary = Path(stream.name)
            save(stream)
        # Temporary files are private; a result is as readable as any new file.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(target)
    except OSError as error:
        raise EnvironmentFailure(f"{clean(target)}: {error.strerror}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
