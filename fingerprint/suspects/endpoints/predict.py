"""``:predict``: KServe's first protocol, TensorFlow Serving, Vertex AI.

A list of instances goes in, a list of predictions comes out. TensorFlow Serving also says what its
model takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from fingerprint.errors import InputRefused
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

__all__ = ["Predict", "predictions"]

_DTYPES: Mapping[str, Dtype] = {"DT_FLOAT": "float32", "DT_UINT8": "uint8"}
_SUFFIX = ":predict"


class Predict(Adapter):
    """Asks at ``.../v1/models/NAME:predict``, or at an endpoint of Vertex AI."""

    name = "kserve-v1"

    def located(self, path: str) -> str:
        """The path with ``:predict`` behind it; see :meth:`Adapter.located`."""
        return path.removesuffix("/").removesuffix(_SUFFIX) + _SUFFIX

    def describe(self, fetch: Fetch) -> Description:
        """Asks TensorFlow Serving's metadata; other servers have none."""
        found = fetch(Call(path=f"{self.path.removesuffix(_SUFFIX)}/metadata", method="GET"))
        if isinstance(found, NoAnswer):
            return Description()
        try:
            signatures = document(found.body)["metadata"]["signature_def"]["signature_def"]
            inputs = signatures["serving_default"]["inputs"]
            (tensor,) = inputs.values() if len(inputs) == 1 else ({},)
            dims = tensor["tensor_shape"]["dim"] if tensor else [{"size": -1}]
            shape, dtype = sizes(one["size"] for one in dims), tensor.get("dtype")
        except (NoAnswer, *DAMAGE):
            return Description()
        if len(inputs) > 1 or dtype not in _DTYPES:
            raise InputRefused(
                f"{self.address}: expected a model of one input of type DT_FLOAT or DT_UINT8, "
                "its metadata says otherwise"
            )
        return Description(shape=shape, dtype=_DTYPES[dtype])

    def encode(self, inputs: NDArray[Any], form: Form) -> Call:
        """A list of instances; see :meth:`Adapter.encode`."""
        body = json_body({"instances": form.tensors(inputs).tolist()})
        return Call(path=self.path, headers=JSON, body=body, inputs=len(inputs))

    def decode(self, reply: Reply, count: int) -> Sequence[Answer]:
        """A list of predictions; see :meth:`Adapter.decode`."""
        return predictions(reply, count, self.output)


def predictions(reply: Reply, count: int, output: str | int | None) -> Sequence[Answer]:
    """Reads ``{"predictions": [...]}``: rows of numbers, or documents of outputs or of classes.

    Raises:
        NoAnswer: It holds something else.
    """
    try:
        given = document(reply.body)["predictions"]
        if output is not None:
            given = [one[output] for one in given]
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            return list(rows(given, count))
        if len(given) != count:
            raise NoAnswer(f"expected {count} predictions, got {len(given)}")
        if all(isinstance(value, (int, float)) for one in given for value in one.values()):
            return [{str(name): float(value) for name, value in one.items()} for one in given]
    except DAMAGE as error:
        raise NoAnswer("expected a document of predictions, got another") from error
    raise NoAnswer("expected one output, got several; name one by --output", fatal=True)
