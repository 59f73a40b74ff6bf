"""A pipeline step: refuse a model that is ours, and keep the evidence.

    python examples/audit_step.py suspect.safetensors --registry models.db \
        --evidence evidence.json --arch timm:resnet18

Register your models with ``fp register ours.safetensors --from-scratch`` where they have no parent:
only then does a copy that was changed count as theirs, and not merely as of a common origin.

The suspect passes only when it is independent of every registered model. Whatever stops the
question from being answered, a file that is refused, an empty registry, too little evidence, or
a common origin that does not say who descends from whom, stops the pipeline too: no evidence is
not a pass. Exit codes are those of ``fp``: 0 passed, 1 it is ours, 2 wrong call, 3 refused, 4
inconclusive, 5 environment.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fingerprint import FingerprintError, Verification, load_model
from fingerprint.errors import EnvironmentFailure, InputRefused, NoEvidence, UsageError
from registry import Registry

PASSED, OURS, USAGE, REFUSED, INCONCLUSIVE, ENVIRONMENT = range(6)

CODES = {"same": OURS, "independent": PASSED, "inconclusive": INCONCLUSIVE}

ERROR_CODES = (
    (UsageError, USAGE),
    (InputRefused, REFUSED),
    (NoEvidence, INCONCLUSIVE),
    (EnvironmentFailure, ENVIRONMENT),
)


def audit(suspect: Path, *, registry: Path, evidence: Path, **options: Any) -> int:
    """Verifies a suspect against every registered model of its inputs.

    Args:
        suspect: Weights file.
        registry: SQLite file of the registry; it must exist.
        evidence: Where the JSON evidence goes, whatever the outcome; replaced in one step.
        **options: Passed on to ``load_model``, such as ``arch`` and ``input_size``.

    Returns:
        The exit code of the step.
    """
    try:
        result = _verification(suspect, registry, options)
    except FingerprintError as error:
        code = next((code for kind, code in ERROR_CODES if isinstance(error, kind)), ENVIRONMENT)
        document: dict[str, Any] = {"verdict": None, "reason": str(error)}
    else:
        code = judged(result)
        document = result.to_dict()
    document |= {"file": str(suspect), "passed": code == PASSED, "exit_code": code}
    _write(evidence, document)
    return code


def judged(result: Verification) -> int:
    """Turns a verification into an exit code.

    What shares an origin with ours may be a sibling: it does not pass, and is not accused.
    """
    ours = any(
        one.relation == "descends" or one.identical_weights or one.verdict == "same"
        for one in result.candidates
    )
    return OURS if ours else CODES.get(result.verdict, INCONCLUSIVE)


def _verification(suspect: Path, registry: Path, options: dict[str, Any]) -> Verification:
    # Opening would create a registry: an audit against a mistyped path would find nobody.
    if not registry.is_file():
        raise EnvironmentFailure(f"{registry}: expected a registry, found none; check --registry")
    model = load_model(suspect, **options)
    with Registry(registry) as opened:
        return opened.verify(model)


def _write(path: Path, document: dict[str, Any]) -> None:
    """Writes the whole document or nothing, so that no reader sees half of it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    draft.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    draft.replace(path)


def _size(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and returns the exit code."""
    parser = argparse.ArgumentParser(description="Fails if a model is ours.")
    parser.add_argument("suspect", type=Path)
    parser.add_argument("--registry", type=Path, required=True)
    parser.add_argument("--evidence", type=Path, default=Path("evidence.json"))
    parser.add_argument("--arch", help="timm:NAME or package.module:factory")
    parser.add_argument("--input-size", type=_size, help="such as 3,224,224")
    given = parser.parse_args(arguments)
    code = audit(
        given.suspect,
        registry=given.registry,
        evidence=given.evidence,
        arch=given.arch,
        input_size=given.input_size,
    )
    reason = json.loads(given.evidence.read_text(encoding="utf-8"))["reason"]
    sys.stderr.write(f"{'passed' if code == PASSED else 'failed'}: {reason}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
