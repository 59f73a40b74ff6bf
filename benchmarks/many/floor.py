"""How far copies fall on the panel and how many strangers lie below the floor of one to many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.detection.recipe import STUDENT
from benchmarks.detection.zoo import Member
from benchmarks.many.suspects import Suspected
from benchmarks.panel import ANSWER_KINDS, Network, shown
from fingerprint.evidence.resemblance import Panel, rank
from fingerprint.lab.training import pixels
from fingerprint.narrowing import FLOOR
from fingerprint.network.spec import InputSpec
from fingerprint.probes.panel import panel_inputs

__all__ = ["HEAD", "Compared", "compared", "of_panel", "of_zoo", "rows"]

SEED = "many"
HEAD: tuple[str, ...] = (
    "pixels",
    "answers",
    "smaller number of classes",
    "copies",
    "below the floor",
    "least",
)
HEAD += ("strangers", "below the floor", "largest")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A network's answers to the panel.

    Attributes:
        name: The network.
        kin: The source it shares weights with; itself for a source.
        apart: Sources it is neither kin nor a stranger of: a student's teacher, and whom it was
            merged with.
        answers: Logits, shape ``(P, classes)``.
    """

    name: str
    kin: str
    apart: frozenset[str]
    answers: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A network compared with a source.

    Attributes:
        kin: Whether they share weights.
        kind: Of the network's answers.
        classes: The smaller number of classes.
        value: The resemblance; NaN where the panel says nothing.
    """

    kin: bool
    kind: str
    classes: int
    value: float


def of_zoo(
    zoo: Iterable[Member], suspects: Iterable[Suspected], input_size: tuple[int, ...]
) -> list[Asked]:
    """Asks the panel of the detection benchmark's networks, and of this one's."""
    found = []
    for member in zoo:
        student = member.group == STUDENT
        kin = member.name if student else member.base
        apart = frozenset(member.kin) - {kin}
        found.append(_asked(member.name, kin, apart, member.network, input_size))
    for one in suspects:
        found.append(_asked(one.name, one.root, frozenset(), one.network, input_size))
    return found


def of_panel(networks: Iterable[Network], input_size: tuple[int, ...]) -> list[Asked]:
    """Asks the panel of networks as ``benchmarks.panel`` has them."""
    return [_asked(one.name, one.root, frozenset(), one.module, input_size) for one in networks]


def _asked(
    name: str,
    kin: str,
    apart: frozenset[str],
    network: Callable[[], nn.Module],
    input_size: tuple[int, ...],
) -> Asked:
    module = network().eval()
    inputs = panel_inputs(InputSpec(shape=input_size), SEED)
    with torch.inference_mode():
        parts = [module(pixels(some)).numpy() for some in np.array_split(inputs, 4)]
    return Asked(name=name, kin=kin, apart=apart, answers=np.concatenate(parts))


def compared(asked: Sequence[Asked]) -> Iterator[Compared]:
    """Yields every network against every source but itself, in every kind of answer."""
    sources = {one.name: one.answers for one in asked if one.kin == one.name and not one.apart}
    for kind in ANSWER_KINDS:
        for one in asked:
            suspect = Panel.of(shown(one.answers, kind), kind)
            for source, value in rank(suspect, sources):
                if source != one.name and source not in one.apart:
                    classes = min(one.answers.shape[1], sources[source].shape[1])
                    yield Compared(
                        kin=source == one.kin, kind=kind, classes=classes, value=float(value)
                    )


def rows(size: int, found: Sequence[Compared]) -> Iterator[list[object]]:
    """Yields a row for each kind of answer and number of classes."""
    for kind in ANSWER_KINDS:
        for low, high in ((2, 2), (3, 20), (21, 10**6)):
            some = [one for one in found if one.kind == kind and low <= one.classes <= high]
            kin = np.array([one.value for one in some if one.kin])
            strangers = np.array([one.value for one in some if not one.kin])
            if len(kin) and len(strangers):
                # What the panel says nothing of is not ruled out: NaN is below nothing.
                fallen, out = int((kin <= FLOOR).sum()), int((strangers <= FLOOR).sum())
                classes = f"{low} to {high}" if high < 10**6 else f"{low} and more"
                yield [
                    size,
                    kind,
                    classes if low < high else low,
                    len(kin),
                    fallen,
                    f"{np.nanmin(kin):.2f}",
                    len(strangers),
                    f"{out / len(strangers):.1%}",
                    f"{np.nanmax(strangers):.2f}",
                ]
