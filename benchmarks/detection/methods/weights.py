"""White-box weight cosine: how parallel the weights of two networks are.

The plainest use of open weights: all learned tensors that agree in name and shape, written
one after the other, and the cosine of the two long vectors. It costs no query. Permuted
channels, other names and formats without named weights are out of its reach.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.detection.methods.base import LabelledImages

__all__ = ["WeightCosine"]


class WeightCosine:
    """Cosine of the concatenated weights; the only budget it knows is 0.

    Running statistics and constants are no weights and stay out: the same normalisation of
    pixels in two networks says nothing about them.
    """

    name = "weight cosine"

    def prepare(
        self, network: nn.Module, data: LabelledImages, *, queries: int = 0, seed: int = 0
    ) -> dict[str, Tensor]:
        """Returns a copy of the source's parameters by name; nothing is asked or drawn."""
        del data, queries, seed
        return _parameters(network)

    def scores(
        self, prepared: dict[str, Tensor], suspect: nn.Module, budgets: Sequence[int] = (0,)
    ) -> dict[int, float | None]:
        """Compares a suspect's weights; it is not run.

        Args:
            prepared: The source's parameters.
            suspect: Any module; None is the answer where no parameter's name and shape match.
            budgets: Ignored: the answer is the same without any query.

        Returns:
            One score, for budget 0.
        """
        del budgets
        return {0: _cosine(prepared, _parameters(suspect))}


def _parameters(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def _cosine(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float | None:
    """Returns the cosine over the tensors in common, None without any or for zero weights."""
    common = [n for n in ours if n in theirs and ours[n].shape == theirs[n].shape]
    if not common:
        return None
    one, other = (
        torch.cat([tensors[name].double().flatten() for name in common])
        for tensors in (ours, theirs)
    )
    lengths = one.norm() * other.norm()
    cosine = float(one @ other / lengths)
    return cosine if bool(torch.isfinite(lengths)) and float(lengths) > 0 else None
