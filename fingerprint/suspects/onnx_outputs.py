"""Which output of an ONNX graph answers, and what its numbers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.network.outputs import LOGITS
from fingerprint.network.spec import AnswerKind
from fingerprint.text import clean, listed

__all__ = ["chosen_output", "flattened", "kind_of", "pooled"]

_SCORES = (*LOGITS, "probabilities", "output_probability")
"""What outputs are called that hold class scores."""
_SOFTMAX = ("Softmax", "QLinearSoftmax")
_SUMS = 0.02
"""By how much the sum of probabilities in half precision or 8 bits may miss 1."""
_ROUNDING = 1e-4
_REAL = ("float", "double", "float16", "bfloat16", "uint8", "int8")
"""Types of numbers that can be a score; whole numbers of more bits are labels."""


def chosen_output(outputs: Sequence[Mapping[str, Any]], stated: str | int | None) -> str:
    """Returns the output that holds the answers: the one named, else the one that can.

    Raises:
        UsageError: There is none of that name, or several might be meant.
        IncompatibleModel: None of them gives real numbers.
    """
    kinds = {str(one["name"]): str(one["type"]) for one in outputs}
    names = list(kinds)
    if stated is not None:
        # A name may be a number, and comes first.
        named = str(stated)
        if named not in kinds and isinstance(stated, int) and -len(names) <= stated < len(names):
            named = names[stated]
        if named not in kinds:
            raise UsageError(f"output: '{clean(stated)}' is not in {listed(names, shown=8)}")
        if not _is_real(kinds[named]):
            raise IncompatibleModel(
                f"expected an output of real numbers, '{clean(named)}' gives "
                f"{clean(kinds[named])}; choose another --output"
            )
        return named
    real = [name for name in names if _is_real(kinds[name])]
    if not real:
        raise IncompatibleModel(
            f"expected an output of real numbers, got {listed(kinds.values())}; remove the arg max "
            "from the network"
        )
    called = [name for name in real if name.lower() in _SCORES]
    rows = [
        name
        for name in real
        if any(one["name"] == name and len(one["shape"] or ()) == 2 for one in outputs)
    ]
    for chosen in (real, called, rows):
        if len(chosen) == 1:
            return chosen[0]
    raise UsageError(
        f"output: the graph gives several ({listed(names, shown=8)}) and none is named logits; "
        "choose one with --output"
    )


def _is_real(kind: str) -> bool:
    """Whether a type is of real numbers: ``tensor(float)``, ``seq(map(int64,tensor(float)))``."""
    return kind.rpartition("(")[2].rstrip(")") in _REAL


def kind_of(rows: NDArray[np.float32], made_by: str) -> AnswerKind:
    """Says what answers are: probabilities where they sum to 1, roughly if a softmax made them.

    Args:
        rows: Answers as the graph gave them, shape ``(N, values)``. A single value is a number.
        made_by: The operator that made them.
    """
    if rows.shape[1] == 1:
        return "logits"
    off = np.abs(rows.astype(np.float64).sum(axis=1) - 1.0).max()
    limit = _SUMS if made_by in _SOFTMAX else _ROUNDING
    return "probabilities" if (rows >= 0).all() and off <= limit else "logits"


def flattened(port: Mapping[str, Any], values: int) -> str:
    """Returns what is said of an output that is compared value by value."""
    what = "x".join(str(size or "?") for size in port["shape"] or ()) or clean(port["type"])
    return (
        f"the output '{clean(port['name'])}' is no row of class scores but {what}: its {values} "
        "values are compared one by one"
    )


def pooled(port: Mapping[str, Any], values: int) -> str:
    """Returns what is said of an output that has another size for each input."""
    return (
        f"the output '{clean(port['name'])}' has another size for each input, such as a list of "
        "what was found: it answers with how many there are, and the mean and the largest of each "
        f"of their {values // 2} values"
    )
