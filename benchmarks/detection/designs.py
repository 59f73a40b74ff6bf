"""Compares ways of making and reading probes on the same networks, one change at a time.

    python -m benchmarks.detection.designs --work WORK [--data DIR] [--results FILE]

Each design solves 24 probes for every main source and asks them all its relatives that share
weights and all independent base networks. A design is kept when what shares weights with the
source separates better from what does not; the released one stands first, and every other
differs from it in the one thing its name says.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.data import load_data
from benchmarks.detection.measure import ALPHA, RESULTS, SEED
from benchmarks.detection.methods.harmless import as_model
from benchmarks.detection.metrics import auc, threshold
from benchmarks.detection.zoo import Member, members
from fingerprint import Model
from fingerprint.distances import answer_distance
from fingerprint.evidence.calibration import DEFAULT_MARGIN, margin_from
from fingerprint.evidence.statistics import permutation_test
from fingerprint.files import write_whole
from fingerprint.lab.data import Data
from fingerprint.network.run import run
from fingerprint.probes.controls import symmetry_controls
from fingerprint.probes.kinds import AgreementDepth, NetworkProbes, agreement
from fingerprint.probes.probe import ProbeRequest
from fingerprint.probes.public import MAX_BASES, public_bases, start_input
from fingerprint.probes.simulated import MILD, SEVERE, Severity, simulated_modifications
from fingerprint.probes.solving import Solver
from fingerprint.probes.surrogates import train_surrogates

__all__ = ["DESIGNS", "Design", "main"]

Array = NDArray[np.float64]

_PROBES = 24


@dataclass(frozen=True, kw_only=True)
class Design:
    """One way of making and reading network probes.

    Attributes:
        name: What differs from the released design.
        what: The same in a sentence.
        start: Kind of start noise.
        depth: Where source and changed copies are asked to agree.
        severity: How much the copies are changed; None for no copies.
        contrast: Contrast of the start noise about mid grey.
        bases: ``colours`` or ``images``.
        control: ``turned`` (another symmetry each), ``mirror`` (all upside down) or ``noise``
            (unsolved draws of the start).
        candidates: How many times as many candidates are solved; those are kept to which other
            simulated copies react least.
        weighted: Whether probes count by how little simulated copies react to them.
        surrogates: Whether ratios are read relative to the surrogates' lowest.
    """

    name: str
    what: str
    start: str = "binary"
    depth: AgreementDepth = "features"
    severity: Severity | None = SEVERE
    contrast: float = 1.0
    bases: str = "colours"
    control: str = "turned"
    candidates: int = 1
    weighted: bool = False
    surrogates: bool = True


RELEASED = Design(
    name="released",
    what="features; copies with 20 % noise, 4 bit, half pruned; black and white; turned; decoys",
)
DESIGNS = (
    RELEASED,
    replace(RELEASED, name="invariance of the logits", depth="logits", what="not the features"),
    replace(RELEASED, name="no changed copies", severity=None, what="solved for the source alone"),
    replace(RELEASED, name="mildly changed copies", severity=MILD, what="5 % noise, 6 bit, 20 %"),
    replace(RELEASED, name="no decoys", surrogates=False, what="one margin for all sources"),
    replace(RELEASED, name="public noise as control", control="noise", what="not turned probes"),
    replace(RELEASED, name="all controls upside down", control="mirror", what="one symmetry"),
    replace(RELEASED, name="uniform starts", start="uniform", what="not black and white"),
    replace(RELEASED, name="2x2 blocks", start="binary-2", what="coarser starts"),
    replace(RELEASED, name="4x4 blocks", start="binary-4", what="coarser starts"),
    replace(RELEASED, name="half contrast", contrast=0.5, what="starts nearer to grey"),
    replace(RELEASED, name="natural bases", bases="images", what="images, not plain colours"),
    replace(RELEASED, name="best of two candidates", candidates=2, what="kept by fresh copies"),
    replace(RELEASED, name="weighted probes", weighted=True, what="weights from fresh copies"),
)


class Workbench:
    """One main source with everybody who is asked its probes.

    Args:
        source: The source.
        related: Members that share weights with it.
        independent: Base networks that do not.
        data: Gives natural bases.
    """

    def __init__(
        self, source: Member, related: Sequence[Member], independent: Sequence[Member], data: Data
    ) -> None:
        size = data.input_size
        self.model = as_model(source.network(), size)
        self.related = [as_model(member.network(), size) for member in related]
        self.independent = [as_model(member.network(), size) for member in independent]
        self.images = data.test_images
        self.surrogates = train_surrogates(self.model, seed=SEED, count=2)
        self.fresh = _fresh_copies(self.model)
        self._solved: dict[Design, _Solved] = {}

    def ratios(self, design: Design) -> tuple[Array, Array, float]:
        """Returns the log harm ratios of related and independent models, and seconds spent."""
        solved = self._solve(design)
        asked = _Asked(self.model, design, solved)
        weights = self._weights(design, asked, solved.requests)

        def mean(model: Model) -> float:
            return float(np.average(asked.logs(model), weights=weights))

        imitators = self.surrogates if design.surrogates else ()
        floor = math.log(margin_from((), [math.exp(mean(one)) for one in imitators]).value)
        related = np.array([mean(model) for model in self.related]) - floor
        independent = np.array([mean(model) for model in self.independent]) - floor
        return related, independent, solved.seconds

    def released(self) -> _Asked:
        """Returns the released design's probes, ready to be asked."""
        return _Asked(self.model, RELEASED, self._solve(RELEASED))

    def _solve(self, design: Design) -> _Solved:
        """Solves a design's candidates; designs that only read them otherwise share them."""
        key = replace(design, control="", weighted=False, surrogates=False, name="", what="")
        if key not in self._solved:
            self._solved[key] = self._candidates(design)
        return self._solved[key]

    def _candidates(self, design: Design) -> _Solved:
        began = time.perf_counter()
        images = self.images if design.bases == "images" else None
        bases = public_bases(self.model.input, SEED, MAX_BASES, images)
        agreed = None
        if design.severity:
            copies = simulated_modifications(self.model, design.severity)
            agreed = agreement(self.model, copies, bases, deepest=design.depth)
        solver = _Contrasted(
            self.model,
            seed=SEED,
            start=design.start,
            bases=bases,
            kinds=(NetworkProbes(self.model, agreed),),
        )
        solver.contrast = design.contrast
        count = design.candidates * _PROBES
        requests = [
            ProbeRequest(NetworkProbes.name, place % MAX_BASES, place // MAX_BASES)
            for place in range(count)
        ]
        harmless = np.stack([solved.harmless for solved in solver.solve(requests)])
        return _Solved(tuple(requests), bases, harmless, time.perf_counter() - began)

    def _weights(self, design: Design, asked: _Asked, requests: Sequence[ProbeRequest]) -> Array:
        """Weights of the candidates: all alike, or by how fresh copies react to them."""
        if design.candidates == 1 and not design.weighted:
            return np.ones(len(requests))
        reaction = np.mean([asked.logs(copy) for copy in self.fresh], axis=0)
        if design.weighted:
            return 1.0 / (1.0 + np.exp(4 * (reaction - np.median(reaction))))
        weights = np.zeros(len(requests))
        rows = np.array([request.base for request in requests])
        for base in range(MAX_BASES):
            places = np.flatnonzero(rows == base)
            weights[places[np.argsort(reaction[places])][: len(places) // design.candidates]] = 1.0
        return weights


@dataclass(frozen=True, eq=False)
class _Solved:
    """Candidates of a design, with what they were solved from and how long that took."""

    requests: tuple[ProbeRequest, ...]
    bases: NDArray[Any]
    harmless: NDArray[Any]
    seconds: float


class _Contrasted(Solver):
    """Solves from starts of less contrast."""

    contrast = 1.0

    def start_of(self, request: ProbeRequest) -> NDArray[Any]:
        """Returns the start, drawn towards grey."""
        start = super().start_of(request).astype(np.float64)
        return np.round(127.5 + self.contrast * (start - 127.5)).astype(np.uint8)


class _Asked:
    """Candidates with their controls, ready to be asked of any model."""

    def __init__(self, model: Model, design: Design, solved: _Solved) -> None:
        spec = model.input
        self.rows = np.array([request.base for request in solved.requests])
        self.origin = solved.bases[self.rows]
        self.harmless = solved.harmless
        if design.control != "noise":
            places = [
                0 if design.control == "mirror" else request.symmetry for request in solved.requests
            ]
            self.controls = symmetry_controls(self.harmless, places)
            self.control_origin = symmetry_controls(self.origin, places)
            return
        self.control_origin = self.origin
        self.controls = np.stack(
            [
                start_input(
                    spec,
                    SEED,
                    design.start,
                    model_digest="public",
                    base=request.base,
                    draw=request.draw,
                )
                for request in solved.requests
            ]
        )

    def logs(self, model: Model) -> Array:
        """Returns each candidate's log harm ratio, shape ``(N,)``."""
        harm, control = self.harms(model)
        return harm - control

    def p_value(self, model: Model, probes: int) -> float:
        """Tests the first probes against the default margin; groups are bases."""
        harm, control = (part[:probes] for part in self.harms(model))
        groups = [np.flatnonzero(self.rows[:probes] == base) for base in range(MAX_BASES)]
        return permutation_test(
            [harm[group] for group in groups], [control[group] for group in groups], DEFAULT_MARGIN
        )

    def harms(self, model: Model) -> tuple[Array, Array]:
        """Returns each candidate's log harm and its control's, both of shape ``(N,)``."""
        inputs = (self.harmless, self.origin, self.controls, self.control_origin)
        harmless, origin, control, control_origin = (run(model, part) for part in inputs)
        tiny = float(np.finfo(np.float32).tiny)
        harm = np.maximum(answer_distance(harmless, origin, "logits"), tiny)
        noise = np.maximum(answer_distance(control, control_origin, "logits"), tiny)
        return np.log(harm), np.log(noise)


def stopped_early(benches: Sequence[Workbench]) -> dict[str, Any]:
    """Returns the row of sequential stopping: the test made after each of several rounds.

    A test at α/4 after 6, 12, 18 and 24 probes keeps the false-positive rate at α (Bonferroni);
    whoever is found early is asked fewer queries, whoever is not needs stronger evidence.
    """
    looks = [round(_PROBES * share / 4) for share in range(1, 5)]
    once = early = wrong = total = 0
    queries: list[int] = []
    for bench in benches:
        asked = bench.released()
        for related, models in ((True, bench.related), (False, bench.independent)):
            for model in models:
                p_values = [asked.p_value(model, probes) for probes in looks]
                stop = next((i for i, p in enumerate(p_values) if p <= ALPHA / len(looks)), None)
                total += related
                once += related and p_values[-1] <= ALPHA
                early += related and stop is not None
                wrong += not related and stop is not None
                if related:
                    queries.append(MAX_BASES + 2 * looks[-1 if stop is None else stop])
    return {
        "name": "stop early",
        "what": f"tests after {', '.join(map(str, looks))} probes, each at a quarter of α",
        "kept": False,
        "why": (
            f"rejects for {early} of {total} related pairs instead of {once} and for {wrong} "
            f"independent ones, with {np.mean(queries):.0f} queries on average instead of "
            f"{MAX_BASES + 2 * _PROBES}; a caller can register fewer probes instead"
        ),
    }


def _fresh_copies(model: Model) -> tuple[Model, ...]:
    """Returns changed copies that no probe was solved for: other noise, other severities."""
    other = Severity(noise=0.15, bits=5, pruned=0.6)
    return simulated_modifications(model, other)


def measured(design: Design, benches: Sequence[Workbench]) -> dict[str, Any]:
    """Returns a design's row of the results, without whether it is kept."""
    parts = [bench.ratios(design) for bench in benches]
    related = np.concatenate([-part[0] for part in parts])
    independent = np.concatenate([-part[1] for part in parts])
    cut = threshold(independent, 0.01)
    return {
        "name": design.name,
        "what": design.what,
        "auc": round(float(auc(related, independent)), 4),
        "tpr1": round(float((related > cut).mean()), 4),
        "related": len(related),
        "independent": len(independent),
        "lowest_independent": round(float(np.exp(-independent.max())), 3),
        "mean_log_ratio_related": round(float(-related.mean()), 3),
        "mean_log_ratio_independent": round(float(-independent.mean()), 3),
        "seconds": round(sum(part[2] for part in parts) / len(parts), 1),
    }


def judged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Says of each row whether it is kept: the first is, another if it separates better."""
    first = rows[0]
    rows[0] = {**first, "kept": True, "why": "the design of this release"}
    for place, row in enumerate(rows[1:], start=1):
        gained, found = row["auc"] - first["auc"], row["tpr1"] - first["tpr1"]
        why = f"AUC {gained:+.3f}, found at 1 % {100 * found:+.0f} points"
        rows[place] = {**row, "kept": False, "why": why}
    return rows


def _benches(zoo: Sequence[Member], data: Data) -> list[Workbench]:
    bases = [member for member in zoo if member.name == member.base]
    benches = []
    for source in (member for member in bases if member.source):
        related = [
            member
            for member in zoo
            if source.name in member.kin
            and member.name != source.name
            and member.group == "shares weights"
            and member.file.suffix != ".onnx"
        ]
        independent = [member for member in bases if member.name != source.name]
        benches.append(Workbench(source, related, independent, data))
    return benches


def main() -> None:
    """Prints the comparison and puts it into the results file, if there is one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="where the zoo was built")
    parser.add_argument("--data", type=Path, help="has cifar10_sample.npz; digits without it")
    parser.add_argument("--results", type=Path, default=RESULTS, help="gets the rows")
    parser.add_argument("--only", nargs="*", help="names of designs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    benches = _benches(members(options.work), load_data(options.data))
    rows = []
    for design in DESIGNS:
        if options.only and design.name not in ("released", *options.only):
            continue
        rows.append(measured(design, benches))
        print(json.dumps(rows[-1]), flush=True)
    if options.results.exists() and not options.only:
        document = json.loads(options.results.read_text(encoding="utf-8"))
        document["designs"] = [*judged(rows), stopped_early(benches)]
        text = json.dumps(document, indent=1) + "\n"
        write_whole(options.results, lambda stream: stream.write(text.encode()))


if __name__ == "__main__":
    main()
