"""What a verdict is going to rest on, written down before the suspect is asked anything.

Nobody can choose candidates, level or margins after the answers are known: the hash over all of it
stands in the chain, in an entry before that of the verdict, and in the first line of a journal.

::

    witness = Committing(grounds, alpha=0.001, pictures=None, write=...)
    verification = verify(suspect, fingerprints, witness=witness)
    witness.stated(verification)   # with what was committed to, and where that stands
    witness.kept                   # what was heard, so that the verdict can be judged again

Budgets and limits are not part of it: what is left unasked for them is no evidence for anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from fingerprint.canonical import canonical, plain, sha256_of
from fingerprint.verification import Commitment, Verification
from registry.verifying import Grounds

if TYPE_CHECKING:
    from fingerprint.evidence.calibration import Calibration
    from fingerprint.evidence.rare_labels import Pictures
    from fingerprint.kinship import Kinship
    from fingerprint.questions import Questions
    from fingerprint.verifying import Heard

__all__ = ["Committing", "Kept", "calibration_of", "criteria_of", "digest_of", "kinship_in"]
__all__ += ["release"]

_MOST = 2**28
"""Bytes of answers that are kept of one verdict; SQLite takes four times as many in a row."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What was heard of a suspect, as a registry keeps it.

    Attributes:
        commitment: To the criteria, in hex.
        facts: What the verdict took from the suspect beside its answers.
        blob: ``Answers.to_bytes()``.
    """

    commitment: str
    facts: Mapping[str, Any]
    blob: bytes


class Committing:
    """Commits to the criteria of a verdict, and keeps what was heard; a ``Witness``.

    Args:
        grounds: What the verdict rests on.
        alpha: Accepted rate of false claims.
        pictures: What is asked beside the probes.
        write: Writes the criteria into the chain, and returns where; None where it cannot.
    """

    def __init__(
        self,
        grounds: Grounds,
        *,
        alpha: float,
        pictures: Pictures | None,
        write: Callable[[str, Mapping[str, Any]], str | None],
    ) -> None:
        self._grounds, self._alpha, self._pictures = grounds, alpha, pictures
        self._write = write
        self._made: tuple[str, str | None] | None = None
        self._heard: Heard | None = None

    def begins(self, questions: Questions) -> None:
        """Writes down what the verdict is going to rest on."""
        from fingerprint.suspects import Journal

        document = criteria_of(self._grounds, questions, alpha=self._alpha, pictures=self._pictures)
        digest = digest_of(document)
        self._made = digest, self._write(digest, document)
        if isinstance(self._grounds.suspect, Journal):
            self._grounds.suspect.commitment = digest

    def has_heard(self, heard: Heard) -> None:
        """Keeps what came back."""
        self._heard = heard

    @property
    def kept(self) -> Kept | None:
        """What came back; None where nothing was asked, or it is too large to be kept."""
        if self._made is None or self._heard is None:
            return None
        blob = self._heard.answers.to_bytes()
        if len(blob) > _MOST:
            return None
        return Kept(commitment=self._made[0], facts=plain(self._heard.facts()), blob=blob)

    def stated(self, verification: Verification) -> Verification:
        """Returns a verdict with what was committed to, if anything was asked."""
        from fingerprint.suspects import Journal

        if self._made is None:
            return verification
        digest, entry = self._made
        suspect = self._grounds.suspect
        before = suspect.begun_under if isinstance(suspect, Journal) else None
        if before in (None, digest):
            return replace(verification, commitment=Commitment(digest=digest, entry=entry))
        line = (
            f"the journal was begun under other criteria ({before[:16]}): what was registered, "
            "compared or accepted changed since its first question"
        )
        return replace(
            verification,
            commitment=Commitment(digest=digest, entry=entry, begun_under=before),
            warnings=(*verification.warnings, line),
        )


def digest_of(document: Mapping[str, Any]) -> str:
    """Returns the commitment to criteria: SHA-256 over their canonical JSON, in hex."""
    return sha256_of(canonical(document))


def criteria_of(
    grounds: Grounds, questions: Questions, *, alpha: float, pictures: Pictures | None
) -> dict[str, Any]:
    """Returns everything a verdict depends on but the answers, as plain JSON values."""
    from fingerprint.evidence.calibration import BOUNDS, LARGE_BOUNDS, LARGE_MARGINS, MARGINS
    from fingerprint.verdict import TESTS

    suspect, kinship = grounds.suspect, grounds.kinship
    document: dict[str, Any] = plain(
        {
            "schema": 1,
            "release": release(),
            "suspect": {
                "identity": suspect.identity.to_dict(),
                "domain": suspect.input.domain,
                "output": suspect.output.to_dict(),
            },
            "alpha": alpha,
            "tests": [test.name for test in TESTS],
            "margins": MARGINS,
            "bounds": BOUNDS,
            "margins of large inputs": LARGE_MARGINS,
            "bounds of large inputs": LARGE_BOUNDS,
            "calibration": {
                name: [[one.test, one.depth, one.answer_kind, one.ratio] for one in ratios]
                for name, ratios in grounds.calibration.ratios.items()
            },
            "kinship": {
                "parents": kinship.parents,
                "from_scratch": sorted(kinship.from_scratch),
                "digests": kinship.digests,
                "references": sorted(kinship.references),
            },
            "candidates": grounds.commitments,
            "compatible": sorted(grounds.compatible),
            "always": sorted(grounds.always),
            "policies": grounds.policies.to_dict(),
            "questions": {
                "digest": questions.digest,
                "inputs": len(questions.ids),
                "repeated": len(questions.repeated),
                "open": questions.open,
            },
            "pictures": None if pictures is None else _chosen_from(pictures),
        }
    )
    return document


def kinship_in(document: Mapping[str, Any]) -> Kinship:
    """Returns who was kin by criteria."""
    from fingerprint.kinship import Kinship

    stated = document["kinship"]
    return Kinship(
        parents=stated["parents"],
        from_scratch=frozenset(stated["from_scratch"]),
        digests=stated["digests"],
        references=frozenset(stated["references"]),
    )


def calibration_of(document: Mapping[str, Any]) -> Calibration:
    """Returns what was known of independent models by criteria."""
    from fingerprint.evidence.calibration import Calibration, PairRatio

    return Calibration(
        ratios={
            name: tuple(PairRatio(*one) for one in ratios)
            for name, ratios in document["calibration"].items()
        }
    )


def _chosen_from(pictures: Pictures) -> dict[str, Any]:
    """Returns which pictures are chosen among, and how many."""
    return {"digest": sha256_of(canonical(sorted(pictures.ids))), "count": pictures.count}


def release() -> str:
    """Returns this program's version, for what is committed to depends on it."""
    try:
        return version("nullprint")
    except PackageNotFoundError:
        return "source tree"
