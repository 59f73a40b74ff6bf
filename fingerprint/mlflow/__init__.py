"""Models of an MLflow server: fetched by their URI, registered, and gated on their way out.

::

    from fingerprint.mlflow import gate, register_version
    from registry import Registry

    with Registry("audit.db") as registry:
        register_version(registry, "models:/cats/3", arch="timm:resnet18", from_scratch=True)
        gated = gate(registry, "models:/cats/4", alias="champion", forbid=["theirs"])
        gated.passed, gated.reasons         # the alias was set if, and only if, it passed

Needs the extra ``mlflow``. The server is the one that ``MLFLOW_TRACKING_URI`` names, or
``mlflow.set_tracking_uri``. It is trusted as to which files a version has; the files are read as
all others are: as data, or in a sandbox.
"""

from __future__ import annotations

from fingerprint.mlflow.fetching import Fetched, fetched
from fingerprint.mlflow.uris import ModelUri, is_model_uri
from fingerprint.mlflow.versions import Gated, Keeper, Registration, gate, register_version

__all__ = [
    "Fetched",
    "Gated",
    "Keeper",
    "ModelUri",
    "Registration",
    "fetched",
    "gate",
    "is_model_uri",
    "register_version",
]
