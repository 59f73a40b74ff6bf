"""Is it still what it was? Answers that were recorded once, and a few asked again and again.

::

    baseline = first_seen(suspect, inputs)                       # once
    seen = observe(baseline, suspect, rotation(baseline, key, turn=len(runs), count=8))
    run = judged(baseline, runs, seen, began=..., alpha=0.001)    # as often as one likes
    run.state                                                    # unchanged, changed or unclear

What is promised of it stands in :mod:`fingerprint.watching.evidence` and
:mod:`fingerprint.watching.judging`.
"""

from __future__ import annotations

from fingerprint.watching.baseline import Baseline, Recorded, first_seen
from fingerprint.watching.judging import Run, judged
from fingerprint.watching.observing import Observation, observe, rotation, unheard

__all__ = [
    "Baseline",
    "Observation",
    "Recorded",
    "Run",
    "first_seen",
    "judged",
    "observe",
    "rotation",
    "unheard",
]
