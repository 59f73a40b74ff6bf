"""Extracts the fingerprint of a model: its harmless inputs, screened, with its own answers.

    fingerprint = extract(model, seed="...")

The model is asked which kind of start noise suits it, candidates are solved from committed
draws, rounded to inputs that can be sent, measured on the model itself and on the other
registered models, and drawn again where they do not hold up.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fingerprint.canonical import plain
from fingerprint.distances import answer_distance, answer_size
from fingerprint.errors import NoInformation
from fingerprint.harm import Harms, enough, mean_ratio
from fingerprint.network.checks import check_informative, require_deterministic
from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.storage import from_arrays, to_arrays
from fingerprint.precision import Precision
from fingerprint.probes.harmless_spaces import HarmlessSpaces, find_spaces, linear_operator_of
from fingerprint.probes.kinds import KINDS, LinearProbes, NetworkProbes, ProbeKind, agreement
from fingerprint.probes.probe import Fingerprint, Probe, ProbeRequest
from fingerprint.probes.public import MAX_BASES, public_bases
from fingerprint.probes.screening import FLOOR, Screen, measure
from fingerprint.probes.settings import ExtractionSettings
from fingerprint.probes.simulated import SEVERE, simulated_modifications
from fingerprint.probes.solving import Solved, Solver
from fingerprint.probes.starts import StartChoice, choose_start
from fingerprint.probes.surrogates import train_surrogates
from fingerprint.progress import Progress, silent

__all__ = ["extract", "extract_with"]

_ROUNDS = 4
"""Times a candidate is drawn at most."""

_SOURCE_CEILING = 0.3
"""Harm ratio on the source above which a probe says too little about it."""


def extract(
    model: Model,
    *,
    seed: str,
    probes: int = 24,
    start: str = "auto",
    others: Mapping[str, Model] | None = None,
    other_linear: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    images: NDArray[Any] | None = None,
    decoys: int = 2,
    progress: Progress = silent,
) -> Fingerprint:
    """Solves for a model's probes and records its answers.

    Args:
        model: The source.
        seed: Registry seed; the public inputs and all starts derive from it.
        probes: See :class:`ExtractionSettings`, as for the other settings.
        start: Kind of start noise, or ``auto``.
        others: Registered models to stay away from, by name; kin left out.
        other_linear: Stored linear parts of those whose weights are gone, by name.
        images: Base inputs instead of plain colours.
        decoys: How many surrogates are trained.
        progress: Called as ``progress(stage, done, total)``.

    Returns:
        The fingerprint, ready to be registered or verified against.

    Raises:
        NoInformation: The network is dead, constant or not finite, or no perturbation was
            found that it ignores.
        UsageError: A setting is out of range.
    """
    settings = ExtractionSettings(probes=probes, start=start, images=images, surrogates=decoys)
    return extract_with(
        settings, model, seed=seed, others=others, other_linear=other_linear, progress=progress
    )


def extract_with(
    settings: ExtractionSettings,
    model: Model,
    *,
    seed: str,
    others: Mapping[str, Model] | None = None,
    other_linear: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    progress: Progress = silent,
) -> Fingerprint:
    """Does what :func:`extract` does, with settings that were made before."""
    began = time.perf_counter()
    check_informative(model)
    require_deterministic(model)
    plan = _planned(settings, model, seed, others or {}, other_linear or {}, progress)
    drawn = _drawn(plan, progress)
    imitated = _imitated(plan, drawn, progress)
    return _fingerprint(plan, drawn, imitated, time.perf_counter() - began)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    """What is settled before the first probe is solved.

    Attributes:
        model: The source.
        settings: What the caller chose.
        seed: Registry seed.
        bases: Public bases, shape ``(B, *input.shape)``.
        spaces: The model's harmless spaces.
        screen: The models to stay away from.
        kinds: The kinds of probe, in the order in which rounds over the bases take turns.
        solver: Solves all of them.
        choice: How the start was chosen; None where the caller did.
        pilot: What was solved in choosing, and need not be solved again.
        modifications: How many modified copies probes are solved for as well.
    """

    model: Model
    settings: ExtractionSettings
    seed: str
    bases: NDArray[Any]
    spaces: HarmlessSpaces
    screen: Screen
    kinds: tuple[ProbeKind, ...]
    solver: Solver
    choice: StartChoice | None
    pilot: Mapping[ProbeRequest, Solved]
    modifications: int

    @property
    def network(self) -> NetworkProbes:
        """How probes of the whole network are solved."""
        (found,) = (kind for kind in self.kinds if isinstance(kind, NetworkProbes))
        return found


def _planned(
    settings: ExtractionSettings,
    model: Model,
    seed: str,
    others: Mapping[str, Model],
    other_linear: Mapping[str, Mapping[str, NDArray[Any]]],
    progress: Progress,
) -> _Plan:
    """Settles the bases, the harmless spaces, the screen, the start noise and the kinds."""
    bases = public_bases(model.input, seed, min(MAX_BASES, settings.probes), settings.images)
    progress("harmless spaces", 0, 1)
    spaces = find_spaces(model)
    linear = {name: from_arrays(dict(arrays)) for name, arrays in other_linear.items()}
    network = NetworkProbes(model)
    choice = (
        choose_start(model, seed, bases, network, progress) if settings.start == "auto" else None
    )
    pilot = choice.pilot if choice else ()
    copies = simulated_modifications(model, SEVERE) if network.cheap else ()
    if copies:
        network = NetworkProbes(model, agreement(model, copies, bases))
        pilot = ()  # Solved for the model alone.
    kinds: tuple[ProbeKind, ...] = (network,)
    if spaces.space is not None:
        panel = _linear_parts(others, linear)
        kinds = (network, LinearProbes(spaces.space, model.input.bounds, panel))
    start = choice.start if choice else settings.start
    return _Plan(
        model=model,
        settings=settings,
        seed=seed,
        bases=bases,
        spaces=spaces,
        screen=Screen(others, linear, model.input),
        kinds=kinds,
        solver=Solver(model, seed=seed, start=start, bases=bases, kinds=kinds),
        choice=choice,
        pilot={solved.request: solved for solved in pilot},
        modifications=len(copies),
    )


def _linear_parts(
    others: Mapping[str, Model], linear: Mapping[str, LinearOperator]
) -> tuple[LinearOperator, ...]:
    """Linear parts of the other models, whose harmless spaces linear probes stay out of."""
    found = [linear_operator_of(other) for other in others.values()]
    return (*(operator for operator in found if operator is not None), *linear.values())


@dataclass(frozen=True, eq=False)
class _Kept:
    """The candidate held for one place of the fingerprint."""

    request: ProbeRequest
    probe: Probe
    distance: float  # least harm ratio over the other models

    @property
    def has_room(self) -> bool:
        """Whether its base left it room to move."""
        return KINDS[self.probe.kind].has_room(converged=self.probe.converged)

    @property
    def usable(self) -> bool:
        """Whether it is harmless for the source, and not for want of room to move."""
        return self.has_room and self.probe.harm_ratio <= _SOURCE_CEILING

    @property
    def good(self) -> bool:
        """Whether it need not be drawn again."""
        return self.usable and self.distance >= FLOOR

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Candidates that hold for the source first, then the farthest from the others."""
        return (self.usable, min(self.distance, FLOOR), -self.probe.harm_ratio)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Candidates, and what finding them took.

    Attributes:
        kept: One for each place.
        passes: Forward-and-backward passes spent on them, and on those that were not kept.
        redrawn: How many were drawn again.
        given_up: Other models that probes could not be told apart from.
    """

    kept: tuple[_Kept, ...]
    passes: float
    given_up: frozenset[str]
    redrawn: int = 0

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The probes held."""
        return tuple(kept.probe for kept in self.kept)


def _drawn(plan: _Plan, progress: Progress) -> _Drawn:
    """Solves one candidate for each place, then again for those that do not hold up."""
    requests = _first_requests(plan)
    found = _candidates(plan, requests, frozenset(), progress)
    following = {
        base: 1 + max(one.draw for one in requests if one.base == base)
        for base in {request.base for request in requests}
    }
    for _ in range(_ROUNDS - 1):
        places = [place for place, kept in enumerate(found.kept) if not kept.good]
        if not places:
            break
        again = []
        for place in places:
            kept = found.kept[place]
            # A base on the edge of the box may have no room for a kind, whatever the draw.
            kind = kept.request.kind if kept.has_room else plan.kinds[0].name
            base = kept.request.base
            again.append(ProbeRequest(kind, base, following[base]))
            following[base] += 1
        found = _better(found, places, _candidates(plan, again, found.given_up, progress))
    usable = sum(probe.harm_ratio <= _SOURCE_CEILING for probe in found.probes)
    if usable < len(found.probes) / 2:
        raise NoInformation(
            f"expected perturbations the network ignores, found {usable} of "
            f"{len(found.probes)} probes below harm ratio {_SOURCE_CEILING}; "
            "it has too few inputs for its outputs, or its gradients are blocked"
        )
    return found


def _better(found: _Drawn, places: Sequence[int], fresh: _Drawn) -> _Drawn:
    """Keeps the better of old and fresh candidates at some places."""
    kept = list(found.kept)
    for place, one in zip(places, fresh.kept, strict=True):
        kept[place] = max(kept[place], one, key=lambda candidate: candidate.rank)
    return _Drawn(
        kept=tuple(kept),
        passes=found.passes + fresh.passes,
        given_up=fresh.given_up,
        redrawn=found.redrawn + len(places),
    )


def _first_requests(plan: _Plan) -> list[ProbeRequest]:
    """Deals the probes over bases, round by round; the kinds take turns at the rounds."""
    requests = []
    for place in range(plan.settings.probes):
        turn, base = divmod(place, len(plan.bases))
        kind = plan.kinds[turn % len(plan.kinds)]
        requests.append(ProbeRequest(kind.name, base, turn))
    return requests


def _candidates(
    plan: _Plan, requests: Sequence[ProbeRequest], given_up: frozenset[str], progress: Progress
) -> _Drawn:
    """Solves requests, and measures what they do to the model and the others."""
    missing = [request for request in requests if request not in plan.pilot]
    fresh = plan.solver.solve(missing, progress)
    known = {**plan.pilot, **{solved.request: solved for solved in fresh}}
    solved = [known[request] for request in requests]
    harmless = np.stack([one.harmless for one in solved])
    own = measure(plan.model, plan.bases, harmless, requests)
    ratios = own.harms.ratios
    screened = plan.screen.screened(plan.bases, harmless, requests, given_up)
    kept = tuple(
        _Kept(
            request=one.request,
            distance=float(screened.least[place]),
            probe=Probe(
                kind=one.request.kind,
                base=one.request.base,
                draw=one.request.draw,
                harmless=one.harmless,
                answer=own.answers[place],
                control_answer=own.control_answers[place],
                residual=one.residual,
                harm_ratio=float(ratios[place]),
                converged=one.converged,
            ),
        )
        for place, one in enumerate(solved)
    )
    return _Drawn(kept, sum(one.passes for one in fresh), screened.given_up)


@dataclass(frozen=True)
class _Imitated:
    """What mere imitation gets: least harm ratios of the surrogates, and how many have none."""

    ratios: tuple[float, ...] = ()
    failed: int = 0


def _imitated(plan: _Plan, drawn: _Drawn, progress: Progress) -> _Imitated:
    """Trains surrogates and asks them the probes."""
    if not plan.network.cheap:
        return _Imitated()
    count = plan.settings.surrogates
    trained = train_surrogates(plan.model, seed=plan.seed, count=count, progress=progress)
    requests = [kept.request for kept in drawn.kept]
    harmless = np.stack([probe.harmless for probe in drawn.probes])
    found = [
        _least_ratio(measure(surrogate, plan.bases, harmless, requests).harms, requests)
        for surrogate in trained
    ]
    ratios = tuple(ratio for ratio in found if ratio is not None)
    return _Imitated(ratios, count - len(ratios))


def _least_ratio(harms: Harms, requests: Sequence[ProbeRequest]) -> float | None:
    """Returns the mean harm ratio of the kind where it is least, of those that can be tested."""
    kinds = np.array([request.kind for request in requests])
    rows = np.array([request.base for request in requests])
    chosen = [harms.moved & (kinds == kind) for kind in sorted(set(kinds.tolist()))]
    return min((mean_ratio(harms, one) for one in chosen if enough(one, rows)), default=None)


def _fingerprint(plan: _Plan, drawn: _Drawn, imitated: _Imitated, seconds: float) -> Fingerprint:
    """Puts the result together."""
    model, probes = plan.model, drawn.probes
    spent = drawn.passes + (plan.choice.passes if plan.choice else 0.0)
    return Fingerprint(
        model_digest=model.digest,
        input=model.input,
        output=model.output,
        seed=plan.seed,
        parameters=_parameters(plan, imitated),
        start=plan.solver.start,
        bases=plan.bases,
        base_answers=run(model, plan.bases),
        probes=probes,
        spaces=plan.spaces.facts,
        tolerance=_tolerance(model, plan.bases, probes),
        device=_device_facts(model),
        screened_against=plan.screen.names,
        redrawn=drawn.redrawn,
        cost={"seconds": seconds, "passes_per_probe": spent / plan.settings.probes},
        linear_part=to_arrays(plan.spaces.operator) if plan.spaces.operator else {},
        warnings=_warnings(plan, drawn, imitated),
    )


def _parameters(plan: _Plan, imitated: _Imitated) -> dict[str, Any]:
    agreed = plan.network.agreement
    parameters: dict[str, Any] = plain(
        {
            "method": plan.network.method,
            "modifications": plan.modifications,
            "depth": agreed.depth if agreed else "logits",
            "surrogates": imitated.ratios,
            "probes": plan.settings.probes,
            "start": plan.solver.start,
            "control": "symmetry",
            "start_comparison": plan.choice.comparison if plan.choice else {},
            "bases": "colours" if plan.settings.images is None else "images",
            "screening_floor": FLOOR,
        }
    )
    return parameters


def _warnings(plan: _Plan, drawn: _Drawn, imitated: _Imitated) -> tuple[str, ...]:
    probes = drawn.probes
    lines = [*plan.model.warnings, *plan.spaces.warnings]
    stuck = [probe.residual for probe in probes if not probe.converged]
    if stuck:
        lines.append(
            f"the solver did not converge on {len(stuck)} of {len(probes)} probes "
            f"(largest relative residual {max(stuck):.2g}); their harm on the source is recorded"
        )
    if imitated.failed:
        lines.append(
            f"{imitated.failed} of {plan.settings.surrogates} surrogates could not be trained: "
            "they do not bound the margin"
        )
    lines += [
        f"its probes act on {name!r} as on itself: declare kinship with --parent if it is kin"
        for name in sorted(drawn.given_up)
    ]
    close = sum(kept.distance < FLOOR for kept in drawn.kept)
    if close:
        lines.append(f"{close} probes stayed below the screening floor after {_ROUNDS} draws")
    return tuple(lines)


def _tolerance(model: Model, bases: NDArray[Any], probes: tuple[Probe, ...]) -> float:
    """How much answers differ for reasons that are no change of the model.

    Measured as the largest relative difference between answers given alone and in a batch, and
    taken ten times, for other processors and libraries.
    """
    inputs = np.concatenate([bases, np.stack([probe.harmless for probe in probes])])[:12]
    batched, alone = run(model, inputs), run(model, inputs, batch=1)
    kind = model.output.kind
    size = answer_size(batched, kind)
    difference = answer_distance(batched, alone, kind)
    explained = difference <= Precision(kind).float_distance(batched)
    with np.errstate(divide="ignore"):
        relative = float((difference[~explained] / size[~explained]).max(initial=0.0))
    return float(np.clip(10 * relative, 1e-4, 5e-3))


def _device_facts(model: Model) -> dict[str, Any]:
    device = model.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"device": name, "torch": torch.__version__, "dtype": str(model.dtype)}
