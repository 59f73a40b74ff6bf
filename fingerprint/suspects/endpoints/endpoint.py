"""A suspect behind an address: asked over HTTP, in the protocol it speaks.

::

    adapter = make_adapter("oip", parse_address("https://models.example/v2/models/ours"))
    transport = Transport(adapter.address, reachable_at(adapter.address, allow_private=False), ...)
    with_journal = Journal(connect(adapter, transport, flags), Path("audit.journal"), retries=0)

An answer that is late, malformed or missing is no answer, never a mismatch. The transport tries
again by itself and keeps the budget, so a journal around an endpoint needs to do neither.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fingerprint.errors import EnvironmentFailure, IncompatibleModel, InputRefused, UsageError
from fingerprint.network.inputs import describe_input, sample_inputs
from fingerprint.network.run import to_inputs
from fingerprint.network.spec import InputSpec
from fingerprint.suspects.base import Identity, Suspect
from fingerprint.suspects.endpoints.adapter import Adapter, Answer, Description
from fingerprint.suspects.endpoints.form import Channels, Dtype, Form, Layout
from fingerprint.suspects.endpoints.reading import Reading
from fingerprint.suspects.endpoints.transport import Call, NoAnswer, Reply, Transport

__all__ = ["Endpoint", "InputFlags", "connect", "encoded"]

_DOUBT = (
    "so would the very model behind a service that resizes, crops or normalises what it is sent; "
    "if it is known not to, and to be sent what it wants, say --as-sent"
)
_FEEDING_DOUBT = (
    "so would the very model that wants its tensors scaled or normalised otherwise; if it is known "
    "to be sent what it wants, say --as-sent"
)
_CHANNELS = (3, 1, 4)
"""How many there are, the likelier first."""
_Sizes = tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True)
class InputFlags:
    """What is stated of an endpoint's inputs; None for what it should say itself.

    Attributes:
        input_size: Shape of one input, channels first.
        mean: Per-channel mean that is subtracted before a tensor is sent.
        std: Per-channel deviation that it is divided by.
        bounds: Range of one value, of inputs that are not 8-bit images.
        layout: See :class:`Form`.
        channels: See :class:`Form`.
        dtype: See :class:`Form`.
        known: Inputs of the models it is compared with, for what nobody states.
    """

    input_size: Sequence[int] | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    bounds: Sequence[float] | None = None
    layout: Layout | None = None
    channels: Channels = "rgb"
    dtype: Dtype | None = None
    known: InputSpec | None = None

    def form(self, adapter: Adapter, said: Description) -> tuple[Form, tuple[str, ...]]:
        """Decides how inputs are sent.

        Args:
            adapter: Who sends them.
            said: What the endpoint says of them.

        Returns:
            The form, and one warning for each guess.

        Raises:
            UsageError: Nobody says the shape, or what is stated does not fit together.
            IncompatibleModel: What is stated is not what the endpoint says.
        """
        sizes = said.shape[1:] if said.shape else None
        known = self.known.shape if self.known else None
        layout = self.layout or _layout(sizes, self.input_size or known)
        shape = self.input_size or _shape(sizes, layout) or known
        if not shape:
            raise UsageError(
                "expected an endpoint that says the shape of its inputs, or registered models of "
                "one; give --input-size"
            )
        bounds = self.bounds
        if bounds is None and self.known and self.known.kind == "float":
            bounds = self.known.bounds
        spec, warnings = describe_input(
            nn.Identity(),
            settings={},
            input_size=shape,
            mean=self.mean,
            std=self.std,
            bounds=bounds,
        )
        dtype = self.dtype or said.dtype or "float32"
        form = Form(
            spec=spec,
            layout=layout,
            channels=self.channels,
            dtype=dtype,
            sent=_sent(spec.shape, layout, sizes),
        )
        adapter.require(form)
        raw = adapter.takes_pictures or dtype == "uint8"
        return form, () if raw else warnings


class Endpoint(Suspect):
    """Answers by asking an address.

    Args:
        adapter: How it is spoken to.
        transport: What sends.
        form: How inputs are sent.
        reading: What its answers are.
        as_sent: Whether it is known that its model is given what is sent, unchanged, and that the
            form is the one it wants.
        warnings: One line each.

    Attributes:
        answered: How many inputs got an answer.
    """

    def __init__(
        self,
        adapter: Adapter,
        transport: Transport,
        form: Form,
        reading: Reading,
        *,
        as_sent: bool = False,
        warnings: tuple[str, ...] = (),
    ) -> None:
        identity = Identity(label=str(adapter.address))
        super().__init__(form.spec, reading.output, identity=identity)
        self.adapter, self.transport, self.form, self.reading = adapter, transport, form, reading
        self.as_sent, self.warnings = as_sent, warnings
        self.batch = adapter.batch * transport.limits.concurrency
        self.answered = 0

    @property
    def failure(self) -> str:
        """Why it answers no more."""
        return self.transport.failure

    @property
    def doubt(self) -> str:
        """A service may resize, crop or normalise, and its model then answers like a stranger."""
        return "" if self.as_sent else _DOUBT

    @property
    def feeding_doubt(self) -> str:
        """Pictures are pictures; of tensors the endpoint does not say how they are made."""
        pictures = self.adapter.takes_pictures or self.form.dtype == "uint8"
        return "" if self.as_sent or pictures else _FEEDING_DOUBT

    @property
    def beyond(self) -> bool:
        """Nobody sees what a service does."""
        return True

    @property
    def unanswered(self) -> int:
        """How many inputs it was asked in vain."""
        return self.transport.unanswered

    def sequence(self, count: int) -> Sequence[int]:
        """Any order: a probe does not stand beside its control, and drift strikes both alike."""
        return secrets.SystemRandom().sample(range(count), count)

    def answer(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers a batch; what went out counts as queries, each other try too."""
        before = self.transport.sent
        rows = self.respond(inputs)
        self.queries += self.transport.sent - before
        self.answered += int(np.isfinite(rows).all(axis=-1).sum())
        return rows

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Asks, as far as the budget goes; see :meth:`Suspect.respond`."""
        answers = np.full((len(inputs), self.output.classes), np.nan, np.float32)
        if self.failure or not len(inputs):
            return answers
        calls = encoded(self.adapter, self.form, inputs[: self.transport.left(len(inputs))])
        begin = 0
        for call, rows in zip(calls, self.transport.send(calls, self._read), strict=True):
            if rows is not None:
                answers[begin : begin + call.inputs] = rows
            begin += call.inputs
        if begin < len(inputs):
            self.transport.give_up_for_budget()
        return answers

    def _read(self, call: Call, reply: Reply) -> NDArray[np.float32]:
        given = self.adapter.decode(reply, call.inputs)
        if len(given) != call.inputs:
            raise NoAnswer(f"expected {call.inputs} answers, got {len(given)}")
        return np.stack([self.reading.row(one) for one in given])

    def facts(self) -> dict[str, Any]:
        """Who is asked, and in which form."""
        return {
            "address": str(self.adapter.address),
            **self.adapter.facts(),
            "sent": self.form.to_dict(),
            "labels": self.reading.digest,
            "as_sent": self.as_sent,
            **super().facts(),
        }


def connect(
    adapter: Adapter,
    transport: Transport,
    flags: InputFlags,
    *,
    labels: Sequence[str] | None = None,
    as_sent: bool = False,
) -> Endpoint:
    """Finds out what an endpoint takes and gives: by its metadata, and by asking one input.

    Args:
        adapter: How it is spoken to.
        transport: What sends.
        flags: What is stated of its inputs.
        labels: All its classes by name, in the order of the model's outputs.
        as_sent: See :class:`Endpoint`.

    Raises:
        EnvironmentFailure: It does not answer.
        InputRefused: It takes or gives what cannot be compared.
        UsageError: What is stated does not fit.
    """
    try:
        said = adapter.describe(lambda call: transport.fetch(call, lambda _, reply: reply))
    except NoAnswer as error:
        raise EnvironmentFailure(f"{adapter.address}: {error}") from error
    form, warnings = flags.form(adapter, said)
    _set_batch(adapter, said)
    answer = _first_answer(adapter, transport, form)
    reading = Reading.of(answer, labels)
    return Endpoint(
        adapter,
        transport,
        form,
        reading,
        as_sent=as_sent,
        warnings=(*adapter.warnings, *warnings, *reading.warnings),
    )


def encoded(adapter: Adapter, form: Form, inputs: NDArray[Any]) -> list[Call]:
    """Makes requests of inputs, none larger than the protocol allows.

    Raises:
        InputRefused: One input alone makes a larger one.
    """
    calls = []
    for begin in range(0, len(inputs), adapter.batch):
        calls += _halved(adapter, form, inputs[begin : begin + adapter.batch])
    return calls


def _halved(adapter: Adapter, form: Form, inputs: NDArray[Any]) -> list[Call]:
    call = adapter.encode(inputs, form)
    if len(call.body) <= adapter.max_body:
        return [call]
    if len(inputs) == 1:
        raise InputRefused(
            f"{adapter.address}: expected a request of at most {adapter.max_body} bytes, one input "
            f"makes one of {len(call.body)}"
        )
    middle = len(inputs) // 2
    halves = inputs[:middle], inputs[middle:]
    return [call for half in halves for call in _halved(adapter, form, half)]


def _first_answer(adapter: Adapter, transport: Transport, form: Form) -> Answer:
    """Asks one input of noise, which is no question of any verification."""
    (call,) = encoded(adapter, form, to_inputs(sample_inputs(form.spec, 1), form.spec))
    found = transport.fetch(call, lambda call, reply: adapter.decode(reply, call.inputs))
    if isinstance(found, NoAnswer):
        raise EnvironmentFailure(f"{adapter.address}: {found}")
    return found[0]


def _set_batch(adapter: Adapter, said: Description) -> None:
    """Asks no more inputs at a time than the endpoint says it takes."""
    most = said.shape[0] if said.shape else None
    if most is not None and most > 1:
        raise IncompatibleModel(
            f"{adapter.address}: expected a model that takes any number of inputs, or one, it "
            f"takes exactly {most}"
        )
    adapter.batch = most or adapter.batch


def _layout(sizes: _Sizes | None, shape: Sequence[int] | None) -> Layout:
    """Finds where the channels are; in front where that cannot be told.

    Args:
        sizes: What the endpoint says.
        shape: What its inputs are expected to be, channels first.
    """
    if not sizes or len(sizes) != 3:
        return "nchw"
    if shape is not None and len(shape) == 3:
        front, behind = _fits(sizes, shape), _fits(sizes, (*shape[1:], shape[0]))
        if front or behind:
            return "nchw" if front else "nhwc"
    channels = next((count for count in _CHANNELS if count in (sizes[0], sizes[2])), None)
    return "nchw" if channels in (None, sizes[0]) else "nhwc"


def _fits(sizes: _Sizes, shape: Sequence[int]) -> bool:
    """Whether a shape is one of these sizes, of which some are free."""
    return len(sizes) == len(shape) and all(
        wanted in (None, size) for wanted, size in zip(sizes, shape, strict=True)
    )


def _shape(sizes: _Sizes | None, layout: Layout) -> tuple[int, ...] | None:
    """Returns a shape with channels in front, if all sizes are stated."""
    known = tuple(size for size in sizes or () if size is not None)
    if not sizes or len(known) < len(sizes):
        return None
    return (known[-1], *known[:-1]) if layout == "nhwc" and len(known) == 3 else known


def _sent(shape: tuple[int, ...], layout: Layout, sizes: _Sizes | None) -> tuple[int, ...] | None:
    """Returns the shape the endpoint wants the values in, where it is another.

    It may want them flat, or with fewer or more sizes of 1.

    Raises:
        IncompatibleModel: It wants other inputs.
    """
    ours = (*shape[1:], shape[0]) if layout == "nhwc" and len(shape) == 3 else shape
    if sizes is None or _fits(sizes, ours):
        return None
    known = tuple(size for size in sizes if size is not None)
    if len(known) == len(sizes) and _without_ones(known) in (
        (math.prod(ours),),
        _without_ones(ours),
    ):
        return known
    theirs = "x".join("?" if size is None else str(size) for size in sizes)
    raise IncompatibleModel(
        f"expected inputs of {theirs}, as the endpoint says, got {'x'.join(map(str, ours))}; give "
        "its --input-size or --layout"
    )


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
