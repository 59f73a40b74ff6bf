"""Whether a network's answers can say anything: they vary, they are finite, they repeat.

check_informative(model)     # at registration; raises NoInformation
require_deterministic(model)
deterministic(model)         # False for dropout left on, random crops, sampled layers
"""

from __future__ import annotations

import torch
from torch import Tensor

from fingerprint.errors import IncompatibleModel, NoInformation
from fingerprint.formats.tensors import non_finite
from fingerprint.network.inputs import sample_inputs
from fingerprint.network.model import Model
from fingerprint.precision import differ
from fingerprint.text import clean

__all__ = [
    "check_informative",
    "deterministic",
    "require_deterministic",
    "require_finite_weights",
]

_ROUNDING = 1e-5
"""Share of the largest answer that is still rounding, where its dtype explains no more."""


def check_informative(model: Model) -> None:
    """Asks a few very different inputs and requires different, finite answers.

    Raises:
        NoInformation: The weights hold NaN or infinity, the answers do, or they are all equal
            but for rounding.
    """
    require_finite_weights(model, "such a network has no answers to compare")
    answers = _answers(model)  # (4, classes)
    if not bool(torch.isfinite(answers).all()):
        raise NoInformation("the network answers NaN or infinity: there is nothing to compare")
    # In double precision a common shift leaves no rounding of its own, not even near overflow.
    wide = answers.double()
    shift = (wide - wide[:1]).mean(dim=1, keepdim=True)
    if not differ(answers, answers[:1], shift=shift):
        raise NoInformation(
            "the network gives the same answer to very different inputs: it is dead or constant"
        )


def require_finite_weights(model: Model, so: str) -> None:
    """Refuses weights that are no numbers.

    Args:
        model: The network.
        so: What follows from that, for the message.

    Raises:
        NoInformation: The weights hold NaN or infinity.
    """
    bad = non_finite(model.module.state_dict())
    if bad:
        raise NoInformation(
            f"the weights hold NaN or infinity in '{clean(bad[0])}' ({len(bad)} tensors in "
            f"all): {so}"
        )


def deterministic(model: Model) -> bool:
    """Returns whether the same inputs get the same answers twice, alone and in a batch.

    Alone, other kernels are used than in a batch, and a hundred times as much is rounding.
    """
    inputs = _inputs(model)
    with torch.no_grad():
        first, second = model(inputs), model(inputs)
        single = torch.cat([model(one[None]) for one in inputs])
    again = differ(first, second, tolerance=_ROUNDING)
    return not again and not differ(first, single, tolerance=100 * _ROUNDING)


def require_deterministic(model: Model) -> None:
    """Refuses a network that answers at random: no later answer could be compared with a first.

    Raises:
        IncompatibleModel: The same inputs get different answers.
    """
    if not deterministic(model):
        raise IncompatibleModel(
            "the network answers the same inputs differently each time (dropout or sampling left "
            "on?): expected answers that repeat; switch that off in evaluation mode"
        )


def _inputs(model: Model) -> Tensor:
    """Returns the darkest, the brightest and two noisy inputs, shape ``(4, *input.shape)``."""
    noise = sample_inputs(model.input, 2)
    low, high = model.input.bounds
    plain = torch.stack([torch.full_like(noise[0], low), torch.full_like(noise[0], high)])
    return torch.cat([plain, noise]).to(device=model.device, dtype=model.dtype)


def _answers(model: Model) -> Tensor:
    with torch.no_grad():
        return model(_inputs(model)).cpu()
