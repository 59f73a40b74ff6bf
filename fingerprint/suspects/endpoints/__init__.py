"""Suspects behind an address: one transport that bounds everything, one small file an adapter."""

from __future__ import annotations

from pathlib import Path

from fingerprint.errors import UsageError
from fingerprint.suspects.endpoints.adapter import Adapter, Description
from fingerprint.suspects.endpoints.address import (
    Address,
    parse_address,
    reachable_at,
)
from fingerprint.suspects.endpoints.endpoint import Endpoint, InputFlags, connect, encoded
from fingerprint.suspects.endpoints.generic import Generic, Template, header_value
from fingerprint.suspects.endpoints.huggingface import HuggingFace
from fingerprint.suspects.endpoints.mlflow import Mlflow
from fingerprint.suspects.endpoints.oip import OpenInference
from fingerprint.suspects.endpoints.predict import Predict
from fingerprint.suspects.endpoints.sagemaker import SageMaker
from fingerprint.suspects.endpoints.transport import Limits, Transport
from fingerprint.text import clean

__all__ = [
    "Adapter",
    "Address",
    "Description",
    "Endpoint",
    "InputFlags",
    "Limits",
    "Transport",
    "connect",
    "encoded",
    "header_value",
    "make_adapter",
    "parse_address",
    "reachable_at",
]

_ADAPTERS: dict[str, type[Adapter]] = {
    one.name: one for one in (OpenInference, Predict, Mlflow, HuggingFace, SageMaker)
}


def make_adapter(name: str, address: Address, *, output: str | int | None = None) -> Adapter:
    """Returns what speaks a protocol.

    Args:
        name: ``oip``, ``kserve-v1``, ``mlflow``, ``huggingface``, ``sagemaker``, or
            ``generic:FILE``.
        address: Where the model is.
        output: Which output to take, where there are several.

    Raises:
        UsageError: There is no such adapter, or the address or the file is none of it.
    """
    kind, separator, file = name.partition(":")
    if kind == Generic.name and file:
        if output is not None:
            raise UsageError("--output: the file of generic: says where the answers are")
        return Generic(address, Template.read(Path(file)))
    if kind not in _ADAPTERS or separator:
        raise UsageError(
            f"--adapter: expected {', '.join(_ADAPTERS)} or generic:FILE, got {clean(name)}"
        )
    return _ADAPTERS[kind](address, output=output)
