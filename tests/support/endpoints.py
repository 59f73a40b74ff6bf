"""Endpoints on loopback, connected as the command line does, but never waiting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.spec import InputSpec
from fingerprint.suspects.endpoints import (
    Endpoint,
    InputFlags,
    Limits,
    Transport,
    connect,
    make_adapter,
    parse_address,
    reachable_at,
)
from fingerprint.suspects.endpoints.pacing import Pacer

__all__ = ["SHAPE", "close", "connected", "network", "pixels"]

SHAPE = (3, 4, 4)
_WEIGHTS = np.random.default_rng(0).normal(size=(48, 5)).astype(np.float32)


def network(values: NDArray[Any]) -> NDArray[np.float32]:
    """A linear network of five logits, of inputs of 48 values."""
    rows: NDArray[np.float32] = np.asarray(values, np.float32).reshape(len(values), -1) @ _WEIGHTS
    return rows


def pixels(count: int = 7) -> NDArray[np.uint8]:
    """Images of the shape that most tests take."""
    return np.random.default_rng(1).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def close(rows: NDArray[Any], expected: NDArray[Any]) -> None:
    """Compares answers, whatever order a processor sums in."""
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-5)


async def _at_once(seconds: float) -> None:
    del seconds


def connected(
    url: str,
    adapter: str,
    *,
    labels: Sequence[str] | None = None,
    output: str | int | None = None,
    limits: dict[str, Any] | None = None,
    as_sent: bool = False,
    **flags: Any,
) -> Endpoint:
    """Connects to a server on loopback."""
    spoken = make_adapter(adapter, parse_address(url), output=output)
    transport = Transport(
        spoken.address,
        reachable_at(spoken.address, allow_private=True),
        Limits(**{"timeout": 20, **(limits or {})}),
        pacer=Pacer(clock=lambda: 0.0, sleep=_at_once),
    )
    known = InputSpec(shape=SHAPE)
    stated = InputFlags(**{"known": known, **flags})
    return connect(spoken, transport, stated, labels=labels, as_sent=as_sent)
