"""Extracts the fingerprint of a model: its harmless inputs, screened, with its own answers.

    fingerprint = extract(model, seed="...")

The model is asked which kind of start noise suits it, candidates are solved from committed
draws, rounded to inputs that can be sent, measured on the model itself and on the other
registered models, and drawn again where they do not hold up.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fingerprint.distances import answer_distance, answer_size
from fingerprint.errors import NoInformation, UsageError
from fingerprint.network.checks import check_informative
from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.storage import from_arrays, to_arrays
from fingerprint.precision import Precision
from fingerprint.probes.decoys import train_decoys
from fingerprint.probes.derivatives import SEVERE, simulated_derivatives
from fingerprint.probes.harmless_spaces import HarmlessSpaces, find_spaces, linear_operator_of
from fingerprint.probes.probe import Fingerprint, Probe, ProbeKind
from fingerprint.probes.public import MAX_BASES, public_bases
from fingerprint.probes.screening import FLOOR, Screen, measure
from fingerprint.probes.solving import Candidates, Solver, Wish
from fingerprint.probes.starts import choose_start
from fingerprint.progress import Progress, silent
from fingerprint.solvers.network import choose_method
from fingerprint.solvers.noise import parse_start

__all__ = ["extract"]

_ROUNDS = 4
"""Times a candidate is drawn at most."""

_SOURCE_CEILING = 0.3
"""Harm ratio on the source above which a probe says too little about it."""

_LEAST_PROBES = 6
_MOST_PROBES = 480
_MOST_DECOYS = 100


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
        probes: How many probes, from 6 to 480.
        start: Kind of start noise (see ``START_KINDS``), or ``auto`` to let the model choose by
            how well it separates simulated derivatives from controls.
        others: Registered models to stay away from, by name; kin left out.
        other_linear: Stored linear parts of those whose weights are gone, by name.
        images: Base inputs instead of plain colours, shape ``(N, *model.input.shape)``.
        decoys: How many networks learn to imitate the model on noise, to bound its margin; only
            for networks of few outputs, where that takes seconds to minutes. 0 to leave it out.
        progress: Called as ``progress(stage, done, total)``.

    Returns:
        The fingerprint, ready to be registered or verified against.

    Raises:
        NoInformation: The network is dead, constant or not finite, or no perturbation was
            found that it ignores.
        UsageError: A setting is out of range.
    """
    began = time.perf_counter()
    if not _LEAST_PROBES <= probes <= _MOST_PROBES:
        raise UsageError(f"probes: expected {_LEAST_PROBES} to {_MOST_PROBES}, got {probes}")
    if not 0 <= decoys <= _MOST_DECOYS:
        raise UsageError(f"decoys: expected 0 to {_MOST_DECOYS}, got {decoys}")
    if start != "auto":
        parse_start(start)
    check_informative(model)
    work = _Extraction(model, seed, probes, images, progress)
    work.choose(start, others or {}, other_linear or {})
    work.draw()
    work.imitate(decoys)
    return work.fingerprint(time.perf_counter() - began)


@dataclass
class _Kept:
    """The candidate held for one place of the fingerprint."""

    wish: Wish
    probe: Probe
    distance: float  # least harm ratio over the other models

    @property
    def usable(self) -> bool:
        """Whether it is harmless for the source, and not for want of room to move."""
        room = self.probe.converged or self.probe.kind != "linear"
        return room and self.probe.harm_ratio <= _SOURCE_CEILING

    @property
    def good(self) -> bool:
        return self.usable and self.distance >= FLOOR

    @property
    def rank(self) -> tuple[bool, float, float]:
        """Candidates that hold for the source first, then the farthest from the others."""
        return (self.usable, min(self.distance, FLOOR), -self.probe.harm_ratio)


@dataclass
class _Extraction:
    """The state of one extraction, in the order of its steps: choose, draw, fingerprint."""

    model: Model
    seed: str
    probes: int
    images: NDArray[Any] | None
    progress: Progress
    kept: list[_Kept] = field(default_factory=list)
    redrawn: int = 0
    passes: float = 0.0
    comparison: dict[str, float] = field(default_factory=dict)
    pilot: Candidates | None = None
    decoys: tuple[float, ...] = ()
    decoys_failed: int = 0

    def choose(
        self,
        start: str,
        others: Mapping[str, Model],
        other_linear: Mapping[str, Mapping[str, NDArray[Any]]],
    ) -> None:
        """Settles the harmless spaces, the start noise and the screen."""
        self.bases = public_bases(
            self.model.input, self.seed, min(MAX_BASES, self.probes), self.images
        )
        self.progress("harmless spaces", 0, 1)
        self.spaces: HarmlessSpaces = find_spaces(self.model)
        linear = {name: from_arrays(dict(arrays)) for name, arrays in other_linear.items()}
        panel = self._panel(others, linear)
        if start == "auto":
            choice = choose_start(self.model, self.seed, self.bases, self.progress)
            start, self.passes = choice.start, choice.passes / self.probes
            self.comparison = choice.comparison
            # Pilots are what the solver would find again, unless it solves with companions.
            self.pilot = None if self._affordable() else choice.pilot
        companions = simulated_derivatives(self.model, SEVERE) if self._affordable() else ()
        self.solver = Solver(
            self.model,
            seed=self.seed,
            start=start,
            bases=self.bases,
            space=self.spaces.space,
            others=panel,
            companions=companions,
            progress=self.progress,
        )
        self.screen = Screen(others, linear, self.model.input)

    def _affordable(self) -> bool:
        """Whether probes are solved jointly with changed copies: four times the work."""
        spec, classes = self.model.input, self.model.output.classes
        return choose_method(classes, spec.size) == "gauss-newton"

    def _panel(
        self, others: Mapping[str, Model], linear: Mapping[str, LinearOperator]
    ) -> tuple[LinearOperator, ...]:
        """Linear parts of the other models; needed only where this one has a linear space."""
        if self.spaces.space is None:
            return ()
        found = [linear_operator_of(other) for other in others.values()]
        return (*(operator for operator in found if operator is not None), *linear.values())

    def draw(self) -> None:
        """Solves one candidate for each place, then again for those that do not hold up."""
        wishes = self._first_wishes()
        self.kept = self._candidates(wishes)
        used = [max(w.draw for w in wishes if w.base == wish.base) for wish in wishes]
        following = {wish.base: last + 1 for wish, last in zip(wishes, used, strict=True)}
        for _ in range(_ROUNDS - 1):
            places = [place for place, kept in enumerate(self.kept) if not kept.good]
            if not places:
                break
            again = []
            for place in places:
                wish = self.kept[place].wish
                # A base on the edge of the box has no room for linear probes, whatever the draw.
                stuck = wish.kind == "linear" and not self.kept[place].probe.converged
                kind: ProbeKind = "network" if stuck else wish.kind
                again.append(Wish(kind, wish.base, following[wish.base]))
                following[wish.base] += 1
            self.redrawn += len(again)
            for place, fresh in zip(places, self._candidates(again), strict=True):
                self.kept[place] = max(self.kept[place], fresh, key=lambda kept: kept.rank)
        usable = sum(kept.probe.harm_ratio <= _SOURCE_CEILING for kept in self.kept)
        if usable < len(self.kept) / 2:
            raise NoInformation(
                f"expected perturbations the network ignores, found {usable} of "
                f"{len(self.kept)} probes below harm ratio {_SOURCE_CEILING}; "
                "it has too few inputs for its outputs, or its gradients are blocked"
            )

    def imitate(self, count: int) -> None:
        """Trains decoys and asks them the probes: what mere imitation gets."""
        if not self._affordable():
            return
        trained = train_decoys(self.model, seed=self.seed, count=count, progress=self.progress)
        ratios = [self._ratio_on(decoy) for decoy in trained]
        self.decoys = tuple(ratio for ratio in ratios if np.isfinite(ratio))
        self.decoys_failed = count - len(self.decoys)

    def _ratio_on(self, other: Model) -> float:
        """Geometric mean harm ratio on another model, of the kind of probe where it is least."""
        kinds = np.array([kept.wish.kind for kept in self.kept])
        bases = self.bases[[kept.wish.base for kept in self.kept]]
        harmless = np.stack([kept.probe.harmless for kept in self.kept])
        places = [kept.wish.symmetry for kept in self.kept]
        ratios = measure(other, bases, harmless, places).ratios
        # Infinite: neither the probe nor its control moved the answer, which tells nothing.
        told = [np.log(ratios[(kinds == kind) & ~np.isinf(ratios)]) for kind in set(kinds)]
        means = [logs.mean() if len(logs) else np.inf for logs in told]
        return float(np.exp(min(means)))

    def _first_wishes(self) -> list[Wish]:
        """Deals the probes over bases; every second round is linear where there is a space."""
        bases = len(self.bases)
        wishes = []
        for place in range(self.probes):
            turn, base = divmod(place, bases)
            linear = self.spaces.space is not None and turn % 2 == 1
            kind: ProbeKind = "linear" if linear else "network"
            wishes.append(Wish(kind, base, turn))
        return wishes

    def _candidates(self, wishes: list[Wish]) -> list[_Kept]:
        solved = self._solved(wishes)
        bases = self.bases[[wish.base for wish in wishes]]
        places = [wish.symmetry for wish in wishes]
        own = measure(self.model, bases, solved.harmless, places)
        distances = self.screen.worst(bases, solved.harmless, places)
        return [
            _Kept(
                wish=wish,
                distance=float(distances[place]),
                probe=Probe(
                    kind=wish.kind,
                    base=wish.base,
                    draw=wish.draw,
                    harmless=solved.harmless[place],
                    answer=own.answers[place],
                    control_answer=own.control_answers[place],
                    residual=float(solved.residual[place]),
                    harm_ratio=float(own.ratios[place]),
                    start_cosine=float(solved.cosine[place]),
                    converged=bool(solved.converged[place]),
                ),
            )
            for place, wish in enumerate(wishes)
        ]

    def _solved(self, wishes: list[Wish]) -> Candidates:
        """Solves wishes, taking the pilots of the chosen start where they are the same."""
        pilot = self.pilot
        ready = [pilot is not None and wish == Wish("network", wish.base, 0) for wish in wishes]
        if pilot is None or not any(ready):
            solved = self.solver.solve(wishes)
            self.passes += float(solved.passes.sum()) / self.probes
            return solved
        known = [wish.base for wish, done in zip(wishes, ready, strict=True) if done]
        parts = [pilot.take(np.array(known))]
        missing = [wish for wish, done in zip(wishes, ready, strict=True) if not done]
        if missing:
            parts.append(self.solver.solve(missing))
            self.passes += float(parts[-1].passes.sum()) / self.probes
        order = np.argsort(np.argsort(~np.array(ready), kind="stable"), kind="stable")
        return Candidates.joined(parts).take(order)

    def fingerprint(self, seconds: float) -> Fingerprint:
        """Puts the result together."""
        probes = tuple(kept.probe for kept in self.kept)
        return Fingerprint(
            model_digest=self.model.digest,
            input=self.model.input,
            output=self.model.output,
            seed=self.seed,
            parameters=self._parameters(),
            start=self.solver.start,
            bases=self.bases,
            base_answers=run(self.model, self.bases),
            probes=probes,
            spaces=self.spaces.facts,
            tolerance=_tolerance(self.model, self.bases, probes),
            device=_device_facts(self.model),
            screened_against=(*self.screen.models, *self.screen.linear),
            redrawn=self.redrawn,
            cost={"seconds": seconds, "passes_per_probe": self.passes},
            linear_part=to_arrays(self.spaces.operator) if self.spaces.operator else {},
            warnings=self._warnings(probes),
        )

    def _parameters(self) -> dict[str, Any]:
        return {
            "method": self.solver.method,
            "companions": len(self.solver.companions),
            "depth": self.solver.depth,
            "decoys": list(self.decoys),
            "probes": self.probes,
            "start": self.solver.start,
            "control": "turned",
            "start_comparison": self.comparison,
            "bases": "images" if self.images is not None else "colours",
            "screening_floor": FLOOR,
        }

    def _warnings(self, probes: tuple[Probe, ...]) -> tuple[str, ...]:
        lines = [*self.model.warnings, *self.spaces.warnings]
        stuck = sum(not probe.converged for probe in probes)
        if stuck:
            worst = max(probe.residual for probe in probes if not probe.converged)
            lines.append(
                f"the solver did not converge on {stuck} of {len(probes)} probes "
                f"(largest relative residual {worst:.2g}); their harm on the source is recorded"
            )
        if self.decoys_failed:
            lines.append(
                f"{self.decoys_failed} of {self.decoys_failed + len(self.decoys)} decoys could "
                "not be trained: they do not bound the margin"
            )
        lines += [
            f"its probes act on {name!r} as on itself: declare kinship with --parent if it is kin"
            for name in sorted(self.screen.given_up)
        ]
        close = sum(kept.distance < FLOOR for kept in self.kept)
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
