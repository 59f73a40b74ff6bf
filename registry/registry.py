"""The registry: what is known of an audit team's models, in one file.

::

    with Registry() as registry:
        registry.register(load_model("resnet20.safetensors"))
        print(registry.verify(load_model("suspect.safetensors")).verdict)

Each method that changes something is one transaction: it happens entirely or not at all,
whatever fails and whenever the process is killed. Each that reads sees one moment. Values come
back frozen; rows and sessions stay inside.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.progress import Progress, silent
from registry import changes, pairs
from registry.engine import locate
from registry.errors import NameTaken, RegistryCorrupt, RegistryReadOnly, UnknownModel
from registry.ledger import BOUND, Books, Entry
from registry.ledger import origin as chain_origin
from registry.names import checked_name, closest, default_name
from registry.opening import open_registry
from registry.records import fingerprint_of, registered, verified
from registry.registration import (
    Options,
    Peer,
    Result,
    Settings,
    Task,
    load_options_of,
    measure_missing,
    run,
)
from registry.servers import shown
from registry.session import reading, writing
from registry.tables import (
    AliasRow,
    FingerprintRow,
    ModelRow,
    PairRow,
    ProbeSetRow,
    SettingRow,
    VerificationRow,
)
from registry.values import Mended, MissingPair, Pair, RecordedVerification, RegisteredModel

if TYPE_CHECKING:
    from torch import nn

    from fingerprint.kinship import Kinship
    from fingerprint.network.model import Model
    from fingerprint.probes.probe import Fingerprint
    from fingerprint.suspects.base import Suspect
    from fingerprint.verification import Verification

__all__ = ["Registry"]

_MENDED_ALONG = 8
"""How many missing pairs a registration measures beside its own work."""


class Registry:
    """A registry, opened; created or upgraded first where that is needed.

    Attributes:
        path: Its SQLite file; None for one in memory or in another database.
        url: Its SQLAlchemy URL, without the password and the options it was given with.
        seed: Hex text all its public probes derive from, drawn once when it was created.
        read_only: Whether it is a file that may be read and not written: verdicts are given and
            not recorded, and nothing is registered.

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
        self.read_only: bool = location.read_only
        with self._reading() as session:
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

    # What is there.

    def models(self) -> list[RegisteredModel]:
        """Returns every registered model, in the order of registration."""
        with self._reading() as session:
            return _registered(session, self._where)

    def model(self, name: str) -> RegisteredModel:
        """Returns one model.

        Args:
            name: Its name, or another one of it.

        Raises:
            UnknownModel: No model has this name; the error lists close ones.
        """
        with self._reading() as session:
            return self._value(session, changes.row_named(session, name))

    def fingerprint(self, name: str) -> Fingerprint:
        """Returns a model's probes, checked against their commitment.

        Raises:
            UnknownModel: No model has this name.
            RegistryCorrupt: The probes are not what was written.
        """
        with self._reading() as session:
            row = changes.row_named(session, name)
            fingerprint = session.get(FingerprintRow, row.id)
            return fingerprint_of(row, fingerprint, session.get(ProbeSetRow, row.id), self._where)

    def pairs(self, name: str) -> tuple[Pair, ...]:
        """Returns what independent models did to a model's probes, smallest harm ratio first.

        They are those that share neither a declared ancestor nor their weights, whatever their
        answers say of them.

        Raises:
            UnknownModel: No model has this name.
        """
        with self._reading() as session:
            wanted = changes.row_named(session, name)
            rows = list(session.scalars(select(ModelRow)))
            found = session.scalars(select(PairRow).where(PairRow.model_id == wanted.id))
            return pairs.independent(found, rows, pairs.kinship_of(rows).families())

    def verifications(self, name: str | None = None) -> list[RecordedVerification]:
        """Returns the recorded verdicts, oldest first.

        Args:
            name: Only those whose candidates include this name, registered still or not.
        """
        with self._reading() as session:
            rows = session.scalars(select(VerificationRow).order_by(VerificationRow.id))
            found = [verified(row) for row in rows]
        if name is None:
            return found
        wanted = checked_name(name)
        return [verification for verification in found if wanted in verification.candidates]

    # Registering.

    def plan(self, model: Model, **options: Unpack[Options]) -> Task:
        """Finds out what registering a model takes; reads and changes nothing.

        Args:
            model: The source model.
            **options: See :class:`registry.registration.Options`.

        Returns:
            The task for :func:`registry.run`. It is of this moment: what is registered
            meanwhile is asked later, see :meth:`mend`.

        Raises:
            NameTaken: Another model has this name.
            UnknownParent: The parent is not registered.
            UsageError: A name cannot be one, or a parent is given to a model without any.
            RegistryReadOnly: Nothing can be registered here.
            RegistryCorrupt: A model that takes part is not what was registered.
        """
        if self.read_only:
            raise RegistryReadOnly(self._where)
        wish: dict[str, Any] = dict(options)
        name, parent = wish.pop("name", None), wish.pop("parent", None)
        from_scratch = bool(wish.pop("from_scratch", False))
        settings = Settings(**wish)
        name = checked_name(name) if name is not None else default_name(model)
        if parent is not None and from_scratch:
            raise UsageError("parent: expected none for a model that was trained from scratch")
        task = Task(
            name=name,
            parent=parent,
            from_scratch=from_scratch,
            seed=self.seed,
            settings=settings,
            model_digest=model.digest,
        )
        with self._books() as books:
            return self._planned(books, task, model)

    def commit(self, result: Result) -> RegisteredModel:
        """Writes what came of a task, with its entry in the chain.

        A model is the same when its weights, its inputs, the method its probes were made by and
        the seed are: committing it twice changes nothing, and under another name that becomes
        an alias. A parent, or that it has none, may be stated later by registering it again.

        Raises:
            NameTaken: Another model has this name.
            UnknownParent: The parent is not registered.
            AlreadyDeclared: The same model is registered with another parent.
        """
        with self._writing() as session:
            return self._value(session, changes.commit(session, result, seed=self.seed))

    def register(
        self, model: Model, *, progress: Progress = silent, **options: Unpack[Options]
    ) -> RegisteredModel:
        """Extracts a model's fingerprint, screened against others here, and keeps it.

        Args:
            model: The source model.
            progress: Told how far the work is.
            **options: See :class:`registry.registration.Options`.

        Raises:
            NameTaken: Another model has this name.
            UnknownParent: The parent is not registered.
            InputRefused: The model carries no information, or does not fit.
        """
        return self.commit(run(self.plan(model, **options), model, progress))

    def remove(self, name: str) -> None:
        """Forgets a model and its probes, or one alias; the chain keeps that it was there.

        Raises:
            UnknownModel: No model has this name.
            HasDescendants: Other models declare it as their parent.
        """
        with self._writing() as session:
            changes.forget(session, name, seed=self.seed)

    def missing_pairs(self) -> tuple[MissingPair, ...]:
        """Returns the pairs of models of which one was not yet asked the other's probes."""
        with self._books() as books:
            rows = books.rows(ModelRow)
            books.settle()
            return tuple(
                MissingPair(source=source.name, other=other.name)
                for source, other in self._missing(books, rows)
            )

    def mend(
        self,
        *,
        limit: int | None = None,
        code: Sequence[str] = (),
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Mended:
        """Measures the missing pairs whose models can be loaded again.

        Args:
            limit: At most so many; by default all.
            code: Modules that may be imported to build models.
            device: Where to compute.
            progress: Told how far the work is.
        """
        if self.read_only:
            raise RegistryReadOnly(self._where)
        with self._books() as books:
            rows = books.rows(ModelRow)
            books.settle()
            wanted = self._missing(books, rows)
            peers = self._peers(books, rows, wanted[:limit])
        measured, reasons = measure_missing(
            [(peers[source.id], peers[other.id]) for source, other in wanted[:limit]],
            code=code,
            device=device,
            progress=progress,
        )
        if measured:
            with self._writing() as session:
                changes.add_pairs(session, measured, seed=self.seed)
        done = [
            MissingPair(source=peers[one.source].name, other=peers[one.other].name)
            for one in measured
            if one.other is not None
        ]
        return Mended(measured=tuple(done), left=len(wanted) - len(done), reasons=reasons)

    # Verifying.

    def verify(
        self,
        suspect: Model | nn.Module | Suspect,
        *,
        against: Sequence[str] = (),
        alpha: float = 0.001,
        progress: Progress = silent,
    ) -> Verification:
        """Asks whose the suspect is, among the registered models it can be compared with.

        Everything the verdict rests on is read in one moment and compared with the chain. The
        verdict is recorded with all its evidence before it is returned, where the registry can
        be written.

        Args:
            suspect: A loaded model, a module, or anything that answers batches of inputs.
            against: Names to compare with; by default every model of the same inputs.
            alpha: Accepted rate of false claims.
            progress: Told how far the work is.

        Raises:
            UnknownModel: A name in ``against`` is not registered.
            IncompatibleModel: A model in ``against`` takes other inputs than the suspect.
            RegistryCorrupt: A row that the verdict would rest on is not what was registered.
        """
        raise NotImplementedError

    # The chain.

    def check(self, *, head: str | None = None) -> None:
        """Checks everything: the file's structure, every row of every table, every probe set.

        Args:
            head: A head that was kept elsewhere, as :meth:`head` gave it: the chain must have
                gone through it. A registry that was written again as a whole has not.

        Raises:
            RegistryCorrupt: Naming all damaged rows.
            UsageError: The head is not one.
        """
        with self._reading() as session:
            damage = _file_damage(session)
            # Rows of a broken file cannot be trusted to be readable at all.
            if not damage:
                books = Books(session, self.seed, self._where)
                damage = [*_dangling(session), *_damage(books, self._where)]
                if head is not None and not books.holds(head):
                    damage.append(
                        f"chain: has not gone through {head[:90]}; it was written again, or cut "
                        "off before"
                    )
            if damage:
                raise RegistryCorrupt(self._where, tuple(damage))

    def head(self) -> str:
        """Returns where the chain ends, ``SEQ:DIGEST``, to be kept where nobody can change it.

        Raises:
            RegistryCorrupt: The chain is not whole.
        """
        with self._books() as books:
            books.settle()
            return str(books.head)

    # Taking a model elsewhere.

    def export_model(self, name: str, target: str | os.PathLike[str]) -> RegisteredModel:
        """Writes a model as a file for another registry; see :mod:`registry.model_file`.

        The file holds the seed of this registry's public probes.

        Raises:
            UnknownModel: No model has this name.
            RegistryCorrupt: The model is not what was registered.
            EnvironmentFailure: The file cannot be written.
        """
        from registry.model_file import write_model_file

        with self._books() as books:
            rows = {row.id: row for row in books.rows(ModelRow)}
            books.settle()
            row = self._named(books, rows.values(), [name])[0]
            peer = self._peers(books, list(rows.values()), [(row, row)])[row.id]
            entry = _registration(books, row)
            parent = rows.get(row.parent_id) if row.parent_id is not None else None
        write_model_file(
            Path(target),
            peer.model,
            peer.blob,
            parent_digest=parent.digest if parent is not None else None,
            entry=entry,
            origin=chain_origin(self.seed).digest,
            head=str(books.head),
        )
        return peer.model

    def import_model(
        self, source: str | os.PathLike[str], *, name: str | None = None
    ) -> RegisteredModel:
        """Registers a model from a file that another registry wrote.

        Its probes derive from the other registry's seed, for which this one cannot vouch:
        verdicts that rest on it say so.

        Args:
            source: The file.
            name: What to call it; by default what it was called there.

        Raises:
            NameTaken: Another model has this name.
            MalformedFile: The file does not hold together.
        """
        from registry.model_file import read_model_file

        if self.read_only:
            raise RegistryReadOnly(self._where)
        model, blob, parent_digest = read_model_file(Path(source))
        model = replace(model, name=checked_name(name) if name is not None else model.name)
        with self._writing() as session:
            query = select(ModelRow).where(ModelRow.digest == parent_digest).order_by(ModelRow.id)
            parent = session.scalars(query).first() if parent_digest is not None else None
            if parent_digest is not None and parent is None:
                line = f"its declared parent {parent_digest[:16]} is not registered here"
                model = replace(model, warnings=(*model.warnings, line))
            row = changes.add_model(
                session, model, blob, (), parent=parent, seed=self.seed, action="import"
            )
            return self._value(session, row)

    # Inside.

    def _reading(self) -> Any:
        return reading(self._engine, self._where)

    def _writing(self) -> Any:
        if self.read_only:
            raise RegistryReadOnly(self._where)
        return writing(self._engine, self._where)

    @contextmanager
    def _books(self) -> Iterator[Books]:
        """Opens the chain and the rows it speaks of, of one moment."""
        with self._reading() as session:
            yield Books(session, self.seed, self._where)

    def _value(self, session: Session, row: ModelRow) -> RegisteredModel:
        (value,) = _registered(session, self._where, row)
        return value

    def _named(
        self, books: Books, rows: Collection[ModelRow], names: Sequence[str]
    ) -> list[ModelRow]:
        """Returns the rows that names speak of, each once."""
        by_id = {row.id: row for row in rows}
        known = {row.name: row for row in rows}
        aliases = books.rows(AliasRow)
        books.settle()
        known |= {alias.name: by_id[alias.model_id] for alias in aliases}
        found = {}
        for name in names:
            wanted = checked_name(name)
            if wanted not in known:
                raise UnknownModel(wanted, closest(wanted, known))
            found[known[wanted].id] = known[wanted]
        return list(found.values())

    def _planned(self, books: Books, task: Task, model: Model) -> Task:
        session = books.session
        rows = books.rows(ModelRow)
        books.settle()
        parent = changes.parent_of(session, task.parent)
        known = changes.same_model(
            session,
            digest=model.digest,
            input=model.input.to_dict(),
            load_options=load_options_of(model.architecture, model.input, model.pick),
            method=task.settings.method,
        )
        if known is not None:
            changes.check_free(session, task.name, but=known)
            return replace(task, known=known.name)
        changes.check_free(session, task.name)
        kinship = pairs.kinship_of(rows)
        parents = dict(kinship.parents) | ({task.name: parent.name} if parent is not None else {})
        digests = {**kinship.digests, task.name: model.digest}
        family = replace(kinship, parents=parents, digests=digests).families()
        strangers = [
            row
            for row in rows
            if row.domain == model.input.domain and family[row.name] != family[task.name]
        ]
        screen = pairs.nearest(strangers, model.architecture, model.output.classes)
        ask = pairs.whom_to_ask(strangers, model.digest, self.seed)
        missing = self._missing(books, rows)[:_MENDED_ALONG]
        peers = self._peers(books, rows, [*zip(screen, screen, strict=True), *missing], ask)
        twins = [row.name for row in rows if row.digest == model.digest]
        return replace(
            task,
            screen=tuple(peers[row.id] for row in screen),
            ask=tuple(peers[row.id] for row in ask),
            missing=tuple((peers[source.id], peers[other.id]) for source, other in missing),
            warnings=tuple(
                f"identical weights to {twin!r}: a suspect cannot tell them apart"
                for twin in twins
            ),
        )
