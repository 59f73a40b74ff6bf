"""What is typed and shown: the ``fp`` command, thin over :mod:`registry` and :mod:`fingerprint`.

Nothing here computes. A command parses its options, calls one function of the library and
renders the value that comes back. Importing this package, and every module that ``fp --help``
needs, stays clear of torch, timm, numpy and SQLAlchemy.
"""

from __future__ import annotations

__all__: list[str] = []
