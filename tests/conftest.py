"""Fixtures every test folder may use, one thread for everybody, and registries without luck."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from unittest import mock

import pytest

# Before torch is imported, here and in every process a test starts: the networks are so small
# that a second thread only costs time, many times as much on a busy machine. Another number may be
# given.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.support.digits", "tests.support.postgresql"]


@pytest.fixture(autouse=True, scope="session")
def _seeds() -> Iterator[None]:
    """Draws the seeds of new registries from the test's name and not from chance.

    Probes derive from the seed, so a verdict near its margin would fail in one run of many.
    """
    drawn: Counter[str] = Counter()

    def token_hex(count: int = 32) -> str:
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        drawn[test] += 1
        return hashlib.sha256(f"{test}|{drawn[test]}".encode()).hexdigest()[: 2 * count]

    with mock.patch("secrets.token_hex", token_hex):
        yield
