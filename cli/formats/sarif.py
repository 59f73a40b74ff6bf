"""SARIF 2.1.0: what code scanning shows of a verdict, at the suspect's file.

A policy that fails is an error, one that cannot be decided a warning. Without a policy nothing has
failed: who is *same* or *derived* is there for review.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cli.errors import ExitCode
from cli.policy import Check
from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.verification import Candidate, Verification

__all__ = ["sarif"]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_RULES = {
    "expect": "The suspect is the expected model or descends from it.",
    "forbid": "The suspect is not a forbidden model and does not descend from one.",
    "verdict": "Whose the suspect is can be told.",
    "identity": "Whose the suspect is, by its answers.",
}
_KINDS = {"same": "review", "derived": "review", "independent": "pass", "inconclusive": "open"}


def sarif(
    result: Verification, checks: Sequence[Check], suspect: str, *, code: ExitCode, version: str
) -> str:
    """Returns a log with one run.

    Args:
        result: The verification.
        checks: What it is tested for.
        suspect: What the suspect was called on the command line.
        code: With which the command ends.
        version: Of this program.
    """
    at = [{"physicalLocation": {"artifactLocation": {"uri": _uri(suspect)}}}]
    found = [_check(check) for check in checks] + [_candidate(one) for one in result.candidates]
    driver = {
        "name": "nullprint",
        "version": version,
        "rules": [
            {"id": rule, "shortDescription": {"text": text}} for rule, text in _RULES.items()
        ],
    }
    run = {
        "tool": {"driver": driver},
        "artifacts": [_artifact(result, suspect)],
        "results": [{**one, "locations": at} for one in found],
        "invocations": [
            {
                "executionSuccessful": True,
                "exitCode": int(code),
                "toolExecutionNotifications": [
                    {"level": "warning", "message": {"text": clean(line, 1000)}}
                    for line in result.warnings
                ],
            }
        ],
        "properties": {
            "verdict": result.verdict,
            "best": result.best,
            "alpha": result.alpha,
            "queries": result.queries,
            "verification": result.verification,
            "criteria": None if result.commitment is None else result.commitment.digest,
        },
    }
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _uri(suspect: str) -> str:
    """Returns a path as a URI; an address is one, and has no password in it."""
    if suspect.startswith(("http://", "https://")):
        return suspect
    return quote(os.fsencode(suspect))


def _artifact(result: Verification, suspect: str) -> dict[str, Any]:
    digest = result.suspect.get("file_sha256")
    hashes = {"hashes": {"sha-256": digest}} if isinstance(digest, str) else {}
    return {"location": {"uri": _uri(suspect)}, **hashes}


def _check(check: Check) -> dict[str, Any]:
    """Returns what became of one policy."""
    failed = check.code is ExitCode.POLICY_FAILED
    undecided = check.code is ExitCode.INCONCLUSIVE
    return {
        "ruleId": check.name.partition(" ")[0],
        "kind": "fail" if failed or undecided else "pass",
        "level": "error" if failed else "warning" if undecided else "none",
        "message": {"text": clean(check.reason, 1000)},
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    """Returns what is said of one registered model."""
    numbers = one.to_dict()
    del numbers["findings"]
    return {
        "ruleId": "identity",
        "kind": _KINDS[one.verdict],
        "level": "none",
        "message": {"text": f"{clean(one.name)}: {one.verdict}; {clean(one.reason, 1000)}"},
        "properties": numbers,
    }
