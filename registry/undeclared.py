"""Relatives of a new model that nobody declared, named with the command that declares them.

Three things give them away: answers to the panel, which every model of a registry was asked; the
harm ratio that others' probes have on the new model; and its own probes, where others could not be
kept from ignoring them too. Only a few others take part in the last two, all in the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.declaring import loading, way_out
from registry.pairs import RELATED

if TYPE_CHECKING:
    from fingerprint.evidence.nearer import Arranged
    from fingerprint.evidence.resemblance import Alignment
    from fingerprint.kinship import Kinship
    from registry.catalogue import Catalogue
    from registry.registration import Result
    from registry.tables import ModelRow

__all__ = ["undeclared"]

_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class _Sign:
    """What shows that a registered model is kin of the new one.

    Attributes:
        name: Its name.
        alike: How alike they answer the panel; None if they do not.
        harm_ratio: Of its probes on the new model; None if they do not look related.
        not_told: Whether the new model's probes act on it as on the new model.
    """

    name: str
    alike: Alignment | None = None
    harm_ratio: float | None = None
    not_told: bool = False

    @property
    def place(self) -> tuple[float, float, str]:
        """Sorts the nearest first."""
        near = self.alike.value if self.alike is not None else -1.0
        return (-near, 1.0 if self.harm_ratio is None else self.harm_ratio, self.name)

    def __str__(self) -> str:
        parts = []
        if self.alike is not None:
            ends = f"{self.alike.low:.2f} to {self.alike.high:.2f}"
            parts.append(f"resemblance {self.alike.value:.2f}, interval {ends}")
        if self.harm_ratio is not None:
            parts.append(f"harm ratio {self.harm_ratio:.2g}")
        if self.not_told:
            parts.append("probes of one act on the other as well")
        return "; ".join(parts)


def undeclared(
    catalogue: Catalogue, result: Result, arranged: Mapping[int, tuple[str, Arranged]]
) -> tuple[str, ...]:
    """Names whoever is kin of a model that is about to be committed, a line for each family.

    Args:
        catalogue: The registered models.
        result: What came of registering it.
        arranged: How the models of its inputs arrange the panel, as :meth:`Catalogue.arranged`
            returns it.
    """
    if result.model is None:
        return ()
    task = result.task
    # The registry does not know yet what is declared of the new model.
    kinship = catalogue.kinship.with_model(
        task.name,
        digest=task.model_digest,
        parent=task.parent,
        from_scratch=task.from_scratch,
        reference=task.role == "reference",
    )
    family = kinship.family(task.name)
    strangers = {
        row.name: row for row in catalogue.of_domain(result.model.domain) if row.name not in family
    }
    signs = _signs(catalogue, result, strangers, arranged)
    if not signs:
        return ()
    families = kinship.families()
    kin: dict[int, list[_Sign]] = {}
    for sign in sorted(signs, key=lambda one: one.place):
        kin.setdefault(families[sign.name], []).append(sign)
    loaded = {name: loading(row) for name, row in strangers.items()}
    loaded[task.name] = loading(result.model)
    lines = [_line(task.name, signs, kinship, loaded) for signs in kin.values()]
    more = len(lines) - _NAMED
    rest = [f"{more} more families look related to {task.name!r}"] if more > 0 else []
    return (*lines[:_NAMED], *rest)


def _signs(
    catalogue: Catalogue,
    result: Result,
    strangers: Mapping[str, ModelRow],
    arranged: Mapping[int, tuple[str, Arranged]],
) -> list[_Sign]:
    """Returns what shows of whom that it is kin."""
    from fingerprint.evidence.nearer import clearly_alike, perhaps_alike
    from fingerprint.probes.codec import decode

    ours = decode(result.blob)
    rows = {row.id: row for row in strangers.values()}
    near = perhaps_alike(ours, {number: arranged[number][1] for number in rows})
    alike = clearly_alike(ours, catalogue.each_outline([rows[number] for number in near]))
    not_told = set(ours.parameters.get("not_told_from", ()))
    names = {row.id: name for name, row in strangers.items()}
    ratios = {
        names[pair.source]: [float(one["ratio"]) for one in pair.ratios]
        for pair in result.pairs
        if pair.other is None and pair.source in names and pair.verdict in RELATED
    }
    return [
        _Sign(
            name=name,
            alike=alike.get(name),
            harm_ratio=min(ratios[name]) if ratios.get(name) else None,
            not_told=name in not_told,
        )
        for name in strangers
        if name in alike or ratios.get(name) or name in not_told
    ]


def _line(new: str, signs: Sequence[_Sign], kinship: Kinship, loaded: Mapping[str, str]) -> str:
    """Names the nearest member of a family, and how to declare it."""
    nearest, more = signs[0], len(signs) - 1
    said = f"{nearest}; {more} more of its family too" if more else str(nearest)
    held = next((sign for sign in signs if sign.harm_ratio is not None), None)
    margin = ""
    if held is not None:
        margin = f"; until then the margin of {held.name!r} stays at {held.harm_ratio:.2g} at most"
    return (
        f"{new!r} and {nearest.name!r} look related ({said}) and are not declared kin; "
        f"{way_out((nearest.name, new), kinship, loaded)}{margin}"
    )
