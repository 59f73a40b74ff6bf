"""A process on trial: it is held down as others are, and says whether that held.

``python -m fingerprint.sandbox.trial landlock`` prints :data:`~fingerprint.sandbox.backends.HOLDS`,
or what is wrong.
"""

from __future__ import annotations

import sys

from fingerprint.sandbox.backends import HOLDS
from fingerprint.sandbox.confinement import give_up, keep_to_packages
from fingerprint.text import first_line

__all__ = ["main"]

_MEMORY = 2**30


def main(kept: str) -> None:
    """Holds this process down, and says whether that held."""
    try:
        keep_to_packages(kept)
        give_up(kept, _MEMORY)
    except OSError as error:
        said = first_line(error)
    else:
        said = HOLDS
    sys.stdout.write(said)
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
