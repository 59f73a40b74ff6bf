"""What was tested of a candidate: its findings with a p-value, corrected.

They are corrected over the kinds of probe of a candidate, and then by Holm over all compatible
candidates, asked or not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fingerprint.evidence.calibration import Margin
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.harm_ratio import HarmRatio
from fingerprint.evidence.resemblance import Resemblance
from fingerprint.evidence.statistics import holm, holm_steps

__all__ = ["Tested", "corrected", "least_p_value"]


@dataclass(frozen=True, kw_only=True)
class Tested:
    """One kind of probe, with its p-value corrected.

    Attributes:
        finding: What was measured.
        p_value: Corrected over kinds of probe and over candidates.
    """

    finding: Finding
    p_value: float

    @property
    def ratio(self) -> float:
        """The statistic: a harm ratio, or a resemblance."""
        assert self.finding.statistic is not None
        return self.finding.statistic

    @property
    def low(self) -> float:
        """Lower end of its interval."""
        assert self.finding.interval is not None
        return self.finding.interval[0]

    @property
    def high(self) -> float:
        """Upper end of its interval."""
        assert self.finding.interval is not None
        return self.finding.interval[1]

    @property
    def margin(self) -> Margin:
        """What it is held against."""
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

    def rejects(self, alpha: float) -> bool:
        """Whether it rejects that the suspect is no kin; a claim needs a usable margin, too."""
        # Label-only answers have no interval; their exact test decides alone.
        exact = bool(self.finding.detail.get("exact", False))
        clear = self.high < self.margin.tested or exact
        if self.resembles:
            clear = self.low > self.margin.tested
        return self.p_value <= alpha and clear


def corrected(
    findings: Mapping[str, Sequence[Finding]], family: int
) -> dict[str, tuple[Tested, ...]]:
    """Corrects p-values over kinds of probe, then over candidates.

    Args:
        findings: By candidate, what each test measured.
        family: How many compatible models there are, asked or not.

    Returns:
        By candidate, what a claim may rest on, most significant first.
    """
    decisive = {name: _decisive(found) for name, found in findings.items()}
    own = {name: _over_depths(found) for name, found in decisive.items()}
    steps = holm_steps([min(p_values, default=1.0) for p_values in own.values()], family)
    every = {}
    for (name, found), (factor, least) in zip(decisive.items(), steps, strict=True):
        tests = [
            Tested(finding=finding, p_value=min(1.0, max(least, factor * p_value)))
            for finding, p_value in zip(found, own[name], strict=True)
        ]
        every[name] = tuple(sorted(tests, key=lambda test: (test.p_value, test.ratio)))
    return every


def least_p_value(tests: Sequence[Tested], family: int) -> float:
    """Returns the best that any of a candidate's tests could have given, corrected as p-values are.

    Args:
        tests: The candidate's, at least one.
        family: How many compatible models there are, asked or not.
    """
    findings = [test.finding for test in tests]
    correction = family * (1 if _share_a_statistic(findings) else len(findings))
    return min(1.0, correction * min(one.least_p or 0.0 for one in findings))


def _decisive(findings: Sequence[Finding]) -> list[Finding]:
    """Returns the findings that a claim may rest on: of probes; without any, of the panel."""
    probed = any(one.test == HarmRatio.name for one in findings)
    test = HarmRatio.name if probed else Resemblance.name
    return [one for one in findings if one.test == test and one.p_value is not None]


def _over_depths(findings: Sequence[Finding]) -> list[float]:
    """Corrects the p-values of one candidate over its depths or kinds of probe."""
    if _share_a_statistic(findings):
        return [one.joint_p for one in findings if one.joint_p is not None]
    return holm([one.p_value for one in findings if one.p_value is not None])


def _share_a_statistic(findings: Sequence[Finding]) -> bool:
    """Whether the p-value over a candidate's depths is given with them."""
    return all(one.joint_p is not None for one in findings)
