"""The registry: what is known of an audit team's models, in one file.

::

    with Registry() as registry:
        registry.register(load_model("resnet20.safetensors"))
        print(registry.verify(load_model("suspect.safetensors")).verdict)

Each method that changes something is one transaction: it happens entirely or not at all,
whatever fails and whenever the process is killed. Values come back frozen; rows and sessions
stay inside.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from fingerprint.canonical import utc_now
from fingerprint.errors import UsageError
from fingerprint.progress import Progress, silent
from registry.changes import add_model, add_verification, check_free, forget_model, row_named
from registry.checking import damage, ledger_damage
from registry.engine import locate
from registry.errors import RegistryCorrupt
from registry.names import checked_name
from registry.opening import open_registry
from registry.records import fingerprint_of, pack, registered, verified
from registry.screenings import Pair, Screening, independent_pairs, independent_ratios
from registry.servers import shown
from registry.session import reading, writing
from registry.tables import ModelRow, SettingRow, VerificationRow
from registry.values import RecordedVerification, RegisteredModel

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from fingerprint.network.model import Model
    from fingerprint.probes.probe import Fingerprint
    from fingerprint.suspects.base import Suspect
    from fingerprint.verification import Verification

__all__ = ["Registry"]


class Registry:
    """A registry, opened; created or upgraded first where that is needed.

    Attributes:
        path: Its SQLite file; None for one in memory or in another database.
        url: Its SQLAlchemy URL, without the password and the options it was given with.
        seed: Hex text all its public probes derive from, drawn once when it was created.

    Args:
        url: A path, ``sqlite:///PATH`` or ``sqlite://`` (in memory), or any SQLAlchemy URL whose
            driver is installed; by default a file in the user's data folder.

    Raises:
        UsageError: The URL is of another kind.
        RegistryError: It cannot be opened, is no registry, or is too new; or its driver is
            not installed.
    """

    def __init__(self, url: str | os.PathLike[str] | None = None) -> None:
        location = locate(url)
        self._where = str(location)
        self._engine = open_registry(location)
        self.path: Path | None = location.path
        self.url: str = shown(location.url)
        with reading(self._engine, self._where) as session:
            seed = session.get(SettingRow, "seed")
        if seed is None:
            raise RegistryCorrupt(self._where, ("settings seed: missing",))
        self.seed: str = seed.value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Registry({self._where!r})"

    def close(self) -> None:
        """Lets go of the file."""
        self._engine.dispose()

    def models(self) -> list[RegisteredModel]:
        """Returns every registered model, in the order of registration."""
        with reading(self._engine, self._where) as session:
            query = select(ModelRow).options(
                joinedload(ModelRow.fingerprint), joinedload(ModelRow.parent)
            )
            rows = session.scalars(query.order_by(ModelRow.id))
            return [registered(row, self._where) for row in rows]

    def model(self, name: str) -> RegisteredModel:
        """Returns one model.

        Raises:
            UnknownModel: No model has this name; the error lists close ones.
        """
        with reading(self._engine, self._where) as session:
            return registered(row_named(session, name), self._where)

    def fingerprint(self, name: str) -> Fingerprint:
        """Returns a model's probes, checked against their hash and commitment.

        Raises:
            UnknownModel: No model has this name.
            RegistryCorrupt: The probes are not what was written.
        """
        with reading(self._engine, self._where) as session:
            return fingerprint_of(row_named(session, name), self._where)

    def store(
        self,
        fingerprint: Fingerprint,
        model: Model,
        *,
        name: str,
        parent: str | None = None,
        warnings: Sequence[str] = (),
        screenings: Sequence[Screening] = (),
    ) -> RegisteredModel:
        """Writes a model with its fingerprint; ``register`` does so with all checks around it.

        Args:
            fingerprint: Extracted from ``model`` with this registry's seed.
            model: Its source.
            name: A name nobody has yet.
            parent: The registered model it was derived from.
            warnings: Lines to keep with the model, beside its own and the fingerprint's.
            screenings: Harm ratios measured between this model and registered ones.

        Raises:
            NameTaken: A model of this name exists.
            UnknownParent: The parent is not registered.
            UsageError: The fingerprint is of another model or seed, or the name is unusable.
        """
        name = checked_name(name)
        if fingerprint.seed != self.seed:
            raise UsageError(
                f"fingerprint: expected one from this registry's seed {self.seed[:12]}, "
                f"got seed {fingerprint.seed[:12]}; extract it with seed=registry.seed"
            )
        packed = pack(fingerprint, model, created=utc_now())
        with writing(self._engine, self._where) as session:
            row = add_model(
                session,
                packed,
                fingerprint,
                model,
                name=name,
                parent=parent,
                warnings=warnings,
                screenings=screenings,
                seed=self.seed,
            )
            return registered(row, self._where)

    def register(
        self,
        model: Model,
        *,
        name: str | None = None,
        parent: str | None = None,
        images: NDArray[Any] | None = None,
        probes: int = 24,
        start: str = "auto",
        decoys: int = 2,
        progress: Progress = silent,
    ) -> RegisteredModel:
        """Extracts a model's fingerprint, screened against its peers here, and stores it.

        Args:
            model: The source model.
            name: By default its file's name without the suffix.
            parent: The registered model it was derived from; kin are not screened against.
            images: Natural base images, shape ``(B, *input.shape)``; by default plain colours.
            probes: How many probes to make.
            start: The kind of start noise; ``auto`` chooses for this model.
            decoys: How many networks learn to imitate the model, to bound its margin; together
                they take about as long as the probes. 0 for none.
            progress: Told how far the work is.

        Raises:
            NameTaken: A model of this name exists.
            UnknownParent: The parent is not registered.
            InputRefused: The model carries no information, or does not fit.
        """
        from registry.registration import register

        return register(
            self,
            model,
            name=name,
            parent=parent,
            images=images,
            probes=probes,
            start=start,
            decoys=decoys,
            progress=progress,
        )

    def verify(
        self,
        suspect: Model | nn.Module | Suspect,
        *,
        against: Sequence[str] = (),
        alpha: float = 0.001,
        progress: Progress = silent,
    ) -> Verification:
        """Asks whose the suspect is, among the registered models it can be compared with.

        The verdict is recorded with all its evidence before it is returned.

        Args:
            suspect: A loaded model, a module, or anything that answers batches of inputs.
            against: Names to compare with; by default every model of the same inputs.
            alpha: Accepted rate of false claims.
            progress: Told how far the work is.

        Raises:
            UnknownModel: A name in ``against`` is not registered.
            IncompatibleModel: A model in ``against`` takes other inputs than the suspect.
            RegistryCorrupt: The registry is damaged, so no verdict can rest on it.
        """
        from registry.verifying import verify

        return verify(self, suspect, against=against, alpha=alpha, progress=progress)

    def record(
        self, verification: Verification, *, suspect_digest: str | None
    ) -> RecordedVerification:
        """Writes a verdict with its evidence and binds it into the chain."""
        with writing(self._engine, self._where) as session:
            row = add_verification(
                session, verification, suspect_digest=suspect_digest, seed=self.seed
            )
            return verified(row)

    def verifications(self, name: str | None = None) -> list[RecordedVerification]:
        """Returns the recorded verdicts, oldest first.

        Args:
            name: Only those whose candidates include this name, registered still or not.
        """
        with reading(self._engine, self._where) as session:
            rows = session.scalars(select(VerificationRow).order_by(VerificationRow.id))
            found = [verified(row) for row in rows]
        if name is None:
            return found
        wanted = checked_name(name)
        return [verification for verification in found if wanted in verification.candidates]

    def remove(self, name: str) -> None:
        """Forgets a model and its probes; the chain keeps that it was there.

        Raises:
            UnknownModel: No model has this name.
            HasDescendants: Other models declare it as their parent.
        """
        with writing(self._engine, self._where) as session:
            forget_model(session, name, seed=self.seed)

    def pairs(self, domain: str) -> tuple[Pair, ...]:
        """Returns what the independent models of a domain do to each other's probes.

        They are those that share neither a declared ancestor nor their weights, whatever their
        answers say of them; the smallest harm ratio comes first.
        """
        with reading(self._engine, self._where) as session:
            return independent_pairs(session, domain)

    def pair_ratios(self, domain: str) -> dict[str, list[float]]:
        """Returns by source the harm ratios of :meth:`pairs`, to calibrate its margin.

        Kin among the models asked count once, with their lowest ratio. A model whose probes no
        independent model was asked is left out.
        """
        with reading(self._engine, self._where) as session:
            return independent_ratios(session, domain)

    def verify_chain(self) -> None:
        """Checks that the chain is whole and that the models are those it speaks of.

        Raises:
            RegistryCorrupt: Naming the entries and models that were edited, deleted or inserted.
        """
        with reading(self._engine, self._where) as session:
            if rows := ledger_damage(session, self.seed):
                raise RegistryCorrupt(self._where, rows)

    def check(self) -> None:
        """Checks everything: the file's structure, every blob's hash, every row's chain entry.

        Raises:
            RegistryCorrupt: Naming all damaged rows.
        """
        with reading(self._engine, self._where) as session:
            if rows := damage(session, self.seed, self._where):
                raise RegistryCorrupt(self._where, rows)

    def check_free(self, name: str) -> None:
        """Refuses a name that is taken, before hours are spent on it.

        Raises:
            NameTaken: A model of this name exists.
        """
        with reading(self._engine, self._where) as session:
            check_free(session, checked_name(name))
