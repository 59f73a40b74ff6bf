"""What a registry holds of one verdict: its evidence, and how its candidates stand now.

Everything comes from one moment of the registry and was compared with its chain. Probes may have
been made anew, or models removed, since a verdict was given; then what the suspect was asked is
no longer there, and nothing of it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from fingerprint.errors import NoEvidence, UsageError
from fingerprint.verification import Candidate, Verification
from registry.ledger import Entry, Head
from registry.lineage import Lineage, lineage_of
from registry.records import verified
from registry.rejudging import criteria_with, differences, heard_of, judged_again, proof_of
from registry.tables import AnswersRow, ProbeSetRow, VerificationRow

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint
    from registry.catalogue import Catalogue
    from registry.values import Pair

__all__ = ["Committed", "Dossier", "Standing", "gathered"]

LOGGED = 8
"""Of how many candidates, the best first, it is listed what the suspect was asked."""

State = Literal["as asked", "made anew", "removed"]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a candidate stands.

    Attributes:
        state: Whether its probes are those that the suspect was asked, or were made anew since,
            or it is no longer registered.
        model_digest: Digest of its weights when the verdict was given; None if nobody noted it.
        file_sha256: Of the file it was registered from, the same.
        commitment: To its probes, the same.
    """

    state: State = "removed"
    model_digest: str | None = None
    file_sha256: str | None = None
    commitment: str | None = None


@dataclass(frozen=True, kw_only=True)
class Committed:
    """What a verdict was going to rest on, before anything was asked.

    Attributes:
        digest: SHA-256 over the criteria.
        entry: Where that stands in the chain; None where the registry could not be written.
        criteria: The document; empty where there is no entry.
        answers_sha256: Digest of the answers that are kept; None where none are.
        answers: These answers; None where none are.
        again: What a verdict that was judged again from them says otherwise than the recorded one,
            a line each; or that it could not be, and why.
    """

    digest: str
    entry: Entry | None = None
    criteria: Mapping[str, Any] = field(default_factory=dict)
    answers_sha256: str | None = None
    answers: Answers | None = None
    again: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Dossier:
    """Everything a report is made of.

    Attributes:
        verification: The verdict with its findings.
        where: The registry, without a password.
        start: What its chain starts from, a hash of its seed.
        head: Where its chain ends.
        recorded: When the verdict was recorded, ISO 8601 in UTC; empty if it was not.
        entry: Its entry in the chain; None if there is none.
        committed: What was committed to before; None if nothing was.
        suspect_digest: Digest of the suspect's weights; None where it is not known.
        standings: By candidate, how it stands.
        fingerprints: By candidate, the best first, the probes that the suspect was asked, where
            they are still there; of the first few.
        pairs: What registered models did to the probes of these, kin or not.
        families: By name, the number of the family that declarations and equal weights make.
        lineage: Which registered models come from which.
    """

    verification: Verification
    where: str
    start: str
    head: Head
    recorded: str = ""
    entry: Entry | None = None
    committed: Committed | None = None
    suspect_digest: str | None = None
    standings: Mapping[str, Standing] = field(default_factory=dict)
    fingerprints: Mapping[str, Fingerprint] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    families: Mapping[str, int] = field(default_factory=dict)
    lineage: Lineage = field(default_factory=lambda: Lineage(nodes=()))

    @property
    def answers(self) -> Answers | None:
        """What the suspect answered; None where that is not kept."""
        return None if self.committed is None else self.committed.answers

    @property
    def subject(self) -> str | None:
        """The candidate whose probes are shown; None where there are none."""
        return next(iter(self.fingerprints), None)


def gathered(catalogue: Catalogue, verdict: int | Verification, *, where: str) -> Dossier:
    """Returns what is known of a verdict.

    Args:
        catalogue: The registered models.
        verdict: The number of a recorded one; or one just given, recorded or not.
        where: What the registry is called.

    Raises:
        UsageError: No verdict has this number.
        RegistryCorrupt: A row it rests on is not what was recorded.
    """
    books = catalogue.books
    number = verdict if isinstance(verdict, int) else verdict.verification
    row = None if number is None else _row(catalogue, number)
    if row is None:
        assert isinstance(verdict, Verification)
        entry, recorded, digest = None, "", None
    else:
        entry, recorded, digest = _entry(books.entries, row.id), row.created, row.suspect_digest
        if isinstance(verdict, int):
            verdict = Verification.from_dict(verified(row).evidence)
    seq = books.head.seq if entry is None else entry.seq
    standings = _standings(catalogue, verdict.candidates, seq)
    asked = [
        one.name
        for one in sorted(verdict.candidates, key=lambda one: one.reference)
        if standings[one.name].state == "as asked" and _has_probes(one)
    ][:LOGGED]
    found = catalogue.fingerprints(catalogue.named(asked)) if asked else {}
    fingerprints = {name: found[name] for name in asked}
    measured = catalogue.measured()
    return Dossier(
        verification=verdict,
        where=where,
        start=books.start.digest,
        head=books.head,
        recorded=recorded,
        entry=entry,
        committed=_committed(catalogue, verdict),
        suspect_digest=digest or _text(verdict.suspect.get("model_digest")),
        standings=standings,
        fingerprints=fingerprints,
        pairs=tuple(pair for pair in measured if pair.source in fingerprints),
        families=catalogue.kinship.families(),
        lineage=lineage_of(catalogue.kinship, measured),
    )


def _row(catalogue: Catalogue, number: int) -> VerificationRow:
    books = catalogue.books
    if str(number) not in books.keys(VerificationRow):
        raise UsageError(
            f"no verdict has the number {number}; 'fp show NAME' lists those that a model took "
            "part in"
        )
    rows = books.rows(VerificationRow, [number])
    books.settle()
    return rows[0]


def _entry(entries: tuple[Entry, ...], number: int) -> Entry | None:
    """Returns the entry that recorded a verdict."""
    for entry in entries:
        if entry.action == "verify" and entry.payload.get("number") == number:
            return entry
    return None


def _committed(catalogue: Catalogue, verdict: Verification) -> Committed | None:
    """Returns what was committed to before a verdict, compared with the chain."""
    if verdict.commitment is None:
        return None
    books, stated = catalogue.books, verdict.commitment
    places = {str(Head(one.seq, one.digest)): one for one in books.entries}
    entry = places.get(stated.entry or "")
    if entry is None or entry.payload.get("commitment") != stated.digest:
        return Committed(digest=stated.digest)
    found = Committed(
        digest=stated.digest, entry=entry, criteria=criteria_with(books, stated.digest)
    )
    number = verdict.verification
    if number is None or str(number) not in books.keys(AnswersRow):
        return found
    proof = proof_of(books, number)
    try:
        again = differences(proof.recorded.evidence, judged_again(catalogue, number))
    except NoEvidence as error:
        again = (str(error),)
    answers = heard_of(books, number).answers
    return replace(found, answers_sha256=proof.answers_sha256, answers=answers, again=again)


def _has_probes(candidate: Candidate) -> bool:
    return any(one.test == "harm_ratio" for one in candidate.findings)


def _standings(
    catalogue: Catalogue, candidates: tuple[Candidate, ...], seq: int
) -> dict[str, Standing]:
    """Returns by candidate how it stands, as the chain tells it."""
    changed = catalogue.books.changed_since(ProbeSetRow, seq)
    # A name that was free may be another model's by now.
    other = {
        str(entry.payload.get("name"))
        for entry in catalogue.books.entries
        if entry.seq > seq and entry.action in ("register", "import")
    }
    numbers = {row.name: str(row.id) for row in catalogue.rows}
    noted = _noted(catalogue, seq)
    found = {}
    for one in candidates:
        number = numbers.get(one.name)
        state: State = "removed"
        if number is not None and one.name not in other:
            state = "made anew" if number in changed else "as asked"
        facts = noted.get(one.name, {})
        found[one.name] = Standing(
            state=state,
            model_digest=_text(facts.get("model_digest")),
            file_sha256=_text(facts.get("file_sha256")),
            commitment=_text(facts.get("commitment")),
        )
    return found


def _noted(catalogue: Catalogue, seq: int) -> dict[str, dict[str, Any]]:
    """Returns by name what the chain had noted of the models that there were at an entry."""
    found: dict[str, dict[str, Any]] = {}
    for entry in catalogue.books.entries:
        if entry.seq > seq:
            break
        name = entry.payload.get("name")
        if isinstance(name, str):
            # What an entry does not speak of, such as the file where a parent is declared, stays.
            found[name] = {**found.get(name, {}), **entry.payload}
    return found


def _text(value: object) -> str | None:
    return None if value is None else str(value)
