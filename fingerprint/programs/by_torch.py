"""The process that runs TorchScript and programs of ``torch.export``.

``python -m fingerprint.programs.by_torch``; see :mod:`fingerprint.programs.serving`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from fingerprint.errors import IncompatibleModel
from fingerprint.programs.serving import FLOAT, Served, described
from fingerprint.programs.tensors import arrays
from fingerprint.sandbox.serving import serve


class _Torch(Served):
    def __init__(self, threads: int) -> None:
        import torch

        super().__init__(threads)
        torch.set_num_threads(threads)
        self.runtime = f"torch {torch.__version__}"
        self.network: Callable[..., Any] | None = None
        self.dtype: torch.dtype | None = None

    def load(self, kind: str, data: bytes, beside: bytes) -> Sequence[Mapping[str, Any]]:
        opening = {"torchscript": _torchscript, "pt2": _exported}[kind]
        self.network, self.dtype, inputs = opening(data)
        return inputs

    def run(self, values: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        import torch

        if self.network is None:
            raise IncompatibleModel("expected an opened network")
        batch = torch.from_numpy(values)
        if batch.is_floating_point() and self.dtype is not None:
            batch = batch.to(self.dtype)
        with torch.no_grad():
            return arrays(self.network(batch))


def _torchscript(data: bytes) -> tuple[Callable[..., Any], Any, list[dict[str, Any]]]:
    import torch

    module = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()
    inputs = [
        {
            "name": one.name,
            "type": FLOAT if one.type.kind() == "TensorType" else str(one.type),
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
    kind = str(value.dtype).removeprefix("torch.")
    # NumPy has no bfloat16; it is converted here.
    return {"type": FLOAT if kind == "bfloat16" else described(kind), "shape": sizes}


def _floating(tensors: Any) -> Any:
    """Returns the type of the first floating-point tensor; None where there is none."""
    return next((one.dtype for one in tensors if one.is_floating_point()), None)


if __name__ == "__main__":
    serve(_Torch)
