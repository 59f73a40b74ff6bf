"""Fixtures every test folder may use, one thread for everybody, and registries without luck."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any
from unittest import mock

import pytest

# Before torch is imported, here and in every process a test starts: the networks are so small
# that a second thread only costs time, many times as much on a busy machine. Another number may be
# given.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.support.digits", "tests.support.marks", "tests.support.postgresql"]


_shared: list[str] = []
"""The fixtures of many tests that are being made, the innermost last."""
_drawn: Counter[str] = Counter()
"""Seeds drawn so far, by what draws them."""


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Notes which fixture is made, if it outlives the test that is the first to ask for it."""
    if request.scope == "function":
        return (yield)
    which = getattr(request, "param_index", 0)
    _shared.append(f"{fixturedef.baseid}::{fixturedef.argname} {which}")
    # Made again, after what it rests on was made again, it is to be what it was.
    _drawn.pop(_shared[-1], None)
    try:
        return (yield)
    finally:
        _shared.pop()


@pytest.fixture(autouse=True, scope="session")
def _seeds() -> Iterator[None]:
    """Draws the seeds of new registries from what makes one: the name of a test or fixture.

    Probes derive from the seed, so a verdict near its margin would fail in one run of many. And a
    fixture that many tests share would have another seed wherever another test is the first.
    """

    def token_hex(count: int = 32) -> str:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        name = _shared[-1] if _shared else test
        _drawn[name] += 1
        return hashlib.sha256(f"{name}|{_drawn[name]}".encode()).hexdigest()[: 2 * count]

    with mock.patch("secrets.token_hex", token_hex):
        yield
