"""The verdict: a pure function of fingerprints, answers, kinship, calibration and α.

A candidate is *same* when the answers equal the recorded ones and a test of descent rejects as
well, of the probes or of the panel; *derived* when a test rejects after correction and its interval
lies below the margin; *independent* when the interval of every kind of probe lies above the bound,
the answers would have shown it had the suspect been the source, and the panel does not speak
against it. All else is *inconclusive*: no evidence is never a match and never a pass.

Where relatives of a candidate were asked the panel too, resemblance alone claims it only if none of
them explains the answers as well; and it never claims a candidate whose probes do not.

α is the rate at which any candidate is claimed falsely: p-values are corrected over the kinds of
probe of a candidate and then over all compatible candidates, whether they were asked or not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fingerprint.errors import UsageError
from fingerprint.evidence.calibration import LEAST_MARGIN, NEARLY_LINEAR, Calibration, Margin
from fingerprint.evidence.equality import Equality
from fingerprint.evidence.finding import Finding, Test
from fingerprint.evidence.harm_ratio import HarmRatio
from fingerprint.evidence.nearer import Nearer
from fingerprint.evidence.resemblance import Alignment, Resemblance
from fingerprint.evidence.statistics import holm, holm_steps
from fingerprint.kinship import Kinship
from fingerprint.text import clean, listed
from fingerprint.verification import Candidate, Relation, Verdict, Verification

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.probes.probe import Fingerprint

__all__ = ["TESTS", "judge", "weigh"]

TESTS: tuple[Test, ...] = (HarmRatio(), Resemblance(), Equality())
_HARM = HarmRatio.name
_ORDER = {"same": 0, "derived": 1, "inconclusive": 2, "independent": 3}
_LEAST_POWER = 0.5
"""Share of the bound that the source itself must be able to fall below, for a ratio above it to
say that a suspect is not derived from it."""
_LEAST_ANSWERED = 0.75
"""Share of each kind of probe that must have been answered for anybody to be independent."""
_LEAST_OF_PANEL = 0.5
"""Share of the panel that the source itself answers as recorded; another model next to nothing."""
_NOTHING_KNOWN = Kinship()
_NOTHING_MEASURED = Calibration()


@dataclass(frozen=True, kw_only=True)
class _Tested:
    """One kind of probe, with its p-value corrected.

    Attributes:
        finding: What was measured.
        p_value: Corrected over kinds of probe and over candidates.
    """

    finding: Finding
    p_value: float

    @property
    def ratio(self) -> float:
        assert self.finding.statistic is not None
        return self.finding.statistic

    @property
    def low(self) -> float:
        assert self.finding.interval is not None
        return self.finding.interval[0]

    @property
    def high(self) -> float:
        assert self.finding.interval is not None
        return self.finding.interval[1]

    @property
    def margin(self) -> Margin:
        assert self.finding.margin is not None
        return self.finding.margin

    @property
    def least(self) -> float:
        """The ratio that these answers would show had no probe moved them."""
        return float(self.finding.detail.get("least_ratio", 0.0))

    @property
    def resembles(self) -> bool:
        """Whether it is of the panel, where kin lie above the margin and not below."""
        return self.finding.test == Resemblance.name

    @property
    def bounds(self) -> bool:
        """Whether a high ratio says anything of independence."""
        return not self.resembles and math.isfinite(self.margin.bound)

    @property
    def individual(self) -> bool:
        """Whether it speaks for this model and for none of its relatives."""
        return self.finding.speaks_for == "individual"

    def claims(self, alpha: float) -> bool:
        """Whether it shows descent."""
        return self.margin.usable and self.rejects(alpha)

    def rejects(self, alpha: float) -> bool:
        # Label-only answers have no interval; their exact test decides alone.
        exact = bool(self.finding.detail.get("exact", False))
        clear = self.high < self.margin.tested or exact
        if self.resembles:
            clear = self.low > self.margin.tested
        return self.p_value <= alpha and clear


def judge(
    fingerprints: Mapping[str, Fingerprint],
    answers: Answers,
    *,
    kinship: Kinship = _NOTHING_KNOWN,
    calibration: Calibration = _NOTHING_MEASURED,
    alpha: float = 0.001,
    compatible: Collection[str] = (),
    not_asked: Collection[str] = (),
    flags: Mapping[str, str] | None = None,
) -> Verification:
    """Says whose the suspect is that gave these answers.

    Args:
        fingerprints: By name, of the candidates that were asked.
        answers: What came back.
        kinship: What is declared of the models.
        calibration: What is known of independent models.
        alpha: Accepted rate of false claims of descent, over all compatible candidates together.
        compatible: Every model that the suspect could be, asked or not; those of
            ``fingerprints`` are counted in any case.
        not_asked: Those that other evidence ruled out, so that they were not asked.

        flags: By candidate, how the suspect would have to be fed to resemble it.

    Returns:
        The verdict with its findings, candidates best first. What does not match is a value,
        never an exception.

    Raises:
        UsageError: ``alpha`` is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"alpha: expected a level between 0 and 1, got {alpha}")
    family = {*fingerprints, *compatible, *not_asked}
    tolerance = max((one.tolerance for one in fingerprints.values()), default=0.0)
    ranked = weigh(
        {
            name: [
                finding
                for test in TESTS
                for finding in test.measure(name, fingerprint, answers, calibration)
            ]
            for name, fingerprint in fingerprints.items()
        },
        family=len(family),
        alpha=alpha,
        answer_kind=answers.kind,
        trouble=_trouble(answers, repeatable=answers.repeatable(tolerance)),
        kinship=kinship,
        flags=flags or {},
        identical=[
            name
            for name, fingerprint in fingerprints.items()
            if fingerprint.model_digest == answers.identity.model_digest
        ],
        nearer=Nearer(fingerprints, answers),
    )
    verdict, reason, best = _overall(
        [candidate for candidate in ranked if candidate.name not in kinship.references],
        family - fingerprints.keys() - set(not_asked) - kinship.references,
    )
    return Verification(
        suspect={**answers.suspect, "answers": answers.said},
        verdict=verdict,
        reason=reason,
        best=best,
        queries=answers.queries,
        alpha=alpha,
        candidates=ranked,
        not_asked=tuple(sorted(not_asked)),
        warnings=(*_ties(ranked), *_twins(ranked)),
    )


def weigh(
    findings: Mapping[str, Sequence[Finding]],
    *,
    family: int,
    alpha: float,
    answer_kind: str = "logits",
    trouble: str = "",
    kinship: Kinship = _NOTHING_KNOWN,
    flags: Mapping[str, str] | None = None,
    identical: Collection[str] = (),
    nearer: Callable[[str, str], Alignment | None] = lambda name, other: None,
) -> tuple[Candidate, ...]:
    """Turns findings into verdicts.

    Args:
        findings: By candidate, what each test measured.
        family: How many compatible models there are, asked or not.
        alpha: Accepted rate of false claims over all of them.
        answer_kind: What the answers are.
        trouble: Why the answers as a whole are no evidence; empty if they may be.
        kinship: What is declared of the models.
        flags: By candidate, how the suspect would have to be fed to resemble it.
        identical: Candidates whose weights the suspect declares to have.
        nearer: By how much the suspect is nearer to one candidate than to another on the panel;
            None where that is not known.

    Returns:
        The candidates, best first.
    """
    tested = _corrected(findings, family)
    alike = _resemblances(findings)
    relatives = {name: kinship.relatives(name) for name in findings}
    judged = [
        _Case(
            name=name,
            findings=tuple(found),
            tests=tested[name],
            trouble=trouble,
            alpha=alpha,
            family=family,
            answer_kind=answer_kind,
            identical=name in identical,
            from_scratch=kinship.has_no_parent(name),
            relatives=relatives[name],
            flags=(flags or {}).get(name, ""),
            reference=name in kinship.references,
            alike=tuple(one for one in alike if one in relatives[name]),
            nearer=nearer,
        ).candidate()
        for name, found in findings.items()
    ]
    return tuple(sorted(_reconciled(judged, kinship), key=_rank))


def _reconciled(candidates: Sequence[Candidate], kinship: Kinship) -> list[Candidate]:
    """Takes independence back from whoever has a declared descendant that the suspect matches.

    The descendant's kin are kin of its ancestors. That the ancestor's own probes do not show it,
    as after a hard fine-tune, is no evidence against what its owner declared.
    """
    matching = [one.name for one in candidates if one.verdict in ("same", "derived")]
    judged = []
    for candidate in candidates:
        below = kinship.descendants(candidate.name)
        witness = next((name for name in matching if name in below), None)
        if candidate.verdict != "independent" or witness is None:
            judged.append(candidate)
            continue
        weights = kinship.digests.get(candidate.name)
        copied = weights is not None and kinship.digests.get(witness) == weights
        how = "has its weights" if copied else "is declared to descend from it"
        judged.append(
            replace(
                candidate,
                verdict="inconclusive",
                reason=f"{clean(witness)!r}, which {how}, matches",
                findings=tuple(replace(one, decides="nothing") for one in candidate.findings),
            )
        )
    return judged


def _resemblances(findings: Mapping[str, Sequence[Finding]]) -> list[str]:
    """Returns the candidates that the panel says something of, those most alike first."""
    found = [
        (-one.statistic, name)
        for name, every in findings.items()
        for one in every
        if one.test == Resemblance.name and one.statistic is not None
    ]
    return [name for _, name in sorted(found)]


def _corrected(
    findings: Mapping[str, Sequence[Finding]], family: int
) -> dict[str, tuple[_Tested, ...]]:
    """Corrects p-values over kinds of probe, then over candidates; most significant first."""
    harms = {name: _decisive(found) for name, found in findings.items()}
    own = {name: _over_depths(found) for name, found in harms.items()}
    steps = holm_steps([min(p_values, default=1.0) for p_values in own.values()], family)
    corrected = {}
    for (name, found), (factor, least) in zip(harms.items(), steps, strict=True):
        tests = [
            _Tested(finding=finding, p_value=min(1.0, max(least, factor * p_value)))
            for finding, p_value in zip(found, own[name], strict=True)
        ]
        corrected[name] = tuple(sorted(tests, key=lambda test: (test.p_value, test.ratio)))
    return corrected


def _decisive(findings: Sequence[Finding]) -> list[Finding]:
    """Returns the findings that a claim may rest on: of probes; without any, of the panel."""
    test = _HARM if any(one.test == _HARM for one in findings) else Resemblance.name
    return [one for one in findings if one.test == test and one.p_value is not None]


def _over_depths(findings: Sequence[Finding]) -> list[float]:
    """Corrects the p-values of one candidate over its depths or kinds of probe."""
    if all(one.joint_p is not None for one in findings):
        return [one.joint_p for one in findings if one.joint_p is not None]
    return holm([one.p_value for one in findings if one.p_value is not None])


def _trouble(answers: Answers, *, repeatable: bool) -> str:
    """Why the answers as a whole are no evidence; empty if they may be."""
    if answers.failure:
        return (
            f"asking ended early, {answers.failure}; with --journal FILE only what is missing is "
            "asked the next time"
        )
    if repeatable or not answers.values:
        return ""
    if not answers.repeated:
        return "no input was answered twice, so that nothing shows whether answers repeat"
    return "the same input got different answers"


@dataclass(frozen=True, kw_only=True)
class _Case:
    """Everything that bears on one candidate, and the decision about it.

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
        alike: Its relatives that were asked the panel, those most like the suspect first.
        nearer: By how much the suspect is nearer to one candidate than to another.
    """

    name: str
    findings: tuple[Finding, ...]
    tests: tuple[_Tested, ...]
    trouble: str
    alpha: float
    family: int
    answer_kind: str
    identical: bool
    from_scratch: bool
    relatives: frozenset[str]
    flags: str
    reference: bool
    alike: tuple[str, ...]
    nearer: Callable[[str, str], Alignment | None]

    def candidate(self) -> Candidate:
        """Decides, and says why in one sentence."""
        verdict, reason = self._decided()
        relation: Relation | None = None
        if verdict == "derived":
            descends = self.from_scratch or any(
                test.individual and test.claims(self.alpha) for test in self.tests
            )
            relation = "descends" if descends else "shares_origin"
            if relation == "shares_origin":
                reason += "; one descends from the other, or both from a third"
        deciding = self._deciding(verdict)
        finding = deciding.finding if deciding else None
        margin = finding.margin if finding else None
        alike = deciding is not None and deciding.resembles
        statistic, interval = (finding.statistic, finding.interval) if finding else (None, None)
        return Candidate(
            name=self.name,
            verdict=verdict,
            relation=relation,
            reason=reason,
            harm_ratio=None if alike else statistic,
            harm_ratio_ci=None if alike else interval,
            resemblance=statistic if alike else None,
            resemblance_ci=interval if alike else None,
            p_value=deciding.p_value if deciding else None,
            margin=margin.value if margin else None,
            margin_source=margin.source if margin else None,
            margin_pairs=margin.pairs if margin else 0,
            margin_floor=margin.floor if margin else 1.0,
            answer_kind=self.answer_kind,
            label_agreement=self._equality.detail["label_agreement"] if self._equality else None,
            identical_weights=self.identical,
            reference=self.reference,
            findings=tuple(self._with_part(finding, verdict) for finding in self.findings),
        )

    @property
    def _equality(self) -> Finding | None:
        return next((one for one in self.findings if one.test == Equality.name), None)

    @property
    def _missing(self) -> str:
        """Why there is no evidence; empty when there is some."""
        if self.trouble or self.tests:
            return self.trouble
        return next((one.missing for one in self.findings if one.missing), "nothing was measured")

    @property
    def _unanswered(self) -> str:
        """Which answers are missing for anybody to be independent; empty if enough are there."""
        harms = [one for one in self.findings if one.test == _HARM]
        sparse = next((one for one in harms if not _mostly_answered(one)), None)
        if sparse is None:
            return ""
        answered, probes = sparse.detail["answered"], sparse.detail["probes"]
        return f"{probes - answered} of {probes} answers are missing ({sparse.depth} probes)"

    @property
    def _resemblance(self) -> Finding | None:
        return next((one for one in self.findings if one.test == Resemblance.name), None)

    @property
    def _arranged(self) -> bool:
        """Whether the panel is arranged as the source arranges it, over all candidates."""
        found = self._resemblance
        if found is None or found.interval is None or found.margin is None:
            return False
        corrected = self.family * (1.0 if found.p_value is None else found.p_value)
        return corrected <= self.alpha and found.interval[0] > found.margin.value

    @property
    def _panel_alone(self) -> bool:
        """Whether equal answers to the panel, the only ones there are, prove as much as a test.

        The margin of a nearly linear model leaves a test no room, for whoever learned the same task
        arranges the panel as it does. Nobody else gives the same answers, if they tell inputs apart
        and are arranged as no unrelated model arranges them.
        """
        equality, found = self._equality, self._resemblance
        if equality is None or not equality.detail.get("told_apart"):
            return False
        least = None if found is None else found.detail.get("default_margin")
        return bool(
            least is not None
            and found is not None
            and found.interval is not None
            and found.interval[0] > least
        )

    @property
    def _alike(self) -> str:
        """What the panel says against independence; empty if nothing.

        Noise that an endpoint adds to each answer, the same each time, buries the small harm of
        probes and turns alike; the large differences between the panel's inputs stay.
        """
        found = self._resemblance
        if found is None or found.statistic is None or found.margin is None:
            return ""
        # A margin is raised to accuse nobody falsely; to excuse somebody, it need not be.
        stranger = float(found.detail.get("default_margin", found.margin.value))
        if found.statistic <= min(stranger, found.margin.value):
            return ""
        return (
            "its answers to the probes are those of an independent model, but it arranges the "
            f"panel as the source does (resemblance {found.statistic:.3g}; an independent model "
            f"stays below {stranger:.2g}): is noise added to its answers?"
        )

    def _decided(self) -> tuple[Verdict, str]:
        if self._missing:
            return "inconclusive", f"no evidence: {self._missing}"
        rejecting = [test for test in self.tests if test.rejects(self.alpha)]
        usable = [test for test in rejecting if test.margin.usable]
        equality = self._equality
        equal = equality is not None and bool(equality.detail["equal"])
        if equality is not None and equal and (rejecting or self._arranged or self._panel_alone):
            found = self._same(equality)
            if found is not None:
                return found
        if self.identical and not (equality and equality.detail["explained"]):
            return "inconclusive", (
                f"the weights are those of {clean(self.name)}, the answers are not: check --mean, "
                "--std, --input-size, --arch, --output"
            )
        if usable:
            return self._derived(sorted(usable, key=lambda test: not test.individual))
        if self.flags:
            return "inconclusive", (
                f"fed as the flags say it does not match, with {self.flags} it resembles "
                f"{clean(self.name)}: feed it so"
            )
        return self._apart()

    def _same(self, equality: Finding) -> tuple[Verdict, str] | None:
        """What equal answers show; None for labels, which alone never make the same model."""
        if self.answer_kind == "labels":
            return None
        if _replayed(equality):
            return "inconclusive", (
                "its answers to the probes equal the recorded ones, those to the panel are "
                "another model's: are they replayed?"
            )
        rounded = equality.detail["rounded_to"]
        within = f"within {equality.detail['tolerance']:.1g} of their size"
        if rounded is not None:
            within += f" or as far as answers rounded to {rounded:.1g} tell"
        asked = "probes" if equality.detail.get("told_apart") is None else "inputs of the panel"
        said = f"its answers to all {equality.used} {asked} equal the recorded ones {within}"
        alike = self._resemblance
        if alike is not None and alike.detail.get("linearity", 0.0) >= NEARLY_LINEAR:
            said += "; it is nearly linear, and training one twice alike gives it twice"
        return "same", said

    def _derived(self, claims: Sequence[_Tested]) -> tuple[Verdict, str]:
        """What tests that reject show, individual ones first."""
        best = claims[0]
        # Fingerprints of earlier releases do not say for whom their probes speak.
        spoken = any(test.finding.speaks_for is not None for test in self.tests)
        if spoken and self.relatives and not best.individual:
            return "inconclusive", self._only_family([one for one in self.tests if one.individual])
        if not best.resembles:
            return "derived", (
                "perturbations solved for the source change its answers "
                f"{best.ratio:.3g} times as much as the same turned; an independent model "
                f"stays above {best.margin.value:.2g}"
            )
        rival, nearer = self._rival
        if nearer is not None and nearer.low <= 0:
            return "inconclusive", (
                f"it shares an origin with {clean(self.name)}, but its relative {clean(rival)} "
                "explains the panel's answers as well (resemblance less that of "
                f"{clean(rival)} {nearer.value:.2g}, interval {nearer.low:.2g} to "
                f"{nearer.high:.2g}), and no individual probes tell them apart"
            )
        return "derived", (
            "it arranges its answers to the panel as the source does (resemblance "
            f"{best.ratio:.3g}; an independent model stays below {best.margin.value:.2g})"
        )

    def _apart(self) -> tuple[Verdict, str]:
        """Whether nothing that rejects means independence."""
        bounded = [test for test in self.tests if test.bounds]
        lowest = min(bounded or self.tests, key=lambda test: test.low)
        if not bounded or any(test.low < test.margin.bound for test in bounded):
            return "inconclusive", self._undecided(lowest)
        if lowest.least > _LEAST_POWER * lowest.margin.bound:
            return "inconclusive", (
                "the answers are too coarse: even the source would show a harm ratio of "
                f"{lowest.least:.2g}; ask for more decimals"
            )
        if self._unanswered or self._alike:
            return "inconclusive", self._unanswered or self._alike
        return "independent", (
            "perturbations solved for the source change its answers about as much as the "
            f"same turned (ratio {lowest.ratio:.3g}, at least {lowest.low:.3g})"
        )

    @property
    def _rival(self) -> tuple[str, Alignment | None]:
        """The relative most like the suspect, and by how much the suspect is nearer to this one."""
        found = ((name, self.nearer(self.name, name)) for name in self.alike)
        return next((one for one in found if one[1] is not None), ("", None))

    def _only_family(self, own: Sequence[_Tested]) -> str:
        """Why kinship alone is no claim where relatives are registered."""
        who = listed(sorted(self.relatives), shown=3)
        shared = f"it shares an origin with {clean(self.name)} and its relatives ({who})"
        rival, nearer = self._rival
        if nearer is not None and nearer.high < 0:
            shared += (
                f", and is nearer to {clean(rival)} on the panel (by {-nearer.value:.2g}, interval "
                f"{-nearer.high:.2g} to {-nearer.low:.2g})"
            )
        if not own:
            return (
                f"{shared}; no individual probes tell them apart; renew it: 'fp register --again "
                f"{clean(self.name)}'"
            )
        return (
            f"{shared}; the probes that speak for {clean(self.name)} alone do not show descent "
            f"(ratio {own[0].ratio:.3g}, a sibling stays above {own[0].margin.value:.2g})"
        )

    def _undecided(self, lowest: _Tested) -> str:
        """Why neither descent nor independence can be claimed."""
        margin = lowest.margin
        if lowest.resembles:
            return (
                f"it was registered by its answers alone; a resemblance of {lowest.ratio:.3g} "
                f"shows no descent (margin {margin.value:.2g}), and a low one no independence"
            )
        if not margin.usable:
            fell = "registered models that count as independent of it"
            way_out = "; if they are kin, declare it with --parent"
            if margin.source == "linearity":
                return (
                    f"the harm ratio {lowest.ratio:.3g} tells nothing of descent: the source is "
                    "nearly linear in its input, and whoever learned the same task ignores the same"
                )
            if margin.source == "surrogates":
                fell, way_out = "independent stand-ins made at registration", ""
            return (
                f"the harm ratio {lowest.ratio:.3g} tells nothing of descent: {fell} fall to "
                f"{margin.value:.2g}, below the least usable margin {LEAST_MARGIN:.2g}{way_out}"
            )
        # The best that any kind of probe could have given, corrected as p-values are.
        joint = all(test.finding.joint_p is not None for test in self.tests)
        correction = self.family * (1 if joint else len(self.tests))
        least = min(1.0, correction * min(test.finding.least_p or 0.0 for test in self.tests))
        if least > self.alpha:
            return (
                f"nothing can be decided with so few probes: over {self.family} compatible models "
                f"they give no p-value below {least:.2g}, and {self.alpha:.2g} is asked; register "
                "with more probes"
            )
        found = (
            f"the harm ratio {lowest.ratio:.3g} (interval {lowest.low:.3g} to {lowest.high:.3g})"
        )
        if not lowest.bounds and lowest.low >= margin.value:
            return (
                f"{found} shows no descent; probes so late say nothing of independence, and there "
                "are no earlier ones"
            )
        return f"{found} is too close to the margin {margin.value:.2g}; register with more probes"

    def _deciding(self, verdict: Verdict) -> _Tested | None:
        """The test the report quotes: the most significant one, or the lowest interval."""
        if self._missing:
            return None
        if verdict in ("same", "derived"):
            claims = [test for test in self.tests if test.rejects(self.alpha)]
            claims.sort(key=lambda test: (not test.margin.usable, not test.individual))
            # Equal answers and the panel may say *same* where probes are too few to claim alone.
            return claims[0] if claims else None
        bounded = [test for test in self.tests if test.bounds]
        return min(bounded or self.tests, key=lambda test: test.low)

    def _with_part(self, finding: Finding, verdict: Verdict) -> Finding:
        """Says what the verdict takes from a finding."""
        if finding.test == Equality.name:
            return replace(finding, decides="kin") if verdict == "same" else finding
        test = next((one for one in self.tests if one.finding is finding), None)
        if test is None or self.trouble:
            return finding
        if test.rejects(self.alpha) and (test.margin.usable or verdict == "same"):
            return replace(finding, decides="kin")
        powerful = test.least <= _LEAST_POWER * test.margin.bound and _mostly_answered(finding)
        if test.bounds and test.low >= test.margin.bound and powerful:
            return replace(finding, decides="independent")
        return finding


def _replayed(equality: Finding) -> bool:
    """Whether the panel's answers are those of another model."""
    share = equality.detail.get("panel")
    return share is not None and share < _LEAST_OF_PANEL


def _mostly_answered(finding: Finding) -> bool:
    answered, probes = finding.detail.get("answered", 0), finding.detail.get("probes", 0)
    return bool(answered >= _LEAST_ANSWERED * probes)


def _rank(candidate: Candidate) -> tuple[int, bool, float, float, str]:
    ratio = candidate.harm_ratio if candidate.harm_ratio is not None else float("inf")
    alike = candidate.resemblance if candidate.resemblance is not None else -1.0
    # What a model's own training added names the nearest member of a family.
    by_itself = any(
        one.speaks_for == "individual" and one.test == _HARM and one.decides == "kin"
        for one in candidate.findings
    )
    return (_ORDER[candidate.verdict], not by_itself, ratio, -alike, candidate.name)


def _overall(
    ranked: Sequence[Candidate], unasked: Collection[str]
) -> tuple[Verdict, str, str | None]:
    """The best candidate's verdict; independent only when it is so of every compatible model."""
    if not ranked:
        return "inconclusive", "there is no registered model to compare with", None
    first = ranked[0]
    if first.verdict == "independent" and unasked:
        return (
            "inconclusive",
            f"it is independent of {listed((one.name for one in ranked), shown=5)}; not compared "
            f"with {listed(sorted(unasked), shown=5)}",
            None,
        )
    matched = first.verdict in ("same", "derived")
    return first.verdict, first.reason, first.name if matched else None


def _ties(ranked: Sequence[Candidate]) -> tuple[str, ...]:
    """Names candidates that the answers do not tell apart."""
    same = [candidate.name for candidate in ranked if candidate.verdict == "same"]
    derived = [candidate.name for candidate in ranked if candidate.verdict == "derived"]
    if len(same) > 1:
        return (f"a family: its answers equal those of {', '.join(map(repr, same))}",)
    if not same and len(derived) > 1:
        return (f"a family: it is related to {', '.join(map(repr, derived))}; best first",)
    return ()


def _twins(ranked: Sequence[Candidate]) -> tuple[str, ...]:
    """Names candidates whose very weights the suspect declares."""
    return tuple(
        f"identical weights digest to {candidate.name!r}"
        for candidate in ranked
        if candidate.identical_weights
    )
