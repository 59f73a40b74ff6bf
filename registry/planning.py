"""Plans a registration: who takes part, of everyone who is registered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from registry import changes, pairs
from registry.catalogue import Catalogue
from registry.registration import Task

if TYPE_CHECKING:
    from fingerprint.kinship import Kinship
    from fingerprint.network.model import Model

__all__ = ["planned"]

RELATIVES = 6
"""How many relatives individual probes are held against; each is held in memory meanwhile."""
MENDED_ALONG = 8
"""How many missing pairs of others a registration measures beside its own."""


def planned(catalogue: Catalogue, task: Task, model: Model) -> Task:
    """Returns the task with everyone who takes part in it.

    Its probes are screened against the few models they could be mistaken for, and it is asked
    those of some forty others; so the thousandth model is as little work as the fiftieth. Kin
    take no part: they share what it ignores.

    Raises:
        NameTaken: Another model has this name.
        UnknownParent: The parent is not registered.
    """
    session = catalogue.books.session
    parent = changes.parent_of(session, task.parent)
    known = changes.same_model(
        session,
        digest=model.digest,
        input=model.input.to_dict(),
        load_options=model.load_options,
        method=task.settings.method,
    )
    changes.check_free(session, task.name, but=known)
    if known is not None:
        return replace(task, known=known.name)
    kinship = catalogue.kinship
    parents = dict(kinship.parents)
    if parent is not None:
        parents[task.name] = parent.name
    digests = {**kinship.digests, task.name: model.digest}
    family = replace(kinship, parents=parents, digests=digests).families()
    strangers = [
        row
        for row in catalogue.of_domain(model.input.domain)
        if family[row.name] != family[task.name]
    ]
    relatives = _nearest_relatives(replace(kinship, parents=parents, digests=digests), task.name)
    known_rows = {row.name: row for row in catalogue.of_domain(model.input.domain)}
    kin = [known_rows[name] for name in relatives if name in known_rows][:RELATIVES]
    screen = pairs.nearest(strangers, model.architecture, model.output.classes)
    ask = pairs.whom_to_ask(strangers, model.digest, catalogue.seed)
    missing = catalogue.missing()[:MENDED_ALONG]
    peers = catalogue.peers([*screen, *kin, *ask, *(row for pair in missing for row in pair)])
    twins = [row.name for row in catalogue.rows if row.digest == model.digest]
    return replace(
        task,
        screen=tuple(peers[row.id] for row in screen),
        relatives=tuple(peers[row.id] for row in kin),
        ask=tuple(peers[row.id] for row in ask),
        missing=tuple((peers[source.id], peers[other.id]) for source, other in missing),
        warnings=tuple(
            f"identical weights to {twin!r}: a suspect cannot tell them apart" for twin in twins
        ),
    )


def _nearest_relatives(kinship: Kinship, name: str) -> list[str]:
    """Returns a model's ancestors from its parent upwards, then their other descendants."""
    relatives = kinship.relatives(name)
    ancestors = []
    above = kinship.parents.get(name)
    while above is not None and above not in ancestors:
        ancestors.append(above)
        above = kinship.parents.get(above)
    kept = [one for one in ancestors if one in relatives]
    return [*kept, *sorted(relatives - set(kept))]
