"""Detection methods under one contract, so that they can be compared query by query.

Each baseline is written from its paper; its module says which.
"""

from __future__ import annotations

from benchmarks.detection.methods.akh import Akh
from benchmarks.detection.methods.base import BUDGETS, Method, Prepared, QueryMethod
from benchmarks.detection.methods.ipguard import IpGuard
from benchmarks.detection.methods.modeldiff import ModelDiff
from benchmarks.detection.methods.sac import Sac
from benchmarks.detection.methods.weights import WeightCosine

__all__ = [
    "BUDGETS",
    "Akh",
    "IpGuard",
    "Method",
    "ModelDiff",
    "Prepared",
    "QueryMethod",
    "Sac",
    "WeightCosine",
    "baselines",
]


def baselines() -> tuple[Method, ...]:
    """Returns every baseline; where settings differ from the paper's, its class says why."""
    return (Akh(), IpGuard(), Sac(), ModelDiff(), WeightCosine())
