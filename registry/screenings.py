"""How the registered models' probes act on each other, kept to calibrate margins.

A pair is *screened* when the other model was there first: probes that failed on it were thrown
away, so its ratio flatters. Only the reverse direction, a later model asked an earlier one's
probes, says what independent models do, and it says so of the earlier one's probes only.

Independent are models that share neither a declared ancestor nor their weights, whatever their
answers say: to leave out the pairs that look related would hide exactly those that show a false
verdict. They lower the margin of the model whose probes they were asked, and a warning names
them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry.kinship import families
from registry.tables import ModelRow, ScreeningRow

__all__ = [
    "RELATED",
    "Pair",
    "Screening",
    "family_numbers",
    "independent_pairs",
    "independent_ratios",
    "record_screenings",
    "related_warnings",
]

# Verdicts that say two models are not independent, whatever was declared.
RELATED = ("same", "derived")
_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two registered models that count as independent, and what one's probes did to the other.

    Attributes:
        source: Whose probes they were.
        other: Who was asked; it was registered later, so the probes were not screened against it.
        harm_ratio: Geometric mean harm ratio of the kind of probe where it is least.
        verdict: What the answers alone said of the pair, before any pair lowered the margin.
    """

    source: str
    other: str
    harm_ratio: float
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Screening:
    """One measured pair, seen from the model that is being registered.

    Attributes:
        other: Name of the registered model.
        harm_ratio: Geometric mean harm ratio of the kind of probe where it is least.
        screened: True for this model's probes on the other; False for the other's on this.
        verdict: What the answers alone say of the pair.
    """

    other: str
    harm_ratio: float
    screened: bool
    verdict: str


def record_screenings(
    session: Session, row: ModelRow, screenings: Sequence[Screening], *, created: str
) -> None:
    """Writes the pairs of a new model; pairs whose other model is gone by now are left out."""
    named = select(ModelRow.name, ModelRow.id).where(
        ModelRow.name.in_([screening.other for screening in screenings])
    )
    ids = {name: other for name, other in session.execute(named)}
    for screening in screenings:
        other = ids.get(screening.other)
        if other is None or not math.isfinite(screening.harm_ratio):
            continue
        model_id, other_id = (row.id, other) if screening.screened else (other, row.id)
        session.add(
            ScreeningRow(
                model_id=model_id,
                other_id=other_id,
                harm_ratio=float(screening.harm_ratio),
                screened=screening.screened,
                verdict=screening.verdict,
                created=created,
            )
        )


def independent_pairs(session: Session, domain: str) -> tuple[Pair, ...]:
    """Returns the unscreened pairs of a domain that are not kin, smallest harm ratio first."""
    family = family_numbers(session)
    names = {
        row.id: row.name
        for row in session.execute(
            select(ModelRow.id, ModelRow.name).where(ModelRow.domain == domain)
        )
    }
    query = select(ScreeningRow).where(ScreeningRow.screened.is_(False)).order_by(ScreeningRow.id)
    pairs = (
        Pair(
            source=names[row.model_id],
            other=names[row.other_id],
            harm_ratio=float(row.harm_ratio),
            verdict=row.verdict,
        )
        for row in session.scalars(query)
        if row.model_id in names and row.other_id in names
    )
    independent = (pair for pair in pairs if family[pair.source] != family[pair.other])
    return tuple(sorted(independent, key=lambda pair: pair.harm_ratio))


def independent_ratios(session: Session, domain: str) -> dict[str, list[float]]:
    """Returns by source the harm ratios that calibrate its margin, smallest first.

    Kin among the models that were asked count once, with their lowest ratio: five fine-tunes of
    one network say little more of a stranger than the network itself.
    """
    family = family_numbers(session)
    lowest: dict[str, dict[int, float]] = {}
    for pair in independent_pairs(session, domain):
        lowest.setdefault(pair.source, {}).setdefault(family[pair.other], pair.harm_ratio)
    return {source: list(ratios.values()) for source, ratios in lowest.items()}


def related_warnings(pairs: Iterable[Pair]) -> tuple[str, ...]:
    """Names the pairs that count as independent and look related, a line for each.

    Args:
        pairs: Smallest harm ratio first. After a few the rest are only counted.
    """
    related = [pair for pair in pairs if pair.verdict in RELATED]
    lines = [
        f"{pair.source!r} and {pair.other!r} look related (harm ratio {pair.harm_ratio:.2g}): "
        f"declare kinship with --parent, or the margin of {pair.source!r} stays at "
        f"{pair.harm_ratio:.2g} at most"
        for pair in related[:_NAMED]
    ]
    if (more := len(related) - _NAMED) > 0:
        lines.append(f"{more} more pairs look related; 'fp show NAME --json' has all of a model")
    return tuple(lines)


def family_numbers(session: Session) -> dict[str, int]:
    """Returns each registered model's family; kin have equal numbers."""
    rows = session.execute(
        select(ModelRow.id, ModelRow.name, ModelRow.parent_id, ModelRow.digest)
    ).all()
    names = {row.id: row.name for row in rows}
    edges: list[tuple[str, object]] = [(row.name, ("digest", row.digest)) for row in rows]
    edges += [(row.name, names[row.parent_id]) for row in rows if row.parent_id in names]
    return families(edges)
