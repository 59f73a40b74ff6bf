"""A network that another process runs, as a suspect: how it is fed, and what it answers.

An ONNX graph is one (:mod:`fingerprint.suspects.onnx_graph`), a file that is code another
(:mod:`fingerprint.suspects.program`). What they have in common is that they say what they take, or
are told so, and that a few inputs show what they give.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.errors import IncompatibleModel, InputRefused
from fingerprint.formats.file_bytes import FileFacts
from fingerprint.network.inputs import sample_inputs
from fingerprint.network.outputs import SINGLE, as_rows
from fingerprint.network.run import to_inputs
from fingerprint.network.spec import OutputSpec
from fingerprint.precision import differ
from fingerprint.probes.bases import dead_leaves
from fingerprint.sandbox.process import Confined
from fingerprint.suspects.base import Identity, Suspect
from fingerprint.suspects.onnx_inputs import (
    Channels,
    Feeding,
    Layout,
    chosen_input,
    fed_otherwise,
    feeding,
)
from fingerprint.suspects.onnx_outputs import chosen_output, flattened, kind_of, pooled
from fingerprint.suspects.variants import ways
from fingerprint.text import clean, listed

__all__ = ["GraphSuspect", "Network", "PortOptions"]

_BATCH = 16
_TRIAL, _DRAWN = "trial", 6
"""Seed and number of the pictures on which an output of open size is tried."""
_ROUNDING = 1e-4
"""Share of the largest answer by which kernels for one and for several inputs may differ."""


class Network(Protocol):
    """A network that another process runs.

    Attributes:
        file: What it was read from.
        process: What runs it.
        facts: What it says of itself: ``inputs``, each a name, a type and sizes; ``alone``, whether
            an answer depends on what else is in the batch; and where they are known ``digest``,
            ``runtime``, ``opset`` and ``made_by``.
    """

    file: FileFacts
    process: Confined
    facts: dict[str, Any]

    def outputs(self, values: NDArray[Any]) -> list[dict[str, Any]]:
        """What it gives for an input: each a name, a type and sizes."""

    def ask(
        self, name: str, values: NDArray[Any], output: str, *, pool: bool = False
    ) -> NDArray[np.float32]:
        """Answers a batch for one of its inputs with one of its outputs: ``(N, values)``.

        ``pool`` makes statistics of an output that has another size for each input.
        """


class PortOptions(TypedDict, total=False):
    """What a caller may say of the inputs and outputs of a network.

    Attributes:
        input_size: Shape of one input in the order C,H,W, where the network leaves it open.
        mean: Per-channel mean in the order R,G,B, for values in 0..1 or in 0..255.
        std: Per-channel deviation, on the same scale.
        bounds: Smallest and largest input value, for inputs that are not 8-bit images.
        layout: Where the network wants the channels; None to find it from the sizes.
        channels: In which order it wants them; None for RGB.
        input: Name of the input to ask with, where there are several; the others get zeros.
        output: Name or number of the output to answer with, where there are several.
    """

    input_size: Sequence[int] | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    bounds: Sequence[float] | None
    layout: Layout | None
    channels: Channels | None
    input: str | None
    output: str | int | None


class GraphSuspect(Suspect):
    """Answers with a network that another process runs.

    Args:
        network: The network, opened.
        fed: How it gets its inputs.
        field: Which of its outputs answers.
        output: What that gives.
        together: How many inputs it is asked at once; 1 where an answer depends on the others.
        pool: Whether its output has another size for each input, and statistics of it answer.
        warnings: One line for each assumption that was made.
    """

    label = ""
    """What kind of network it is."""

    def __init__(
        self,
        network: Network,
        fed: Feeding,
        field: str,
        output: OutputSpec,
        *,
        together: int,
        pool: bool = False,
        warnings: tuple[str, ...] = (),
    ) -> None:
        identity = Identity(
            model_digest=network.facts.get("digest"),
            file_sha256=network.file.sha256,
            label=self.label,
        )
        super().__init__(fed.spec, output, identity=identity)
        self.network, self.fed, self.field = network, fed, field
        self.together, self.pool, self.warnings = together, pool, warnings

    @classmethod
    def of(cls, network: Network, **options: Unpack[PortOptions]) -> Self:
        """Finds out how to ask a network.

        Args:
            network: The network, opened.
            **options: See :class:`PortOptions`.

        Raises:
            UsageError: An option is wrong or has to be given.
            InputRefused: It cannot be asked.
            EnvironmentFailure: Its process ended.
        """
        port, others = chosen_input(network.facts["inputs"], options.get("input"))
        fed, guesses = feeding(
            port,
            input_size=options.get("input_size"),
            mean=options.get("mean"),
            std=options.get("std"),
            bounds=options.get("bounds"),
            layout=options.get("layout"),
            channels=options.get("channels"),
        )
        field, tried = _tried(network, fed, options.get("output"))
        return cls(
            network,
            fed,
            field,
            tried.output,
            together=tried.together,
            pool=tried.pool,
            warnings=(*others, *guesses, *tried.warnings),
        )

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers in batches that the graph takes; see :meth:`Suspect.respond`."""
        return self._answered(self.fed(inputs))

    def respond_values(self, values: Tensor) -> NDArray[np.float32]:
        """Answers inputs in bounds, which need not be pixels unless the graph takes bytes."""
        return self._answered(self.fed.of_values(values))

    def _answered(self, prepared: NDArray[Any]) -> NDArray[np.float32]:
        parts = [
            _asked(
                self.network,
                self.fed,
                self.field,
                prepared[begin : begin + self.together],
                pool=self.pool,
            )
            for begin in range(0, len(prepared), self.together)
        ]
        widths = {part.shape[1] for part in parts}
        if len(widths) > 1:
            raise IncompatibleModel(
                f"its answers are of different sizes ({listed(map(str, sorted(widths)))}), such as "
                "lists of what was found; choose another --output"
            )
        return as_rows(torch.from_numpy(np.concatenate(parts))).numpy()

    def variants(self) -> Iterator[tuple[str, Self]]:
        """Yields the same network fed in every other usual way, with the flags that state it."""
        for flags, spec, flipped in ways(self.input):
            if self.fed.dtype == np.uint8 and spec != self.input:
                continue  # the graph normalises by itself
            fed = fed_otherwise(self.fed, spec, flipped=flipped)
            other = type(self)(
                self.network,
                fed,
                self.field,
                self.output,
                together=self.together,
                pool=self.pool,
            )
            yield " ".join([f"--channels {fed.channels}"] * flipped + [flags] * bool(flags)), other

    def facts(self) -> dict[str, Any]:
        """Plain JSON values that say what was asked, and how."""
        return {
            "architecture": self.label,
            "field": self.field,
            "dtype": self.fed.dtype.name,
            "model_digest": self.identity.model_digest,
            "file": self.network.file.path,
            "file_sha256": self.identity.file_sha256,
            "input": self.input.to_dict(),
            "output": self.output.to_dict(),
            "sandbox": self.network.process.backend.name,
            "graph": {
                **self.fed.to_dict(),
                "together": self.together,
                "pooled": self.pool,
                "opset": self.network.facts.get("opset"),
                "runtime": self.network.facts.get("runtime"),
            },
        }


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """What a few inputs showed of a network."""

    output: OutputSpec
    together: int
    pool: bool
    warnings: tuple[str, ...]


def _tried(network: Network, fed: Feeding, stated: str | int | None) -> tuple[str, _Tried]:
    """Asks two inputs, alone and together, before anything is built on the answers.

    Returns:
        The output that answers, and what was seen.
    """
    inputs = fed(to_inputs(sample_inputs(fed.spec, 2), fed.spec))
    try:
        outputs = network.outputs(_in_company(inputs[:1], fed))
    except IncompatibleModel as error:
        raise _not_taken(fed, error) from error
    field = chosen_output(outputs, stated)
    port = next(one for one in outputs if one["name"] == field)
    pool = _varies(network, fed, port, inputs)
    alone = _alone(network, fed, field, inputs, pool=pool)
    if pool:
        return field, _Tried(
            output=OutputSpec(classes=alone.shape[1], kind="logits"),
            together=1,
            pool=True,
            warnings=(pooled(port, alone.shape[1]),),
        )
    together, warnings = _together(network, fed, field, inputs, alone)
    if alone.shape[1] == 1:
        warnings = (*warnings, SINGLE)
    elif len(port["shape"] or ()) != 2:
        warnings = (*warnings, flattened(port, alone.shape[1]))
    classes = as_rows(torch.from_numpy(alone)).shape[1]
    kind = kind_of(alone, str(network.facts.get("made_by", {}).get(field, "")))
    return field, _Tried(
        output=OutputSpec(classes=classes, kind=kind),
        together=together,
        pool=False,
        warnings=warnings,
    )


def _alone(
    network: Network, fed: Feeding, field: str, inputs: NDArray[Any], *, pool: bool
) -> NDArray[np.float32]:
    """Asks inputs one by one: ``(N, values)``."""
    try:
        rows = [
            _asked(network, fed, field, inputs[i : i + 1], pool=pool) for i in range(len(inputs))
        ]
    except IncompatibleModel as error:
        raise _not_taken(fed, error) from error
    if len({row.shape for row in rows}) > 1:
        raise IncompatibleModel(
            f"the output '{clean(field)}' has another form for each input; choose another --output"
        )
    return np.concatenate(rows)


def _varies(network: Network, fed: Feeding, port: Mapping[str, Any], inputs: NDArray[Any]) -> bool:
    """Whether an output has another size for each input, or none for some.

    One that leaves its size open, or is no tensor, is tried on pictures such as it is going to be
    asked, since a network may find the same in all noise: nothing.
    """
    sizes = port["shape"]
    if sizes is None or None in sizes[1:]:
        drawn = fed(dead_leaves(fed.spec, _TRIAL, _DRAWN))
        inputs = np.concatenate([inputs, drawn])
    try:
        counts = {
            float(_asked(network, fed, port["name"], inputs[i : i + 1], pool=True)[0, 0])
            for i in range(len(inputs))
        }
    except IncompatibleModel:
        return False  # what is wrong with it shows when it is asked
    return len(counts) > 1 or 0 in counts


def _not_taken(fed: Feeding, error: IncompatibleModel) -> IncompatibleModel:
    size = ",".join(map(str, fed.spec.shape))
    return IncompatibleModel(
        f"the graph does not take an input of size {size}: {error}; set --input-size, --layout or "
        "--output"
    )


def _together(
    network: Network,
    fed: Feeding,
    field: str,
    inputs: NDArray[Any],
    alone: NDArray[np.float32],
) -> tuple[int, tuple[str, ...]]:
    """Decides how many inputs are asked at once."""
    most = fed.batch or _BATCH
    if network.facts["alone"]:
        line = "activations are quantised by their range: asked one input at a time"
        return 1, (line,)
    if most == 1:
        return 1, ()
    if not np.isfinite(alone).all():
        return most, ()  # whoever asks is going to see that these are no answers
    try:
        both = _asked(network, fed, field, inputs)
    except InputRefused:
        return 1, ()  # it says that it takes any number, and does not
    if both.shape == alone.shape and not _differ(both, alone):
        return most, ()
    again = _asked(network, fed, field, inputs[:1])
    if _differ(again, alone[:1]):
        return 1, (
            "the graph answers the same input differently each time (dropout or sampling left on); "
            "what can be told from such answers is limited",
        )
    return 1, ("an answer depends on what else is in the batch: asked one input at a time",)


def _differ(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    if first.shape != second.shape:
        return True
    return differ(torch.from_numpy(first), torch.from_numpy(second), tolerance=_ROUNDING)


def _asked(
    network: Network, fed: Feeding, field: str, prepared: NDArray[Any], *, pool: bool = False
) -> NDArray[np.float32]:
    """Answers prepared inputs at once; one that needs company gets its own: ``(N, values)``."""
    return network.ask(fed.name, _in_company(prepared, fed), field, pool=pool)[: len(prepared)]


def _in_company(prepared: NDArray[Any], fed: Feeding) -> NDArray[Any]:
    """Returns a batch that is as large as the network takes it."""
    missing = 0 if fed.batch is None else fed.batch - len(prepared)
    return np.concatenate([prepared, np.repeat(prepared[-1:], missing, axis=0)])
