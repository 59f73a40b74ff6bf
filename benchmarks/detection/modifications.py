"""What is done to a source: every derived member of the zoo, the most important first.

What needs no training comes first, then what takes an epoch or two, then students, which
share a source's answers and none of its weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.detection.bases import from_scratch, stored
from benchmarks.detection.export import export
from benchmarks.detection.recipe import (
    ADVERSARIAL,
    SHARES_WEIGHTS,
    STUDENT,
    Make,
    Recipe,
    in_turn,
    seeded,
    simple,
)
from fingerprint.lab import training
from fingerprint.lab.architectures import ARCHITECTURES
from fingerprint.lab.data import TASKS, Data
from fingerprint.lab.modifications import (
    averaged,
    fine_tuned,
    folded,
    pruned,
    quantised,
    rounded,
)
from fingerprint.lab.symmetries import equivalent
from fingerprint.lab.training import Settings

__all__ = ["Lineage", "converted", "learned"]

_MERGED = (0.7, 0.3)
_SHARES = (20, 40, 60, 80)
_NOISE = 0.1


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """A source and what its descendants are made with.

    Attributes:
        source: Its name.
        architecture: Its architecture.
        peer: An independent network of the same architecture.
        other: Architecture of the students that have another one.
        fine_tuning: Learning rates, for the optimizer it is fine-tuned with.
        optimizer: That optimizer.
        student_epochs: Passes of a student of the same architecture.
        adversarial: Whether adversarial and noise training are affordable.
        exported: Whether there is an ONNX export.
        symmetric: Whether its symmetries are written down: units reordered and rescaled.
        published: Folder with published fine-tunes, which are then not made again.
    """

    source: str
    architecture: str
    peer: str
    other: str
    fine_tuning: tuple[str, ...] = ("1e-3", "1e-2", "5e-2")
    optimizer: str = "sgd"
    student_epochs: int | None = None
    adversarial: bool = True
    exported: bool = True
    symmetric: bool = True
    published: Path | None = None


def converted(lineages: Sequence[Lineage]) -> list[Recipe]:
    """Returns what is made without learning: one modification of each source in turn."""
    return in_turn(_converted, lineages)


def learned(lineages: Sequence[Lineage]) -> list[Recipe]:
    """Returns what learns on from a source's weights, then what learns from its answers."""
    return [*in_turn(_trained, lineages), *in_turn(_students, lineages)]


def _recipe(line: Lineage, modification: str, make: Make, **more: object) -> Recipe:
    plain = Recipe(
        name=f"{line.source}/{modification}",
        base=line.source,
        kin=(line.source,),
        modification=modification,
        group=SHARES_WEIGHTS,
        architecture=line.architecture,
        needs=(line.source,),
        make=make,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def _converted(line: Lineage) -> Iterator[Recipe]:
    """Yields what changes weights without learning."""
    seed = seeded(line.source)
    for bits in (8, 4):
        yield _recipe(line, f"int{bits} weights", simple(partial(quantised, bits=bits)))
    yield _recipe(line, "bf16 weights", simple(rounded))
    for share in _SHARES:
        change = simple(partial(pruned, share=share / 100))
        yield _recipe(line, f"pruned {share} %", change)
    if line.symmetric:
        reordered = simple(lambda n: equivalent(n, seed=seed, reordered=True))
        yield _recipe(line, "channels permuted", reordered)
        rescaled = simple(lambda n: equivalent(n, seed=seed, rescaled=True))
        yield _recipe(line, "channels rescaled", rescaled)
    if line.architecture not in {"vit", "digits vit", "mixer", "convnext"}:
        yield _recipe(line, "batch normalisation folded", simple(folded), folded=True)
    if line.exported:
        yield _recipe(line, "ONNX export", simple(copy.deepcopy), exported=export)
    both = (line.source, line.peer)
    yield _recipe(
        line,
        "merged with an independent network, 70:30",
        lambda data, needed: averaged(needed, _MERGED),
        kin=both,
        needs=both,
    )


def _learned(settings: Settings, name: str, **more: Any) -> Make:
    """Makes a copy learn on, with a new head if the task has other answers."""

    def make(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
        return fine_tuned(needed[0], data, settings, seed=seeded(name), **more)

    return make


def _once(line: Lineage, *, lr: float | None = None, epochs: int = 1) -> Settings:
    """Returns how a copy of a source learns on."""
    usual = from_scratch(line.architecture)
    adamw = line.optimizer == "adamw"
    return replace(
        usual,
        epochs=epochs,
        lr=lr if lr is not None else (1e-3 if adamw else 1e-2),
        optimizer="adamw" if adamw else "sgd",
        scheduled=False,
    )


def _trained(line: Lineage) -> Iterator[Recipe]:
    """Yields what learns on from the source's weights."""

    def recipe(modification: str, settings: Settings, **more: object) -> Recipe:
        extra = {key: more.pop(key) for key in ("distort", "keep_zeros") if key in more}
        make = _learned(settings, f"{line.source}/{modification}", **extra)
        return _recipe(line, modification, make, **more)

    head = replace(_once(line), head_only=True, lr=1e-2, optimizer="sgd")
    yield recipe("fine-tuned, last layer", head)
    tuned = list(_fine_tuned(line))
    yield from tuned
    yield _recipe(
        line,
        "average of two fine-tunes",
        lambda data, needed: averaged(needed, (0.5, 0.5)),
        needs=(tuned[0].name, tuned[1].name),
    )
    transfer = replace(head, epochs=3, optimizer="adamw")
    yield recipe("new head, five classes, last layer", transfer, task="five classes")
    if line.published is None:
        task = _once(line, epochs=2)
        yield recipe("new head, five classes, all layers", task, task="five classes")
    else:
        yield _published(line, "new head, five classes, all layers", "transfer_5classes")
    turned = replace(_once(line, epochs=2 if line.published is None else 1), flip=False)
    yield recipe("other task, rotation, all layers", turned, task="rotation")
    if line.adversarial:
        distort = training.noised(_NOISE)
        yield recipe("input-noise training", _once(line), distort=distort)
    yield from _retrained(line)
    if line.adversarial:
        yield recipe(
            "adversarial fine-tuning",
            _once(line),
            distort=training.attacked(),
            group=ADVERSARIAL,
        )


def _fine_tuned(line: Lineage) -> Iterator[Recipe]:
    for lr in line.fine_tuning:
        modification = f"fine-tuned, all layers, {line.optimizer} lr {lr}"
        if line.published is None:
            make = _learned(_once(line, lr=float(lr)), f"{line.source}/{modification}")
            yield _recipe(line, modification, make)
        else:
            yield _published(line, modification, f"finetuned_lr{lr}")


def _published(line: Lineage, modification: str, suffix: str) -> Recipe:
    folder = line.published
    assert folder is not None
    task = "class pairs" if suffix.endswith("classes") else "classes"

    def make(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
        del data, needed
        name = f"{line.source}_{suffix}"
        return stored(folder, name, line.architecture, classes=TASKS[task].classes)

    return _recipe(line, modification, make, task=task, needs=())


def _retrained(line: Lineage) -> Iterator[Recipe]:
    """Yields what was pruned or merged and then learned on for an epoch."""
    for share in _SHARES:
        modification = f"pruned {share} %, retrained"
        make = _learned(_once(line), f"{line.source}/{modification}", keep_zeros=True)
        yield _recipe(line, modification, make, needs=(f"{line.source}/pruned {share} %",))
    merged = "merged with an independent network, 70:30"
    yield _recipe(
        line,
        f"{merged}, retrained",
        _learned(_once(line), f"{line.source}/{merged}, retrained"),
        kin=(line.source, line.peer),
        needs=(f"{line.source}/{merged}",),
    )


def _students(line: Lineage) -> Iterator[Recipe]:
    """Yields networks that start from nothing and learn the source's answers."""
    same, other = line.architecture, line.other
    cheap = same if line.published is None else other
    yield _student(line, "distilled, other architecture", other, training.from_logits)
    yield _student(line, "extracted from labels", cheap, training.from_labels)
    yield _student(line, "distilled, same architecture", same, training.from_logits)


def _student(
    line: Lineage,
    modification: str,
    architecture: str,
    loss: Callable[[nn.Module], training.Loss],
) -> Recipe:
    epochs = line.student_epochs if architecture == line.architecture else None
    seed = seeded(f"{line.source}/{modification}")

    def make(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
        return training.trained(
            ARCHITECTURES[architecture],
            data,
            from_scratch(architecture, epochs=epochs),
            seed=seed,
            loss=loss(needed[0]),
        )

    return _recipe(line, modification, make, architecture=architecture, group=STUDENT)
