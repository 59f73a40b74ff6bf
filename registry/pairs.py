"""How registered models' probes act on each other, measured to calibrate margins.

A model is asked the probes of models that were there before it: they were not screened against
it, so they show what independent models do. Where there are many, the registry's secret seed
draws whose probes it is asked, so that nobody chooses what calibrates whom.

Independent are models that share neither a declared ancestor nor their weights, whatever their
answers say: to leave out the pairs that look related would hide exactly those that show a false
verdict. They lower the margin of the model whose probes they were asked, and a warning names
them.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fingerprint.canonical import sha256_of
from registry.tables import ModelRow, PairRow
from registry.values import Pair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fingerprint.evidence.calibration import PairRatio
    from fingerprint.kinship import Kinship

__all__ = [
    "ASKED",
    "RELATED",
    "SCREENED",
    "calibrating",
    "independent",
    "kinship_of",
    "measured_pairs",
    "missing",
    "missing_warning",
    "nearest",
    "related_warnings",
    "whom_to_ask",
]

SCREENED = 8
"""How many registered models a new one is screened against."""
ASKED = 40
"""How many models' probes a new model is asked."""
RELATED = ("same", "derived")
"""Verdicts that say two models are not independent, whatever was declared; the stronger first."""
_NAMED = 5


def kinship_of(rows: Sequence[ModelRow]) -> Kinship:
    """Returns who is kin among the registered models, by what was declared and by weights."""
    from fingerprint.kinship import Kinship

    names = {row.id: row.name for row in rows}
    return Kinship(
        parents={row.name: names[row.parent_id] for row in rows if row.parent_id in names},
        from_scratch=frozenset(row.name for row in rows if row.from_scratch),
        digests={row.name: row.digest for row in rows},
        references=frozenset(row.name for row in rows if row.role == "reference"),
    )


def nearest(rows: Iterable[ModelRow], architecture: str, classes: object) -> list[ModelRow]:
    """Returns the few models whose probes a new one's are most easily mistaken for.

    Those of the same architecture come first, then those of as many classes, then the latest.
    """
    return heapq.nsmallest(
        SCREENED,
        rows,
        key=lambda row: (
            row.architecture != architecture,
            row.output.get("classes") != classes,
            -row.id,
        ),
    )


def whom_to_ask(rows: Sequence[ModelRow], digest: str, seed: str) -> list[ModelRow]:
    """Draws the models whose probes a model is asked: all, where they are few.

    Which ones depends on the seed and on the weights alone, so that it can be told again later
    who is missing.

    Args:
        rows: Models that were there before it, and are not its kin.
        digest: Of its weights.
        seed: The registry's.
    """
    import numpy as np

    places = np.array([_place(row.digest, seed) for row in rows], dtype=np.uint64)
    return [rows[index] for index in _drawn(places, _place(digest, seed))]


def _drawn(places: NDArray[np.uint64], own: int) -> list[int]:
    """Returns which models are asked: those whose places differ least from one's own."""
    import numpy as np

    if len(places) <= ASKED:
        return list(range(len(places)))
    distances = places ^ np.uint64(own)
    near = np.flatnonzero(distances <= np.partition(distances, ASKED - 1)[ASKED - 1])
    nearest = near[np.argsort(distances[near], kind="stable")[:ASKED]]
    return sorted(int(index) for index in nearest)


def _place(digest: str, seed: str) -> int:
    return int(sha256_of(f"nullprint pairs {seed} {digest}")[:16], 16)


def missing(
    rows: Sequence[ModelRow], measured: Collection[str], family: Mapping[str, int], seed: str
) -> list[tuple[ModelRow, ModelRow]]:
    """Returns the pairs that nobody has measured yet: whose probes, and who is asked.

    Models registered at the same time do not see each other, and a removed model leaves a place
    to another. Who was registered from memory, or elsewhere, cannot be asked any more.

    Args:
        rows: All registered models, by number.
        measured: Keys of the pairs that are there, ``source/other``.
        family: Each name's family.
        seed: The registry's.
    """
    import numpy as np

    found = []
    for domain in dict.fromkeys(row.domain for row in rows):
        models = [row for row in rows if row.domain == domain]
        places = np.array([_place(row.digest, seed) for row in models], dtype=np.uint64)
        families = np.array([family[row.name] for row in models])
        for index, other in enumerate(models):
            if other.file_path is None:
                continue
            strangers = np.flatnonzero(families[:index] != families[index])
            for drawn in _drawn(places[strangers], int(places[index])):
                source = models[strangers[drawn]]
                if f"{source.id}/{other.id}" not in measured:
                    found.append((source, other))
    return found


def measured_pairs(pairs: Iterable[PairRow], rows: Iterable[ModelRow]) -> list[Pair]:
    """Returns all that was measured between registered models, kin and no evidence included."""
    names = {row.id: row.name for row in rows}
    return [
        Pair(
            source=names[pair.model_id],
            other=names[pair.other_id],
            ratios=tuple(_ratios(pair.ratios)),
            verdict=pair.verdict,
        )
        for pair in pairs
        if pair.model_id in names and pair.other_id in names
    ]


def independent(
    pairs: Iterable[PairRow], rows: Iterable[ModelRow], family: Mapping[str, int]
) -> tuple[Pair, ...]:
    """Returns the measured pairs that are not kin, smallest harm ratio first."""
    found = measured_pairs(pairs, rows)
    kept = [pair for pair in found if pair.ratios and family[pair.source] != family[pair.other]]
    return tuple(sorted(kept, key=lambda pair: (pair.harm_ratio, pair.source, pair.other)))


def _ratios(documents: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Returns the ratios that are numbers."""
    return [one for one in documents if math.isfinite(float(one["ratio"]))]


def calibrating(
    pairs: Iterable[Pair], family: Mapping[str, int]
) -> dict[str, tuple[PairRatio, ...]]:
    """Returns by source the ratios that calibrate its margin, smallest first.

    Kin among the models that were asked count once for each test, depth and kind of answer,
    with their lowest ratio: five fine-tunes of one network say little more of a stranger than
    the network itself.
    """
    from fingerprint.evidence.calibration import PairRatio

    lowest: dict[str, dict[tuple[Any, ...], PairRatio]] = {}
    for pair in pairs:
        for one in pair.ratios:
            ratio = PairRatio(
                test=one["test"],
                depth=one["depth"],
                answer_kind=one["answer_kind"],
                ratio=float(one["ratio"]),
            )
            key = (family[pair.other], ratio.test, ratio.depth, ratio.answer_kind)
            known = lowest.setdefault(pair.source, {})
            if key not in known or ratio.ratio < known[key].ratio:
                known[key] = ratio
    return {
        source: tuple(sorted(known.values(), key=lambda one: one.ratio))
        for source, known in lowest.items()
    }


def related_warnings(pairs: Iterable[Pair]) -> tuple[str, ...]:
    """Names the pairs that count as independent and look related, a line for each.

    After a few, those of the smallest harm ratios, the rest are only counted.
    """
    related = sorted(
        (pair for pair in pairs if pair.verdict in RELATED), key=lambda pair: pair.harm_ratio
    )
    lines = [
        f"{pair.source!r} and {pair.other!r} look related (harm ratio {pair.harm_ratio:.2g}): "
        f"declare kinship as 'fp lineage' says, or the margin of {pair.source!r} stays at "
        f"{pair.harm_ratio:.2g} at most"
        for pair in related[:_NAMED]
    ]
    if (more := len(related) - _NAMED) > 0:
        lines.append(f"{more} more pairs look related; 'fp show NAME --json' has all of a model")
    return tuple(lines)


def missing_warning(count: int) -> tuple[str, ...]:
    """Returns the line that says how many pairs are not measured yet; none where none is."""
    if not count:
        return ()
    which = "1 pair of registered models is" if count == 1 else f"{count} pairs of models are"
    return (f"{which} not measured yet, so margins rest on fewer; run 'fp registry mend'",)
