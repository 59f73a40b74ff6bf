"""An ONNX file as a suspect: answered by ONNX Runtime, in a process of its own.

::

    suspect = load_onnx("model.onnx", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    suspect.identity.model_digest, suspect.output, suspect.warnings
    verify(suspect, fingerprints)

Needs the extra ``onnx``. Nothing of the file is looked at by this process; see
:mod:`fingerprint.graphs`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.errors import IncompatibleModel, InputRefused
from fingerprint.formats.naming import naming
from fingerprint.graphs.process import OnnxProcess
from fingerprint.network.inputs import sample_inputs
from fingerprint.network.outputs import SINGLE, as_rows
from fingerprint.network.run import to_inputs
from fingerprint.network.spec import OutputSpec
from fingerprint.precision import differ
from fingerprint.suspects.base import Identity, Suspect
from fingerprint.suspects.onnx_inputs import (
    Channels,
    Feeding,
    Layout,
    chosen_input,
    fed_otherwise,
    feeding,
)
from fingerprint.suspects.onnx_outputs import chosen_output, flattened, kind_of
from fingerprint.suspects.variants import ways
from fingerprint.text import clean, listed

__all__ = ["OnnxSuspect", "load_onnx"]

_BATCH = 16
_ROUNDING = 1e-4
"""Share of the largest answer by which kernels for one and for several inputs may differ."""


class OnnxSuspect(Suspect):
    """Answers with an ONNX graph.

    Args:
        network: The graph, opened.
        fed: How it gets its inputs.
        field: Which of its outputs answers.
        output: What that gives.
        together: How many inputs it is asked at once; 1 where an answer depends on the others.
        warnings: One line for each assumption that was made.
    """

    def __init__(
        self,
        network: OnnxProcess,
        fed: Feeding,
        field: str,
        output: OutputSpec,
        *,
        together: int,
        warnings: tuple[str, ...] = (),
    ) -> None:
        identity = Identity(
            model_digest=str(network.facts["digest"]),
            file_sha256=network.file.sha256,
            label="onnx",
        )
        super().__init__(fed.spec, output, identity=identity)
        self.network, self.fed, self.field = network, fed, field
        self.together, self.warnings = together, warnings

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers in batches that the graph takes; see :meth:`Suspect.respond`."""
        return self._answered(self.fed(inputs))

    def respond_values(self, values: Tensor) -> NDArray[np.float32]:
        """Answers inputs in bounds, which need not be pixels unless the graph takes bytes."""
        return self._answered(self.fed.of_values(values))

    def _answered(self, prepared: NDArray[Any]) -> NDArray[np.float32]:
        parts = [
            _asked(self.network, self.fed, self.field, prepared[begin : begin + self.together])
            for begin in range(0, len(prepared), self.together)
        ]
        widths = {part.shape[1] for part in parts}
        if len(widths) > 1:
            raise IncompatibleModel(
                f"its answers are of different sizes ({listed(map(str, sorted(widths)))}), such as "
                "lists of what was found; choose another --output"
            )
        return as_rows(torch.from_numpy(np.concatenate(parts))).numpy()

    def variants(self) -> Iterator[tuple[str, OnnxSuspect]]:
        """Yields the same graph fed in every other usual way, with the flags that state it."""
        for flags, spec, flipped in ways(self.input):
            if self.fed.dtype == np.uint8 and spec != self.input:
                continue  # the graph normalises by itself
            fed = fed_otherwise(self.fed, spec, flipped=flipped)
            other = OnnxSuspect(self.network, fed, self.field, self.output, together=self.together)
            yield " ".join([f"--channels {fed.channels}"] * flipped + [flags] * bool(flags)), other

    def facts(self) -> dict[str, Any]:
        """Plain JSON values that say what was asked, and how."""
        return {
            "architecture": "onnx",
            "field": self.field,
            "dtype": self.fed.dtype.name,
            "model_digest": self.identity.model_digest,
            "file": self.network.file.path,
            "file_sha256": self.identity.file_sha256,
            "input": self.input.to_dict(),
            "output": self.output.to_dict(),
            "graph": {
                **self.fed.to_dict(),
                "together": self.together,
                "opset": self.network.facts.get("opset"),
                "runtime": self.network.facts.get("runtime"),
            },
        }


def load_onnx(
    path: str | os.PathLike[str],
    *,
    input_size: Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    bounds: Sequence[float] | None = None,
    layout: Layout | None = None,
    channels: Channels | None = None,
    input: str | None = None,
    output: str | int | None = None,
    follow_symlinks: bool = False,
    keep: bool = False,
) -> OnnxSuspect:
    """Opens an ONNX file and finds out how to ask it.

    Args:
        path: The file; external data lie beside it.
        input_size: Shape of one input in the order C,H,W, where the graph leaves it open.
        mean: Per-channel mean in the order R,G,B, for values in 0..1 or in 0..255.
        std: Per-channel deviation, on the same scale.
        bounds: Smallest and largest input value, for inputs that are not 8-bit images.
        layout: Where the graph wants the channels; None to find it from the sizes.
        channels: In which order it wants them; None for RGB.
        input: Name of the input to ask with, where there are several; the others get zeros.
        output: Name or number of the output to answer with, where there are several.
        follow_symlinks: Whether links may lead to external data outside of the file's folder.
        keep: Whether the graph is to be converted too; see :class:`OnnxProcess`.

    Raises:
        UsageError: An option is wrong or has to be given, or there is no such file.
        InputRefused: The file is not accepted, or cannot be asked.
        EnvironmentFailure: ONNX Runtime is not installed, or the file may not be read.
    """
    network = OnnxProcess(
        os.fsdecode(path),
        threads=torch.get_num_threads(),
        follow_symlinks=follow_symlinks,
        keep=keep,
    )
    with naming(network.file.path):
        port, others = chosen_input(network.facts["inputs"], input)
        fed, guesses = feeding(
            port,
            input_size=input_size,
            mean=mean,
            std=std,
            bounds=bounds,
            layout=layout,
            channels=channels,
        )
        field = chosen_output(network.facts["outputs"], output)
        tried = _tried(network, fed, field)
    return OnnxSuspect(
        network,
        fed,
        field,
        tried.output,
        together=tried.together,
        warnings=(*others, *guesses, *tried.warnings),
    )


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """What a few inputs showed of a graph."""

    output: OutputSpec
    together: int
    warnings: tuple[str, ...]


def _tried(network: OnnxProcess, fed: Feeding, field: str) -> _Tried:
    """Asks two inputs, alone and together, before anything is built on the answers."""
    inputs = fed(to_inputs(sample_inputs(fed.spec, 2), fed.spec))
    try:
        alone = np.concatenate([_asked(network, fed, field, inputs[i : i + 1]) for i in (0, 1)])
    except IncompatibleModel as error:
        size = ",".join(map(str, fed.spec.shape))
        raise IncompatibleModel(
            f"the graph does not take an input of size {size}: {error}; set --input-size, --layout "
            "or --output"
        ) from error
    except ValueError as error:
        raise IncompatibleModel(
            f"the output '{clean(field)}' has another size for each input, such as a list of what "
            "was found; choose another --output"
        ) from error
    together, warnings = _together(network, fed, field, inputs, alone)
    port = next(one for one in network.facts["outputs"] if one["name"] == field)
    if alone.shape[1] == 1:
        warnings = (*warnings, SINGLE)
    elif len(port["shape"] or ()) != 2:
        warnings = (*warnings, flattened(port, alone.shape[1]))
    classes = as_rows(torch.from_numpy(alone)).shape[1]
    kind = kind_of(alone, str(network.facts["made_by"].get(field, "")))
    return _Tried(
        output=OutputSpec(classes=classes, kind=kind), together=together, warnings=warnings
    )


def _together(
    network: OnnxProcess,
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
    network: OnnxProcess, fed: Feeding, field: str, prepared: NDArray[Any]
) -> NDArray[np.float32]:
    """Answers prepared inputs at once; one that needs company gets its own: ``(N, values)``."""
    count = len(prepared)
    if fed.batch is not None and count < fed.batch:
        company = np.repeat(prepared[-1:], fed.batch - count, axis=0)
        prepared = np.concatenate([prepared, company])
    return network.ask(fed.name, prepared, field)[:count]
