"""Python runs this when it starts, in a session that runs what pages show.

Probes derive from the seed of a registry, so a verdict near its margin would fail in one run of
many: seeds are drawn from the command that makes a registry. Two commands draw two.
"""

import hashlib
import itertools
import secrets
import sys

_count = itertools.count()


def _token_hex(nbytes: int | None = None) -> str:
    drawn = f"{' '.join(sys.argv[1:])}|{next(_count)}"
    return hashlib.sha256(drawn.encode()).hexdigest()[: 2 * (nbytes or 32)]


secrets.token_hex = _token_hex
