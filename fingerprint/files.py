"""Writing a file or a folder: all of it or nothing, whatever happens in between."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fingerprint.text import clean

__all__ = ["whole_folder", "write_whole"]


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


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yields a folder to fill, which becomes the target when all is in it; else nothing is left.

    Args:
        target: A folder that is not there yet.

    Raises:
        EnvironmentFailure: The disk is full, or the target's parent may not be written to.
    """
    from fingerprint.errors import EnvironmentFailure

    draft: Path | None = None
    try:
        draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=".fp-"))
        yield draft
        draft.chmod(0o755)
        draft.rename(target)
    except OSError as error:
        raise EnvironmentFailure(f"{clean(target)}: {error.strerror}") from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
