"""Fixtures every test folder may use, and one thread for everybody."""

from __future__ import annotations

import os

# Before torch is imported, here and in every process a test starts: the networks are so small
# that a second thread only costs time, many times as much on a busy machine. Another number may be
# given.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.support.digits"]
