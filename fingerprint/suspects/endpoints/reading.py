"""What an endpoint's answers are, found from one of them, and how each becomes a row.

::

    reading = Reading.of(answer, labels=("cat", "dog"))     # rows by the order of these names
    reading.row(answer)                                     # (classes,), float32
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fingerprint.canonical import canonical, sha256_of
from fingerprint.errors import EnvironmentFailure, IncompatibleModel, UsageError
from fingerprint.network.outputs import SINGLE, as_rows, describe_output
from fingerprint.network.spec import AnswerKind, OutputSpec
from fingerprint.suspects.endpoints.adapter import Answer
from fingerprint.suspects.endpoints.transport import NoAnswer

__all__ = ["Reading"]

_PREFIX = "LABEL_"
_MOST_CLASSES = 2**20


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How answers become rows.

    Attributes:
        output: What the rows are.
        width: How many numbers an answer without names has.
        names: Place of each class by its name, where answers have names.
        warnings: One line each.
    """

    output: OutputSpec
    width: int = 0
    names: Mapping[str, int] | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, answer: Answer, labels: Sequence[str] | None = None) -> Reading:
        """Decides it by one answer.

        Args:
            answer: To any input.
            labels: All classes by name, in the order of the model's outputs; None if not known.

        Raises:
            UsageError: ``labels`` do not fit.
            IncompatibleModel: The answer is not one of a classifier, or not all classes are known.
        """
        if isinstance(answer, Mapping):
            return _by_names(answer, labels)
        output, warnings = _described(answer)
        if labels is not None and len(labels) != output.classes:
            raise UsageError(
                f"--labels: expected {output.classes} names, as many as an answer has values, got "
                f"{len(labels)}"
            )
        return cls(output=output, width=len(answer), warnings=warnings)

    @property
    def digest(self) -> str | None:
        """SHA-256 over the names in their order; None where answers have none."""
        return None if self.names is None else sha256_of(canonical(list(self.names)))

    def row(self, answer: Answer) -> NDArray[np.float32]:
        """Returns one answer as float32 of shape ``(classes,)``.

        Raises:
            NoAnswer: It is not what the first one was.
        """
        if isinstance(answer, Mapping):
            values = self._named_row(answer)
        elif self.names is not None or len(answer) != self.width:
            raise NoAnswer(f"expected {self.width} values as before, got {len(answer)}")
        else:
            values = as_rows(torch.from_numpy(answer)[None])[0].numpy()
        with np.errstate(over="ignore"):
            row: NDArray[np.float32] = values.astype(np.float32)
        if not np.isfinite(row).all():
            raise NoAnswer("expected finite numbers, got others")
        return row

    def _named_row(self, answer: Mapping[str, float]) -> NDArray[np.float64]:
        names, kind = self.names, self.output.kind
        if names is None:
            raise NoAnswer(f"expected {self.width} values as before, got names")
        if not answer.keys() <= names.keys():
            raise NoAnswer(f"expected names of the {len(names)} classes, got another")
        if kind != "top-k" and len(answer) < len(names):
            raise NoAnswer(f"expected all {len(names)} classes as before, got {len(answer)}")
        row = np.zeros(len(names))
        for name, score in answer.items():
            if kind == "top-k" and not 0 <= score <= 1:
                raise NoAnswer("expected scores from 0 to 1, got others")
            row[names[name]] = score
        return row


def _described(answer: NDArray[np.float64]) -> tuple[OutputSpec, tuple[str, ...]]:
    output = describe_output(torch.from_numpy(answer)[None], 1)
    if len(answer) == 1:
        return output, (SINGLE,)
    return OutputSpec(classes=output.classes, kind=_kind(answer)), ()


def _kind(values: NDArray[np.float64]) -> AnswerKind:
    """Whether numbers are probabilities, which may have been rounded to two decimals or more."""
    decimals = next(
        (d for d in (2, 3, 4, 5, 6) if np.allclose(values, values.round(d), 0, 1e-9)), 6
    )
    off = max(1e-4, len(values) * 0.5 * 10.0**-decimals)
    inside = bool((values >= 0).all() and (values <= 1).all())
    return "probabilities" if inside and abs(values.sum() - 1) <= off else "logits"


def _by_names(answer: Mapping[str, float], labels: Sequence[str] | None) -> Reading:
    values = np.array(list(answer.values()), np.float64)
    warnings: tuple[str, ...] = ()
    order = list(labels) if labels is not None else _numbered(answer)
    if order is None and len(answer) > 1 and _kind(values) == "probabilities":
        order = sorted(answer)
        warnings = (
            "the order of the endpoint's classes is not known, so that 'same' cannot be found; "
            "name them in the order of the model's outputs by --labels FILE",
        )
    if order is None:
        raise IncompatibleModel(
            f"the endpoint names {len(answer)} classes of an unknown number; give all of them by "
            "--labels FILE, one a line, in the order of the model's outputs"
        )
    if not 1 < len(order) <= _MOST_CLASSES or len(set(order)) != len(order):
        raise UsageError(f"--labels: expected at least 2 names, no two equal, got {len(order)}")
    if not answer.keys() <= set(order):
        raise EnvironmentFailure(
            f"expected names of the {len(order)} classes, got others; compare --labels with what "
            "the endpoint answers"
        )
    kind = _kind(values) if len(answer) == len(order) else "top-k"
    output = OutputSpec(classes=len(order), kind=kind, by_name=bool(warnings))
    places = {name: place for place, name in enumerate(order)}
    return Reading(output=output, names=places, warnings=warnings)


def _numbered(answer: Mapping[str, float]) -> list[str] | None:
    """Returns names that number all classes, ``LABEL_0`` or ``0``, in that order; else None."""
    for prefix in (_PREFIX, ""):
        names = [f"{prefix}{place}" for place in range(len(answer))]
        if len(answer) > 1 and answer.keys() == set(names):
            return names
    return None
