"""What a detection method is, and the part that all black-box baselines share.

A method prepares a list of queries on the source network once, then asks a suspect the first
``b`` of them and compares the answers:

    prepared = method.prepare(source, data, queries=100, seed=0)
    method.scores(prepared, suspect, budgets=(6, 12, 24, 48, 100))   # {6: 0.83, 12: 0.91, ...}

A budget is the number of images the suspect is asked. What the source is asked is free, since
its owner asks it. Queries are 8-bit images, as a real service takes them: no method gains
from pixels that no image file can hold.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fingerprint.lab.training import pixels

__all__ = [
    "BUDGETS",
    "LabelledImages",
    "Method",
    "Prepared",
    "QueryMethod",
    "answers",
    "correctly_named",
    "eight_bit",
]

BUDGETS = (6, 12, 24, 48, 100)
"""Numbers of queries the benchmark compares."""

_BATCH = 128


class LabelledImages(Protocol):
    """What methods need of a data set; images are uint8 ``(N, C, H, W)``, labels ``(N,)``."""

    @property
    def train_images(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def train_labels(self) -> NDArray[np.integer[Any]]: ...  # noqa: D102
    @property
    def test_images(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def test_labels(self) -> NDArray[np.integer[Any]]: ...  # noqa: D102


class Method(Protocol):
    """A way to tell whether a suspect descends from a source."""

    @property
    def name(self) -> str:
        """What the results call it."""

    def prepare(
        self, network: nn.Module, data: LabelledImages, *, queries: int = 100, seed: int = 0
    ) -> Any:
        """Makes the source's fingerprint: at most ``queries`` images to ask a suspect."""

    def scores(
        self, prepared: Any, suspect: nn.Module, budgets: Sequence[int] = BUDGETS
    ) -> dict[int, float | None]:
        """Returns a score per budget: higher means more likely derived, None no answer."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """The queries of a black-box method and what the source answers.

    Attributes:
        queries: uint8, shape ``(n, C, H, W)``, best first; ``n`` may be below what was asked
            for where the method finds no more.
        answers: The source's logits on them, float32, shape ``(n, classes)``.
        note: What a reader of the results should know about these queries; may be empty.
    """

    queries: NDArray[np.uint8]
    answers: Tensor
    note: str = ""


class QueryMethod(ABC):
    """A black-box method: subclasses choose the queries and compare the answers."""

    name: str

    @abstractmethod
    def choose(
        self, network: nn.Module, data: LabelledImages, count: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.uint8], str]:
        """Returns at most ``count`` queries ``(n, C, H, W)`` and a note on them."""

    @abstractmethod
    def compare(self, source: Tensor, suspect: Tensor) -> float | None:
        """Scores logits ``(b, classes)`` of the source against ``(b, classes')``."""

    def prepare(
        self, network: nn.Module, data: LabelledImages, *, queries: int = 100, seed: int = 0
    ) -> Prepared:
        """Chooses queries on the source and records its answers.

        Args:
            network: The source, in evaluation mode, differentiable: its owner has the weights.
            data: The source's own data.
            queries: The largest number of images a suspect may be asked.
            seed: Decides every random choice.

        Returns:
            The queries and the source's answers.
        """
        images, note = self.choose(network, data, queries, np.random.default_rng(seed))
        return Prepared(queries=images, answers=answers(network, images), note=note)

    def scores(
        self, prepared: Prepared, suspect: nn.Module, budgets: Sequence[int] = BUDGETS
    ) -> dict[int, float | None]:
        """Asks the suspect once, then scores every budget on its first answers.

        Args:
            prepared: What ``prepare`` returned for the source.
            suspect: Any module taking pixels in [0, 1]; needs no gradients.
            budgets: Numbers of queries to score.

        Returns:
            A score per budget; None where the method cannot answer. A budget above the number
            of queries that were found is scored on those.
        """
        asked = prepared.queries[: max(budgets)]
        if not len(asked):
            return dict.fromkeys(budgets)
        told = answers(suspect, asked)
        return {
            budget: _finite(self.compare(prepared.answers[:budget], told[:budget]))
            if budget > 0
            else None
            for budget in budgets
        }


def eight_bit(images: Tensor) -> NDArray[np.uint8]:
    """Returns pixels ``(N, C, H, W)`` in [0, 1], rounded to 8-bit images."""
    return (images.detach() * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def answers(network: nn.Module, images: NDArray[np.uint8]) -> Tensor:
    """Asks a network every image once.

    Args:
        network: Takes pixels, gives logits; gradients are not needed.
        images: uint8, shape ``(N, C, H, W)``.

    Returns:
        float32 logits, shape ``(N, classes)``; ``(0, 0)`` for no image.
    """
    if not len(images):
        return torch.zeros(0, 0)
    with torch.no_grad():
        return torch.cat([network(part) for part in torch.split(pixels(images), _BATCH)]).float()


def correctly_named(
    network: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.integer[Any]]
) -> NDArray[np.bool_]:
    """Returns which of the images ``(N, C, H, W)`` a network names by their label, ``(N,)``."""
    named = answers(network, images).argmax(dim=1).numpy()
    right: NDArray[np.bool_] = named == labels
    return right


def _finite(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None
