"""``mlflow models serve`` and whatever else takes MLflow's ``/invocations``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fingerprint.suspects.endpoints.adapter import JSON, Adapter, Answer, json_body
from fingerprint.suspects.endpoints.form import Form
from fingerprint.suspects.endpoints.predict import predictions
from fingerprint.suspects.endpoints.transport import Call, Reply

__all__ = ["Mlflow"]


class Mlflow(Adapter):
    """Asks at ``.../invocations``; the server says nothing of what its model takes."""

    name = "mlflow"

    def located(self, path: str) -> str:
        """The path of ``invocations``; see :meth:`Adapter.located`."""
        return path.removesuffix("/").removesuffix("/invocations") + "/invocations"

    def encode(self, inputs: NDArray[Any], form: Form) -> Call:
        """One tensor; see :meth:`Adapter.encode`."""
        body = json_body({"inputs": form.tensors(inputs).tolist()})
        return Call(path=self.path, headers=JSON, body=body, inputs=len(inputs))

    def decode(self, reply: Reply, count: int) -> Sequence[Answer]:
        """Its predictions; see :meth:`Adapter.decode`."""
        return predictions(reply, count, self.output)
