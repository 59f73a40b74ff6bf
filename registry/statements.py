"""What is attested of a recorded verdict: in-toto statements, plain values ready to be signed.

A statement names its subject by digests and says one thing of it. Two are made of a verdict: ours,
*behavioural identity* (docs/attestation.md), which says whose the suspect is and on what that
rests, and in-toto's *test result*, which says which policies hold. Both follow from what the
registry keeps and from nothing else, so that who has the registry can make them again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fingerprint.canonical import plain
from fingerprint.errors import MalformedFile
from registry.rejudging import Proof

__all__ = [
    "IDENTITY",
    "TEST_RESULT",
    "Outcome",
    "identity_statement",
    "number_of",
    "result_statement",
]

STATEMENT = "https://in-toto.io/Statement/v1"
IDENTITY = "nullprint:behavioural-identity/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"

Outcome = Literal["passed", "warned", "failed"]


def identity_statement(proof: Proof) -> dict[str, Any]:
    """Returns whose the suspect is, how that was found, and where it is recorded."""
    evidence = proof.recorded.evidence
    predicate = {
        "verdict": evidence["verdict"],
        "best": evidence["best"],
        "reason": evidence["reason"],
        "alpha": evidence["alpha"],
        "queries": evidence["queries"],
        "candidates": [_candidate(proof, one) for one in evidence["candidates"]],
        "notAsked": evidence["not_asked"],
        "warnings": evidence["warnings"],
        "suspect": proof.criteria["suspect"]["identity"]["label"],
        "tests": proof.criteria["tests"],
        "criteria": {"sha256": proof.commitment, "entry": proof.committed},
        # Criteria of earlier releases do not say.
        **({"policies": proof.criteria["policies"]} if "policies" in proof.criteria else {}),
        "answers": {"sha256": proof.answers_sha256},
        "record": {
            "registry": proof.registry,
            "verification": proof.recorded.number,
            "entry": proof.entry,
            "time": proof.recorded.recorded,
        },
        "verifier": {"name": "nullprint", "version": proof.criteria["release"]},
    }
    return _statement(proof, IDENTITY, predicate)


def result_statement(proof: Proof, tests: Sequence[tuple[str, Outcome]]) -> dict[str, Any]:
    """Returns which tests the suspect passed.

    Args:
        proof: The verdict.
        tests: What each is called, and its outcome; *warned* where nothing could be concluded.
    """
    named: dict[Outcome, list[str]] = {
        outcome: [name for name, found in tests if found == outcome]
        for outcome in ("passed", "warned", "failed")
    }
    result = "FAILED" if named["failed"] else "WARNED" if named["warned"] else "PASSED"
    predicate = {
        "result": result,
        "configuration": [
            {
                "name": f"criteria of verification {proof.recorded.number}",
                "digest": {"sha256": proof.commitment},
            }
        ],
        **{f"{outcome}Tests": names for outcome, names in named.items()},
    }
    return _statement(proof, TEST_RESULT, predicate)


def number_of(statement: Mapping[str, Any], where: str) -> int:
    """Returns the number of the verdict that a statement of identity speaks of.

    Raises:
        MalformedFile: It names none.
    """
    try:
        number = statement["predicate"]["record"]["verification"]
    except (LookupError, TypeError) as error:
        raise MalformedFile(f"{where}: expected the number of a verification, got none") from error
    if type(number) is not int or number < 1:
        raise MalformedFile(f"{where}: expected the number of a verification, got something else")
    return number


def _statement(proof: Proof, kind: str, predicate: Mapping[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = plain(
        {
            "_type": STATEMENT,
            "subject": [_subject(proof)],
            "predicateType": kind,
            "predicate": predicate,
        }
    )
    return statement


def _subject(proof: Proof) -> dict[str, Any]:
    """Returns what the suspect is called, and by which digests it is known.

    A service has none: there the answers it gave are the subject.
    """
    identity = proof.criteria["suspect"]["identity"]
    path = str(proof.recorded.evidence["suspect"].get("file") or "")
    name = os.path.basename(path) or str(identity["label"]) or "suspect"
    digests = {}
    if identity["file_sha256"] is not None:
        # Of weights in several files it is that of a list of theirs, which no file hashes to.
        kind = "nullprintShards" if name.endswith(".index.json") else "sha256"
        digests[kind] = identity["file_sha256"]
    if identity["model_digest"] is not None:
        digests["nullprintWeights"] = identity["model_digest"]
    if not digests:
        return {"name": f"answers of {name}", "digest": {"sha256": proof.answers_sha256}}
    return {"name": name, "digest": digests}


def _candidate(proof: Proof, one: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is said of one registered model; not its findings, which show probes."""
    name = one["name"]
    # Evidence of earlier releases has no field of its own for it.
    alike = {"resemblance": one["resemblance"]} if "resemblance" in one else {}
    return {
        "name": name,
        "digest": {"nullprintWeights": proof.criteria["kinship"]["digests"][name]},
        "fingerprint": proof.criteria["candidates"][name],
        "verdict": one["verdict"],
        "relation": one["relation"],
        "reason": one["reason"],
        "harmRatio": one["harm_ratio"],
        "harmRatioInterval": one["harm_ratio_ci"],
        **alike,
        "pValue": one["p_value"],
        "margin": one["margin"],
        "marginSource": one["margin_source"],
        "answerKind": one["answer_kind"],
        "reference": one["reference"],
    }
