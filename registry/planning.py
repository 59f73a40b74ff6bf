"""Plans a registration: who takes part, of everyone who is registered."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from fingerprint.canonical import canonical
from fingerprint.errors import InputRefused
from registry import changes, pairs
from registry.catalogue import Catalogue
from registry.registration import Peer, Task
from registry.renewal import check_same, task_again
from registry.tables import ModelRow

if TYPE_CHECKING:
    from fingerprint.kinship import Kinship
    from fingerprint.network.model import Model

__all__ = ["planned"]

RELATIVES = 6
"""How many relatives individual probes are held against; each is held in memory meanwhile."""
REFERENCES = 2
"""How many references a pilot takes for further strangers: of those, the nearest counts. Each is
loaded, and runs some 24 images a kind of probe tried, of which there are eight at most."""
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
        UnknownModel: The model whose fingerprint is to be renewed is not registered.
        InputRefused: It is not this model.
        AlreadyDeclared: The model's weights are registered as a reference.
    """
    if task.again is not None:
        return _planned_again(catalogue, task, model)
    session = catalogue.books.session
    parent = changes.parent_of(session, task.parent)
    if parent is not None:
        task = replace(task, parent=parent.name)
    changes.check_role(session, model.digest, task.role)
    known = changes.same_model(
        session,
        digest=model.digest,
        input=model.input.to_dict(),
        load_options=model.load_options,
        method=task.settings.method,
    )
    changes.check_free(session, task.name, but=known, digest=model.digest)
    if known is not None:
        return replace(task, known=known.name)
    kinship = catalogue.kinship.with_model(task.name, digest=model.digest, parent=task.parent)
    family = kinship.families()
    strangers = [
        row
        for row in catalogue.of_domain(model.input.domain)
        if family[row.name] != family[task.name]
    ]
    kin = _kin(catalogue, kinship, task.name, model)
    screen = pairs.nearest(strangers, model.architecture, model.output.classes)
    ask = pairs.whom_to_ask(strangers, model.digest, catalogue.seed)
    missing = catalogue.missing()[:MENDED_ALONG]
    peers = catalogue.peers([*screen, *kin, *ask, *(row for pair in missing for row in pair)])
    copies = [row for row in catalogue.rows if row.digest == model.digest]
    return replace(
        task,
        screen=tuple(peers[row.id] for row in screen),
        relatives=tuple(peers[row.id] for row in kin),
        references=_references(catalogue, task, strangers, model),
        ask=tuple(peers[row.id] for row in ask),
        missing=tuple((peers[source.id], peers[other.id]) for source, other in missing),
        warnings=(_second_of(catalogue, task, model, copies),) if copies else (),
    )


def _second_of(catalogue: Catalogue, task: Task, model: Model, copies: list[ModelRow]) -> str:
    """Says that weights which are registered become one more model, and by what it differs."""
    (first,) = catalogue.files(copies[:1])
    before, now = first.model.load_options, model.load_options
    differ = sorted(
        key.replace("_", " ")
        for key in {*before, *now}
        if canonical(before.get(key)) != canonical(now.get(key))
    )
    method = str(first.model.facts["method"])
    if first.model.origin is not None:
        reason = "that one was imported"
    elif differ:
        reason = f"another {', '.join(differ)}"
    else:
        reason = f"{method} there, {task.settings.method} here"
    names = " and ".join(repr(copy.name) for copy in copies)
    return (
        f"identical weights to {names}, with other settings ({reason}): {task.name!r} becomes a "
        "model beside it, and a suspect cannot tell them apart; if one is enough, "
        f"fp remove {shlex.quote(task.name)}"
    )


def _planned_again(catalogue: Catalogue, task: Task, model: Model) -> Task:
    """Returns the task of making a registered model's fingerprint anew, with what is declared now.

    It is screened against models that were registered before it, and is asked nothing: what it
    answered to the probes of others, it would answer again.
    """
    (row,) = catalogue.named([str(task.again)])
    check_same(row, model)
    session = catalogue.books.session
    parent = changes.parent_of(session, task.parent)
    changes.check_origin(session, row, parent, from_scratch=task.from_scratch)
    parent = catalogue.parent(row) if parent is None else parent
    twin = changes.same_model(
        session,
        digest=row.digest,
        input=dict(row.input),
        load_options=dict(row.load_options),
        method=task.settings.method,
        but=row.id,
    )
    if twin is not None:
        raise InputRefused(
            f"{twin.name!r} is {row.name!r} with such a fingerprint; remove one of them, or give "
            "another number of probes"
        )
    kinship = catalogue.kinship.with_model(row.name, parent=parent.name if parent else None)
    family = kinship.families()
    strangers = [
        other
        for other in catalogue.of_domain(row.domain)
        if family[other.name] != family[row.name] and other.id < row.id
    ]
    screen = pairs.nearest(strangers, model.architecture, model.output.classes)
    kin = _kin(catalogue, kinship, row.name, model)
    peers = catalogue.peers([*screen, *kin])
    return replace(
        task_again(task, row, parent),
        screen=tuple(peers[one.id] for one in screen),
        relatives=tuple(peers[one.id] for one in kin),
        references=_references(catalogue, task, strangers, model),
    )


def _references(
    catalogue: Catalogue, task: Task, strangers: list[ModelRow], model: Model
) -> tuple[Peer, ...]:
    """Returns the few references, of strangers, that the pilot of a registration is to ask."""
    if task.settings.answers_only:
        return ()
    public = [
        row for row in strangers if row.role == changes.REFERENCE and row.file_path is not None
    ]
    near = pairs.nearest(public, model.architecture, model.output.classes)
    return tuple(catalogue.files(near[:REFERENCES]))


def _kin(catalogue: Catalogue, kinship: Kinship, name: str, model: Model) -> list[ModelRow]:
    """Returns the few relatives that individual probes are held against, nearest first."""
    rows = {row.name: row for row in catalogue.of_domain(model.input.domain)}
    return [rows[one] for one in _nearest_relatives(kinship, name) if one in rows][:RELATIVES]


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
