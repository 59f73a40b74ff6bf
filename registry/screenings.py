"""How the registered models' probes act on each other, kept to calibrate margins.

A pair is *screened* when the other model was there first: probes that failed on it were thrown
away, so its ratio flatters. Only the reverse direction, a later model asked an earlier one's
probes, says what independent models do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry.kinship import families
from registry.tables import ModelRow, ScreeningRow

__all__ = ["RELATED", "Screening", "family_numbers", "independent_ratios", "record_screenings"]

# Verdicts that say two models are not independent, whatever was declared.
RELATED = ("same", "derived")


@dataclass(frozen=True, kw_only=True)
class Screening:
    """One measured pair, seen from the model that is being registered.

    Attributes:
        other: Name of the registered model.
        harm_ratio: Geometric mean harm ratio.
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


def independent_ratios(session: Session, domain: str) -> list[float]:
    """Returns the ratios of unscreened pairs that are neither kin nor found to be related."""
    family = family_numbers(session)
    names = {
        row.id: row.name
        for row in session.execute(
            select(ModelRow.id, ModelRow.name).where(ModelRow.domain == domain)
        )
    }
    query = (
        select(ScreeningRow)
        .where(ScreeningRow.screened.is_(False), ScreeningRow.verdict.not_in(RELATED))
        .order_by(ScreeningRow.id)
    )
    return [
        float(pair.harm_ratio)
        for pair in session.scalars(query)
        if pair.model_id in names
        and pair.other_id in names
        and family[names[pair.model_id]] != family[names[pair.other_id]]
    ]


def family_numbers(session: Session) -> dict[str, int]:
    """Returns each registered model's family; kin have equal numbers."""
    rows = session.execute(
        select(ModelRow.id, ModelRow.name, ModelRow.parent_id, ModelRow.digest)
    ).all()
    names = {row.id: row.name for row in rows}
    edges: list[tuple[str, object]] = [(row.name, ("digest", row.digest)) for row in rows]
    edges += [(row.name, names[row.parent_id]) for row in rows if row.parent_id in names]
    return families(edges)
