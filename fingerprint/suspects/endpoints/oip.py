"""Open Inference Protocol v2: KServe, Triton, MLServer, OpenVINO Model Server and others.

The model is asked what it takes, and the server whether it reads binary tensors, which are exact
and a fifth of the size. Both are JSON documents without numbers to trust: what they say is used to
ask, and never shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import InputRefused, UsageError
from fingerprint.suspects.endpoints.adapter import (
    DAMAGE,
    JSON,
    Adapter,
    Answer,
    Description,
    Fetch,
    document,
    json_body,
    rows,
    sizes,
)
from fingerprint.suspects.endpoints.form import Dtype, Form
from fingerprint.suspects.endpoints.transport import Call, NoAnswer, Reply

__all__ = ["OpenInference"]

_SENT: Mapping[str, tuple[str, Dtype]] = {
    "FP16": ("<f2", "float32"),
    "FP32": ("<f4", "float32"),
    "FP64": ("<f8", "float32"),
    "UINT8": ("u1", "uint8"),
}
_READ = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
_OWN: Mapping[Dtype, str] = {"float32": "FP32", "uint8": "UINT8"}
_SHUT = (401, 402, 403)
_LENGTH = "inference-header-content-length"
_LOGITS = ("logits", "output", "output-0", "output_0", "predictions", "scores", "probabilities")


class OpenInference(Adapter):
    """Asks at ``.../v2/models/NAME``, with ``/versions/V`` and ``/infer`` or without."""

    name = "oip"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._input = "input-0"
        self._datatype: str | None = None
        self._binary = False

    def located(self, path: str) -> str:
        """The path of ``infer``; see :meth:`Adapter.located`."""
        base = path.removesuffix("/").removesuffix("/infer")
        if "/v2/models/" not in base:
            raise UsageError(
                f"{self.address}: expected an address such as "
                f"{self.address.with_path('/v2/models/NAME')}"
            )
        return f"{base}/infer"

    def describe(self, fetch: Fetch) -> Description:
        """Asks the model's metadata, and the server's for its extensions."""
        found = fetch(Call(path=self.path.removesuffix("/infer"), method="GET"))
        if isinstance(found, NoAnswer) and found.status in (None, *_SHUT):
            raise found
        self._binary = self._reads_binary(fetch)
        if isinstance(found, NoAnswer):
            return Description()
        try:
            given = document(found.body)["inputs"]
            if not given:
                return Description()
            if len(given) > 1:
                raise InputRefused(
                    f"{self.address}: expected a model of one input, it takes {len(given)}"
                )
            name, datatype = given[0]["name"], given[0]["datatype"]
            shape = sizes(given[0]["shape"])
        except DAMAGE as error:
            raise NoAnswer("expected the model's metadata, got another document") from error
        if not isinstance(name, str) or datatype not in _SENT:
            raise InputRefused(
                f"{self.address}: expected an input of type {', '.join(_SENT)}, it takes another"
            )
        self._input, self._datatype = name, datatype
        return Description(shape=shape, dtype=_SENT[datatype][1])

    def _reads_binary(self, fetch: Fetch) -> bool:
        root = self.path.partition("/v2/models/")[0]
        found = fetch(Call(path=f"{root}/v2", method="GET"))
        if isinstance(found, NoAnswer):
            return False
        try:
            return "binary_tensor_data" in list(document(found.body)["extensions"])
        except (NoAnswer, *DAMAGE):
            return False

    def encode(self, inputs: NDArray[Any], form: Form) -> Call:
        """One tensor for all inputs, flat; see :meth:`Adapter.encode`."""
        # Optional in the protocol, but KServe's own server fails without one.
        name = {"id": uuid4().hex}
        datatype = self._datatype or _OWN[form.dtype]
        tensors = form.tensors(inputs).astype(_SENT[datatype][0])
        tensor: dict[str, Any] = {
            "name": self._input,
            "shape": list(tensors.shape),
            "datatype": datatype,
        }
        if not self._binary:
            body = {**name, "inputs": [{**tensor, "data": tensors.ravel().tolist()}]}
            return Call(path=self.path, headers=JSON, body=json_body(body), inputs=len(inputs))
        raw = tensors.tobytes()
        tensor["parameters"] = {"binary_data_size": len(raw)}
        wanted = {"binary_data_output": True}
        head = json_body({**name, "inputs": [tensor], "parameters": wanted})
        return Call(
            path=self.path,
            headers={
                "Content-Type": "application/octet-stream",
                "Inference-Header-Content-Length": str(len(head)),
            },
            body=head + raw,
            inputs=len(inputs),
        )

    def decode(self, reply: Reply, count: int) -> Sequence[Answer]:
        """The rows of one output; see :meth:`Adapter.decode`."""
        try:
            length = int(reply.headers.get(_LENGTH, len(reply.body)))
            outputs = document(reply.body[:length])["outputs"]
            named = {str(one["name"]): place for place, one in enumerate(outputs)}
            chosen = outputs[self._chosen(named)]
            shape = tuple(int(size) for size in chosen["shape"])
            if min(shape, default=0) < 0:
                raise ValueError("a negative size")
            if chosen["datatype"] not in _READ:
                raise NoAnswer("expected an output of numbers, FP16, FP32 or FP64, got another")
            if "data" in chosen:
                values = np.asarray(chosen["data"])
            else:
                values = _binary(reply.body[length:], outputs, chosen)
            return list(rows(values.reshape(shape), count))
        except DAMAGE as error:
            raise NoAnswer("expected the outputs of inference, got another document") from error

    def _chosen(self, named: Mapping[str, int]) -> int:
        """Returns the place of the output that holds the answers."""
        if isinstance(self.output, int):
            if not 0 <= self.output < len(named):
                raise NoAnswer(f"--output: there is no output {self.output}", fatal=True)
            return self.output
        wanted = (self.output,) if self.output is not None else _LOGITS
        found = [named[name] for name in wanted if name in named]
        if not found and (len(named) != 1 or self.output is not None):
            raise NoAnswer(
                f"expected one output, got {len(named)} others; name one by --output", fatal=True
            )
        return found[0] if found else 0


def _binary(raw: bytes, outputs: Any, chosen: Any) -> NDArray[Any]:
    """Takes one output out of the bytes that follow the document, in its order."""
    begin = 0
    for one in outputs:
        size = int(one.get("parameters", {}).get("binary_data_size", 0))
        if size < 0:
            raise ValueError("a negative size")
        if one is chosen:
            part = raw[begin : begin + size]
            if len(part) != size:
                raise ValueError("fewer bytes than stated")
            return np.frombuffer(part, _READ[chosen["datatype"]])
        begin += size
    raise LookupError("no such output")
