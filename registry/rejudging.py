"""Judges a recorded verdict again, from the answers that were kept.

Nothing is asked and nobody is believed: verdict, criteria, answers and probes are compared with the
chain, the criteria with their commitment, and the commitment must stand before the verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fingerprint.canonical import sha256_of
from fingerprint.errors import MalformedFile, NoEvidence
from registry.catalogue import Catalogue
from registry.criteria import calibration_of, digest_of, kinship_in
from registry.errors import RegistryCorrupt, UnknownVerification
from registry.ledger import Books, Entry, Head, Row
from registry.records import verified
from registry.tables import AnswersRow, CriteriaRow, FingerprintRow, VerificationRow
from registry.values import RecordedVerification

if TYPE_CHECKING:
    from fingerprint.verification import Verification
    from fingerprint.verifying import Heard

__all__ = ["Proof", "criteria_with", "differences", "heard_of", "judged_again", "proof_of"]

_CLOSE = 1e-6
"""Relative difference of numbers that another machine's arithmetic may make."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A recorded verdict with what shows how it came about.

    Attributes:
        registry: What the registry's chain begins with: a hash of its secret seed.
        recorded: The verdict and its evidence.
        entry: Where it stands in the chain, ``SEQ:DIGEST``.
        criteria: What it was going to rest on.
        commitment: Their hash.
        committed: Where that stands in the chain, before the verdict.
        answers_sha256: Digest of the answers that are kept.
    """

    registry: str
    recorded: RecordedVerification
    entry: str
    criteria: Mapping[str, Any]
    commitment: str
    committed: str
    answers_sha256: str


def proof_of(books: Books, number: int) -> Proof:
    """Reads a recorded verdict, compared with the chain.

    Raises:
        UnknownVerification: There is none of this number.
        NoEvidence: Its answers were not kept.
        RegistryCorrupt: It is not what was recorded, or its criteria came after it.
    """
    if str(number) not in books.keys(VerificationRow):
        raise UnknownVerification(number, len(books.keys(VerificationRow)))
    row = _one(books, VerificationRow, number)
    if str(number) not in books.keys(AnswersRow):
        raise NoEvidence(
            f"verification {number}: expected its answers to be kept, they are not; it is of an "
            "earlier release, or nothing was asked, or they were too large: verify again"
        )
    answers = _one(books, AnswersRow, number)
    given = next(_entries(books, "verify", "number", number), None)
    before = next(_entries(books, "commit", "commitment", answers.commitment), None)
    if given is None or before is None or before.seq > given.seq:
        line = f"verifications {number}: no criteria were committed before it"
        raise RegistryCorrupt(books.where, (line,))
    recorded = verified(row)
    return Proof(
        registry=books.start.digest,
        recorded=recorded,
        entry=_place(given),
        criteria=criteria_with(books, answers.commitment),
        commitment=answers.commitment,
        committed=str(recorded.evidence["commitment"]["entry"]),
        answers_sha256=sha256_of(answers.blob),
    )


def criteria_with(books: Books, commitment: str) -> Mapping[str, Any]:
    """Reads criteria that were committed to.

    Raises:
        RegistryCorrupt: They are not there, or not what was committed to.
    """
    known = books.rows(CriteriaRow, [commitment])
    books.settle()
    if not known or digest_of(known[0].document) != commitment:
        line = f"criteria {commitment}: are not what was committed to"
        raise RegistryCorrupt(books.where, (line,))
    return known[0].document


def judged_again(catalogue: Catalogue, number: int) -> Verification:
    """Judges a recorded verdict again, by its criteria and the answers that were kept.

    Raises:
        UnknownVerification: There is none of this number.
        NoEvidence: Its answers were not kept, or a candidate is gone or was renewed since.
        RegistryCorrupt: Something it rests on is not what was recorded.
    """
    from fingerprint.verifying import judge_again

    books = catalogue.books
    proof = proof_of(books, number)
    heard = heard_of(books, number)
    criteria = proof.criteria
    asked = [name for name in criteria["candidates"] if name not in heard.ruled_out]
    rows = {row.name: row for row in catalogue.rows}
    ids = sorted(rows[name].id for name in asked if name in rows)
    facts = {one.model_id: one.commitment for one in books.rows(FingerprintRow, ids)}
    books.settle()
    for name in asked:
        if name not in rows or facts.get(rows[name].id) != criteria["candidates"][name]:
            raise NoEvidence(
                f"verification {number}: the probes of {name!r} that it rests on are not here any "
                "more, for it was removed or renewed since; verify again"
            )
    return judge_again(
        catalogue.fingerprints([rows[name] for name in asked]),
        heard,
        kinship=kinship_in(criteria),
        calibration=calibration_of(criteria),
        alpha=float(criteria["alpha"]),
        compatible=criteria["compatible"],
    )


def differences(evidence: Mapping[str, Any], again: Verification) -> tuple[str, ...]:
    """Returns what a recorded verdict says otherwise than the one that was judged again.

    Args:
        evidence: ``Verification.to_dict()``, as it was recorded.
        again: The other one.
    """
    from fingerprint.verification import Verification

    before = Verification.from_dict(evidence)
    lines = [
        f"{what}: stated {said}, judged again {now}"
        for what, said, now in (
            ("verdict", before.verdict, again.verdict),
            ("best", before.best, again.best),
            ("queries", before.queries, again.queries),
        )
        # Rare labels were asked beside the rest, and decide nothing.
        if said != now and not (what == "queries" and _asked_more(before))
    ]
    now = {one.name: one for one in again.candidates}
    for one in before.candidates:
        other = now.pop(one.name, None)
        if other is None:
            lines.append(f"{one.name!r}: stated, not judged again")
            continue
        for what in ("verdict", "relation", "harm_ratio", "resemblance", "p_value", "margin"):
            stated, found = getattr(one, what), getattr(other, what)
            if not _equal(stated, found):
                lines.append(f"{what} of {one.name!r}: stated {stated}, judged again {found}")
    return (*lines, *(f"{name!r}: judged again, not stated" for name in now))


def _asked_more(verification: Verification) -> bool:
    findings = [finding for one in verification.candidates for finding in one.findings]
    return any(finding.test == "rare_labels" for finding in findings)


def _equal(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=1e-300)
    return one == other


def _one(books: Books, kind: type[Row], number: int) -> Row:
    found = books.rows(kind, [number])
    books.settle()
    return found[0]


def _entries(books: Books, action: str, key: str, value: object) -> Iterator[Entry]:
    return (one for one in books.entries if one.action == action and one.payload.get(key) == value)


def _place(entry: Entry) -> str:
    return str(Head(entry.seq, entry.digest))


def heard_of(books: Books, number: int) -> Heard:
    """Reads what was heard for a verdict, compared with the chain.

    Raises:
        RegistryCorrupt: It is not what was recorded, or cannot be made sense of.
    """
    from fingerprint.answers import Answers
    from fingerprint.verifying import Heard

    row = _one(books, AnswersRow, number)
    try:
        return Heard.from_facts(Answers.from_bytes(row.blob, "answers"), row.facts)
    except (AttributeError, LookupError, MalformedFile, TypeError, ValueError) as error:
        line = f"answers {row.verification_id}: {error}"
        raise RegistryCorrupt(books.where, (line,)) from error
