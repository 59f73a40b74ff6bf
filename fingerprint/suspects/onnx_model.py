"""An ONNX file as a source: a model whose probes can be solved.

::

    model = load_onnx_model("model.onnx", mean=(0.5,), std=(0.5,))
    model.asked_only        # why its gradients cannot be had; empty where they can

Gradients come from a converter, which may be wrong. So at every loading its answers are compared
with those of ONNX Runtime, and its gradients with differences of them; where either does not hold,
the model answers by ONNX Runtime alone and can be registered by its answers only. Its digest is
that of the graph, never of the module.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fingerprint.errors import FingerprintError, IncompatibleModel
from fingerprint.graphs.converting import converted
from fingerprint.network.inputs import sample_inputs
from fingerprint.network.model import Model
from fingerprint.network.outputs import as_rows
from fingerprint.network.run import to_inputs, to_tensor
from fingerprint.suspects.graph import PortOptions
from fingerprint.suspects.onnx_graph import OnnxSuspect, load_onnx
from fingerprint.suspects.onnx_inputs import Feeding
from fingerprint.text import first_line

__all__ = ["load_onnx_model"]

_BYTE = 255.0
_INPUTS = 6
_SAME = 1e-3
"""Share of the largest answer by which both may differ; kernels differ by less than a hundredth of
that, a wrong operator by much more."""
_DIRECTIONS = 8
_STEP = 0.1
"""Of an 8-bit picture's, by which an input is moved, so that few kinks lie in between; a graph that
takes bytes can only be moved by one."""
_SLOPED = 3
"""Inputs at which derivatives are compared."""
_MOVED = 0.05
"""Share of an input's values that a direction moves."""
_GRADIENT = 0.2
"""Relative error of derivatives along random directions, where a missing or wrong path of the
gradient makes it about 1."""


def load_onnx_model(
    path: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    follow_symlinks: bool = False,
    sandbox: bool = True,
    time_limit: float | None = None,
    **options: Unpack[PortOptions],
) -> Model:
    """Loads an ONNX file as a model.

    Args:
        path: The file; external data lie beside it.
        device: Where to put the converted weights.
        follow_symlinks: Whether links may lead to external data outside of the file's folder.
        sandbox: Whether ONNX Runtime is held down, where there is a sandbox on this machine.
        time_limit: How many seconds ONNX Runtime may take for all it is asked; None for no limit.
        **options: See :class:`PortOptions`.

    Returns:
        The model. Without gradients, its ``asked_only`` says why, and a warning too.

    Raises:
        UsageError: An option is wrong or has to be given, or there is no such file.
        InputRefused: The file is not accepted, or cannot be asked.
        EnvironmentFailure: ONNX Runtime is not installed, or the file may not be read.
    """
    suspect = load_onnx(
        path,
        follow_symlinks=follow_symlinks,
        sandbox=sandbox,
        time_limit=time_limit,
        keep=True,
        **options,
    )
    fed, reason = suspect.fed, ""
    lines = suspect.warnings
    try:
        module: nn.Module = _Converted(suspect)
        _check(module, suspect)
        module = module.to(device)
    except IncompatibleModel as error:
        module, reason = _Asked(suspect), str(error)
        lines = (*lines, f"no gradients can be had of it: {reason}")
    picture = len(fed.spec.shape) == 3
    return Model(
        module=module.eval(),
        input=fed.spec,
        output=suspect.output,
        architecture="onnx",
        digest=str(suspect.identity.model_digest),
        file=suspect.network.file,
        options={
            "layout": fed.layout if picture else None,
            "channels": fed.channels,
            "input": fed.name,
            "output": suspect.field,
        },
        asked_only=reason,
        warnings=lines,
    )


class _Converted(nn.Module):
    """A converted graph, fed as the graph is and answering with one row for each input.

    Raises:
        IncompatibleModel: It cannot be converted.
    """

    def __init__(self, suspect: OnnxSuspect) -> None:
        super().__init__()
        facts = suspect.network.facts
        if suspect.pool:
            raise IncompatibleModel("its output has another size for each input")
        if len(facts["inputs"]) != 1:
            raise IncompatibleModel("the graph takes several inputs")
        self.network = converted(suspect.network.content, batch=suspect.fed.batch)
        self.fed: Feeding = suspect.fed
        self.index = [one["name"] for one in facts["outputs"]].index(suspect.field)

    def forward(self, x: Tensor) -> Tensor:
        """Answers normalised inputs ``(N, *shape)``: ``(N, values)``."""
        if self.fed.channels == "bgr":
            x = x.flip(1)
        if self.fed.layout == "nhwc":
            x = x.movedim(1, -1)
        with warnings.catch_warnings():
            # The converter's operators warn of what it does not know, at whoever runs them.
            warnings.simplefilter("ignore")
            answers = self.network(x * _BYTE if self.fed.dtype == np.uint8 else x)
        answer: Tensor = answers[self.index] if isinstance(answers, list | tuple) else answers
        return answer.flatten(1) if answer.ndim > 2 else answer


class _Asked(nn.Module):
    """A graph that ONNX Runtime answers, without gradients; there is one of it, never a copy."""

    def __init__(self, suspect: OnnxSuspect) -> None:
        super().__init__()
        self._suspect = suspect

    def __deepcopy__(self, memo: dict[int, object]) -> _Asked:
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Answers normalised inputs ``(N, *shape)``: ``(N, values)``."""
        spec = self._suspect.input
        std = torch.tensor(spec.std or (1.0,)).view(1, -1, *[1] * (x.ndim - 2))
        mean = torch.tensor(spec.mean or (0.0,)).view(1, -1, *[1] * (x.ndim - 2))
        plain = x.detach().cpu().float() * std + mean
        return torch.from_numpy(self._suspect.respond_values(plain))


def _check(module: nn.Module, suspect: OnnxSuspect) -> None:
    """Compares a converted graph with ONNX Runtime, by answers and by their differences.

    Raises:
        IncompatibleModel: It does not run, or something differs.
    """
    spec = suspect.input
    inputs = to_inputs(_asked_about(suspect), spec)
    wanted = suspect.respond(inputs)
    try:
        with torch.no_grad():
            found = as_rows(module(spec.normalise(to_tensor(inputs, spec)))).numpy()
        measured, predicted = _slopes(module, suspect, inputs[:_SLOPED])
    except (FingerprintError, MemoryError):
        raise
    except Exception as error:
        # The converted operators raise whatever does not fit them.
        way_out = "; export it for any number of inputs" if suspect.fed.batch else ""
        raise IncompatibleModel(
            f"the converted network does not run ({first_line(error)}){way_out}"
        ) from error
    if found.shape != wanted.shape:
        sizes = ("x".join(map(str, rows.shape)) for rows in (found, wanted))
        raise IncompatibleModel(
            f"the converted network answers {len(inputs)} inputs with {next(sizes)} values, ONNX "
            f"Runtime with {next(sizes)}"
        )
    off = _relative(found, wanted, np.max)
    if not off <= _SAME:
        raise IncompatibleModel(
            f"the converted network answers otherwise than ONNX Runtime (by {off:.1g} of the "
            "largest answer)"
        )
    wrong = _relative(predicted, measured, np.linalg.norm)
    if not wrong <= _GRADIENT:
        raise IncompatibleModel(
            "the converted network's gradient is not that of the answers of ONNX Runtime (off by "
            f"{wrong:.1g} of its size)"
        )


def _relative(
    found: NDArray[np.floating], wanted: NDArray[np.floating], size: Callable[..., np.floating]
) -> float:
    """Returns a relative error; NaN where there is nothing to compare with."""
    if found.shape != wanted.shape or not np.any(wanted):
        return float("nan")
    return float(size(np.abs(found - wanted)) / size(np.abs(wanted)))


def _asked_about(suspect: OnnxSuspect) -> Tensor:
    """Returns a few inputs between noise and plain, all within the bounds by more than a step."""
    low, high = suspect.input.bounds
    noise = sample_inputs(suspect.input, _INPUTS)
    share = torch.linspace(0.1, 0.9, _INPUTS).view(-1, *[1] * len(suspect.input.shape))
    plain = low + (high - low) * share
    mixed = share * noise + (1 - share) * plain
    return mixed.clamp(low + (high - low) * 0.02, high - (high - low) * 0.02)


def _slopes(
    module: nn.Module, suspect: OnnxSuspect, inputs: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns derivatives along random directions, by asking and by gradient.

    A direction moves some values of an input by a step, up or down. The derivative is that of a
    random combination of what is answered.
    """
    spec = suspect.input
    generator = torch.Generator().manual_seed(0)
    low, high = spec.bounds
    coarse = suspect.fed.dtype == np.uint8
    step = (high - low) / 255 * (1 if coarse else _STEP)
    x = to_tensor(inputs, spec).requires_grad_()
    rows = as_rows(module(spec.normalise(x)))
    weights = torch.randn(rows.shape, generator=generator)
    total = (weights * _levelled(rows, suspect)).sum()
    (gradient,) = torch.autograd.grad(total, x)
    measured, predicted = [], []
    for _ in range(_DIRECTIONS):
        sign = torch.randint(0, 2, x.shape, generator=generator) * 2.0 - 1
        moved = sign * (torch.rand(x.shape, generator=generator) < _MOVED) * step
        ends = [
            _levelled(torch.from_numpy(suspect.respond_values(x.detach() + way)), suspect)
            for way in (moved, -moved)
        ]
        measured.append((weights * (ends[0] - ends[1])).flatten(1).sum(1).double().numpy() / 2)
        predicted.append((gradient * moved).flatten(1).sum(1).double().numpy())
    return np.stack(measured), np.stack(predicted)


def _levelled(rows: Tensor, suspect: OnnxSuspect) -> Tensor:
    """Returns answers in the form in which they are compared: probabilities by their logarithms."""
    if suspect.output.kind == "probabilities":
        return rows.clamp_min(1e-30).log()
    return rows
