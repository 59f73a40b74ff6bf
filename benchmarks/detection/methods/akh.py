"""AKH: agreement on the images that the source itself gets wrong.

The Anna Karenina heuristic of Godinot et al., "Queries, Representation & Detection: The Next
100 Model Fingerprinting Schemes", AAAI 2025: networks that are right are alike, each wrong
one is wrong in its own way. A suspect that repeats the source's mistakes, label by label, is
probably a copy. Hard labels suffice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.detection.methods.base import LabelledImages, QueryMethod, correctly_named

__all__ = ["Akh", "label_agreement"]


class Akh(QueryMethod):
    """Agreement of labels on the source's mistakes.

    The paper draws the mistakes from held-out data. Where the test images hold too few of
    them, those among the training images follow (the note says how many): a good network
    makes few, so the largest budgets may be scored on fewer images than they allow, and a
    source without any mistake gets no score. Suspects with another number of classes get no
    answer: their labels mean something else.
    """

    name = "AKH"

    def choose(
        self, network: nn.Module, data: LabelledImages, count: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.uint8], str]:
        """Returns misclassified test images in random order, then training images if needed."""
        test = _mistakes(network, data.test_images, data.test_labels, generator)[:count]
        missing = count - len(test)
        if not missing:
            return test, ""
        train = _mistakes(network, data.train_images, data.train_labels, generator)[:missing]
        note = f"{len(test)} misclassified test images, then {len(train)} training images"
        return np.concatenate([test, train]), note

    def compare(self, source: Tensor, suspect: Tensor) -> float | None:
        """Returns the share of images given the same label, None for other label spaces."""
        return label_agreement(source, suspect)


def label_agreement(source: Tensor, suspect: Tensor) -> float | None:
    """Returns the share of equal labels; None where the numbers of classes differ.

    Args:
        source: Logits of the source, shape ``(b, classes)``.
        suspect: Logits of the suspect on the same images, shape ``(b, classes')``.
    """
    if source.shape[1] != suspect.shape[1]:
        return None
    return float((source.argmax(dim=1) == suspect.argmax(dim=1)).double().mean())


def _mistakes(
    network: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer[Any]],
    generator: np.random.Generator,
) -> NDArray[np.uint8]:
    wrong = np.flatnonzero(~correctly_named(network, images, labels))
    mistakes: NDArray[np.uint8] = images[generator.permutation(wrong)]
    return mistakes
