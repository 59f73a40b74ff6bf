"""What is remembered: registered models, their probes, and every verdict that was given.

::

    from fingerprint import load_model
    from registry import Registry

    with Registry("audit.db") as registry:
        registry.register(load_model("resnet20.safetensors"), name="resnet20")
        verification = registry.verify(load_model("suspect.safetensors"))

A registry is one SQLite file, or a PostgreSQL database given by its SQLAlchemy URL. ``Registry`` is
all a caller needs; the values it returns are frozen, and its errors are those of
``registry.errors``.
"""

from __future__ import annotations

from registry.errors import (
    AlreadyDeclared,
    HasDescendants,
    NameTaken,
    NotARegistry,
    RegistryCorrupt,
    RegistryError,
    RegistryLocked,
    RegistryReadOnly,
    RegistryTooNew,
    RegistryUnavailable,
    UnknownModel,
    UnknownParent,
    UnknownVerification,
    UnknownWatch,
    WatchTaken,
)
from registry.ledger import Entry
from registry.lineage import Contradiction, Edge, Lineage, Node
from registry.opening import upgrade_registry
from registry.registration import Result, Task, run
from registry.registry import Registry
from registry.rejudging import Proof, differences
from registry.values import (
    Export,
    Mended,
    MissingPair,
    Pair,
    RecordedVerification,
    RegisteredModel,
    Relocated,
)
from registry.watches import Watch, Watches, WatchSettings

__all__ = [
    "AlreadyDeclared",
    "Contradiction",
    "Edge",
    "Entry",
    "Export",
    "HasDescendants",
    "Lineage",
    "Mended",
    "MissingPair",
    "NameTaken",
    "Node",
    "NotARegistry",
    "Pair",
    "Proof",
    "RecordedVerification",
    "RegisteredModel",
    "Registry",
    "RegistryCorrupt",
    "RegistryError",
    "RegistryLocked",
    "RegistryReadOnly",
    "RegistryTooNew",
    "RegistryUnavailable",
    "Relocated",
    "Result",
    "Task",
    "UnknownModel",
    "UnknownParent",
    "UnknownVerification",
    "UnknownWatch",
    "Watch",
    "WatchSettings",
    "WatchTaken",
    "Watches",
    "differences",
    "run",
    "upgrade_registry",
]
