"""What people read of a difference between two networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from cli.render import number, p_value, table
from fingerprint.text import clean, listed

if TYPE_CHECKING:
    from fingerprint.weights.difference import Difference

__all__ = ["difference"]


def difference(found: Difference) -> RenderableType:
    """Returns how many tensors changed in which way, and a row for each that did."""
    counted = ", ".join(f"{count} {kind}" for kind, count in found.counts.items())
    parts: list[RenderableType] = [Text(f"Tensors: {counted or 'none in common'}"), _units(found)]
    rows = [
        (
            clean(change.name),
            "x".join(map(str, change.shape)) or "scalar",
            change.kind,
            "-" if change.relative is None else number(change.relative),
            change.note
            if change.theirs == change.name
            else f"{change.note} (there {clean(change.theirs)})".strip(),
        )
        for change in found.changes
        if change.kind != "unchanged"
    ]
    if rows:
        parts.append(table(("tensor", "shape", "changed", "by", "how"), rows))
    for names, where in ((found.only_ours, "A"), (found.only_theirs, "B")):
        if names:
            parts.append(Text(f"only in {where}: {listed(names, shown=8)}", style="dim"))
    return Group(*parts)


def _units(found: Difference) -> Text:
    weights = found.weights
    if weights.p_value is None:
        return Text("Units: too few layers in common to say whether weights are shared")
    moved = [one.moved for one in weights.layers if one.units and one.moved is not None]
    order = ", in another order" if weights.agree and moved and max(moved) > 0.5 else ""
    turned = ", rotated" if weights.rotated else ""
    return Text(
        f"Units: {weights.agree} of {weights.units} tested correspond{order}{turned}, "
        f"p {p_value(weights.p_value)} that strangers' do"
    )
