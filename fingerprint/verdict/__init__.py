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

:mod:`~fingerprint.verdict.rules` has the rules for one candidate in their order.
"""

from __future__ import annotations

from fingerprint.verdict.judging import TESTS, judge
from fingerprint.verdict.weighing import weigh

__all__ = ["TESTS", "judge", "weigh"]
