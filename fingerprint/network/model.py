"""A loaded network: the module, what it takes and gives, and where its weights came from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from fingerprint.errors import IncompatibleModel, ends_by_signal
from fingerprint.formats.file_bytes import FileFacts
from fingerprint.network.outputs import as_rows
from fingerprint.network.run import full_precision
from fingerprint.network.spec import InputSpec, OutputSpec
from fingerprint.text import first_line

__all__ = ["Model", "run_module"]


def run_module(module: nn.Module, x: Tensor) -> Any:
    """Runs a module, whose code must not end the program as if all were well.

    TensorFloat-32 is off: with it an answer depends on the kernel, and that on the batch.

    Args:
        module: The network.
        x: Inputs as its first layer takes them.

    Raises:
        IncompatibleModel: Its code exits. An end by a signal stays one.
    """
    try:
        with full_precision():
            return module(x)
    except SystemExit as error:
        if ends_by_signal(error):
            raise
        raise IncompatibleModel("its code ends the program instead of answering") from error


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A network in evaluation mode that answers batches of inputs with logits.

    Call it with a tensor of shape ``(N, *input.shape)`` in ``input.bounds``; it normalises,
    runs the module and returns answers of shape ``(N, output.classes)``; those of a network with
    one output become the logits ``(0, z)`` of two classes. Gradients flow to the
    input when the input asks for them; weights never require gradients.

    Attributes:
        module: The network, in evaluation mode.
        input: What it takes.
        output: What it gives.
        architecture: How to build it again, such as ``timm:resnet18`` or ``live:Net``.
        digest: Content digest of the weights (hex SHA-256), the same for any file format.
        file: The file it was read from; None for a live module.
        pick: Which field of a dict or which index of a tuple holds the logits; None if the
            module returns a plain tensor.
        key: Where in the file the weights lay, if that was stated.
        options: What else its loader was told, such as where an ONNX graph wants the channels, as
            JSON values.
        asked_only: Why no gradients can be had of it, so that it can be registered by its answers
            only; empty where they can.
        warnings: One line for each assumption that was made while loading.
    """

    module: nn.Module
    input: InputSpec
    output: OutputSpec
    architecture: str
    digest: str
    file: FileFacts | None = None
    pick: str | int | None = None
    key: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    asked_only: str = ""
    warnings: tuple[str, ...] = ()

    def __call__(self, x: Tensor) -> Tensor:
        """Answers a batch: ``(N, *input.shape)`` in ``input.bounds`` -> ``(N, classes)``."""
        answers = self._run(self.input.normalise(x))
        if isinstance(self.pick, str) and not isinstance(answers, Mapping):
            answers = getattr(answers, self.pick)
        elif self.pick is not None:
            answers = answers[self.pick]
        if not isinstance(answers, Tensor):
            raise IncompatibleModel(
                f"expected the network to return a tensor, got {type(answers).__name__}"
            )
        rows = as_rows(answers)
        if len(rows) != len(x) or rows.shape[1:] != (self.output.classes,):
            raise IncompatibleModel(
                f"expected {len(x)} answers of {self.output.classes} values, the network gave "
                f"{'x'.join(map(str, rows.shape))}; its answers are to be of one size for any "
                "number of inputs"
            )
        return rows

    def _run(self, x: Tensor) -> Any:
        """Runs the module; an error of its own code is one of the model, not of this program."""
        try:
            return run_module(self.module, x)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            # This library's own errors, such as a tracer's, only pass through the module.
            if type(error).__module__.startswith("fingerprint."):
                raise
            raise IncompatibleModel(
                f"the network failed on {len(x)} inputs of size "
                f"{','.join(map(str, self.input.shape))}: {first_line(error)}"
            ) from error

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next((p.device for p in self.module.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the weights."""
        floats = (p.dtype for p in self.module.parameters() if p.is_floating_point())
        return next(floats, torch.float32)

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Model:
        """Returns a copy on another device or in another precision; this one is left alone."""
        module = copy.deepcopy(self.module).to(device=device, dtype=dtype)
        return replace(self, module=module)

    @property
    def load_options(self) -> dict[str, Any]:
        """Keyword arguments with which :func:`load_model` loads it again, as JSON values."""
        options = {"arch": self.architecture, **self.input.load_options, "output": self.pick}
        stated = {} if self.key is None else {"key": self.key}
        return {**options, **stated, **self.options}

    def to_dict(self) -> dict[str, Any]:
        """Returns the facts, without the weights, as plain JSON values."""
        return {
            "architecture": self.architecture,
            "field": self.pick,
            "dtype": str(self.dtype).removeprefix("torch."),
            "model_digest": self.digest,
            "file": self.file.path if self.file else None,
            "file_sha256": self.file.sha256 if self.file else None,
            "input": self.input.to_dict(),
            "output": self.output.to_dict(),
        }
