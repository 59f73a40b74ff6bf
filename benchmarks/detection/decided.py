"""What each kind of answer decides of each kind of suspect: a table of docs/power.md.

decided(Findings(load(RESULTS)))
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from benchmarks.detection.findings import Findings
from benchmarks.detection.results import GROUPS, ITSELF, VERDICTS, Pair
from benchmarks.markdown import table

__all__ = ["decided", "kind_of_suspect"]

_STRANGER = "independent"
_KINDS = (
    (r"channels (permuted|rescaled)|batch norm.* folded|ONNX export", "computes the same"),
    (r"(bf16|float16|int8|int4) weights|ONNX Runtime, .*int8", "weights rounded"),
    (r"pruned \d+ %(, globally|, in each layer)?", "pruned"),
    (r"pruned .*retrained.*", "pruned and retrained"),
    (r".*, last layer", "last layer trained, or new"),
    (r"(fine-tuned|new head).*, all layers.*|input-noise training", "all layers trained"),
    (r"average of .*|distilled from .*", "all layers trained"),
    (r"other task, .*", "all layers on another task"),
    (r"fine-tune, .*", "a copy of a fine-tune"),
    (r"merged .*", "merged with another network"),
)
"""Modifications by name, and what they are together; the first that fits counts."""


def kind_of_suspect(pair: Pair) -> str:
    """Returns what a suspect is to the source; a modification by itself where it fits no kind."""
    if not pair.related:
        return _STRANGER
    if pair.modification == ITSELF:
        return ITSELF
    if pair.group != GROUPS[0]:
        return pair.group
    fits = (kind for pattern, kind in _KINDS if re.fullmatch(pattern, pair.modification))
    return next(fits, pair.modification)


def decided(findings: Findings) -> str:
    """Counts verdicts by kind of suspect, for each kind of answer."""
    kinds = findings.results.kinds
    found: dict[str, list[Pair]] = {}
    for pair in findings.results.pairs:
        if pair.verdicts:
            found.setdefault(kind_of_suspect(pair), []).append(pair)
    order = [ITSELF, *dict.fromkeys(kind for _, kind in _KINDS), *GROUPS[1:], _STRANGER]
    named = [kind for kind in order if kind in found]
    others = sorted(found.keys() - set(order))
    rows = [
        (kind, len(found[kind]), *(_counted(found[kind], answers) for answers in kinds))
        for kind in (*named[:-1], *others, *named[-1:])
    ]
    return table(("suspect", "pairs", *kinds), rows)


def _counted(pairs: Sequence[Pair], answers: str) -> str:
    """Writes verdicts as ``4 same, 1 derived``; those that nobody got are left out."""
    counts = Counter(pair.verdict(answers) for pair in pairs)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
