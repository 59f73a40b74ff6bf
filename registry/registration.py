"""The work of registering a model, between what was planned and what is committed.

::

    task = registry.plan(model, name="ours")     # reads: who is asked, who is screened against
    result = run(task, model)                    # hours, and no database
    registry.commit(result)                      # writes, in one transaction

A task is a value: the settings, the seed, and the few registered models that take part, with
their probes. Their weights are loaded again one at a time, where their files still are what was
registered, so that probes can be screened against them; where they are gone, their recorded
linear part has to do. Afterwards the new model is asked the probes of others: those ratios show
what independent models do, and calibrate the margins of whose probes they were.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from fingerprint.canonical import plain, sha256_of, utc_now
from fingerprint.errors import FingerprintError, InputRefused, UsageError
from fingerprint.formats.naming import shown_path
from fingerprint.probes.settings import ExtractionSettings
from fingerprint.progress import Progress, silent
from registry.engine import LARGEST_VALUE
from registry.values import RegisteredModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.network.model import Model
    from fingerprint.probes.probe import Fingerprint
    from fingerprint.suspects.base import Suspect

__all__ = [
    "Measured",
    "Options",
    "Peer",
    "Result",
    "Task",
    "facts_of",
    "finished",
    "measure_missing",
    "run",
]

_CALLERS = frozenset(("arch", "device", "follow_symlinks", "sandbox", "time_limit"))
"""Options of loading that a registry does not decide: what runs, where, and what holds it."""

_CALIBRATED = ("harm_ratio",)
"""The tests whose margins registered pairs calibrate."""


class Options(TypedDict, total=False):
    """What a caller may say of a registration.

    Attributes:
        name: By default the file's name without the suffix.
        parent: The registered model it was derived from; kin are not screened against.
        from_scratch: The owner states that it was trained from scratch: it has no parent.
        reference: It is a public checkpoint, which explains and calibrates; nobody is accused of
            being one.
        again: Renews the fingerprint of this registered model; only where it comes from may be
            stated with it.
        images: Natural base images, shape ``(B, *input.shape)``; by default dead leaves.
        probes: How many probes to make.
        answers_only: Whether it is only asked the panel, and nothing is solved.
    """

    name: str | None
    parent: str | None
    from_scratch: bool
    reference: bool
    again: str | None
    images: NDArray[Any] | None
    probes: int
    answers_only: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Peer:
    """A registered model that takes part in a task.

    Attributes:
        id: Its number in the registry, which no other model ever gets.
        model: What is known of it.
        blob: Its probes, encoded.
    """

    id: int
    model: RegisteredModel
    blob: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """Its name when the task was planned."""
        return self.model.name

    def fingerprint(self) -> Fingerprint:
        """Returns its probes."""
        from fingerprint.probes.codec import decode

        return decode(self.blob)

    def load(self, *, code: Sequence[str] = (), device: str = "cpu") -> Model:
        """Loads it again from its file.

        Args:
            code: Modules that may be imported to build it: a registry is data, and code that it
                names is only run if the caller has named it too.
            device: Where to put the weights.

        Raises:
            InputRefused: It is not at hand; the message says why.
        """
        import fingerprint as library

        known = self.model
        if known.file_path is None:
            raise InputRefused("it was not registered from a file here")
        source, graph = known.architecture.partition(":")[0], known.architecture == "onnx"
        if not graph and source not in ("timm", "transformers", *code):
            raise InputRefused(
                f"its architecture {known.architecture!r} is code, which is not run unasked"
            )
        options = {key: one for key, one in known.load_options.items() if key not in _CALLERS}
        try:
            if graph:
                loaded = library.load_onnx_model(known.file_path, **options, device=device)
            else:
                # The very text that was looked at above; among the options it may be another.
                arch = known.architecture
                loaded = library.load_model(known.file_path, arch=arch, **options, device=device)
        except (FingerprintError, TypeError) as error:
            said = _without_folder(str(error), known.file_path)
            raise InputRefused(f"its file could not be loaded again ({said})") from error
        same_file = loaded.file is not None and loaded.file.sha256 == known.file_sha256
        if graph:  # whose numbers may lie in other files
            same_file = same_file and loaded.digest == known.model_digest
        if not same_file or loaded.input.domain != known.domain:
            called = shown_path(os.path.basename(known.file_path))
            raise InputRefused(f"its file has changed since ({called})")
        return loaded


def _without_folder(text: str, path: str) -> str:
    """Returns a message that does not say where a file lies: such ones are kept, and shown."""
    folder, name = os.path.split(path)
    for known in (path, shown_path(path)):
        text = text.replace(known, shown_path(name))
    return text.replace(os.path.join(folder, ""), "")


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A registration that was planned: everything it needs, so that it needs no registry.

    Attributes:
        name: What the model is to be called.
        parent: Name of its declared parent.
        from_scratch: Whether its owner states that it has none.
        role: What it is registered as.
        again: Name of the registered model whose fingerprint is renewed; None for a new one.
        seed: The registry's seed, which its public probes derive from.
        settings: What shapes its probes.
        model_digest: Of the model that the task is for.
        known: The name under which it is registered already, by the same method; then there
            is nothing to run.
        screen: Whom its probes must not match.
        relatives: Its registered ancestors, and their other descendants, nearest first: what its
            individual probes must not match either.
        references: Public models that are none of its kin, further strangers of its pilot.
        ask: Whose probes it is asked.
        missing: Pairs of others (whose probes, who is asked) that nobody has measured yet.
        warnings: One line each.
    """

    name: str
    parent: str | None = None
    from_scratch: bool = False
    role: Literal["model", "reference"] = "model"
    again: str | None = None
    seed: str
    settings: ExtractionSettings = field(default_factory=ExtractionSettings)
    model_digest: str
    known: str | None = None
    screen: tuple[Peer, ...] = ()
    relatives: tuple[Peer, ...] = ()
    references: tuple[Peer, ...] = ()
    ask: tuple[Peer, ...] = ()
    missing: tuple[tuple[Peer, Peer], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one model's probes did to another model.

    Attributes:
        source: Number of the model whose probes they are.
        other: Number of the model that was asked; None for the one being registered.
        ratios: What each test found; none where the answers were no evidence.
        verdict: What the answers alone say of the pair.
        commitment: Of the probes that were asked; once they are renewed, it says nothing.
    """

    source: int
    other: int | None
    ratios: tuple[Mapping[str, Any], ...]
    verdict: str
    commitment: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What came of a task, ready to be committed.

    Attributes:
        task: What was planned.
        model: What will be known of the model; None where it was known already.
        blob: Its probes, encoded.
        pairs: What was measured between it and others, and between others.
    """

    task: Task
    model: RegisteredModel | None = None
    blob: bytes = field(default=b"", repr=False)
    pairs: tuple[Measured, ...] = ()


def run(
    task: Task, model: Model, progress: Progress = silent, *, keep: Path | None = None
) -> Result:
    """Does the work of a task. It reads weights files and no registry.

    Args:
        task: What :meth:`Registry.plan` returned for this model.
        model: The model.
        progress: Told how far the work is.
        keep: A folder where solved probes are kept until all are, so that work that was
            interrupted goes on where it was.

    Raises:
        InputRefused: The model carries no information, or does not fit.
        UsageError: The task is another model's, or a setting is out of range.
    """
    from fingerprint.probes.extraction import extract_with

    if task.model_digest != model.digest:
        raise UsageError(
            f"task: expected the model {task.model_digest[:12]} it was planned for, got "
            f"{model.digest[:12]}"
        )
    if task.known is not None:
        return Result(task=task)
    code = (model.architecture.partition(":")[0],)
    others, linear, warnings = _at_hand(task.screen, code, str(model.device), progress)
    relatives, gone = _relatives(task, code, str(model.device))
    references, refused = _loadable(task.references, code, str(model.device), progress)
    missed = [
        f"the pilot did without the reference {name!r}: {error}" for name, error in refused.items()
    ]
    fingerprint = extract_with(
        task.settings,
        model,
        seed=task.seed,
        others=others,
        other_linear=linear,
        relatives=relatives,
        references=references,
        keep=keep,
        progress=progress,
    )
    asked, suspect = [], _remembering(model)
    for done, peer in enumerate(task.ask):
        progress("asking other models' probes", done, len(task.ask))
        asked.append(_measured(peer, suspect, None))
    mended, _ = measure_missing(task.missing, code=code, device=str(model.device))
    return finished(
        task,
        model,
        fingerprint,
        pairs=(*asked, *mended),
        warnings=(*warnings, *gone, *missed),
    )


def finished(
    task: Task,
    model: Model,
    fingerprint: Fingerprint,
    *,
    pairs: Sequence[Measured] = (),
    warnings: Sequence[str] = (),
) -> Result:
    """Puts a result together: the fingerprint encoded, and committed to.

    Raises:
        UsageError: The fingerprint is not this model's or not of this seed, has no probe, or is
            too large to be kept.
    """
    from fingerprint.probes.codec import encode

    if fingerprint.model_digest != model.digest or fingerprint.input.domain != model.input.domain:
        raise UsageError(
            f"fingerprint: expected one of the model {model.digest[:12]} taking "
            f"{model.input.domain}, got one of {fingerprint.model_digest[:12]} taking "
            f"{fingerprint.input.domain}"
        )
    if fingerprint.seed != task.seed:
        raise UsageError(
            f"fingerprint: expected one from this registry's seed {task.seed[:12]}, "
            f"got seed {fingerprint.seed[:12]}; extract it with seed=registry.seed"
        )
    if not fingerprint.probes and not len(fingerprint.panel_answers):
        raise UsageError("fingerprint: expected at least one probe, got none")
    blob = encode(fingerprint)
    if len(blob) > LARGEST_VALUE:
        raise UsageError(
            f"probes: expected at most {LARGEST_VALUE} bytes of them, got {len(blob)}; "
            "make fewer with --probes"
        )
    created = utc_now()
    lines = (*task.warnings, *model.warnings, *fingerprint.warnings, *warnings)
    facts = facts_of(fingerprint, method=task.settings.method)
    if task.again is not None:
        facts["renewed"] = created
    described = RegisteredModel(
        name=task.name,
        role=task.role,
        parent=task.parent,
        from_scratch=task.from_scratch,
        registered=created,
        model_digest=model.digest,
        architecture=model.architecture,
        file_path=model.file.path if model.file else None,
        file_sha256=model.file.sha256 if model.file else None,
        input=model.input.to_dict(),
        output=model.output.to_dict(),
        domain=model.input.domain,
        load_options=model.load_options,
        commitment=fingerprint.commitment(sha256_of(blob), created),
        facts=facts,
        warnings=tuple(dict.fromkeys(lines)),
    )
    return Result(task=task, model=described, blob=blob, pairs=tuple(pairs))


_ELSEWHERE = ("model_digest", "input", "output", "per_probe", "warnings")


def facts_of(fingerprint: Fingerprint, *, method: str) -> dict[str, Any]:
    """Returns what is kept of a fingerprint beside its bytes, plain JSON values."""
    import numpy as np

    facts = {key: one for key, one in fingerprint.to_dict().items() if key not in _ELSEWHERE}
    depths = []
    known = {depth.name: depth for depth in fingerprint.depths}
    ranks = (space.rank for space in fingerprint.spaces if space.kind == "linear")
    old = {"network": fingerprint.output.classes, "linear": next(ranks, None)}
    for kind in dict.fromkeys(probe.kind for probe in fingerprint.probes):
        probes = [probe for probe in fingerprint.probes if probe.kind == kind]
        depths.append(
            {
                "layer": kind,
                "width": known[kind].width if kind in known else old.get(kind),
                "share": known[kind].share if kind in known else None,
                "speaks_for": known[kind].speaks_for if kind in known else None,
                "contrast": known[kind].contrast if kind in known else None,
                "probes": len(probes),
                "residual": float(np.median([probe.residual for probe in probes])),
                "source_harm_ratio": float(np.median([probe.harm_ratio for probe in probes])),
            }
        )
    document: dict[str, Any] = plain(
        {**facts, "depths": depths, "version": fingerprint.version, "method": method}
    )
    return document


def measure_missing(
    pairs: Sequence[tuple[Peer, Peer]],
    *,
    code: Sequence[str] = (),
    device: str = "cpu",
    progress: Progress = silent,
) -> tuple[tuple[Measured, ...], tuple[str, ...]]:
    """Asks registered models the probes that they should have been asked; no database.

    Args:
        pairs: Whose probes, and who is asked. Each model that is asked is loaded once.
        code: Modules that may be imported to build models.
        device: Where to compute.
        progress: Told how far the work is.

    Returns:
        What was measured, and why the rest was not, a line for each model.
    """
    measured: list[Measured] = []
    reasons: list[str] = []
    others = {other.id: other for _, other in pairs}
    for other in others.values():
        try:
            model = other.load(code=code, device=device)
        except InputRefused as error:
            reasons.append(f"{other.name!r}: {error}")
            continue
        suspect = _remembering(model)
        for source in [one for one, asked in pairs if asked.id == other.id]:
            progress("asking other models' probes", len(measured), len(pairs))
            measured.append(_measured(source, suspect, other.id))
    return tuple(measured), tuple(reasons)


def _remembering(model: Model) -> Suspect:
    """Returns a suspect that runs each input once: the panel and the bases are everybody's."""
    import fingerprint as library

    return library.Journal(library.ModelSuspect(model), retries=0)


def _measured(source: Peer, suspect: Suspect, other: int | None) -> Measured:
    """Asks a model another's probes."""
    import fingerprint as library

    (candidate,) = library.verify(suspect, {source.name: source.fingerprint()}).candidates
    ratios = [
        {
            "test": finding.test,
            "depth": finding.depth,
            "answer_kind": candidate.answer_kind,
            "ratio": float(finding.statistic),
        }
        for finding in candidate.findings
        if finding.test in _CALIBRATED
        and finding.statistic is not None
        and math.isfinite(finding.statistic)
    ]
    return Measured(
        source=source.id,
        other=other,
        ratios=tuple(ratios),
        verdict=candidate.verdict,
        commitment=source.model.commitment,
    )


class _Reloaded(Mapping[str, "Model"]):
    """Registered models by name, each loaded when it is looked at; one is held at a time."""

    def __init__(self, peers: Mapping[str, Peer], code: Sequence[str], device: str) -> None:
        self._peers, self._code, self._device = peers, code, device
        self._held: tuple[str, Model] | None = None

    def __getitem__(self, name: str) -> Model:
        if self._held is None or self._held[0] != name:
            peer = self._peers[name]
            self._held = None
            self._held = (name, peer.load(code=self._code, device=self._device))
        return self._held[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._peers)

    def __len__(self) -> int:
        return len(self._peers)


def _relatives(task: Task, code: Sequence[str], device: str) -> tuple[dict[str, Model], list[str]]:
    """Loads the relatives that are at hand, and says which are not.

    None takes part without the parent: probes that were held against siblings alone would take what
    the model has from its parent for its own.
    """
    found: dict[str, Model] = {}
    lines = []
    for peer in task.relatives:
        try:
            loaded = peer.load(code=code, device=device)
            if loaded.asked_only:
                raise InputRefused(f"no gradients can be had of it: {loaded.asked_only}")
            found[peer.name] = loaded
        except InputRefused as error:
            lines.append(f"individual probes were not made against {peer.name!r}: {error}")
    if found and task.parent is not None and task.parent not in found:
        lines.append(f"no individual probes were made: not without the parent {task.parent!r}")
        found = {}
    return found, lines


def _at_hand(
    peers: Sequence[Peer], code: Sequence[str], device: str, progress: Progress
) -> tuple[Mapping[str, Model], dict[str, dict[str, NDArray[Any]]], list[str]]:
    """Finds out which models can be loaded again.

    Returns:
        Those, the linear parts of the others where they have one, and why they cannot be loaded.
    """
    there, refused = _loadable(peers, code, device, progress)
    linear: dict[str, dict[str, NDArray[Any]]] = {}
    warnings = []
    for peer in peers:
        if peer.name not in refused:
            continue
        part = peer.fingerprint().linear_part
        if part:
            linear[peer.name] = part
        extent = "by its linear part only" if part else "not at all"
        warnings.append(f"screened against {peer.name!r} {extent}: {refused[peer.name]}")
    return there, linear, warnings


def _loadable(
    peers: Sequence[Peer], code: Sequence[str], device: str, progress: Progress
) -> tuple[Mapping[str, Model], dict[str, InputRefused]]:
    """Returns the models that can be loaded again, and why the others cannot, by name."""
    every = _Reloaded({peer.name: peer for peer in peers}, code, device)
    refused: dict[str, InputRefused] = {}
    for index, peer in enumerate(peers):
        progress("loading registered models", index, len(peers))
        try:
            every[peer.name]
        except InputRefused as error:
            refused[peer.name] = error
    there = {peer.name: peer for peer in peers if peer.name not in refused}
    return _Reloaded(there, code, device), refused
