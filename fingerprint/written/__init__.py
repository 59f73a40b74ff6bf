"""Answers as people write them down: tables and JSON of any shape, read as answers to pictures.

::

    written = read_written(Path("answers.csv"), pictures)
    written.output.kind, written.answers["bcdfghjklmnp"]

Nobody who was handed pictures is told how to write the answers down, so what came is found out:
which column names the picture, which are labels, which scores, and what the scores are.
"""

from __future__ import annotations

from fingerprint.written.kinds import Written
from fingerprint.written.reading import read_written

__all__ = ["Written", "read_written"]
