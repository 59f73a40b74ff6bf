"""Extracts the fingerprint of a model: its harmless inputs, screened, with its own answers.

    fingerprint = extract(model, seed="...")

A pilot finds the early depth at which kin and strangers, registered references among them, lie
furthest apart; two thirds of the
probes are solved there, of large inputs more, the others in what the last layer reads. Where the
model has relatives it is the other way round, and those solved late lie outside the relatives'
harmless sets. Candidates
start from committed draws, are rounded to inputs that can be sent, measured on the model itself and
on the other registered models, and drawn again where they do not hold up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.canonical import plain
from fingerprint.distances import answer_distance, answer_size
from fingerprint.errors import FingerprintError, NoInformation
from fingerprint.harm import LEAST_PROBES
from fingerprint.network.checks import check_informative, require_deterministic
from fingerprint.network.depths import FEATURES, LOGITS, Depth, depths_of
from fingerprint.network.logits import logits_of
from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.storage import from_arrays, to_arrays
from fingerprint.precision import Precision
from fingerprint.probes.bases import GRAINED, grained_leaves
from fingerprint.probes.harmless_spaces import HarmlessSpaces, find_spaces, linear_operator_of
from fingerprint.probes.keeping import Keeper
from fingerprint.probes.kinds import (
    FeatureProbes,
    IndividualProbes,
    LinearProbes,
    ProbeKind,
    SpeaksFor,
)
from fingerprint.probes.panel import panel_inputs
from fingerprint.probes.pilot import CONTRASTS, Pilot, early_kinds, judged, pilot
from fingerprint.probes.probe import DepthFacts, Fingerprint, Probe, ProbeRequest
from fingerprint.probes.public import chosen_images
from fingerprint.probes.screening import FLOOR, Screen, measure
from fingerprint.probes.settings import ExtractionSettings
from fingerprint.probes.simulated import ROUGH, copies_of, pruned_copies_of, without_smallest
from fingerprint.probes.solving import Solver
from fingerprint.probes.turns import (
    chosen_kinds,
    control_groups,
    is_large,
    is_large_picture,
    on_the_grid,
)
from fingerprint.probes.twins import twin_inputs
from fingerprint.progress import Progress, silent

__all__ = ["extract", "extract_with", "late_kind"]

_ROUNDS = 2
"""Times a candidate is drawn at most."""
_SOURCE_CEILING = 0.5
"""Harm ratio on the source above which a probe says too little about it."""
_MOST_BASES = 24
_ONE_DEPTH = 12
"""Fewer probes than this are all of one depth."""
_LATE_SHARES: Mapping[SpeaksFor, float] = {"family": 1 / 3, "individual": 2 / 3}
"""Share of late probes. Those of a family show what was changed behind the early depth and find
nobody whom early probes miss (``benchmarks.detection``); individual ones alone tell a child from a
sibling, and a child's ratio scatters more than a sibling's."""
_LATE_SHARES_LARGE: Mapping[SpeaksFor, float] = {"family": 1 / 6, "individual": 3 / 4}
"""The same above 64 pixels, where fine-tunes with few classes scatter and it takes more probes to
decide. Up to 64 pixels as many early ones claim no more, and leave the late ones too few to tell
strangers by (``benchmarks.detection``, settings half)."""
_LEAST_TURNS = 2
"""Of each kind; of one alone, one more."""
_PLANNED = 1e-6
"""The p-value that turns are planned for: 0.001 over a thousand candidates."""
_LATE_PASSES = 20
_ROOMY = 4
"""Input values for each equation of an individual probe, those of pruned copies aside, which hardly
differ from the model's; with fewer, its solve takes too long."""
_MOST_RELATIVES = 2
"""Relatives that individual probes are solved against; the others are screened against."""


def extract(
    model: Model,
    *,
    seed: str,
    probes: int = 24,
    others: Mapping[str, Model] | None = None,
    other_linear: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    relatives: Mapping[str, Model] | None = None,
    references: Mapping[str, Model] | None = None,
    images: NDArray[Any] | None = None,
    progress: Progress = silent,
) -> Fingerprint:
    """Solves for a model's probes and records its answers.

    Args:
        model: The source.
        seed: Registry seed; the public inputs and all starts derive from it.
        probes: See :class:`ExtractionSettings`, as for the other settings.
        others: Registered models to stay away from, by name; kin left out.
        other_linear: Stored linear parts of those whose weights are gone, by name.
        relatives: The model's ancestors and their other descendants, nearest first, by name.
        references: Public models of the same inputs that are none of its kin, by name: strangers
            that the pilot judges depths by, beside a copy with fresh weights.
        images: Base inputs instead of dead leaves.
        progress: Called as ``progress(stage, done, total)``.

    Returns:
        The fingerprint, ready to be registered or verified against.

    Raises:
        NoInformation: The network is dead, constant or not finite, or no perturbation was
            found that it ignores.
        UsageError: A setting is out of range.
    """
    found = extract_with(
        ExtractionSettings(probes=probes, images=images),
        model,
        seed=seed,
        others=others,
        other_linear=other_linear,
        relatives=relatives,
        references=references,
        progress=progress,
    )
    kin = [
        f"its probes act on {name!r} as on itself: if that is kin, leave it out of others"
        for name in found.parameters.get("not_told_from", ())
    ]
    return replace(found, warnings=(*found.warnings, *kin))


def extract_with(
    settings: ExtractionSettings,
    model: Model,
    *,
    seed: str,
    others: Mapping[str, Model] | None = None,
    other_linear: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    relatives: Mapping[str, Model] | None = None,
    references: Mapping[str, Model] | None = None,
    keep: Path | None = None,
    progress: Progress = silent,
) -> Fingerprint:
    """Does what :func:`extract` does, with settings that were made before.

    Args:
        settings: What shapes the fingerprint.
        model: The source.
        seed: Registry seed.
        others: See :func:`extract`, as for the next three.
        other_linear: Stored linear parts.
        relatives: Ancestors and their other descendants.
        references: Further strangers of the pilot.
        keep: A folder where solved probes are kept until all are, so that an extraction that was
            interrupted goes on where it was.
        progress: Called as ``progress(stage, done, total)``.
    """
    began = time.perf_counter()
    check_informative(model)
    require_deterministic(model)
    if settings.answers_only:
        return _asked_only(model, seed, began)
    plan = _planned(
        settings,
        model,
        seed,
        others or {},
        other_linear or {},
        relatives or {},
        references or {},
        progress,
    )
    keeper = Keeper(keep, model, plan.bases, _decides(plan), seed)
    drawn = _drawn(plan, keeper, progress)
    found = _fingerprint(plan, drawn, time.perf_counter() - began)
    keeper.forget()
    return found


def _decides(plan: _Plan) -> list[str]:
    """Says what decides the probes beside the model, its bases and the seed."""
    decides = [f"{kind.name} {kind.contrast} {kind.networks}" for kind in plan.kinds]
    decides += [f"quiet at {name}" for name in _earlier(plan)]
    decides += [relative.digest for relative in plan.kin.models.values()]
    if any(isinstance(kind, LinearProbes) for kind in plan.kinds):
        # Their starts are moved out of what the others ignore.
        decides += [other.digest for other in plan.screen.models.values()]
        decides += plan.screen.linear
    return decides


def _earlier(plan: _Plan) -> list[str]:
    """Names the depths on the way at which early probes are harmless as well."""
    features = [kind for kind in plan.kinds if isinstance(kind, FeatureProbes)]
    return [depth.name for kind in features for depth in kind.earlier]


def _asked_only(model: Model, seed: str, began: float) -> Fingerprint:
    """Returns a fingerprint of the panel's answers alone."""
    inputs = panel_inputs(model.input, seed)
    answers = run(model, inputs)
    return Fingerprint(
        model_digest=model.digest,
        input=model.input,
        output=model.output,
        seed=seed,
        parameters={"bases": "panel"},
        start="none",
        bases=inputs[:1],
        base_answers=answers[:1],
        probes=(),
        spaces=(),
        tolerance=_tolerance(model, inputs),
        device=_device_facts(model),
        cost={"seconds": time.perf_counter() - began, "passes": 0.0},
        warnings=(
            *model.warnings,
            "registered by its answers alone: equality and resemblance are all that can be told",
        ),
        panel_answers=answers,
    )


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
        kin: The relatives, which individual probes stay away from.
        kinds: The kinds of probe, in the order of the network.
        counts: How many probes each of them gets.
        pilot: How the early depth was chosen.
        turns: Which turns are controls.
        solved_against: Names of the relatives in the solve.
    """

    model: Model
    settings: ExtractionSettings
    seed: str
    bases: NDArray[Any]
    spaces: HarmlessSpaces
    screen: Screen
    kin: Screen
    kinds: tuple[ProbeKind, ...]
    counts: tuple[int, ...]
    pilot: Pilot
    turns: tuple[int, ...]
    solved_against: tuple[str, ...]


def _planned(
    settings: ExtractionSettings,
    model: Model,
    seed: str,
    others: Mapping[str, Model],
    other_linear: Mapping[str, Mapping[str, NDArray[Any]]],
    relatives: Mapping[str, Model],
    references: Mapping[str, Model],
    progress: Progress,
) -> _Plan:
    """Settles the bases, the harmless spaces, the screen and the depths."""
    bases = _bases(settings, model, seed, min(settings.probes, _MOST_BASES))
    progress("harmless spaces", 0, 1)
    spaces = find_spaces(model)
    depths = depths_of(model)
    linear = {name: from_arrays(dict(arrays)) for name, arrays in other_linear.items()}
    early_ones = early_kinds(model, depths, spaces.space)
    tried = pilot(
        judged(depths),
        early_ones,
        seed=seed,
        bases=bases,
        references=references,
        progress=progress,
    )
    contrast = tried.best.contrast if tried.best else CONTRASTS[-1]
    late, solved_against = late_kind(depths, relatives, contrast)
    early = _full(tried.best, depths, spaces, _linear_parts(others, linear), seed)
    # A shallow network's early depth may be what its last layer reads.
    kinds = (late,) if early is None or early.name == late.name else (early, late)
    if settings.probes < _ONE_DEPTH:
        kinds = kinds[-1:] if relatives else kinds[:1]
    shares = _LATE_SHARES_LARGE if is_large(model.input.shape) else _LATE_SHARES
    counts = _dealt(settings.probes, kinds, shares)
    return _Plan(
        model=model,
        settings=settings,
        seed=seed,
        bases=bases[: max(counts)],
        spaces=spaces,
        screen=Screen(others, linear, model.input),
        kin=Screen(relatives, {}, model.input),
        kinds=kinds,
        counts=counts,
        pilot=tried,
        turns=_planned_turns(model, tried.turns, max(counts)),
        solved_against=solved_against,
    )


def _dealt(
    probes: int, kinds: Sequence[ProbeKind], shares: Mapping[SpeaksFor, float]
) -> tuple[int, ...]:
    """Returns how many probes each kind gets."""
    if len(kinds) == 1:
        return (probes,)
    late = max(LEAST_PROBES, int(probes * shares[kinds[-1].speaks_for]))
    return (probes - late, late)


def _planned_turns(model: Model, turns: tuple[int, ...], probes: int) -> tuple[int, ...]:
    """Returns the fewest turns with which so many probes of a depth can show what is asked of them.

    An orbit of a probe and k turns is right by chance once in k + 1 times, n of them once in
    ``(k + 1)ⁿ``. Each control group has to show it alone.
    """
    shape = model.input.shape
    kinds = chosen_kinds(shape, turns)
    if on_the_grid(shape, kinds[0]):
        return kinds[0]
    for count in range(_LEAST_TURNS + (len(kinds) == 1), max(map(len, kinds))):
        few = tuple(turn for kind in kinds for turn in kind[:count])
        least = min(map(len, control_groups(shape, few)))
        if (least + 1.0) ** -probes <= _PLANNED:
            return few
    return tuple(turn for kind in kinds for turn in kind)


def _bases(settings: ExtractionSettings, model: Model, seed: str, count: int) -> NDArray[Any]:
    if settings.images is None:
        return grained_leaves(model.input, seed, count)
    return chosen_images(model.input, settings.images, seed, count)


def late_kind(
    depths: Sequence[Depth], relatives: Mapping[str, Model], contrast: float
) -> tuple[ProbeKind, tuple[str, ...]]:
    """Returns the kind of the late probes: individual where a relative can be asked."""
    late = depths[-1]
    if len(depths) > 1 and depths[-2].name == FEATURES:
        asked = 1 + min(len(relatives), _MOST_RELATIVES)
        narrow = asked * depths[-2].width <= late.model.input.size / _ROOMY
        late = depths[-2] if narrow or not relatives else late
    views: list[Callable[[Tensor], Tensor]] = []
    names: list[str] = []
    for name, relative in relatives.items():
        if len(views) < _MOST_RELATIVES and relative.input.domain == late.model.input.domain:
            views.append(_view(late, relative))
            names.append(name)
    if not views:
        return FeatureProbes(late, contrast=contrast, passes=_LATE_PASSES), ()
    kind = IndividualProbes(late, views, contrast=CONTRASTS[-1], copies=pruned_copies_of(late))
    return kind, tuple(names)


def _view(depth: Depth, relative: Model) -> Callable[[Tensor], Tensor]:
    """Returns a relative's own features at a depth, else its logits.

    It is run on the very inputs that the model is, so in the same precision.
    """
    if relative.dtype != depth.model.dtype:
        relative = relative.to(dtype=depth.model.dtype)
    if depth.name == LOGITS:
        return logits_of(relative)
    try:
        there = depth.of(relative)
        there(torch.zeros(1, *relative.input.shape, dtype=relative.dtype, device=relative.device))
    except FingerprintError:
        return logits_of(relative)
    return there


def _full(
    best: ProbeKind | None,
    depths: Sequence[Depth],
    spaces: HarmlessSpaces,
    others: Sequence[LinearOperator],
    seed: str,
) -> ProbeKind | None:
    """Returns the kind that the pilot chose, with all that it may cost."""
    if isinstance(best, FeatureProbes):
        copies, earlier = copies_of(best.depth, seed), _before(best.depth, depths)
        return FeatureProbes(best.depth, contrast=best.contrast, copies=copies, earlier=earlier)
    if isinstance(best, LinearProbes) and spaces.space is not None:
        input = depths[-1].input
        return LinearProbes(spaces.space, input, contrast=best.contrast, others=others)
    return None


def _before(chosen: Depth, depths: Sequence[Depth]) -> tuple[Depth, ...]:
    """Returns the depth before the chosen one, of large inputs.

    The parent and the siblings of a fine-tune of 224 pixels come to between a quarter and a half
    of what they come to without it, strangers to as much (``benchmarks.early_probes``). Of smaller
    inputs no kin was found by it that is not found without it, and fewer strangers were ruled out
    (``benchmarks.detection``, settings half).
    """
    if not is_large(chosen.input.shape):
        return ()
    return tuple(depths[: depths.index(chosen)][-1:])


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
    def usable(self) -> bool:
        """Whether it is harmless for the source."""
        return self.probe.harm_ratio <= _SOURCE_CEILING

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
        passes: Passes through the whole network spent at each depth, on those that were not
            kept as well.
        redrawn: How many were drawn again.
        given_up: Other models that probes could not be told apart from.
    """

    kept: tuple[_Kept, ...]
    passes: Mapping[str, float]
    given_up: frozenset[str]
    redrawn: int = 0

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The probes held."""
        return tuple(kept.probe for kept in self.kept)


def _drawn(plan: _Plan, keeper: Keeper, progress: Progress) -> _Drawn:
    """Solves one candidate for each place, then again for those that do not hold up."""
    requests = _first_requests(plan)
    found = _candidates(plan, keeper, requests, frozenset(), progress)
    for draw in range(1, _ROUNDS):
        # Where a whole depth does not hold, another draw will not either.
        hopeless = _hopeless(found)
        places = [
            place
            for place, kept in enumerate(found.kept)
            if not kept.good and kept.request.kind not in hopeless
        ]
        if not places:
            break
        again = [
            replace(
                found.kept[place].request,
                draw=found.kept[place].request.draw + len(requests) * draw,
            )
            for place in places
        ]
        fresh = _candidates(plan, keeper, again, found.given_up, progress)
        found = _better(found, places, fresh)
    if len(_useless(found)) == len(plan.kinds):
        usable = sum(kept.usable for kept in found.kept)
        raise NoInformation(
            f"expected perturbations the network ignores, found {usable} of "
            f"{len(found.kept)} probes below harm ratio {_SOURCE_CEILING}; "
            "it has too few inputs for its outputs, or its gradients are blocked; "
            "register it with --answers-only"
        )
    return found


def _hopeless(found: _Drawn) -> set[str]:
    """Depths of which hardly any candidate holds."""
    kinds = {kept.request.kind for kept in found.kept}
    return {
        kind
        for kind in kinds
        if not any(kept.good for kept in found.kept if kept.request.kind == kind)
    }


def _better(found: _Drawn, places: Sequence[int], fresh: _Drawn) -> _Drawn:
    """Keeps the better of old and fresh candidates at some places."""
    kept = list(found.kept)
    for place, one in zip(places, fresh.kept, strict=True):
        kept[place] = max(kept[place], one, key=lambda candidate: candidate.rank)
    return _Drawn(
        kept=tuple(kept),
        passes={kind: spent + fresh.passes[kind] for kind, spent in found.passes.items()},
        given_up=fresh.given_up,
        redrawn=found.redrawn + len(places),
    )


def _first_requests(plan: _Plan) -> list[ProbeRequest]:
    """Deals the probes over the kinds, and those of a kind over the bases."""
    requests = []
    for kind, count in zip(plan.kinds, plan.counts, strict=True):
        for place in range(count):
            draw, base = divmod(place, len(plan.bases))
            requests.append(ProbeRequest(kind.name, base, draw))
    return requests


def _candidates(
    plan: _Plan,
    keeper: Keeper,
    requests: Sequence[ProbeRequest],
    given_up: frozenset[str],
    progress: Progress,
) -> _Drawn:
    """Solves requests, and measures what they do to the model and the others."""
    solver = Solver(plan.model, seed=plan.seed, bases=plan.bases, kinds=plan.kinds)
    solved = keeper.solved(solver, requests, progress)
    kept: list[_Kept] = []
    for kind in plan.kinds:
        own = [one for one in solved if one.request.kind == kind.name]
        if not own:
            continue
        harmless = np.stack([one.harmless for one in own])
        rows = [one.request.base for one in own]
        measured = measure(plan.model, plan.bases, harmless, rows, plan.turns)
        screened = plan.screen.screened(plan.bases, harmless, rows, plan.turns, given_up)
        given_up = screened.given_up
        distances = screened.least
        if kind.speaks_for == "individual":
            # Kin that fall for individual probes are no reason to give them up.
            near = plan.kin.screened(plan.bases, harmless, rows, plan.turns, frozenset())
            distances = np.minimum(distances, near.least)
        for place, one in enumerate(own):
            kept.append(
                _Kept(
                    request=one.request,
                    distance=float(distances[place]),
                    probe=Probe(
                        kind=kind.name,
                        base=one.request.base,
                        draw=one.request.draw,
                        harmless=one.harmless,
                        answer=measured.answers[place],
                        control_answers=measured.control_answers[place],
                        residual=one.residual,
                        harm_ratio=float(measured.orbits.ratios[place]),
                        converged=one.converged,
                    ),
                )
            )
    order = {request: place for place, request in enumerate(requests)}
    kept.sort(key=lambda one: order[one.request])
    spent = {
        kind.name: sum(one.passes for one in solved if one.request.kind == kind.name)
        for kind in plan.kinds
    }
    return _Drawn(tuple(kept), spent, given_up)


def _fingerprint(plan: _Plan, drawn: _Drawn, seconds: float) -> Fingerprint:
    """Puts the result together; a depth whose probes do not hold for the source is left out."""
    model = plan.model
    hopeless = _useless(drawn)
    probes = tuple(kept.probe for kept in drawn.kept if kept.probe.kind not in hopeless)
    kinds = [kind for kind in plan.kinds if kind.name not in hopeless]
    return Fingerprint(
        model_digest=model.digest,
        input=model.input,
        output=model.output,
        seed=plan.seed,
        parameters={
            **_parameters(plan),
            "not_told_from": sorted(drawn.given_up),
            "rough_copy": _rough_copy(plan, probes),
        },
        start="uniform",
        bases=plan.bases,
        base_answers=run(model, plan.bases),
        probes=probes,
        spaces=plan.spaces.facts,
        tolerance=_tolerance(
            model, np.concatenate([plan.bases, *(probe.harmless[None] for probe in probes)])
        ),
        device=_device_facts(model),
        screened_against=plan.screen.names,
        redrawn=drawn.redrawn,
        cost=_cost(plan, drawn, seconds),
        linear_part=to_arrays(plan.spaces.operator) if plan.spaces.operator else {},
        warnings=_warnings(plan, drawn, hopeless),
        depths=tuple(
            DepthFacts(
                name=kind.name,
                width=kind.width,
                share=kind.share,
                speaks_for=kind.speaks_for,
                contrast=kind.contrast,
            )
            for kind in kinds
        ),
        turns=plan.turns,
        panel_answers=run(model, panel_inputs(model.input, plan.seed)),
        twin_answers=_twin_answers(model, plan.seed),
        relatives=tuple(relative.digest for relative in plan.kin.models.values()),
    )


def _twin_answers(model: Model, seed: str) -> NDArray[np.float32]:
    twins = twin_inputs(model.input, seed)
    return run(model, twins) if len(twins) else np.empty((0, 0), np.float32)


def _cost(plan: _Plan, drawn: _Drawn, seconds: float) -> dict[str, float]:
    spent = {f"passes at {kind}": passes for kind, passes in drawn.passes.items()}
    return {
        "seconds": seconds,
        "passes": plan.pilot.passes + sum(spent.values()),
        "passes of the pilot": plan.pilot.passes,
        **spent,
    }


def _useless(drawn: _Drawn) -> set[str]:
    """Depths half of whose probes do not hold for the source."""
    kinds = {kept.request.kind for kept in drawn.kept}
    usable = {
        kind: [kept.usable for kept in drawn.kept if kept.request.kind == kind] for kind in kinds
    }
    return {kind for kind, held in usable.items() if sum(held) < len(held) / 2}


def _parameters(plan: _Plan) -> dict[str, Any]:
    references = {
        "pilot_references": plan.pilot.references,
        "pilot_references_like_kin": plan.pilot.like_kin,
    }
    parameters: dict[str, Any] = plain(
        {
            **{key: digests for key, digests in references.items() if digests},
            "probes": plan.settings.probes,
            "control": "turn on the same base",
            "pilot": [one.to_dict() for one in plan.pilot.tried],
            "bases": GRAINED if plan.settings.images is None else "images",
            "screening_floor": FLOOR,
            "solved_against": plan.solved_against,
            "networks_in_the_solve": {kind.name: kind.networks for kind in plan.kinds},
            "harmless_earlier_too": _earlier(plan),
        }
    )
    return parameters


def _rough_copy(plan: _Plan, probes: Sequence[Probe]) -> float | None:
    """Measures what individual probes do to a copy that lacks much: the room that copies take."""
    individual = {kind.name for kind in plan.kinds if kind.speaks_for == "individual"}
    own = [probe for probe in probes if probe.kind in individual]
    copy = without_smallest(plan.model, ROUGH) if own else None
    if copy is None:
        return None
    harmless, rows = np.stack([one.harmless for one in own]), [one.base for one in own]
    try:
        orbits = measure(copy, plan.bases, harmless, rows, plan.turns).orbits
    except FingerprintError:
        return None
    parts = [orbits.against(kind) for kind in control_groups(plan.model.input.shape, plan.turns)]
    if not all(part.moved.any() for part in parts):
        return None
    logs = [np.log(part.ratios[part.moved]).mean() for part in parts]
    return min(1.0, float(np.exp(max(logs))))


def _warnings(plan: _Plan, drawn: _Drawn, useless: set[str]) -> tuple[str, ...]:
    lines = [*plan.model.warnings, *plan.spaces.warnings]
    lines += [
        f"no perturbation was found that it ignores at depth {name!r}: there are no such probes"
        for name in sorted(useless)
    ]
    close = sum(kept.distance < FLOOR for kept in drawn.kept if kept.probe.kind not in useless)
    if close:
        lines.append(f"{close} probes stayed below the screening floor after {_ROUNDS} draws")
    shape = plan.model.input.shape
    if is_large_picture(shape) and not on_the_grid(shape, plan.turns):
        lines.append(
            "the network takes a probe upside down for the probe itself: it has other controls, "
            "and margins are lower for them"
        )
    return tuple(lines)


def _tolerance(model: Model, inputs: NDArray[Any]) -> float:
    """How much answers differ for reasons that are no change of the model.

    Measured as the largest relative difference between answers given alone and in a batch, and
    taken ten times, for other processors and libraries.
    """
    inputs = inputs[:12]
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
