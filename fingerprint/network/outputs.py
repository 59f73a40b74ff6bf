"""Finds the logits in what a network returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.network.spec import OutputSpec
from fingerprint.text import listed

__all__ = ["LOGITS", "SINGLE", "as_rows", "describe_output", "pick_output", "take"]

SINGLE = (
    "the network gives one number for each input, which is compared as the two logits (0, z): "
    "differences count, for a logit and for a number alike; so little a probe tells fewer "
    "strangers apart, and more verdicts stay inconclusive"
)
"""What is said of a network with one output."""

LOGITS = ("logits", "out", "output", "pred", "preds", "predictions", "scores")
"""What a network may call its logits."""


def pick_output(answers: Any, output: str | int | None) -> str | int | None:
    """Decides which field or index of a network's answer holds the logits.

    Args:
        answers: What the network returned.
        output: What the caller asked for, a name or an index; None to find it.

    Returns:
        None for a plain tensor, else a name or an index.

    Raises:
        UsageError: The caller's choice does not exist, or there are several and none is named
            as logits are.
        IncompatibleModel: There is no tensor in the answer.
    """
    if isinstance(answers, Tensor):
        if output not in (None, 0, "0"):
            raise UsageError(f"output: the network returns one tensor, it has no '{output}'")
        return None
    fields = _fields(answers)
    if not any(isinstance(value, Tensor) for value in fields.values()):
        inner = f" of {type(next(iter(fields.values()))).__name__}" if fields else ""
        raise IncompatibleModel(
            "expected the network to return a tensor of logits, got "
            f"{type(answers).__name__}{inner}"
        )
    if output is not None:
        wanted = _as_key(output, fields)
        if wanted is None or not isinstance(fields[wanted], Tensor):
            raise UsageError(f"output: '{output}' is not in {listed(map(str, fields), shown=8)}")
        return wanted
    return _find(fields)


def take(answers: Any, pick: str | int | None) -> Any:
    """Returns the picked part of a network's answer."""
    if pick is None:
        return answers
    return _fields(answers)[pick]


def as_rows(answers: Tensor) -> Tensor:
    """Returns answers of one number an input as rows of two logits; others as they are.

    A single logit ``z`` says of two classes what the logits ``(0, z)`` say, and the distance of
    two such rows is the difference of their numbers up to a constant factor.

    Args:
        answers: Shape ``(N, classes)``, ``(N, 1)`` or ``(N,)``.
    """
    if answers.ndim > 1 and answers.shape[1:] != (1,):
        return answers
    column = answers.reshape(-1, 1)
    return torch.cat([torch.zeros_like(column), column], dim=1)


def describe_output(answers: Any, batch: int) -> OutputSpec:
    """Checks that answers are one row of class scores per input, and says what they are.

    Args:
        answers: What was picked, expected to be a tensor of shape ``(batch, classes)``, or
            ``(batch, 1)`` or ``(batch,)`` of a network with one output.
        batch: How many inputs were asked.

    Raises:
        IncompatibleModel: They are something else; the message says what.
    """
    if not isinstance(answers, Tensor):
        raise IncompatibleModel(
            f"expected the network to return a tensor of logits, got {type(answers).__name__}"
        )
    shape = "x".join(map(str, answers.shape)) or "a scalar"
    if answers.ndim == 0 or (answers.ndim == 2 and answers.shape[1] == 0):
        raise IncompatibleModel(
            f"expected logits or one number per input, got {shape} for {batch} inputs"
        )
    if answers.ndim > 2:
        raise IncompatibleModel(
            f"expected one row of logits per input, got {shape} for {batch} inputs "
            "(a map or a sequence); choose another --output or a network with a pooled head"
        )
    if answers.shape[0] != batch:
        raise IncompatibleModel(f"expected {batch} rows of logits for {batch} inputs, got {shape}")
    if not answers.is_floating_point():
        raise IncompatibleModel(
            f"expected real-valued logits, got {str(answers.dtype).removeprefix('torch.')}; "
            "remove the arg max from the network"
        )
    answers = as_rows(answers)
    classes = int(answers.shape[1])
    if _sum_to_one(answers):
        return OutputSpec(classes=classes, kind="probabilities")
    return OutputSpec(classes=classes)


def _fields(answers: Any) -> dict[str | int, Any]:
    """Returns the parts of a dict, dataclass, named tuple, tuple or list by name or index."""
    if isinstance(answers, Mapping):
        return {str(key): value for key, value in answers.items()}
    if dataclasses.is_dataclass(answers) and not isinstance(answers, type):
        return {field.name: getattr(answers, field.name) for field in dataclasses.fields(answers)}
    if isinstance(answers, tuple) and hasattr(answers, "_fields"):
        return dict(zip(answers._fields, answers, strict=True))
    if isinstance(answers, (tuple, list)):
        return dict(enumerate(answers))
    return {}


def _as_key(output: str | int, fields: Mapping[str | int, Any]) -> str | int | None:
    if output in fields:
        return output
    text = str(output)
    return int(text) if text.isdigit() and int(text) in fields else None


def _find(fields: Mapping[str | int, Any]) -> str | int:
    for name in LOGITS:
        if isinstance(fields.get(name), Tensor):
            return name
    tensors = [key for key, value in fields.items() if isinstance(value, Tensor)]
    rows = [key for key in tensors if fields[key].ndim == 2]
    if len(tensors) == 1 or len(rows) == 1:
        return (rows or tensors)[0]
    raise UsageError(
        f"output: the network returns several answers ({listed(map(str, fields), shown=8)}) and "
        "none is named logits; choose one with --output"
    )


def _sum_to_one(answers: Tensor) -> bool:
    sums = answers.sum(dim=1)
    return bool((answers >= 0).all()) and bool(
        torch.allclose(sums, torch.ones_like(sums), atol=1e-4)
    )
