"""A pipeline step: give an MLflow version an alias, unless it is what must not be released.

    export MLFLOW_TRACKING_URI=https://mlflow.example
    python examples/mlflow_gate.py models:/cats/4 --alias champion --registry models.db \
        --forbid theirs --arch timm:resnet18

The version is fetched and asked; digest, verdict and what the gate came to are written as its tags.
The alias moves only where every policy holds, so a step that fails or is cut off leaves it where it
was. Exit codes are those of ``fp``: 0 it moved, 1 a policy failed, 2 wrong call, 3 refused, 4
inconclusive, 5 environment.

    pip install 'nullprint[mlflow]'
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fingerprint.errors import (
    EnvironmentFailure,
    FingerprintError,
    InputRefused,
    NoEvidence,
    UsageError,
)
from fingerprint.mlflow import gate
from registry import Registry

CODES = {"passed": 0, "failed": 1, "inconclusive": 4}
ERROR_CODES = ((UsageError, 2), (InputRefused, 3), (NoEvidence, 4), (EnvironmentFailure, 5))


def _size(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and returns the exit code."""
    parser = argparse.ArgumentParser(description="Gives a version an alias if policies hold.")
    parser.add_argument("version", help="models:/NAME/VERSION or models:/NAME@ALIAS")
    parser.add_argument("--alias", required=True)
    parser.add_argument("--registry", type=Path, required=True)
    parser.add_argument("--expect", action="append", default=[])
    parser.add_argument("--forbid", action="append", default=[])
    parser.add_argument("--arch", help="timm:NAME or package.module:factory")
    parser.add_argument("--input-size", type=_size, help="such as 3,224,224")
    given = parser.parse_args(arguments)
    options = {"arch": given.arch, "input_size": given.input_size}
    try:
        # Opening would create a registry: a gate with a mistyped path would know nobody.
        if not given.registry.is_file():
            raise EnvironmentFailure(f"{given.registry}: expected a registry, found none")
        with Registry(given.registry) as registry:
            gated = gate(
                registry,
                given.version,
                alias=given.alias,
                expect=given.expect,
                forbid=given.forbid,
                **{name: value for name, value in options.items() if value is not None},
            )
    except FingerprintError as error:
        sys.stderr.write(f"failed: {error}\n")
        return next((code for kind, code in ERROR_CODES if isinstance(error, kind)), 5)
    said = f"{gated.uri} is {gated.verification.verdict}"
    reasons = "; ".join(gated.reasons) or f"{given.alias} is {gated.uri}"
    sys.stderr.write(f"{gated.outcome}: {said}: {reasons}\n")
    return CODES[gated.outcome]


if __name__ == "__main__":
    sys.exit(main())
