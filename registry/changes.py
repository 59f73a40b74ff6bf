"""What changes a registry, each inside a transaction the caller holds the write lock for.

Every change writes its rows and its entry in the chain together, so neither exists alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from fingerprint.canonical import canonical, plain, sha256_of, utc_now
from registry import ledger
from registry.errors import (
    AlreadyDeclared,
    HasDescendants,
    NameTaken,
    RegistryError,
    UnknownModel,
    UnknownParent,
)
from registry.names import checked_name, unknown
from registry.records import rows_of
from registry.registration import Measured, Result
from registry.renewal import renew
from registry.tables import (
    AliasRow,
    AnswersRow,
    Base,
    CriteriaRow,
    FingerprintRow,
    ModelRow,
    PairRow,
    ProbeSetRow,
    VerificationRow,
)
from registry.values import RegisteredModel

if TYPE_CHECKING:
    from fingerprint.verification import Verification
    from registry.criteria import Kept

REFERENCE = "reference"

__all__ = [
    "add_criteria",
    "add_model",
    "add_pairs",
    "add_verification",
    "check_free",
    "check_origin",
    "check_role",
    "commit",
    "forget",
    "parent_of",
    "relocate",
    "role_here",
    "row_named",
    "same_model",
]


def row_named(session: Session, name: str, error: type[UnknownModel] = UnknownModel) -> ModelRow:
    """Returns the row of a model by any of its names, or raises ``error`` with close ones."""
    wanted = checked_name(name)
    row = _found(session, wanted)
    if row is None:
        every = [*session.scalars(select(ModelRow.name)), *session.scalars(select(AliasRow.name))]
        unknown(wanted, every, error)
    return row


def _found(session: Session, name: str) -> ModelRow | None:
    # One after the other: each is looked up in its index, both at once would go through all models.
    found = session.scalars(select(ModelRow).where(ModelRow.name == name)).first()
    if found is not None:
        return found
    query = select(ModelRow).join(AliasRow, AliasRow.model_id == ModelRow.id)
    return session.scalars(query.where(AliasRow.name == name)).first()


def parent_of(session: Session, name: str | None) -> ModelRow | None:
    """Returns the row of a declared parent.

    Raises:
        UnknownParent: It is not registered.
    """
    return None if name is None else row_named(session, name, UnknownParent)


def same_model(
    session: Session,
    *,
    digest: str,
    input: dict[str, Any],
    load_options: dict[str, Any],
    method: str,
    but: int | None = None,
) -> ModelRow | None:
    """Returns the model of these weights that was registered just so: the same, named twice.

    The seed is the registry's own, and not asked; imported models have another.
    """
    query = (
        select(ModelRow)
        .join(FingerprintRow, FingerprintRow.model_id == ModelRow.id)
        .where(ModelRow.digest == digest, FingerprintRow.method == method)
        .where(ModelRow.origin.is_(None))
        .order_by(ModelRow.id)
    )
    wanted = (canonical(input), canonical(load_options))
    return next(
        (
            row
            for row in session.scalars(query)
            if (canonical(row.input), canonical(row.load_options)) == wanted and row.id != but
        ),
        None,
    )


def commit(session: Session, result: Result, *, seed: str) -> ModelRow:
    """Writes what came of a task; what is there already is only named again.

    Raises:
        NameTaken: Another model has this name.
        UnknownParent: The declared parent is not registered (any more).
        AlreadyDeclared: The same model is registered with another parent, or as a reference.
    """
    task, model = result.task, result.model
    if task.again is not None:
        row = row_named(session, task.again)
        origin = parent_of(session, task.parent)
        _declare(session, row, origin, from_scratch=task.from_scratch, seed=seed)
        renew(session, row, result, seed=seed)
        add_pairs(session, result.pairs, seed=seed)
        return row
    parent = parent_of(session, task.parent)
    if model is None:
        known = _found(session, str(task.known))
        if known is None or known.digest != task.model_digest:
            raise RegistryError(
                f"{task.known!r} was removed while it was to be named {task.name!r}; "
                "register it again"
            )
    else:
        known = same_model(
            session,
            digest=model.model_digest,
            input=dict(model.input),
            load_options=dict(model.load_options),
            method=model.facts["method"],
        )
    if known is not None:
        _name_again(session, known, task.name, seed=seed)
        _declare(session, known, parent, from_scratch=task.from_scratch, seed=seed)
        _declare_role(session, known.digest, task.role, seed=seed)
        add_pairs(session, [one for one in result.pairs if one.other is not None], seed=seed)
        return known
    assert model is not None
    return add_model(session, model, result.blob, result.pairs, parent=parent, seed=seed)


def _name_again(session: Session, row: ModelRow, name: str, *, seed: str) -> None:
    check_free(session, name, but=row)
    if _found(session, name) is None:
        alias = AliasRow(name=name, model_id=row.id, created=utc_now())
        session.add(alias)
        payload = {"alias": name, "model": row.name, "model_digest": row.digest}
        ledger.append(session, "alias", payload, seed=seed, written=[alias])


def check_origin(
    session: Session, row: ModelRow, parent: ModelRow | None, *, from_scratch: bool
) -> bool:
    """Tells whether something new is stated of where a registered model comes from.

    Raises:
        AlreadyDeclared: It contradicts what was stated before, of the model or of a copy.
    """
    parent_id = parent.id if parent is not None else None
    if (parent_id, from_scratch) in ((None, False), (row.parent_id, row.from_scratch)):
        return False
    before = session.get(ModelRow, row.parent_id) if row.parent_id is not None else None
    if before is not None or row.from_scratch:
        raise AlreadyDeclared(row.name, _stated(before), _stated(parent))
    if parent is not None and _descends(session, parent, row):
        raise AlreadyDeclared(row.name, f"as an ancestor of {parent.name!r}", _stated(parent))
    _check_copies(session, row, parent, from_scratch=from_scratch)
    return True


def _declare(
    session: Session, row: ModelRow, parent: ModelRow | None, *, from_scratch: bool, seed: str
) -> None:
    """Adds to a model what its owner states of its origin, where nothing was stated before."""
    if not check_origin(session, row, parent, from_scratch=from_scratch):
        return
    row.parent_id = parent.id if parent is not None else None
    row.from_scratch = from_scratch
    payload = {
        "name": row.name,
        "model_digest": row.digest,
        "parent": parent.name if parent is not None else None,
        "from_scratch": from_scratch,
    }
    ledger.append(session, "declare", payload, seed=seed, written=[row])


def _check_copies(
    session: Session, row: ModelRow, parent: ModelRow | None, *, from_scratch: bool
) -> None:
    """Refuses what contradicts a statement on the same weights: they have a parent or none."""
    if parent is None and not from_scratch:
        return
    for copy in session.scalars(select(ModelRow).where(ModelRow.digest == row.digest)):
        if copy.id != row.id and (
            copy.from_scratch if parent is not None else copy.parent_id is not None
        ):
            above = session.get(ModelRow, copy.parent_id) if copy.parent_id is not None else None
            raise AlreadyDeclared(copy.name, _stated(above), _stated(parent))


def check_role(session: Session, digest: str, role: str) -> list[ModelRow]:
    """Returns the models of these weights, for whom a role is stated.

    Weights are public or they are not, whatever inputs they are given: copies share a role. One
    that was not a reference becomes one, as what it is a parent of could not be removed first.

    Raises:
        AlreadyDeclared: They are registered as a reference, and not wanted as one.
    """
    copies = list(session.scalars(select(ModelRow).where(ModelRow.digest == digest)))
    public = next((copy for copy in copies if copy.role == REFERENCE), None)
    if public is not None and role != REFERENCE:
        raise AlreadyDeclared(public.name, "as a reference", "without --reference")
    return copies


def role_here(session: Session, model: RegisteredModel) -> RegisteredModel:
    """Returns a model from elsewhere with the role that its weights have here, if they have one."""
    query = select(ModelRow.role).where(ModelRow.digest == model.model_digest)
    role = session.scalars(query).first()
    if role is None:
        return model
    return replace(model, role="reference" if role == REFERENCE else "model")


def _declare_role(session: Session, digest: str, role: str, *, seed: str) -> None:
    """Makes the models of these weights references, where they are to be."""
    for row in check_role(session, digest, role):
        if row.role != role:
            row.role = role
            payload = {"name": row.name, "model_digest": digest, "role": role}
            ledger.append(session, "declare", payload, seed=seed, written=[row])


def _stated(parent: ModelRow | None) -> str:
    return "from scratch" if parent is None else f"with the parent {parent.name!r}"


def _descends(session: Session, row: ModelRow, ancestor: ModelRow) -> bool:
    seen: set[int] = set()
    above: ModelRow | None = row
    while above is not None and above.id not in seen:
        if above.id == ancestor.id:
            return True
        seen.add(above.id)
        above = session.get(ModelRow, above.parent_id) if above.parent_id is not None else None
    return False


def add_model(
    session: Session,
    model: RegisteredModel,
    blob: bytes,
    pairs: Sequence[Measured],
    *,
    parent: ModelRow | None,
    seed: str,
    action: str = "register",
) -> ModelRow:
    """Writes a model, its fingerprint, its probes and what was measured between it and others.

    Raises:
        NameTaken: A model has this name.
        AlreadyDeclared: A copy of its weights is registered with another origin, or as a reference.
    """
    name = checked_name(model.name)
    check_free(session, name)
    row, fingerprint = rows_of(model, parent_id=parent.id if parent is not None else None)
    _check_copies(session, row, parent, from_scratch=row.from_scratch)
    _declare_role(session, row.digest, row.role, seed=seed)
    session.add(row)
    session.flush()
    fingerprint.model_id = row.id
    probe_set = ProbeSetRow(model_id=row.id, blob=blob)
    session.add_all((fingerprint, probe_set))
    written: list[Base] = [row, fingerprint, probe_set]
    written += _pair_rows(session, pairs, row.id)
    payload: dict[str, Any] = {
        "name": name,
        "model_digest": row.digest,
        "file_sha256": row.file_sha256,
        "parent": parent.name if parent is not None else None,
        "from_scratch": row.from_scratch,
        "role": row.role,
        "probes_sha256": sha256_of(blob),
        "commitment": fingerprint.commitment,
    }
    if row.origin is not None:
        payload["origin"] = row.origin
    ledger.append(session, action, payload, seed=seed, written=written)
    return row


def add_pairs(session: Session, pairs: Sequence[Measured], *, seed: str) -> None:
    """Writes measured pairs of registered models, those that nobody else has written."""
    rows = _pair_rows(session, pairs, None)
    if rows:
        ledger.append(session, "mend", {}, seed=seed, written=rows)


def _pair_rows(session: Session, pairs: Sequence[Measured], new: int | None) -> list[PairRow]:
    """Adds rows of pairs; not of models or probes that are gone, nor what is there."""
    ends = {end for pair in pairs for end in (pair.source, pair.other, new) if end is not None}
    there: set[int] = set()
    for some in ledger.parts(ends):
        there |= set(session.scalars(select(ModelRow.id).where(ModelRow.id.in_(some))))
    created = utc_now()
    rows = []
    for pair in pairs:
        other = pair.other if pair.other is not None else new
        if other is None or not {pair.source, other} <= there:
            continue
        asked = session.get(FingerprintRow, pair.source)
        if pair.commitment is not None and (asked is None or asked.commitment != pair.commitment):
            continue
        if session.get(PairRow, (pair.source, other)) is None:
            row = PairRow(
                model_id=pair.source,
                other_id=other,
                ratios=plain(pair.ratios),
                verdict=pair.verdict,
                created=created,
            )
            session.add(row)
            rows.append(row)
    return rows


def add_criteria(session: Session, digest: str, document: Mapping[str, Any], *, seed: str) -> str:
    """Writes what a verdict is going to rest on, and returns where that stands in the chain.

    The same criteria are kept once; each verdict has an entry of its own.
    """
    written = []
    if session.get(CriteriaRow, digest) is None:
        row = CriteriaRow(commitment=digest, document=dict(document), created=utc_now())
        session.add(row)
        written.append(row)
    payload = {"commitment": digest, "suspect": document["suspect"]["identity"]}
    entry = ledger.append(session, "commit", payload, seed=seed, written=written)
    return str(ledger.Head(entry.seq, entry.computed_digest))


def add_verification(
    session: Session,
    verification: Verification,
    *,
    suspect_digest: str | None,
    heard: Kept | None,
    seed: str,
) -> int:
    """Writes a verdict with all its evidence and what was heard, and returns its number."""
    row = VerificationRow(
        suspect_digest=suspect_digest,
        verdict=verification.verdict,
        best=verification.best,
        queries=verification.queries,
        evidence={},
        created=utc_now(),
    )
    session.add(row)
    session.flush()
    # The number is part of the document, and known only now.
    row.evidence = plain(replace(verification, verification=row.id).to_dict())
    payload = {
        "number": row.id,
        "suspect_digest": suspect_digest,
        "verdict": row.verdict,
        "best": row.best,
    }
    written: list[Base] = [row]
    if heard is not None:
        answers = AnswersRow(verification_id=row.id, **vars(heard))
        session.add(answers)
        written.append(answers)
        payload |= {"commitment": heard.commitment, "answers_sha256": sha256_of(heard.blob)}
    ledger.append(session, "verify", payload, seed=seed, written=written)
    return row.id


def relocate(session: Session, moved: Mapping[str, str], *, seed: str) -> None:
    """Writes where the files of models lie now, by name; not of those that are gone by now."""
    rows = list(session.scalars(select(ModelRow).where(ModelRow.name.in_(list(moved)))))
    for row in rows:
        row.file_path = moved[row.name]
    payload = {"names": [row.name for row in rows]}
    ledger.append(session, "relocate", payload, seed=seed, written=rows)


def forget(session: Session, name: str, *, seed: str) -> None:
    """Deletes a model with everything that hangs on it, or only the alias that is named.

    Raises:
        UnknownModel: Nothing has this name.
        HasDescendants: Other models declare it as their parent.
    """
    row = row_named(session, name)
    alias = session.get(AliasRow, checked_name(name))
    payload: dict[str, Any]
    if alias is not None:
        payload = {"alias": alias.name, "model": row.name, "model_digest": row.digest}
        session.delete(alias)
        deleted = [(AliasRow.__tablename__, alias.name)]
        ledger.append(session, "remove", payload, seed=seed, deleted=deleted)
        return
    query = select(ModelRow.name).where(ModelRow.parent_id == row.id).order_by(ModelRow.id)
    if children := tuple(session.scalars(query)):
        raise HasDescendants(row.name, children)
    fingerprint = session.get(FingerprintRow, row.id)
    payload = {
        "name": row.name,
        "model_digest": row.digest,
        "commitment": fingerprint.commitment if fingerprint is not None else None,
    }
    deleted = [(kind.__tablename__, str(row.id)) for kind in (ModelRow, FingerprintRow)]
    deleted += [(ProbeSetRow.__tablename__, str(row.id))]
    aliases = session.scalars(select(AliasRow.name).where(AliasRow.model_id == row.id))
    deleted += [(AliasRow.__tablename__, one) for one in aliases]
    involved = or_(PairRow.model_id == row.id, PairRow.other_id == row.id)
    pairs = session.execute(select(PairRow.model_id, PairRow.other_id).where(involved))
    deleted += [(PairRow.__tablename__, f"{one.model_id}/{one.other_id}") for one in pairs]
    # What hangs on it goes with it: the database sees to that.
    session.execute(delete(ModelRow).where(ModelRow.id == row.id))
    session.expunge_all()
    ledger.append(session, "remove", payload, seed=seed, deleted=deleted)


def check_free(
    session: Session, name: str, *, but: ModelRow | None = None, digest: str | None = None
) -> None:
    """Refuses a name that another model has, before hours are spent on it.

    Args:
        session: The transaction.
        name: The name.
        but: The model that may have it.
        digest: Of the weights that are to get it.

    Raises:
        NameTaken: A model other than ``but`` has it.
    """
    taken = _found(session, name)
    if taken is not None and (but is None or taken.id != but.id):
        raise NameTaken(name, same_weights=taken.digest == digest)
