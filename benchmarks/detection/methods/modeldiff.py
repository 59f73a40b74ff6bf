"""ModelDiff: by how much a network's answers move between an image and its adversarial variant.

Li et al., "ModelDiff: Testing-Based DNN Similarity Comparison for Model Reuse Detection",
ISSTA 2021. The decision distance vector (DDV) of a network holds, for each pair of a seed and
its variant, the cosine distance of the two answers. Two networks are as similar as the cosine
of their DDVs. Distances within one network need no common label space.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.detection.methods.base import LabelledImages, QueryMethod, eight_bit
from fingerprint.lab.training import pixels

__all__ = ["ModelDiff", "decision_distances", "objective"]


class ModelDiff(QueryMethod):
    """Cosine similarity of decision distance vectors.

    Variants maximise the paper's score on the source: distance from the seed's answer plus
    diversity among the variants' answers. The owner has the gradients, so the search is
    projected gradient ascent; the paper's random mutations serve the same score. The radius is
    the best of 2/255 to 64/255 at telling fine-tuned CIFAR-10 ResNets from independent ones.

    Args:
        radius: Largest change of a pixel, in units of the pixel range.
        steps: Steps of the ascent.
        diversity: Weight of the diversity in the score.
    """

    name = "ModelDiff"

    def __init__(
        self, *, radius: float = 48 / 255, steps: int = 20, diversity: float = 1.0
    ) -> None:
        self.radius = radius
        self.steps = steps
        self.diversity = diversity

    def choose(
        self, network: nn.Module, data: LabelledImages, count: int, generator: np.random.Generator
    ) -> tuple[NDArray[np.uint8], str]:
        """Returns seed, variant, seed, variant, ...: the first ``b`` are ``b // 2`` pairs."""
        drawn = generator.choice(len(data.train_images), count // 2, replace=False)
        seeds = data.train_images[drawn]
        noise = torch.from_numpy(generator.uniform(-1, 1, seeds.shape)).float()
        variants = eight_bit(self._ascend(network, pixels(seeds), noise))
        return np.stack([seeds, variants], axis=1).reshape(-1, *seeds.shape[1:]), ""

    def compare(self, source: Tensor, suspect: Tensor) -> float | None:
        """Returns the cosine of the two vectors; 0 where a suspect's answers never move."""
        if len(source) < 2:
            return None
        similarity = functional.cosine_similarity(
            decision_distances(source), decision_distances(suspect), dim=0
        )
        return float(similarity)

    def _ascend(self, network: nn.Module, seeds: Tensor, noise: Tensor) -> Tensor:
        """Returns variants of seeds ``(N, C, H, W)`` within the radius and the pixel range."""
        with torch.no_grad():
            answers = network(seeds)
        # A start on the seed itself has no gradient: the distance is smallest there.
        change, step = self.radius * noise, 2.5 * self.radius / self.steps
        for _ in range(self.steps):
            x = (seeds + change).clamp(0, 1).requires_grad_()
            score = objective(answers, network(x), self.diversity)
            (gradient,) = torch.autograd.grad(score, x)
            change = (change + step * gradient.sign()).clamp(-self.radius, self.radius)
        return (seeds + change).clamp(0, 1)


def decision_distances(logits: Tensor) -> Tensor:
    """Returns the DDV: cosine distances of answers 0 and 1, 2 and 3, ...

    Args:
        logits: Shape ``(b, classes)``; a last one without a partner is left out.

    Returns:
        float64, shape ``(b // 2,)``.
    """
    pairs = logits[: len(logits) // 2 * 2].double()
    return 1 - functional.cosine_similarity(pairs[0::2], pairs[1::2], dim=1)


def objective(seeds: Tensor, variants: Tensor, diversity: float) -> Tensor:
    """Returns the score of variants: mean distance to their seeds plus weighted diversity.

    Args:
        seeds: Logits on the seeds, shape ``(N, classes)``.
        variants: Logits on the variants, shape ``(N, classes)``.
        diversity: Weight of the mean distance between two variants' logits.
    """
    distance = 1 - functional.cosine_similarity(seeds, variants, dim=1).mean()
    rows = functional.normalize(variants, dim=1)
    return distance + diversity * (1 - (rows @ rows.T).mean())
