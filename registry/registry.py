"""The registry: what is known of an audit team's models, in one file or one database.

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
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from fingerprint.errors import IncompatibleModel, InputRefused, NoEvidence, UsageError
from fingerprint.probes.settings import ExtractionSettings
from fingerprint.progress import Progress, silent
from registry import changes, ledger, pairs
from registry.catalogue import Catalogue
from registry.checking import damage
from registry.criteria import Committing, Kept
from registry.declaring import loading
from registry.engine import locate
from registry.errors import RegistryCorrupt, RegistryReadOnly
from registry.exports import ACTION as EXPORTED
from registry.exports import exported, handed_back, handed_out
from registry.ledger import Books, Entry, Head, parts
from registry.lineage import Lineage, lineage_of
from registry.names import checked_name, default_name
from registry.opening import open_registry
from registry.pictures import check_pictures, named_pictures
from registry.planning import planned
from registry.policies import Policies
from registry.records import fingerprint_of, registered, verified
from registry.registration import Options, Peer, Result, Task, measure_missing, run
from registry.rejudging import Proof, judged_again, proof_of
from registry.relocating import search
from registry.renewal import check_alone, reason_to_renew
from registry.roles import May, grant
from registry.servers import shown, shut
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
from registry.undeclared import undeclared
from registry.values import (
    Export,
    Mended,
    MissingPair,
    Pair,
    RecordedVerification,
    RegisteredModel,
    Relocated,
)
from registry.verifying import grounds
from registry.watches import Watches
from registry.weights import at_hand, chosen, findings

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from fingerprint.evidence.nearer import Arranged
    from fingerprint.network.model import Model
    from fingerprint.network.spec import InputSpec
    from fingerprint.probes.probe import Fingerprint
    from fingerprint.questions import Questions
    from fingerprint.suspects import Recorded
    from fingerprint.suspects.base import Suspect
    from fingerprint.verification import Verification
    from registry.reports.dossier import Dossier

__all__ = ["Registry"]


class Registry:
    """A registry, opened; created or upgraded first where that is needed.

    Attributes:
        path: Its SQLite file; None for one in memory or on a server.
        url: Its SQLAlchemy URL, without the password and the options it was given with.
        seed: Hex text all its public probes derive from, drawn once when it was created.
        read_only: Whether it may be read and not written: verdicts are given and not recorded,
            and nothing is registered.

    Args:
        url: A path, ``sqlite:///PATH`` or ``sqlite://`` (in memory), or the SQLAlchemy URL of a
            PostgreSQL database; by default a file in the user's data folder.
        by: Who acts, plain JSON values: each entry of the chain that is written says so.

    Raises:
        UsageError: The URL is of another kind.
        RegistryError: It cannot be opened, is no registry, or is too new; or its driver is
            not installed; or it is on a server and has an older schema, which
            :func:`registry.upgrade_registry` brings up to date.
    """

    def __init__(
        self, url: str | os.PathLike[str] | None = None, *, by: Mapping[str, Any] | None = None
    ) -> None:
        location = locate(url)
        self._by = by
        self._where = str(location)
        self._engine = open_registry(location)
        self.path: Path | None = location.path
        self.url: str = shown(location.url)
        self._shut: str | None = None
        self._gone_through: Books | None = None
        self._arranged: dict[int, tuple[str, Arranged]] = {}
        with self._reading() as session:
            seed = session.get(SettingRow, "seed")
            if location.server is not None:
                self._shut = shut(session.connection())
        self.read_only: bool = location.read_only or self._shut is not None
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

    def require_writable(self) -> None:
        """Refuses a registry that can only be read, before hours are spent on a change.

        Raises:
            RegistryReadOnly: It cannot be changed.
        """
        if self.read_only:
            raise RegistryReadOnly(self._where, self._shut)

    # What is there.

    def models(self) -> list[RegisteredModel]:
        """Returns every registered model, in the order of registration."""
        with self._reading() as session:
            return self._values(session)

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

    def lineage(self, name: str | None = None) -> Lineage:
        """Returns who comes from whom, as declared and as measured.

        Args:
            name: Only the connected part that holds this model.

        Raises:
            UnknownModel: No model has this name.
            RegistryCorrupt: A row it rests on is not what was registered.
        """
        with self._catalogue() as catalogue:
            wanted = None if name is None else catalogue.named([checked_name(name)])[0].name
            loaded = {row.name: loading(row) for row in catalogue.rows}
            found = lineage_of(catalogue.kinship, catalogue.measured(), loaded)
        return found if wanted is None else found.part(wanted)

    def verifications(
        self, name: str | None = None, *, before: int | None = None, limit: int | None = None
    ) -> list[RecordedVerification]:
        """Returns the recorded verdicts, oldest first.

        Args:
            name: Only those whose candidates include this name, registered still or not.
            before: Only those of a smaller number.
            limit: Only the newest of these, at most so many are looked at.
        """
        query = select(VerificationRow).order_by(VerificationRow.id.desc()).limit(limit)
        if before is not None:
            query = query.where(VerificationRow.id < before)
        with self._reading() as session:
            found = [verified(row) for row in session.scalars(query)][::-1]
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
            UsageError: A name cannot be one, or a parent is given to a model without any, or
                something new is said of a model that is only renewed.
            InputRefused: The model has no weights that could name it, or is not the one whose
                fingerprint is to be renewed.
            AlreadyDeclared: Its weights are registered as a reference.
            RegistryReadOnly: Nothing can be registered here.
            RegistryCorrupt: A model that takes part is not what was registered.
        """
        from fingerprint.network.digest import has_weights

        self.require_writable()
        if model.architecture != "onnx" and not has_weights(model.module.state_dict()):
            raise InputRefused(
                f"{model.architecture}: expected floating-point weights in its state_dict, got "
                "none; keep them as parameters or buffers, else nobody can tell which network it is"
            )
        wish: dict[str, Any] = dict(options)
        check_alone(wish)
        again = wish.pop("again", None)
        name, parent = wish.pop("name", None) or again, wish.pop("parent", None)
        from_scratch = bool(wish.pop("from_scratch", False))
        reference = bool(wish.pop("reference", False))
        settings = ExtractionSettings(**wish)
        name = checked_name(name) if name is not None else default_name(model)
        if parent is not None and from_scratch:
            raise UsageError("parent: expected none for a model that was trained from scratch")
        task = Task(
            name=name,
            parent=parent,
            from_scratch=from_scratch,
            role="reference" if reference else "model",
            again=checked_name(again) if again is not None else None,
            seed=self.seed,
            settings=settings,
            model_digest=model.digest,
        )
        with self._catalogue() as catalogue:
            return planned(catalogue, task, model)

    def commit(self, result: Result) -> RegisteredModel:
        """Writes what came of a task, with its entry in the chain.

        A model is the same when its weights, its inputs, the method its probes were made by and
        the seed are: committing it twice changes nothing, and under another name that becomes
        an alias. A parent, or that it has none, may be stated later by registering it again.
        Relatives that nobody declared are named in its warnings, of all that are registered by
        now.

        Raises:
            NameTaken: Another model has this name.
            UnknownParent: The parent is not registered.
            AlreadyDeclared: The same model is registered with another parent, or as a reference.
            RegistryCorrupt: A model that it is compared with is not what was registered.
        """
        if result.model is not None:
            lines = (*result.model.warnings, *self._undeclared(result))
            result = replace(result, model=replace(result.model, warnings=lines))
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
        return self.commit(run(self.plan(model, **options), model, progress, keep=self._kept))

    def load_again(self, name: str, *, code: Sequence[str] = (), device: str = "cpu") -> Model:
        """Loads a registered model from the file it was registered from.

        Args:
            name: Its name, or another one of it.
            code: Modules that may be imported to build it.
            device: Where to put the weights.

        Raises:
            UnknownModel: No model has this name.
            InputRefused: Its file is not there, or no longer what was registered, or code would
                have to be run.
        """
        with self._catalogue() as catalogue:
            (row,) = catalogue.named([name])
            peer = catalogue.peers([row])[row.id]
        try:
            return peer.load(code=code, device=device)
        except InputRefused as error:
            raise InputRefused(f"{peer.name!r}: {error}") from error

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
        with self._catalogue() as catalogue:
            return tuple(
                MissingPair(source=source.name, other=other.name)
                for source, other in catalogue.missing()
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
        self.require_writable()
        with self._catalogue() as catalogue:
            wanted = catalogue.missing()
            peers = catalogue.peers([row for pair in wanted[:limit] for row in pair])
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
        expect: Sequence[str] = (),
        forbid: Sequence[str] = (),
        alpha: float = 0.001,
        weights: bool = True,
        data: NDArray[Any] | None = None,
        pictures: int = 24,
        code: Sequence[str] = (),
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Verification:
        """Asks whose the suspect is, among the registered models it can be compared with.

        Everything the verdict rests on is read in one moment and compared with the chain. The
        verdict is recorded with all its evidence before it is returned, where the registry can
        be written.

        Args:
            suspect: A loaded model, a module, or anything that answers batches of inputs.
            against: Names to compare with; by default every model of the same inputs, and of what
                :meth:`read_answers` returned those that were exported.
            expect: Names of models that the suspect must be or be derived from. They are asked
                their probes whatever the panel says of them, as all in ``against`` are, and
                committed to with the rest; what becomes of them is for
                :func:`fingerprint.policy.judge` to say.
            forbid: Names of models that it must neither be nor be derived from; likewise.
            alpha: Accepted rate of false claims.
            weights: Whether the suspect's weights are compared too, where it is a network at hand
                and a candidate's file still is what was registered; what they say stands beside
                the verdict and changes nothing in it. At most 16 candidates, the nearest by
                their answers; a warning says when there are more.
            data: Pictures without labels, shape ``(N, *input.shape)``: the suspect is also asked
                those that a candidate names as few other models do; see
                :mod:`fingerprint.evidence.rare_labels`. Models are loaded from their files for it.
            pictures: How many of them, for each candidate.
            code: Modules that may be imported to build models, for ``data``.
            device: Where to compute what they call the pictures.
            progress: Told how far the work is.

        Raises:
            UsageError: The pictures do not fit the inputs.
            UnknownModel: A name in ``against`` is not registered.
            IncompatibleModel: A model in ``against`` takes other inputs than the suspect.
            RegistryCorrupt: A row that the verdict would rest on is not what was registered.
        """
        with self._catalogue() as catalogue:
            policies = Policies(expect=tuple(expect), forbid=tuple(forbid))
            found = grounds(catalogue, suspect, against, policies, read=self._blobs)
        named = None
        if data is not None:
            check_pictures(data, pictures, found.suspect.input)
            peers = self._files(found.compatible)
            named = named_pictures(
                peers, data, count=pictures, code=code, device=device, progress=progress
            )
        witness = Committing(found, alpha=alpha, pictures=named, write=self._commit)
        verification = found.verification(
            alpha=alpha, progress=progress, pictures=named, witness=witness
        )
        verification = witness.stated(verification)
        model = at_hand(found.suspect) if weights else None
        if model is not None:
            names, lines = chosen(verification, {*against, *policies.names})
            verification = replace(
                verification,
                weights=findings(model, self._files(names), alpha=alpha, progress=progress),
                warnings=(*verification.warnings, *lines),
            )
        try:
            digest = found.suspect.identity.model_digest
            return self.record(verification, suspect_digest=digest, kept=witness.kept)
        except RegistryReadOnly:
            line = "the registry is read-only: nothing was recorded"
            return replace(verification, warnings=(*verification.warnings, line))

    def questions(self, spec: InputSpec, *, against: Sequence[str] = ()) -> Questions:
        """Returns what a suspect would be asked at most, if it takes inputs of this kind.

        Args:
            spec: What it takes.
            against: Names to compare with; by default every model of the same inputs.

        Raises:
            UnknownModel: A name in ``against`` is not registered.
            IncompatibleModel: A model in ``against`` takes other inputs.
            NoEvidence: No model takes such inputs.
            RegistryCorrupt: A row is not what was registered.
        """
        from fingerprint.questions import questions_for

        with self._catalogue() as catalogue:
            named = catalogue.named(against)
            others = [row for row in named if row.domain != spec.domain]
            if others:
                raise IncompatibleModel(
                    f"{others[0].name!r} takes inputs {others[0].domain}, the suspect would take "
                    f"{spec.domain}; give the suspect's --input-size"
                )
            fingerprints = catalogue.fingerprints(named or catalogue.of_domain(spec.domain))
        if not fingerprints:
            raise NoEvidence(f"no registered model takes inputs {spec.domain}; register one first")
        return questions_for(fingerprints)

    def record(
        self,
        verification: Verification,
        *,
        suspect_digest: str | None,
        kept: Kept | None = None,
    ) -> Verification:
        """Writes a verdict with its evidence and binds it into the chain.

        Args:
            verification: The verdict.
            suspect_digest: Content digest of the suspect's weights; None where it is not known.
            kept: What was heard of the suspect; without it the verdict cannot be judged again.

        Returns:
            The verification with its number.
        """
        with self._writing() as session:
            number = changes.add_verification(
                session, verification, suspect_digest=suspect_digest, heard=kept, seed=self.seed
            )
        return replace(verification, verification=number)

    def proof(self, number: int) -> Proof:
        """Returns a recorded verdict with what shows how it came about.

        Raises:
            UnknownVerification: There is none of this number.
            NoEvidence: Its answers were not kept.
            RegistryCorrupt: It is not what was recorded.
        """
        with self._books() as books:
            return proof_of(books, number)

    def judge_again(self, number: int) -> Verification:
        """Judges a recorded verdict again, from the answers that were kept; asks nobody.

        Raises:
            UnknownVerification: There is none of this number.
            NoEvidence: Its answers were not kept, or a candidate is gone or was renewed since.
            RegistryCorrupt: Something it rests on is not what was recorded.
        """
        with self._catalogue() as catalogue:
            return judged_again(catalogue, number)

    def dossier(self, verdict: int | Verification) -> Dossier:
        """Returns what is known of a verdict, for a report.

        Args:
            verdict: The number of a recorded one; or one just given, recorded or not.

        Raises:
            UsageError: No verdict has this number.
            RegistryCorrupt: A row it rests on is not what was recorded.
        """
        from registry.reports.dossier import gathered

        with self._catalogue() as catalogue:
            return gathered(catalogue, verdict, where=self.url)

    # Watching.

    @property
    def watches(self) -> Watches:
        """The targets that are watched; see :mod:`registry.watches`."""
        return Watches(self._reading, self._writing, self.seed, self._where)

    # By hand.

    def export_probes(self, names: Sequence[str], target: str | os.PathLike[str]) -> Export:
        """Writes what models would be asked as pictures, for whoever can show them to a suspect.

        Names and order say nothing; which picture is which stays in the chain.

        Args:
            names: Models, of one kind of input.
            target: A folder that is not there yet.

        Raises:
            UnknownModel: A name is not registered.
            IncompatibleModel: They take different inputs.
            UsageError: No model is named, or the folder is there.
            RegistryReadOnly: Nothing can be kept here.
            EnvironmentFailure: The folder cannot be written.
        """
        self.require_writable()
        with self._catalogue() as catalogue:
            handout, payload = handed_out(catalogue, names)
        with self._writing() as session:
            ledger.append(session, EXPORTED, payload, seed=self.seed)
            handout.write(Path(target))
        return exported(payload)

    def read_answers(self, source: str | os.PathLike[str]) -> Recorded:
        """Reads what somebody wrote down of exported pictures, as a suspect to be verified.

        Args:
            source: A table as text, or JSON; see :mod:`fingerprint.written`.

        Raises:
            UsageError: There is no such file.
            InputRefused: It answers no export of this registry, or more than one, or cannot be
                understood.
            EnvironmentFailure: It cannot be read, or no picture was answered.
        """
        with self._catalogue() as catalogue:
            return handed_back(catalogue, Path(source))

    # For a team.

    def copy(self, url: str | os.PathLike[str]) -> Head:
        """Copies all of it, as of this moment, to a file or a database where nothing is yet.

        Args:
            url: The new place, as ``Registry`` takes it.

        Returns:
            Where the chain of both ends.

        Raises:
            UsageError: Something is there.
            RegistryCorrupt: A row is not what the chain says; then nothing is left there.
        """
        from registry.copying import copy_to

        with self._books() as books:
            books.settle()
            copy_to(locate(url), books, self.seed)
            return books.head

    def grant(self, role: str, may: May) -> None:
        """Lets a role of the server read this registry, or register too, or neither.

        Args:
            role: A role, of one person or of many.
            may: What it may do from now on.

        Raises:
            UsageError: It is a file, there is no such role, or the role owns the registry.
            RegistryUnavailable: Only its owner may do this.
        """
        with self._writing() as session:
            grant(session.connection(), role, may, self._where)

    def relocate(self, folder: str | os.PathLike[str], *, progress: Progress = silent) -> Relocated:
        """Finds the files of models again that are no longer where they were registered from.

        A file is what it was if its SHA-256 is; where it lies now is kept for everybody.

        Args:
            folder: Where to search, with all that is below.
            progress: Told how many were looked for.

        Raises:
            UsageError: There is no such folder.
            RegistryCorrupt: A model is not what was registered.
        """
        self.require_writable()
        with self._catalogue() as catalogue:
            models = [peer.model for peer in catalogue.files(catalogue.rows)]
        found = search(models, Path(folder), progress)
        if found.moved:
            with self._writing() as session:
                changes.relocate(session, found.moved, seed=self.seed)
        return found

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
            found, books = damage(session, self.seed, self._where)
            if head is not None and books is not None and not books.holds(head):
                line = f"chain: has not gone through {head[:90]}, so it was cut off or written anew"
                found = (*found, line)
            if found:
                raise RegistryCorrupt(self._where, found)

    def head(self) -> str:
        """Returns where the chain ends, ``SEQ:DIGEST``, to be kept where nobody can change it.

        Raises:
            RegistryCorrupt: The chain is not whole.
        """
        with self._books() as books:
            books.settle()
            return str(books.head)

    def entries(self) -> tuple[Entry, ...]:
        """Returns the chain, oldest first.

        Raises:
            RegistryCorrupt: It is not whole.
        """
        with self._books() as books:
            books.settle()
            return books.entries

    def note(self, action: str, payload: Mapping[str, Any]) -> None:
        """Writes into the chain that something was done which changes no row.

        Args:
            action: What, at most 20 characters.
            payload: To what, plain JSON values; who did it may be said under ``by``.

        Raises:
            RegistryReadOnly: Nothing can be kept here.
        """
        with self._writing() as session:
            ledger.append(session, action, payload, seed=self.seed)

    # Taking a model elsewhere.

    def export_model(self, name: str, target: str | os.PathLike[str]) -> RegisteredModel:
        """Writes a model as a file for another registry; see :mod:`registry.model_file`.

        The file holds the seed of this registry's public probes.

        Raises:
            UnknownModel: No model has this name.
            InputRefused: It was imported itself.
            RegistryCorrupt: The model is not what was registered.
            EnvironmentFailure: The file cannot be written.
        """
        from registry.model_file import write_model_file

        with self._catalogue() as catalogue:
            (row,) = catalogue.named([name])
            if row.origin is not None:
                raise InputRefused(
                    f"{row.name!r} was imported; export it from the registry it comes of"
                )
            peer = catalogue.peers([row])[row.id]
            write_model_file(Path(target), peer, catalogue.books, parent=catalogue.parent(row))
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

        self.require_writable()
        model, blob, parent_digest = read_model_file(Path(source))
        model = replace(model, name=checked_name(name) if name is not None else model.name)
        with self._writing() as session:
            query = select(ModelRow).where(ModelRow.digest == parent_digest).order_by(ModelRow.id)
            parent = session.scalars(query).first() if parent_digest is not None else None
            if parent_digest is not None and parent is None:
                line = f"its declared parent {parent_digest[:16]} is not registered here"
                model = replace(model, warnings=(*model.warnings, line))
            model = changes.role_here(session, model)
            row = changes.add_model(
                session, model, blob, (), parent=parent, seed=self.seed, action="import"
            )
            return self._value(session, row)

    # Inside.

    @property
    def _kept(self) -> Path | None:
        """Where solved probes are kept until a registration is through: beside the file."""
        return None if self.path is None else self.path.with_name(f"{self.path.name}.solved")

    def _commit(self, digest: str, document: Mapping[str, Any]) -> str | None:
        """Writes criteria into the chain, and returns where; None where it cannot be written."""
        if self.read_only:
            return None
        try:
            with self._writing() as session:
                return changes.add_criteria(session, digest, document, seed=self.seed)
        except RegistryReadOnly:
            return None

    def _reading(self) -> AbstractContextManager[Session]:
        return reading(self._engine, self._where)

    def _writing(self) -> AbstractContextManager[Session]:
        self.require_writable()
        info = {} if self._by is None else {ledger.BY: dict(self._by)}
        return writing(self._engine, self._where, info=info)

    @contextmanager
    def _books(self) -> Iterator[Books]:
        """Opens the chain, and the rows it speaks of, of one moment."""
        with self._reading() as session:
            yield Books(session, self.seed, self._where)

    @contextmanager
    def _catalogue(self) -> Iterator[Catalogue]:
        with self._books() as books:
            yield Catalogue(books, self.seed)

    def _undeclared(self, result: Result) -> tuple[str, ...]:
        """Names the relatives of a model that nobody declared.

        Whoever registers thousands would else read and compare everything for each of them.
        """
        assert result.model is not None
        with self._reading() as session:
            books = Books(session, self.seed, self._where, before=self._gone_through)
            catalogue = Catalogue(books, self.seed)
            rows = catalogue.of_domain(result.model.domain)
            found = catalogue.arranged(rows, self._arranged)
            lines = undeclared(catalogue, result, found)
        self._gone_through, self._arranged = books, {**self._arranged, **found}
        return lines

    def _files(self, names: Sequence[str]) -> list[Peer]:
        """Returns where models can be loaded from again, those that are still registered."""
        with self._catalogue() as catalogue:
            known = {row.name for row in catalogue.rows}
            return catalogue.files(catalogue.named([name for name in names if name in known]))

    def _blobs(self, models: Collection[int]) -> dict[int, bytes]:
        """Reads the encoded probes of some models, by number."""
        found: dict[int, bytes] = {}
        with self._reading() as session:
            for some in parts(models):
                query = select(ProbeSetRow).where(ProbeSetRow.model_id.in_(some))
                found |= {row.model_id: row.blob for row in session.scalars(query)}
        return found

    def _values(self, session: Session, *chosen: ModelRow) -> list[RegisteredModel]:
        """Returns rows as values: those that are given, or all in the order of registration."""
        rows = chosen or tuple(session.scalars(select(ModelRow).order_by(ModelRow.id)))
        found = select(FingerprintRow)
        aliases = select(AliasRow).order_by(AliasRow.name)
        if chosen:
            ids = [row.id for row in chosen]
            found = found.where(FingerprintRow.model_id.in_(ids))
            aliases = aliases.where(AliasRow.model_id.in_(ids))
        facts = {row.model_id: row for row in session.scalars(found)}
        others: dict[int, list[str]] = {}
        for alias in session.scalars(aliases):
            others.setdefault(alias.model_id, []).append(alias.name)
        parents = {row.parent_id for row in rows}
        named = select(ModelRow.id, ModelRow.name)
        if chosen:
            named = named.where(ModelRow.id.in_(parents))
        names = {one.id: one.name for one in session.execute(named)}
        return [
            registered(
                row,
                facts.get(row.id),
                self._where,
                names=names,
                aliases=tuple(others.get(row.id, ())),
                renew=reason_to_renew(session, row, facts.get(row.id)),
            )
            for row in rows
        ]

    def _value(self, session: Session, row: ModelRow) -> RegisteredModel:
        (value,) = self._values(session, row)
        return value
