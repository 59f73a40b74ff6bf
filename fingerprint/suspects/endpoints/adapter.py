"""What a protocol is to us: where it is asked, what it says of its model, and two translations.

A new protocol is one subclass: :meth:`Adapter.encode` makes a request of inputs,
:meth:`Adapter.decode` takes answers out of a reply. Nothing of a reply is believed: whatever does
not fit raises :class:`~fingerprint.suspects.endpoints.transport.NoAnswer`, in our own words.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from fingerprint.suspects.endpoints.address import Address
from fingerprint.suspects.endpoints.form import Dtype, Form
from fingerprint.suspects.endpoints.transport import Call, NoAnswer, Reply, Sign

__all__ = [
    "DAMAGE",
    "JSON",
    "Adapter",
    "Answer",
    "Description",
    "Fetch",
    "document",
    "json_body",
    "rows",
    "sizes",
]

Answer = NDArray[np.float64] | Mapping[str, float]
"""One answer: a row of numbers, or scores by the name of the class."""

Fetch = Callable[[Call], "Reply | NoAnswer"]
"""Sends one call that asks about the model."""

DAMAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading a document of another shape than expected may raise."""

_MOST_SIZES, _LARGEST = 8, 2**24
JSON = {"Content-Type": "application/json", "Accept": "application/json"}


@dataclass(frozen=True, kw_only=True)
class Description:
    """What an endpoint says its model takes; every part may be unknown.

    Attributes:
        shape: With the batch in front; None for sizes that are free.
        dtype: Type of the values.
    """

    shape: tuple[int | None, ...] | None = None
    dtype: Dtype | None = None


class Adapter(ABC):
    """Speaks one protocol.

    Args:
        address: Where the model is, as the caller typed it.
        output: Which output to take, where there are several.

    Attributes:
        path: Where inputs are posted.
        takes_pictures: Whether inputs are sent as picture files.
        batch: Inputs of one request at most.
        warnings: One line each, of what this way of asking loses.
    """

    name: ClassVar[str]
    max_body: ClassVar[int] = 2**24
    """Bytes of one request at most."""
    takes_pictures = False
    batch = 8
    warnings: tuple[str, ...] = ()

    def __init__(self, address: Address, *, output: str | int | None = None) -> None:
        self.address, self.output = address, output
        self.path = self.located(address.path)

    def located(self, path: str) -> str:
        """Returns where inputs are posted, for a path as people write it.

        Raises:
            UsageError: It is no address of this protocol.
        """
        return path

    def describe(self, fetch: Fetch) -> Description:
        """Asks what the model takes, where the protocol has that.

        Raises:
            InputRefused: It takes what cannot be asked.
            NoAnswer: What is needed to ask it could not be found out.
        """
        del fetch
        return Description()

    def require(self, form: Form) -> None:
        """Checks that inputs can be sent in a form.

        Raises:
            UsageError: They cannot.
        """
        if self.takes_pictures:
            form.require_pictures()

    @abstractmethod
    def encode(self, inputs: NDArray[Any], form: Form) -> Call:
        """Makes a request of inputs of shape ``(N, *form.spec.shape)``."""

    @abstractmethod
    def decode(self, reply: Reply, count: int) -> Sequence[Answer]:
        """Takes the answers to ``count`` inputs out of a reply.

        Raises:
            NoAnswer: They are not there.
        """

    def signature(self) -> Sign | None:
        """Returns what signs its requests, where no token is given and the protocol wants it.

        Raises:
            UsageError: There is nothing to sign with.
            EnvironmentFailure: What signs is not installed.
        """
        return None

    def facts(self) -> dict[str, Any]:
        """Plain JSON values that decide what is asked; nothing that the endpoint said."""
        return {"adapter": self.name, "output": self.output}


def json_body(value: Any) -> bytes:
    """Returns JSON without spaces, in ASCII."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def document(body: bytes) -> Any:
    """Reads JSON.

    Raises:
        NoAnswer: It is none, or holds NaN or infinity, which JSON does not have.
    """
    try:
        return json.loads(body, parse_constant=_refused)
    except _NotFinite as error:
        raise NoAnswer("expected finite numbers, got NaN or infinity") from error
    except (ValueError, RecursionError) as error:
        what = "a web page" if body.lstrip()[:1] == b"<" else "something else, or a part of it"
        raise NoAnswer(f"expected JSON, got {what}") from error


def rows(value: Any, count: int) -> NDArray[np.float64]:
    """Reads one row of numbers for each input.

    Args:
        value: Nested lists of numbers, or an array.
        count: How many inputs were asked.

    Returns:
        Shape ``(count, values)``.

    Raises:
        NoAnswer: It is something else.
    """
    try:
        given = np.asarray(value)
    except DAMAGE as error:
        raise NoAnswer("expected rows of numbers, got rows of different lengths") from error
    if given.dtype.kind not in "fiu" or given.size == 0:
        raise NoAnswer("expected rows of numbers, got something else")
    if count == 1 and given.ndim == 1 and given.size > 1:
        given = given[None]
    shape = given.shape
    if not shape or shape[0] != count or math.prod(shape[1:]) != max(shape[1:], default=1):
        got = "x".join(map(str, shape)) or "a single number"
        raise NoAnswer(f"expected {count} rows of numbers, got {got}")
    numbers: NDArray[np.float64] = given.astype(np.float64).reshape(count, -1)
    if not np.isfinite(numbers).all():
        raise NoAnswer("expected finite numbers, got others")
    return numbers


def sizes(values: Any) -> tuple[int | None, ...]:
    """Reads a shape with the batch in front; sizes that are free are negative there.

    Raises:
        ValueError: It is none that inputs have.
    """
    shape = tuple(int(size) for size in values)
    if not 0 < len(shape) <= _MOST_SIZES or not all(-1 <= size <= _LARGEST for size in shape):
        raise ValueError("no shape of inputs")
    if 0 in shape:
        raise ValueError("no inputs at all")
    return tuple(None if size < 0 else size for size in shape)


class _NotFinite(ValueError):
    """A number that JSON does not have."""


def _refused(constant: str) -> NoReturn:
    raise _NotFinite(constant)
