"""Amazon SageMaker: ``InvokeEndpoint``, and a container that is asked by itself.

::

    https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/ours/invocations

What a request holds is the container's affair: those of PyTorch, TensorFlow Serving and MXNet all
read nested lists of numbers as JSON, and answer with rows or with ``{"predictions": rows}``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fingerprint.errors import UsageError
from fingerprint.suspects.endpoints.adapter import JSON, Answer, document, json_body, rows
from fingerprint.suspects.endpoints.form import Form
from fingerprint.suspects.endpoints.mlflow import Mlflow
from fingerprint.suspects.endpoints.predict import predictions
from fingerprint.suspects.endpoints.signing import AwsSignature
from fingerprint.suspects.endpoints.transport import Call, NoAnswer, Reply, Sign

__all__ = ["SageMaker"]

_HOST = re.compile(
    r"(?:.+\.)?runtime(?:-fips)?\.sagemaker\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?"
)
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


class SageMaker(Mlflow):
    """Asks at ``.../endpoints/NAME/invocations``, signed, or at a container's ``/invocations``."""

    name = "sagemaker"
    max_body = 5_000_000

    def encode(self, inputs: NDArray[Any], form: Form) -> Call:
        """Nested lists and nothing around them; see :meth:`Adapter.encode`."""
        body = json_body(form.tensors(inputs).tolist())
        return Call(path=self.path, headers=JSON, body=body, inputs=len(inputs))

    def decode(self, reply: Reply, count: int) -> Sequence[Answer]:
        """Rows, or a document of predictions; see :meth:`Adapter.decode`."""
        given = document(reply.body)
        if isinstance(given, dict):
            return predictions(reply, count, self.output)
        if self.output is not None:
            raise NoAnswer("expected outputs by name, got rows; leave out --output", fatal=True)
        return list(rows(given, count))

    def signature(self) -> Sign | None:
        """Signs what asks AWS itself; a container has no such door. See :meth:`Adapter.signature`.

        Raises:
            UsageError: Nobody says the region.
        """
        if "/endpoints/" not in self.path:
            return None
        found = _HOST.fullmatch(self.address.host)
        stated = next((os.environ[name] for name in _REGIONS if os.environ.get(name)), "")
        region = found[1] if found else stated
        if not _REGION.fullmatch(region):
            raise UsageError(
                f"{self.address.host}: expected a host such as "
                "runtime.sagemaker.REGION.amazonaws.com, or a region in AWS_REGION"
            )
        return AwsSignature(self.address, region=region, service="sagemaker")
