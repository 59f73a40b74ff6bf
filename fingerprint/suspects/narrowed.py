"""What an endpoint would reveal: a suspect whose answers are cut down to what it shows.

::

    Narrowed(ModelSuspect(model), "top-k", k=5, decimals=3)

answers with the five largest probabilities, to three decimals, and 0 for all other classes, so
that one can see what verification would make of that before an endpoint is ever asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fingerprint.distances import top_k
from fingerprint.errors import UsageError
from fingerprint.network.spec import AnswerKind, OutputSpec
from fingerprint.suspects.base import PassedOn, Suspect

__all__ = ["Narrowed"]

_KINDS = ("logits", "probabilities", "top-k", "labels")


class Narrowed(PassedOn):
    """Passes on another suspect's answers, cut down to a kind that says less.

    Args:
        suspect: Who answers, in logits or probabilities; its queries are counted too.
        kind: What is shown of its answers: ``logits`` (of a suspect that gives them),
            ``probabilities``, ``top-k`` or ``labels``.
        k: How many classes a top-k answer names.
        decimals: Decimals that shown values are rounded to, after the classes were chosen; by
            default none. Labels are not rounded.

    Raises:
        UsageError: The suspect says too little for this kind, or an option is impossible.
    """

    def __init__(
        self, suspect: Suspect, kind: AnswerKind, *, k: int = 5, decimals: int | None = None
    ) -> None:
        given = suspect.output.kind
        if kind not in _KINDS:
            raise UsageError(f"answer kind: expected one of {', '.join(_KINDS)}, got {kind!r}")
        if given not in ("logits", "probabilities") or (kind == "logits" and given != "logits"):
            raise UsageError(f"suspect: expected one whose answers hold {kind}, it gives {given}")
        if k < 1:
            raise UsageError(f"k: expected at least 1 class, got {k}")
        if decimals is not None and decimals < 0:
            raise UsageError(f"decimals: expected 0 or more, got {decimals}")
        super().__init__(suspect, OutputSpec(classes=suspect.output.classes, kind=kind))
        self.k, self.decimals = k, decimals

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers a batch; see :meth:`Suspect.respond`. What was not answered stays NaN."""
        given = self.suspect.answer(inputs)
        answered = np.isfinite(given).all(axis=-1, keepdims=True)
        shown = self._shown(np.where(answered, given, 0.0).astype(np.float64))
        narrowed: NDArray[np.float32] = np.where(answered, shown, np.nan).astype(np.float32)
        return narrowed

    def _shown(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Narrows finite answers of shape ``(N, classes)``."""
        kind = self.output.kind
        if kind == "labels":
            labels: NDArray[np.float64] = np.eye(values.shape[-1])[values.argmax(axis=-1)]
            return labels
        if kind != "logits" and self.suspect.output.kind == "logits":
            values = softmax(values, axis=-1)
        if kind == "top-k":
            values = top_k(values, self.k)
        return values if self.decimals is None else values.round(self.decimals)

    def facts(self) -> dict[str, Any]:
        """The other suspect's facts, with the answers that are shown here."""
        shown: dict[str, Any] = {"decimals": self.decimals}
        if self.output.kind == "top-k":
            shown["k"] = self.k
        return {**super().facts(), "output": self.output.to_dict(), "shown": shown}
