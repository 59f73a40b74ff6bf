"""A network's answers as logits, whatever it answers with: what solvers and distances work on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fingerprint.network.model import Model

__all__ = ["logits_of"]


def logits_of(model: Model) -> Callable[[Tensor], Tensor]:
    """Returns the model as a function to logits, up to a constant.

    Probabilities become their logarithms, which softmax maps back to them (Lemma 1.3).
    """
    if model.output.kind != "probabilities":
        return model
    tiny = torch.finfo(torch.float32).tiny
    return lambda x: model(x).clamp_min(tiny).log()
