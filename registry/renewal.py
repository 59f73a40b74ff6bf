"""Makes the fingerprint of a registered model again, with today's release and today's relatives.

The model stays what it is: its number, its names, what was declared of it, and every verdict that
rested on its old probes. Those probes are replaced, and with them goes what others answered to
them; ``fp registry mend`` asks anew. The chain keeps the commitment to the old ones.

New probes are only screened against models that were registered before this one, as the old ones
were: those that came after it were not avoided, so that they still show what strangers do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from fingerprint.canonical import canonical, sha256_of
from fingerprint.errors import InputRefused, UsageError
from registry import ledger
from registry.errors import RegistryError
from registry.records import rows_of
from registry.tables import Base, FingerprintRow, ModelRow, PairRow, ProbeSetRow

if TYPE_CHECKING:
    from fingerprint.network.model import Model
    from registry.registration import Result, Task

__all__ = ["check_alone", "check_same", "reason_to_renew", "renew", "task_again"]

_STATEMENTS = ("name", "reference")


def check_alone(wish: Mapping[str, Any]) -> None:
    """Refuses to name a model or to make it public while its fingerprint is renewed.

    Where it comes from may be stated: its new probes are made against those relatives.

    Raises:
        UsageError: An option says what the model is, which is known.
    """
    if wish.get("again") is not None and any(wish.get(option) for option in _STATEMENTS):
        raise UsageError(
            "again: expected no new name or role of a model whose fingerprint is renewed; "
            "register it once more to state them, then renew it"
        )


def check_same(row: ModelRow, model: Model) -> None:
    """Refuses another model than the one that is registered.

    Raises:
        InputRefused: It was imported, or what was loaded differs from it.
    """
    if row.origin is not None:
        raise InputRefused(
            f"{row.name!r} was imported: its probes are of another registry's seed; "
            "renew it there, and import it again"
        )
    compared: tuple[tuple[str, object, object], ...] = (
        ("weights", row.digest[:12], model.digest[:12]),
        ("the architecture", row.architecture, model.architecture),
        ("inputs", canonical(row.input), canonical(model.input.to_dict())),
        ("answers", canonical(row.output), canonical(model.output.to_dict())),
    )
    for what, known, found in compared:
        if known != found:
            raise InputRefused(
                f"{row.name!r} is registered with {what} {known}, got {found}; to register "
                "another model, leave out --again"
            )


def task_again(task: Task, row: ModelRow, parent: ModelRow | None) -> Task:
    """Returns the task with all that is known of the model whose fingerprint is renewed.

    Args:
        task: The task.
        row: The model.
        parent: Its parent, as it was declared before or is now.
    """
    role: Literal["model", "reference"] = "reference" if row.role == "reference" else "model"
    return replace(
        task,
        name=row.name,
        parent=parent.name if parent is not None else None,
        from_scratch=task.from_scratch or row.from_scratch,
        role=role,
        again=row.name,
    )


def renew(session: Session, row: ModelRow, result: Result, *, seed: str) -> None:
    """Replaces a model's probes by new ones, and forgets what was answered to the old.

    Args:
        session: The transaction.
        row: The model.
        result: What came of the task.
        seed: The registry's.

    Raises:
        RegistryError: The model was removed meanwhile, and another has its name.
    """
    model, fingerprint = result.model, session.get(FingerprintRow, row.id)
    probe_set = session.get(ProbeSetRow, row.id)
    if (
        model is None
        or fingerprint is None
        or probe_set is None
        or row.digest != model.model_digest
    ):
        raise RegistryError(
            f"{row.name!r} was removed while its fingerprint was renewed; register it again"
        )
    old = fingerprint.commitment
    if old == model.commitment:
        return
    made_row, made = rows_of(model, parent_id=row.parent_id)
    row.file_path, row.file_sha256 = made_row.file_path, made_row.file_sha256
    row.load_options, row.warnings = made_row.load_options, made_row.warnings
    fingerprint.method, fingerprint.version = made.method, made.version
    fingerprint.facts, fingerprint.commitment = made.facts, made.commitment
    probe_set.blob = result.blob
    others = session.scalars(select(PairRow.other_id).where(PairRow.model_id == row.id))
    pairs = [(PairRow.__tablename__, f"{row.id}/{other}") for other in others]
    session.execute(delete(PairRow).where(PairRow.model_id == row.id))
    written: list[Base] = [row, fingerprint, probe_set]
    payload = {
        "name": row.name,
        "model_digest": row.digest,
        "file_sha256": row.file_sha256,
        "probes_sha256": sha256_of(result.blob),
        "commitment": made.commitment,
        "replaces": old,
    }
    ledger.append(session, "renew", payload, seed=seed, written=written, deleted=pairs)


def reason_to_renew(session: Session, row: ModelRow, fingerprint: FingerprintRow | None) -> str:
    """Says which ancestor a model's individual probes were not held against, if one was not.

    Or that they are of a release that did not ask how near siblings come.

    Where it is not written down whom they were held against, in fingerprints of earlier
    releases, that is told of ancestors that were registered later. An imported model can only be
    renewed where it comes of, and an ancestor that was never a file here cannot take part.

    Args:
        session: The transaction that the row was read in.
        row: The model.
        fingerprint: Its fingerprint's row.

    Returns:
        A line that ends a sentence about it; empty where there is nothing to be gained.
    """
    if row.origin is not None or fingerprint is None or not isinstance(fingerprint.facts, dict):
        return ""
    known = fingerprint.facts.get("relatives")
    for generation, ancestor in enumerate(_ancestors(session, row)):
        later = ancestor.id > row.id
        missed = ancestor.digest not in known if isinstance(known, list) else later
        able = ancestor.domain == row.domain and ancestor.file_path is not None
        if missed and able and ancestor.digest != row.digest:
            kin = "ancestor" if generation else "parent"
            when = (
                "registered after it" if later else "not at hand or not yet declared for its probes"
            )
            return f"its {kin} {ancestor.name!r} was {when}"
        if known and able and "near_relatives" not in fingerprint.facts.get("parameters", {}):
            return "its individual probes are of a release that did not ask how near siblings come"
    return ""


def _ancestors(session: Session, row: ModelRow) -> list[ModelRow]:
    """Returns the declared ancestors of a model, its parent first."""
    found: dict[int, ModelRow] = {}
    number = row.parent_id
    while number is not None and number not in found:
        above = session.get(ModelRow, number)
        if above is None:
            break
        found[number], number = above, above.parent_id
    return list(found.values())
