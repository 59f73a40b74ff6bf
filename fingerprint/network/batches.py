"""Whether a network answers an input the same way whatever else is in the batch.

Batch norm left in training mode, or without running statistics, answers differently in other
company; a network written for a fixed batch answers no other. Neither has an answer of its own
to an input, so neither can be asked here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fingerprint.errors import IncompatibleModel
from fingerprint.network.model import run_module
from fingerprint.text import clean, first_line

__all__ = ["check_batches", "require_any_batch"]

_OTHER_SIZES = (1, 3, 4, 8, 16, 32, 64)
_ROUNDING = 1e-4  # of the largest answer, and ...
_SHARE = 1e-2  # ... of how far answers differ between inputs


def check_batches(
    module: nn.Module, inputs: Tensor, first: Tensor, take: Callable[[Any], Any]
) -> tuple[str, ...]:
    """Asks the same inputs alone, and in other company.

    Args:
        module: The network, in evaluation mode.
        inputs: Three different inputs as its first layer takes them.
        first: Its answers to the first two, asked together.
        take: Finds the answers in what the network returns.

    Returns:
        A warning if the network answers at random; nothing otherwise.

    Raises:
        IncompatibleModel: It takes some numbers of inputs only, or its answers depend on what
            else is in the batch.
    """

    def ask(count: int, order: Tensor) -> Tensor:
        try:
            with torch.no_grad():
                answers = take(run_module(module, order))
        except Exception as error:
            # The network's own code: it took two inputs, so the number is what it minds.
            raise IncompatibleModel(
                f"the network takes 2 inputs at a time, but not {count}: {first_line(error)}"
                f"{_culprit(module)}"
            ) from error
        if not isinstance(answers, Tensor) or len(answers) != count:
            raise IncompatibleModel(
                f"the network does not answer {count} inputs with {count} rows; {_ANY}"
            )
        return answers

    alone = ask(1, inputs[:1])[0]
    among = ask(3, inputs[[1, 0, 2]])[1]
    scale = _ROUNDING * _size(first) + _SHARE * _size(first[0] - first[1])
    if _size(alone - first[0]) <= scale and _size(among - first[0]) <= scale:
        return ()
    again = ask(2, inputs[:2])
    if _size(again - first) > min(scale, _ROUNDING * _size(first)):
        return (
            "the network answers the same inputs differently each time (dropout or sampling "
            "left on); what can be told from such answers is limited",
        )
    raise IncompatibleModel(
        "the network's answer to an input depends on what else is in the batch"
        f"{_culprit(module)}; {_ANY}"
    )


def require_any_batch(module: nn.Module, single: Tensor) -> None:
    """Says so where a network that did not take two inputs takes another number of them.

    Args:
        module: The network.
        single: One input, shape ``(1, ...)``.

    Raises:
        IncompatibleModel: It does.
    """
    for size in _OTHER_SIZES:
        try:
            with torch.no_grad():
                run_module(module, single.repeat(size, *[1] * (single.ndim - 1)))
        except Exception:
            # Any failure means only that this is not the number either.
            continue
        raise IncompatibleModel(f"the network takes {size} inputs at a time, but not 2; {_ANY}")


_ANY = "a network that takes any number, each for itself, is needed"


def _size(values: Tensor) -> float:
    """Largest finite magnitude; 0 where there is none."""
    return float(torch.nan_to_num(values.detach().double(), 0.0, 0.0, 0.0).abs().max())


def _culprit(module: nn.Module) -> str:
    """Names the first layer that normalises over the batch."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            if layer.running_mean is None:
                return f" (batch norm '{clean(name)}' keeps no running statistics)"
            if layer.training:
                return f" (batch norm '{clean(name)}' stays in training mode)"
    return ""
