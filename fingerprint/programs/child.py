"""The process that runs one file that is code: ``python -m fingerprint.programs.child``.

Started by :mod:`fingerprint.programs.process`, which it talks to by its standard input and output.
After ``open`` the file's code may do in here whatever the sandbox lets it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fingerprint.errors import IncompatibleModel
from fingerprint.sandbox.rows import flat
from fingerprint.sandbox.serving import serve

_TYPES = {
    "torch.float32": "tensor(float)",
    "torch.bfloat16": "tensor(float)",  # NumPy has no such type; it is converted here
    "torch.float64": "tensor(double)",
    "torch.float16": "tensor(float16)",
    "torch.uint8": "tensor(uint8)",
}
_ONE = "output"
"""What the only output is called."""


class _Served:
    """The network of this process, once it is opened.

    Args:
        threads: How many may compute.
    """

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.network: Callable[..., Any] | None = None
        self.dtype: torch.dtype | None = None

    def open(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Loads the file, which runs its code, and says what it takes."""
        import torch

        opening = {"torchscript": _torchscript, "pt2": _exported}[header["kind"]]
        self.network, self.dtype, inputs = opening(payload)
        return {"inputs": inputs, "runtime": f"torch {torch.__version__}"}, b""

    def outline(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Says what it gives for one input."""
        outputs = [
            {
                "name": name,
                "type": _TYPES.get(str(value.dtype), f"tensor({value.dtype})"),
                "shape": [None, *value.shape[1:]],
            }
            for name, value in self._run(header, payload)
        ]
        return {"outputs": outputs}, b""

    def ask(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Answers a batch with one of its outputs."""
        answers = dict(self._run(header, payload))
        rows = flat(answers[header["output"]].float().numpy(), header["shape"][0])
        return {"shape": rows.shape}, rows.tobytes()

    def _run(self, header: dict[str, Any], payload: bytes) -> Iterator[tuple[str, Any]]:
        """Yields the tensors it gives for a batch, by name."""
        import torch

        if self.network is None:
            raise IncompatibleModel("expected an opened network")
        values = np.frombuffer(payload, header["dtype"]).reshape(header["shape"])
        batch = torch.from_numpy(values.copy())
        if batch.is_floating_point() and self.dtype is not None:
            batch = batch.to(self.dtype)
        try:
            with torch.no_grad():
                given = self.network(batch)
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:
            raise IncompatibleModel(_last_line(error)) from error
        named = _named(given)
        if not named:
            raise IncompatibleModel(f"expected tensors, got {type(given).__name__}")
        yield from named


def _torchscript(data: bytes) -> tuple[Callable[..., Any], Any, list[dict[str, Any]]]:
    import torch

    module = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()
    inputs = [
        {
            "name": one.name,
            "type": _TYPES["torch.float32"] if one.type.kind() == "TensorType" else str(one.type),
            "shape": None,  # the file does not say
        }
        for one in module.forward.schema.arguments[1:]
        if not one.has_default_value()
    ]
    return module, _floating(module.parameters()), inputs


def _exported(data: bytes) -> tuple[Callable[..., Any], Any, list[dict[str, Any]]]:
    import torch

    program = torch.export.load(io.BytesIO(data))
    wanted = program.graph_signature.user_inputs
    inputs = [
        {"name": node.name, **_placed(node.meta.get("val"))}
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in wanted
    ]
    return program.module(), _floating(program.state_dict.values()), inputs


def _placed(value: Any) -> dict[str, Any]:
    """Returns type and sizes of an input by its example; sizes that are open are None."""
    import torch

    if not isinstance(value, torch.Tensor):
        return {"type": type(value).__name__, "shape": None}
    sizes = [size if isinstance(size, int) else None for size in value.shape]
    return {"type": _TYPES.get(str(value.dtype), str(value.dtype)), "shape": sizes}


def _floating(tensors: Any) -> Any:
    """Returns the type of the first floating-point tensor; None where there is none."""
    return next((one.dtype for one in tensors if one.is_floating_point()), None)


def _named(given: Any) -> list[tuple[str, Any]]:
    """Names the tensors of what came: by key, by number, or as the only one."""
    import torch

    if isinstance(given, torch.Tensor):
        return [(_ONE, given)]
    if isinstance(given, dict):
        every = [(str(name), value) for name, value in given.items()]
    elif isinstance(given, list | tuple):
        every = [(str(place), value) for place, value in enumerate(given)]
    else:
        every = []
    return [(name, value) for name, value in every if isinstance(value, torch.Tensor)]


def _last_line(error: Exception) -> str:
    """Returns the end of an error: TorchScript puts a trace of the network's code in front."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


if __name__ == "__main__":
    serve(_Served)
