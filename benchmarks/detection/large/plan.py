"""The zoo at 224 pixels, in order of importance: whatever the time allows is worth measuring.

Sources are EfficientNet-Lite0, 1 and 2 with their ImageNet weights. What learns on learns from
CIFAR-10 enlarged, with a new head: there are not enough photographs here to learn from.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn

from benchmarks.detection.export import export_quantised
from benchmarks.detection.large.networks import IMAGENET, learned, published, untrained
from benchmarks.detection.recipe import (
    ADVERSARIAL,
    BASE,
    SHARES_WEIGHTS,
    STUDENT,
    Make,
    Recipe,
    base_recipe,
    in_turn,
    seeded,
    simple,
)
from benchmarks.efficientnet_lite import enlarged
from fingerprint.lab import modifications as changes
from fingerprint.lab import training
from fingerprint.lab.data import CLASSES, TASKS, Data
from fingerprint.lab.networks import head
from fingerprint.lab.training import Settings

__all__ = ["learns", "plan"]

_RATES = ("2e-3", "1e-2", "3e-2")
"""Of SGD, for all layers."""
_MIDDLE = "fine-tuned, all layers, SGD 1e-2"
"""The fine-tune that others descend from or learn from."""
_HALF = "float16 weights"
_CALIBRATED = 64
"""Pictures that fix the ranges of ONNX Runtime's static quantisation."""
_TUNED = Settings(epochs=3, lr=1e-2, optimizer="sgd", scheduled=False)
_SCRATCH = Settings(epochs=12, lr=3e-3, shift=3, flip=True)
_STARTED = Settings(epochs=4, lr=1e-2, optimizer="sgd", scheduled=False)
_ATTACK = training.attacked(eps=4 / 255, steps=3)
_OTHERS = (
    ("mobilenetv2_050", 0),
    ("lite0", 0),
    ("regnetx_002", 0),
    ("mobilenetv2_050", 1),
    ("convnext_atto", 0),
    ("lite0", 1),
    ("vit_tiny_patch16_224", 0),
)
"""Architectures of the networks that are trained from scratch, and their numbers."""


@dataclass(frozen=True)
class _Line:
    """A source, and how much is made of it.

    Attributes:
        data: CIFAR-10.
        device: Where networks learn.
        version: Of EfficientNet-Lite.
    """

    data: Data
    device: str
    version: int

    @property
    def name(self) -> str:
        """Of the source, and of its architecture."""
        return f"lite{self.version}"

    @property
    def whole(self) -> bool:
        """Whether every modification is made of it, or a choice."""
        return self.version == 0

    def recipe(self, modification: str, make: Make, **more: Any) -> Recipe:
        """Returns the recipe of a descendant; of the source itself where ``needs`` is not given."""
        plain = Recipe(
            name=f"{self.name}/{modification}",
            base=self.name,
            kin=(self.name,),
            modification=modification,
            group=SHARES_WEIGHTS,
            architecture=self.name,
            task=IMAGENET,
            needs=(self.name,),
            make=make,
        )
        return replace(plain, **more)

    def tuned(
        self,
        modification: str,
        settings: Settings = _TUNED,
        *,
        task: str = "classes",
        needs: str | None = None,
        **more: Any,
    ) -> Recipe:
        """Returns the recipe of what learns on, from the source or another descendant."""
        kept = {key: more.pop(key) for key in ("distort", "keep_zeros") if key in more}

        def make(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
            started = self.with_head(needed[0], task)
            seed = seeded(f"{self.name}/{modification}")
            return learned(started, data, settings, seed=seed, device=self.device, **kept)

        name = self.name if needs is None else f"{self.name}/{needs}"
        return self.recipe(modification, make, task=task, needs=(name,), half=True, **more)

    def with_head(self, network: nn.Module, task: str) -> nn.Module:
        """Gives a network the head of a task, the same one to all of the line."""
        classes = TASKS[task].classes
        if head(network).out_features == classes:
            return network
        return changes.with_head(network, classes, seed=seeded(f"{self.name}/{task}"))


def plan(data: Data, device: str = "cpu") -> tuple[Recipe, ...]:
    """Returns every recipe: sources, what is made of them, networks trained from scratch.

    Args:
        data: CIFAR-10, what everybody learns from.
        device: Where networks learn.
    """
    lines = [_Line(data, device, version) for version in range(3)]
    sources = [_source(line) for line in lines]
    others = [_from_scratch(*other, device=device) for other in _OTHERS]
    mixed = itertools.zip_longest(in_turn(_tuned, lines), others)
    return (
        *sources,
        *in_turn(_converted, lines),
        *(recipe for pair in mixed for recipe in pair if recipe is not None),
        *_students(lines[0]),
    )


def learns(recipe: Recipe) -> bool:
    """Returns whether making it takes training, which is stored as float16."""
    return recipe.half and recipe.modification != _HALF


def _source(line: _Line) -> Recipe:
    made = line.recipe("", lambda data, needed: published(line.version))
    return replace(made, name=line.name, modification="none", group=BASE, needs=(), source=True)


def _converted(line: _Line) -> Iterator[Recipe]:
    """Yields what changes weights without learning."""
    half = simple(lambda network: network.half().float())
    yield line.recipe(_HALF, half, half=True)
    yield line.recipe("int8 weights", simple(changes.quantised))
    pictures = enlarged(training.pixels(line.data.train_images[:_CALIBRATED]))
    static = partial(export_quantised, pictures=pictures)
    yield line.recipe("ONNX Runtime, static int8", simple(copy.deepcopy), exported=static)
    if line.whole:
        dynamic = export_quantised
        yield line.recipe("ONNX Runtime, dynamic int8", simple(copy.deepcopy), exported=dynamic)
    for share in (10, 30, 50) if line.whole else (30, 50):
        globally = partial(changes.pruned, share=share / 100)
        yield line.recipe(f"pruned {share} %, globally", simple(globally))
        smallest = partial(changes.without_smallest, share=share / 100)
        in_each = partial(changes.with_weights, change=smallest)
        yield line.recipe(f"pruned {share} %, in each layer", simple(in_each))


def _tuned(line: _Line) -> Iterator[Recipe]:
    """Yields what learns on from the source's weights, the same list but shorter for later ones."""
    yield line.tuned(_MIDDLE)
    yield line.tuned("other task, rotation, all layers", task="rotation")
    yield line.tuned(
        "pruned 50 %, globally, retrained", needs="pruned 50 %, globally", keep_zeros=True
    )
    if line.version == 2:
        return
    yield line.tuned("fine-tuned, last layer", replace(_TUNED, head_only=True))
    if line.whole:
        others = [f"fine-tuned, all layers, SGD {rate}" for rate in _RATES]
        for rate, modification in zip(_RATES, others, strict=True):
            if modification != _MIDDLE:
                yield line.tuned(modification, replace(_TUNED, lr=float(rate)))
        yield line.recipe(
            "average of two fine-tunes",
            lambda data, needed: changes.averaged(needed, (0.5, 0.5)),
            task="classes",
            needs=(f"{line.name}/{others[0]}", f"{line.name}/{_MIDDLE}"),
        )
        yield line.tuned("fine-tune, other task, rotation", task="rotation", needs=_MIDDLE)
        yield line.tuned(f"{_MIDDLE}, again")
        yield _recovered(line)
        copies: dict[str, Callable[[nn.Module], nn.Module]] = {
            "int8 weights": changes.quantised,
            "30 % pruned": changes.pruned,
        }
        for copied, change in copies.items():
            yield line.recipe(
                f"fine-tune, {copied}",
                simple(change),
                task="classes",
                needs=(f"{line.name}/{_MIDDLE}",),
            )
    yield line.tuned("adversarial fine-tuning", distort=_ATTACK, group=ADVERSARIAL)
    if line.whole:
        each = "pruned 50 %, in each layer"
        yield line.tuned(f"{each}, retrained", needs=each, keep_zeros=True)


def _recovered(line: _Line) -> Recipe:
    """Returns what was pruned and then learned the source's thousand answers again."""
    before = "pruned 50 %, globally"
    modification = f"{before}, retrained on the source's answers"

    def make(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
        del data
        return learned(
            needed[0],
            line.data,
            _TUNED,
            seed=seeded(f"{line.name}/{modification}"),
            device=line.device,
            loss=training.from_logits(_moved(needed[1], line.device)),
            keep_zeros=True,
        )

    return line.recipe(modification, make, needs=(f"{line.name}/{before}", line.name), half=True)


def _students(line: _Line) -> Iterator[Recipe]:
    """Yields what learns the answers of a fine-tune: from nothing, or from another source."""
    teacher = f"{line.name}/{_MIDDLE}"
    for modification, architecture, loss in (
        ("distilled, other architecture", "mobilenetv2_050", training.from_logits),
        ("distilled, same architecture", line.name, training.from_logits),
        ("extracted from labels", "mobilenetv2_050", training.from_labels),
    ):
        make = _student(modification, architecture, loss, line.device)
        more = {"group": STUDENT, "architecture": architecture, "half": True, "task": "classes"}
        yield line.recipe(modification, make, needs=(teacher,), **more)
    other = _Line(line.data, line.device, 1)
    modification = f"distilled from a fine-tune of {line.name}"

    def taught(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
        return learned(
            other.with_head(needed[0], "classes"),
            data,
            _STARTED,
            seed=seeded(modification),
            device=line.device,
            loss=training.from_logits(_moved(needed[1], line.device)),
        )

    kin, needs = (other.name, line.name), (other.name, teacher)
    yield other.recipe(
        modification, taught, kin=kin, needs=needs, half=True, task="classes", teacher=line.name
    )


def _student(
    modification: str, architecture: str, loss: Callable[[nn.Module], training.Loss], device: str
) -> Make:
    def make(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
        seed = seeded(modification)
        pupil = _beginner(architecture, seed)
        wanted = loss(_moved(needed[0], device))
        return learned(pupil, data, _SCRATCH, seed=seed, device=device, loss=wanted)

    return make


def _moved(network: nn.Module, device: str) -> nn.Module:
    return copy.deepcopy(network).to(device)


def _beginner(architecture: str, seed: int) -> nn.Module:
    return training.untrained(partial(untrained, architecture, classes=CLASSES), seed)


def _from_scratch(architecture: str, number: int, *, device: str) -> Recipe:
    name = f"{architecture} from scratch {number}"

    def make(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
        del needed
        seed = seeded(name)
        return learned(_beginner(architecture, seed), data, _SCRATCH, seed=seed, device=device)

    return base_recipe(name, architecture, make, half=True)
