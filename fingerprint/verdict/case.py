"""A case: everything that bears on one candidate. And what a rule makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from fingerprint.evidence.copies import Copies
from fingerprint.evidence.equality import Equality
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.resemblance import Alignment, Resemblance
from fingerprint.verdict.tested import Tested
from fingerprint.verification import Relation, Verdict

__all__ = ["Case", "Ruling"]


@dataclass(frozen=True)
class Ruling:
    """What is decided about a candidate.

    Attributes:
        verdict: same, derived, independent or inconclusive.
        reason: Why, in one sentence.
        relation: Of a derived candidate; else None.
    """

    verdict: Verdict
    reason: str
    relation: Relation | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """Everything that bears on one candidate.

    Attributes:
        name: The candidate.
        findings: What each test measured.
        tests: Kinds of probe with a p-value, most significant first.
        trouble: Why the answers as a whole are no evidence; empty if they may be.
        alpha: Level of the corrected tests.
        family: How many candidates the correction counts.
        answer_kind: What the answers are.
        identical: Whether the suspect declares this candidate's weights.
        from_scratch: Whether its owner states that it has no parent.
        relatives: Its registered ancestors, and their other descendants.
        flags: How the suspect would have to be fed to resemble it; empty if not otherwise.
        reference: Whether it is a public model that nobody is accused of being.
        rivals: Its relatives that were asked the panel, those most like the suspect first.
        nearer: By how much the suspect is nearer to one candidate than to another.
    """

    name: str
    findings: tuple[Finding, ...]
    tests: tuple[Tested, ...]
    trouble: str
    alpha: float
    family: int
    answer_kind: str
    identical: bool
    from_scratch: bool
    relatives: frozenset[str]
    flags: str
    reference: bool
    rivals: tuple[str, ...]
    nearer: Callable[[str, str], Alignment | None]

    @property
    def missing(self) -> str:
        """Why there is no evidence; empty when there is some."""
        if self.trouble or self.tests:
            return self.trouble
        return next((one.missing for one in self.findings if one.missing), "nothing was measured")

    @property
    def equality(self) -> Finding | None:
        """Whether the answers equal the recorded ones; None where nothing can be compared."""
        return self._of(Equality.name)

    @property
    def resemblance(self) -> Finding | None:
        """What the panel says; None where it was not asked."""
        return self._of(Resemblance.name)

    @property
    def copied(self) -> Finding | None:
        """What shows that the suspect is one of the usual copies; None where nothing does."""
        found = self._of(Copies.name)
        return found if found is not None and found.detail.get("equal") else None

    @cached_property
    def rejecting(self) -> tuple[Tested, ...]:
        """Tests that reject: first those that may claim, and of these first individual ones."""
        found = (test for test in self.tests if test.rejects(self.alpha))
        return tuple(sorted(found, key=lambda one: (not one.margin.usable, not one.individual)))

    @property
    def claims(self) -> tuple[Tested, ...]:
        """Tests that show descent, individual ones first."""
        return tuple(test for test in self.rejecting if test.margin.usable)

    @property
    def bounded(self) -> tuple[Tested, ...]:
        """Tests whose ratio says something of independence if it is high."""
        return tuple(test for test in self.tests if test.bounds)

    @property
    def lowest(self) -> Tested:
        """The test whose interval begins lowest, of those that bound where any does."""
        return min(self.bounded or self.tests, key=lambda test: test.low)

    @property
    def rival(self) -> tuple[str, Alignment | None]:
        """The relative most like the suspect, and by how much the suspect is nearer to this one."""
        found = ((name, self.nearer(self.name, name)) for name in self.rivals)
        return next((one for one in found if one[1] is not None), ("", None))

    def _of(self, test: str) -> Finding | None:
        return next((one for one in self.findings if one.test == test), None)
