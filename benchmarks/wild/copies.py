"""What is done to copies of an ONNX file, as people do it on the way to an application.

    copies("a.onnx", "work/copies/a", how={"mean": (0.5,)}, size=(3, 224, 224), trained=True)

Each way is that of a tool which others wrote: ONNX Runtime's quantiser and half precision,
onnxslim, torch's exporter. A copy that a tool cannot make is left out with its reason.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fingerprint import load_onnx, load_onnx_model
from fingerprint.lab.data import Data, digits
from fingerprint.lab.training import Settings, pixels, train
from fingerprint.network.spec import AnswerKind, InputSpec
from fingerprint.suspects import OnnxSuspect
from fingerprint.text import first_line

__all__ = ["change_of_answers", "copies"]

_PICTURES = 480
"""Digits that a copy learns from."""
_FURTHER = Settings(epochs=1, lr=1e-3, optimizer="sgd", scheduled=False, batch=16)
_CALIBRATED_ON = 32
_OPSET = 17
_SMALLEST = 1e-12


def copies(
    file: Path, folder: Path, *, how: Mapping[str, Any], size: Sequence[int], trained: bool
) -> Iterator[tuple[str, Path | None, str]]:
    """Makes copies of a file that are not there yet.

    Args:
        file: The original.
        folder: Where copies are kept.
        how: How it is fed.
        size: Shape of one input.
        trained: Whether one of them is trained further.

    Yields:
        What was done, the copy, and if there is none, why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fed = {**how, "input_size": size}
    changes: dict[str, Callable[[Path], None]] = {
        "int8, fixed ranges": partial(_static, file, fed),
        "int8, ranges as they come": partial(_dynamic, file),
        "float16": partial(_half, file),
        "simplified": partial(_simplified, file),
        "exported again by torch": partial(_exported, file, fed, further=False),
    }
    if trained:
        changes["fine-tuned"] = partial(_exported, file, fed, further=True)
    for change, make in changes.items():
        target = folder / f"{change.replace(' ', '-').replace(',', '')}.onnx"
        reason = "" if target.exists() else _made(make, target)
        yield change, (None if reason else target), reason


def change_of_answers(before: OnnxSuspect, after: OnnxSuspect) -> float:
    """Returns how much a copy answers otherwise: relative difference on what ranges came from.

    About 1 where hardly anything is left of what the network did, as some 8-bit copies are.
    """
    inputs = _some_inputs(before.input.shape, before.input.bounds)
    first, second = (_asked(one, inputs) for one in (before, after))
    if first.shape != second.shape:
        return float("nan")
    apart = np.linalg.norm(first - second, axis=1) / np.linalg.norm(first - first.mean(0), axis=1)
    return float(np.median(apart))


def _asked(suspect: OnnxSuspect, inputs: Tensor) -> NDArray[np.float64]:
    """Returns answers as logits, however they are given."""
    rows = suspect.respond_values(inputs).astype(np.float64)
    if suspect.output.kind == "probabilities":
        rows = np.log(np.maximum(rows, _SMALLEST))
    return rows


def _made(make: Callable[[Path], None], target: Path) -> str:
    """Writes a copy; returns why there is none."""
    written = target.with_suffix(".part")
    try:
        with _quiet():
            make(written)
    except Exception as error:
        # Each tool raises whatever does not fit it.
        return first_line(error)
    written.replace(target)
    return ""


def _static(file: Path, fed: Mapping[str, Any], written: Path) -> None:
    from onnxruntime import quantization

    ready = _prepared(file, written)
    quantization.quantize_static(str(ready), str(written), _Ranges(file, fed))
    ready.unlink()


def _dynamic(file: Path, written: Path) -> None:
    from onnxruntime import quantization

    ready = _prepared(file, written)
    unsigned = quantization.QuantType.QUInt8  # there are no kernels for the signed ones
    quantization.quantize_dynamic(str(ready), str(written), weight_type=unsigned)
    ready.unlink()


def _prepared(file: Path, written: Path) -> Path:
    """Writes a file as the quantisers want it: shapes known, weights stored as such."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    ready = written.with_suffix(".prepared")
    quant_pre_process(str(file), str(ready), skip_symbolic_shape=True)
    return ready


class _Ranges:
    """Hands a few inputs to the quantiser, one by one, as its readers do."""

    def __init__(self, file: Path, fed: Mapping[str, Any]) -> None:
        suspect = load_onnx(file, **fed)
        inputs = _some_inputs(suspect.input.shape, suspect.input.bounds)
        others = [one for one in suspect.network.facts["inputs"] if one["name"] != suspect.fed.name]
        zeros = {one["name"]: np.zeros(one["shape"], np.float32) for one in others}
        each = np.split(suspect.fed.of_values(inputs), len(inputs))
        self._left = iter([{suspect.fed.name: one, **zeros} for one in each])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._left, None)


def _some_inputs(shape: Sequence[int], bounds: tuple[float, float]) -> Tensor:
    """Returns digits for pictures and noise for anything else, in bounds."""
    if len(shape) == 3:
        return pixels(_turned(shape, 2).train_images[:_CALIBRATED_ON])
    low, high = bounds
    generator = torch.Generator().manual_seed(0)
    return low + (high - low) * torch.rand(_CALIBRATED_ON, *shape, generator=generator)


def _half(file: Path, written: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(file)), written)


def _simplified(file: Path, written: Path) -> None:
    import onnx
    import onnxslim

    onnx.save(onnxslim.slim(onnx.load(file)), written)


def _exported(file: Path, fed: Mapping[str, Any], written: Path, *, further: bool) -> None:
    """Writes what the converter made of a file, perhaps trained further, as torch does."""
    model = load_onnx_model(file, **fed)
    if model.asked_only:
        raise ValueError(model.asked_only)
    network: Any = model.module
    if further:
        _train(network, model.input, model.output.classes, kind=model.output.kind)
    # One input at a time: the converter's reshapes keep the sizes that they were traced with.
    example = network.fed.of_values(torch.zeros(1, *model.input.shape))
    torch.onnx.export(
        network.network.eval(),
        (torch.from_numpy(example),),
        str(written),
        dynamo=False,
        opset_version=_OPSET,
        input_names=["x"],
        output_names=["answers"],
    )


class _Pixels(nn.Module):
    """Takes pixels to a network, and answers with logits.

    Args:
        network: Takes what the specification makes of pixels.
        spec: Of its inputs.
        kind: Of its answers.
    """

    def __init__(self, network: nn.Module, spec: InputSpec, kind: AnswerKind) -> None:
        super().__init__()
        self.network, self.spec, self.kind = network, spec, kind

    def train(self, mode: bool = True) -> _Pixels:
        """Leaves statistics as they are: the converter takes ONNX's momentum for torch's."""
        del mode
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        answers: Tensor = self.network(self.spec.normalise(x))
        return answers.clamp_min(_SMALLEST).log() if self.kind == "probabilities" else answers


def _train(network: nn.Module, spec: InputSpec, classes: int, *, kind: AnswerKind) -> None:
    """Teaches a network which way up a digit is."""
    for weights in network.parameters():
        weights.requires_grad_(True)
    train(_Pixels(network, spec, kind), _turned(spec.shape, classes), _FURTHER, seed=0)


def _turned(shape: Sequence[int], classes: int) -> Data:
    """Returns digits as large as a network wants them, turned by half or by quarters."""
    plain = digits()
    images = torch.from_numpy(plain.train_images[:_PICTURES]).float().expand(-1, shape[0], -1, -1)
    kept = functional.interpolate(images, size=tuple(shape[1:]), mode="bilinear").to(torch.uint8)
    labels = np.arange(len(kept)) % classes
    quarters = 4 // classes
    ways = zip(kept, labels.tolist(), strict=True)
    stacked = torch.stack([torch.rot90(one, quarters * way, (1, 2)) for one, way in ways]).numpy()
    return Data(
        name="turned digits",
        train_images=stacked,
        train_labels=labels,
        test_images=stacked[:0],
        test_labels=labels[:0],
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what exporters and quantisers say to themselves."""
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
