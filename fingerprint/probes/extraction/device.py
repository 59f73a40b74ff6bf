"""What a fingerprint owes to where it was taken: the device, and how far answers differ there."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fingerprint.distances import answer_distance, answer_size
from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.precision import Precision

__all__ = ["device_facts", "tolerance"]


def device_facts(model: Model) -> dict[str, Any]:
    """Names the device, the version of torch and the precision that the model ran in."""
    device = model.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"device": name, "torch": torch.__version__, "dtype": str(model.dtype)}


def tolerance(model: Model, inputs: NDArray[Any]) -> float:
    """How much answers differ for reasons that are no change of the model.

    Measured as the largest relative difference between answers given alone and in a batch, and
    taken ten times, for other processors and libraries.
    """
    inputs = inputs[:12]
    batched, alone = run(model, inputs), run(model, inputs, batch=1)
    kind = model.output.kind
    size = answer_size(batched, kind)
    difference = answer_distance(batched, alone, kind)
    explained = difference <= Precision(kind).float_distance(batched)
    with np.errstate(divide="ignore"):
        relative = float((difference[~explained] / size[~explained]).max(initial=0.0))
    return float(np.clip(10 * relative, 1e-4, 5e-3))
