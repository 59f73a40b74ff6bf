"""Makes and checks attestations: what ``fp attest`` writes and ``fp verify-attestation`` reads.

A file holds a line for each statement (an in-toto bundle, ``.intoto.jsonl``). Each is signed by
itself, so whoever passes the file on can leave one out, but not change one or put one of another
verdict beside it without being noticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import ExitCode
from cli.policy import checks
from fingerprint.errors import EnvironmentFailure, InputRefused, MalformedFile, UsageError
from fingerprint.text import clean

if TYPE_CHECKING:
    from registry import Registry
    from registry.rejudging import Proof
    from registry.statements import Outcome

__all__ = [
    "Attested",
    "compared",
    "late",
    "passed",
    "recomputed",
    "statements_of",
    "statements_read",
    "uncommitted",
]

_MAX_FILE = 2**24
_LINES = 16
_OUTCOMES: dict[ExitCode, Outcome] = {
    ExitCode.OK: "passed",
    ExitCode.POLICY_FAILED: "failed",
    ExitCode.INCONCLUSIVE: "warned",
}


def statements_of(
    proof: Proof, *, expect: Sequence[str], forbid: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what is attested of a recorded verdict: whose it is, and which policies hold."""
    from fingerprint.verification import Verification
    from registry.statements import identity_statement, result_statement

    verification = Verification.from_dict(proof.recorded.evidence)
    tests = [
        (check.name, _OUTCOMES[check.code])
        for check in checks(verification, expect=expect, forbid=forbid)
    ]
    return identity_statement(proof), result_statement(proof, tests)


def uncommitted(
    policies: Mapping[str, Sequence[str]] | None, names: Sequence[str]
) -> tuple[str, ...]:
    """Returns which policies were not committed to before the suspect was asked.

    Args:
        policies: Those that were, by kind; None if that is not known.
        names: What the policies are called: ``forbid NAME`` or ``expect NAME``.
    """
    known = [f"{kind} {model}" for kind, models in (policies or {}).items() for model in models]
    return tuple(name for name in names if name != "verdict" and name not in known)


@dataclass(frozen=True)
class Attested:
    """Statements whose signatures hold, all of one subject and one verdict.

    Attributes:
        identity: Of behavioural identity.
        results: Of test results.
        where: The file, for messages.
    """

    identity: Mapping[str, Any]
    results: tuple[Mapping[str, Any], ...]
    where: str

    @property
    def subject(self) -> Mapping[str, Any]:
        """What it is about: a name and digests."""
        (subject,) = self.identity["subject"]
        return dict(subject)


def statements_read(path: Path, key: Path) -> Attested:
    """Reads attestations, and checks each signature.

    Raises:
        UsageError: There is no such file.
        MalformedFile: It holds something else, was changed, or another key signed it.
    """
    from fingerprint.attestation.envelope import opened
    from fingerprint.attestation.keys import public_key
    from fingerprint.formats.file_bytes import read_file
    from registry.statements import IDENTITY, TEST_RESULT

    trusted = public_key(key)
    where = clean(path)
    text = read_file(str(path), max_bytes=_MAX_FILE).data.decode("utf-8", "replace")
    lines = [line for line in text.split("\n") if line.strip()]
    if not 1 <= len(lines) <= _LINES:
        raise MalformedFile(
            f"{where}: expected from 1 to {_LINES} envelopes, a line each, got {len(lines)} lines"
        )
    found = [opened(line, trusted, f"{where}: line {i}") for i, line in enumerate(lines, start=1)]
    kinds = [str(one.get("predicateType")) for one in found]
    if set(kinds) - {IDENTITY, TEST_RESULT} or kinds.count(IDENTITY) != 1:
        raise MalformedFile(
            f"{where}: expected one statement of behavioural identity and test results beside it, "
            "got something else; see fp attest"
        )
    identity = found[kinds.index(IDENTITY)]
    results = tuple(one for one in found if one is not identity)
    _require_shape(identity, results, where)
    return Attested(identity=identity, results=results, where=where)


def _require_shape(
    identity: Mapping[str, Any], results: Sequence[Mapping[str, Any]], where: str
) -> None:
    """Refuses statements that are none, or not all of one verdict.

    Raises:
        MalformedFile: Saying what is wrong.
    """
    from registry.statements import STATEMENT

    try:
        (subject,) = identity["subject"]
        named = {str(name): str(value) for name, value in subject["digest"].items()}
        criteria = str(identity["predicate"]["criteria"]["sha256"])
        str(identity["predicate"]["verdict"]), str(subject["name"])
        for one in results:
            (configuration,) = one["predicate"]["configuration"]
            if one["subject"] != identity["subject"] or configuration["digest"] != {
                "sha256": criteria
            }:
                raise MalformedFile(
                    f"{where}: expected statements of one verdict, got some of different ones"
                )
            for outcome in ("passed", "warned", "failed"):
                names = one["predicate"][f"{outcome}Tests"]
                if type(names) is not list or not all(isinstance(name, str) for name in names):
                    raise TypeError("expected the names of tests")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise MalformedFile(f"{where}: expected in-toto statements, got something else") from error
    if not named or any(one.get("_type") != STATEMENT for one in (identity, *results)):
        raise MalformedFile(f"{where}: expected in-toto statements v1, got something else")


def compared(attested: Attested, suspect: Path) -> str:
    """Returns why a file is not the one that was attested; empty where it is.

    Raises:
        UsageError: There is no such file, or the statement is of no single file.
    """
    stated = attested.subject["digest"].get("sha256")
    if stated is None:
        raise UsageError(
            f"--suspect: {attested.where} names its subject by weights, not by a file; leave the "
            "option out"
        )
    if not suspect.is_file():
        raise UsageError(f"{clean(suspect)}: no such file")
    try:
        with suspect.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise EnvironmentFailure(f"{clean(suspect)}: {error.strerror}") from error
    if found == stated:
        return ""
    return f"{clean(suspect)}: is not what was attested: expected SHA-256 {stated}, got {found}"


def late(attested: Attested) -> tuple[str, ...]:
    """Returns which of the policies that are attested were stated after the suspect was asked."""
    stated = attested.identity["predicate"].get("policies")
    kinds = stated.items() if isinstance(stated, dict) else ()
    policies = {str(kind): models for kind, models in kinds if isinstance(models, list)}
    return uncommitted(policies, [name for one in attested.results for name in _tests(one)])


def passed(attested: Attested) -> ExitCode:
    """Returns what the test results come to; without any, nothing can be concluded."""
    results = {str(one["predicate"].get("result")) for one in attested.results}
    if "FAILED" in results:
        return ExitCode.POLICY_FAILED
    return ExitCode.OK if results == {"PASSED"} else ExitCode.INCONCLUSIVE


def recomputed(attested: Attested, registry: Registry) -> tuple[str, ...]:
    """Makes the statements again from what a registry keeps, and judges the verdict again.

    Returns:
        What is otherwise than stated, a line each.

    Raises:
        InputRefused: It is of another registry, or names no verdict.
        UnknownVerification: The registry has no such verdict.
        NoEvidence: It cannot be judged again.
        RegistryCorrupt: What it rests on is not what was recorded.
    """
    from registry import differences
    from registry.statements import number_of

    number = number_of(attested.identity, attested.where)
    proof = registry.proof(number)
    stated = attested.identity["predicate"]["record"].get("registry")
    if stated != proof.registry:
        raise InputRefused(
            f"{attested.where}: expected an attestation of this registry, got one of another "
            f"({clean(stated, 16)}); give that one with --registry, or none"
        )
    lines = []
    for one in (attested.identity, *attested.results):
        names = _tests(one)
        policies = {
            kind: [name.partition(" ")[2] for name in names if name.startswith(f"{kind} ")]
            for kind in ("expect", "forbid")
        }
        identity, results = statements_of(proof, **policies)
        made = identity if one is attested.identity else results
        lines += _unlike(one, made)
    found = differences(proof.recorded.evidence, registry.judge_again(number))
    return (*lines, *found)


def _tests(statement: Mapping[str, Any]) -> list[str]:
    predicate = statement["predicate"]
    return [
        name
        for outcome in ("passed", "warned", "failed")
        for name in predicate.get(f"{outcome}Tests", ())
    ]


def _unlike(stated: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
    """Returns which fields of a statement are not what the registry says."""
    if stated["subject"] != made["subject"]:
        return ["subject: is not what the registry has"]
    said, known = stated["predicate"], made["predicate"]
    return [
        f"{clean(field)}: is not what the registry has"
        for field in sorted({*said, *known})
        if _unordered(field, said.get(field)) != _unordered(field, known.get(field))
    ]


def _unordered(field: str, value: Any) -> Any:
    """Returns a value as it is compared: names of tests come in any order."""
    return sorted(value or ()) if field.endswith("Tests") else value
