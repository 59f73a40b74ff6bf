"""Registers a model: who its peers are, how its probes act on them, and what gets stored.

Peers are the registered models of the same inputs that are not kin. Their weights are loaded
again where they still are what was registered, so that probes can be screened against them;
where they are gone, their recorded linear part has to do. Afterwards the new model is asked its
peers' probes: those ratios show what independent models do, and calibrate each peer's margin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fingerprint.errors import FingerprintError
from fingerprint.progress import Progress
from registry.errors import UnknownModel, UnknownParent
from registry.kinship import families
from registry.names import checked_name, default_name
from registry.screenings import Pair, Screening, related_warnings
from registry.values import RegisteredModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.network.model import Model
    from fingerprint.probes.probe import Fingerprint
    from fingerprint.verification import Candidate
    from registry.store import Registry

__all__ = ["Peers", "register"]


@dataclass
class Peers:
    """The registered models a new one is screened against.

    Attributes:
        fingerprints: Of every peer, by name.
        models: Those that could be loaded again.
        linear: The linear parts of those that could not, where they have one.
        warnings: Why which peer could not be loaded.
    """

    fingerprints: dict[str, Fingerprint] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    linear: dict[str, dict[str, NDArray[Any]]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def register(
    registry: Registry,
    model: Model,
    *,
    name: str | None,
    parent: str | None,
    images: NDArray[Any] | None,
    probes: int,
    start: str,
    decoys: int,
    progress: Progress,
) -> RegisteredModel:
    """Does what ``Registry.register`` promises."""
    import fingerprint as library

    name = checked_name(name) if name is not None else default_name(model)
    registry.check_free(name)
    _check_parent(registry, parent)
    known = registry.models()
    twins = [other.name for other in known if other.model_digest == model.digest]
    peers = _collect(registry, model, _peers_among(known, model, name, parent), progress)
    fingerprint = library.extract(
        model,
        seed=registry.seed,
        probes=probes,
        start=start,
        others=peers.models,
        other_linear=peers.linear,
        images=images,
        decoys=decoys,
        progress=progress,
    )
    asked = _ask(model, peers.fingerprints, progress)
    answering = [
        (other, candidate)
        for other, peer in peers.models.items()
        for candidate in _ask(peer, {name: fingerprint}, progress)
    ]
    return registry.store(
        fingerprint,
        model,
        name=name,
        parent=parent,
        warnings=(
            *(f"identical weights to {twin!r}: a suspect cannot tell them apart" for twin in twins),
            *peers.warnings,
            *_undeclared(asked, name),
        ),
        screenings=(
            *_screenings([(candidate.name, candidate) for candidate in asked], screened=False),
            *_screenings(answering, screened=True),
        ),
    )


def _check_parent(registry: Registry, parent: str | None) -> None:
    if parent is None:
        return
    try:
        registry.model(parent)
    except UnknownModel as error:
        raise UnknownParent(error.name, error.close) from None


def _peers_among(
    known: list[RegisteredModel], model: Model, name: str, parent: str | None
) -> list[RegisteredModel]:
    """Returns the models of the same inputs that share neither ancestor nor weights."""
    edges: list[tuple[str, object]] = [(name, ("digest", model.digest))]
    edges += [(other.name, ("digest", other.model_digest)) for other in known]
    edges += [(other.name, other.parent) for other in known if other.parent is not None]
    if parent is not None:
        edges.append((name, checked_name(parent)))
    family = families(edges)
    return [
        other
        for other in known
        if other.domain == model.input.domain and family[other.name] != family[name]
    ]


def _collect(
    registry: Registry, model: Model, chosen: list[RegisteredModel], progress: Progress
) -> Peers:
    peers = Peers()
    for index, other in enumerate(chosen):
        progress("loading registered models", index, len(chosen))
        fingerprint = registry.fingerprint(other.name)
        peers.fingerprints[other.name] = fingerprint
        loaded = _load_again(other, model)
        if not isinstance(loaded, str):
            peers.models[other.name] = loaded
            continue
        if fingerprint.linear_part:
            peers.linear[other.name] = fingerprint.linear_part
        extent = "by its linear part only" if fingerprint.linear_part else "not at all"
        peers.warnings.append(f"screened against {other.name!r} {extent}: {loaded}")
    return peers


def _load_again(other: RegisteredModel, model: Model) -> Model | str:
    """Loads a registered model from its file, or says why that cannot be done."""
    import fingerprint as library

    if other.file_path is None:
        return "it was registered from memory"
    # A registry is data: code it names is only run if the caller has just named it too.
    source = other.architecture.partition(":")[0]
    if source not in ("timm", model.architecture.partition(":")[0]):
        return f"its architecture {other.architecture!r} is code, which is not run unasked"
    options = other.load_options
    try:
        loaded = library.load_model(
            other.file_path,
            arch=options.get("arch"),
            input_size=options.get("input_size"),
            mean=options.get("mean"),
            std=options.get("std"),
            bounds=options.get("bounds"),
            output=options.get("output"),
            device=str(model.device),
        )
    except FingerprintError as error:
        return f"its file could not be loaded again ({error})"
    same_file = loaded.file is not None and loaded.file.sha256 == other.file_sha256
    if not same_file or loaded.input.domain != other.domain:
        return f"its file has changed since ({other.file_path})"
    return loaded


def _ask(
    suspect: Model, fingerprints: Mapping[str, Fingerprint], progress: Progress
) -> tuple[Candidate, ...]:
    import fingerprint as library

    if not fingerprints:
        return ()
    return library.verify(suspect, fingerprints, progress=progress).candidates


def _screenings(pairs: list[tuple[str, Candidate]], *, screened: bool) -> tuple[Screening, ...]:
    return tuple(
        Screening(other=other, harm_ratio=ratio, screened=screened, verdict=candidate.verdict)
        for other, candidate in pairs
        if (ratio := _least_ratio(candidate)) is not None
    )


def _undeclared(candidates: tuple[Candidate, ...], name: str) -> tuple[str, ...]:
    """Names the peers that the new model looks related to."""
    pairs = [
        Pair(source=candidate.name, other=name, harm_ratio=ratio, verdict=candidate.verdict)
        for candidate in candidates
        if (ratio := _least_ratio(candidate)) is not None
    ]
    return related_warnings(sorted(pairs, key=lambda pair: pair.harm_ratio))


def _least_ratio(candidate: Candidate) -> float | None:
    """The ratio that a margin must stay below, which need not be that of the deciding test."""
    # Without a ratio there was no evidence, whatever single probes say.
    if candidate.harm_ratio is None:
        return None
    found = (one.statistic for one in candidate.findings if one.test == "harm_ratio")
    return min((ratio for ratio in found if ratio is not None), default=None)
