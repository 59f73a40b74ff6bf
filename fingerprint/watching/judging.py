"""What a run says: unchanged, changed and since when, or nothing.

**Promise.** A target whose answers repeat (each equals what was recorded, within its precision) is
never said to have changed: the probability is 0. Of one whose answers do not repeat, the
probability that it is ever said to have changed while it has not is at most ``alpha``, over all
runs together; :mod:`fingerprint.watching.evidence` says what that means and proves it.

The proof asks of the target only that it be unchanged, not that it is known to repeat or not. The
capital is kept from the first run on, so one that slips after it seemed to repeat goes over to
ranks with the same promise. What remains is a target that slips so rarely that it was not noticed,
and then gives three answers in turn to one question, none of them the recorded one: that is taken
for a change.

A target that has changed stays so, whatever it answers later: begin anew to accept it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np

from fingerprint.canonical import plain
from fingerprint.errors import UsageError
from fingerprint.watching.baseline import Baseline
from fingerprint.watching.evidence import BETS, capital, gains, likeliest_start
from fingerprint.watching.observing import Observation

__all__ = ["Run", "State", "judged"]

State = Literal["unchanged", "changed", "unclear"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One look at a target, and what is to be thought of it after that.

    Attributes:
        number: Its place, from 1.
        time: When, ISO 8601 in UTC.
        state: ``unclear`` where no question was answered, or none a second time that had to be.
        reason: One line.
        since: Where it changed: between these two times; None if it did not.
        repeatable: Whether its answers have repeated themselves so far.
        evidence: Capital of the bets against "nothing has changed", as its decimal logarithm.
        asked: How many questions it was asked.
        queries: How many inputs it was sent.
        failure: Why it was not asked everything, one line; else empty.
        scores: By question that was answered, how far the answer lies from what was recorded.
        gains: What each bet paid in this run, as natural logarithms; none where nothing was
            answered.
    """

    number: int
    time: str
    state: State
    reason: str
    since: tuple[str, str] | None
    repeatable: bool
    evidence: float
    asked: int
    queries: int
    failure: str
    scores: tuple[tuple[int, float], ...]
    gains: tuple[float, ...]

    @property
    def heard(self) -> bool:
        """Whether anything was answered."""
        return bool(self.scores)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values; :meth:`from_dict` reads them back."""
        found: dict[str, Any] = plain(vars(self))
        return found

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Run:
        """Builds a run from :meth:`to_dict`'s values.

        Raises:
            UsageError: They are none.
        """
        given = values["gains"]
        if values["state"] not in get_args(State) or len(given) not in (0, BETS):
            raise UsageError("expected a run of a watch, got something else")
        since = values["since"]
        return cls(
            number=int(values["number"]),
            time=str(values["time"]),
            state=cast("State", values["state"]),
            reason=str(values["reason"]),
            since=None if since is None else (str(since[0]), str(since[1])),
            repeatable=bool(values["repeatable"]),
            evidence=float(values["evidence"]),
            asked=int(values["asked"]),
            queries=int(values["queries"]),
            failure=str(values["failure"]),
            scores=tuple((int(place), float(score)) for place, score in values["scores"]),
            gains=tuple(float(one) for one in given),
        )


def judged(
    baseline: Baseline,
    runs: Sequence[Run],
    seen: Observation,
    *,
    began: str,
    now: str,
    alpha: float,
) -> Run:
    """Returns what a run says, given all before it.

    Args:
        baseline: What was recorded first.
        runs: All before, in their order.
        seen: What was answered now.
        began: When the baseline was recorded.
        now: The time.
        alpha: Probability of ever calling a target changed that has not.
    """
    heard = [run for run in runs if run.heard]
    paid = _paid(baseline, heard, seen)
    every = [*(run.gains for run in heard), *([paid] if paid else [])]
    wealth = capital(every)
    repeatable = (runs[-1].repeatable if runs else baseline.repeatable) and not seen.wavers
    before = heard[-1].time if heard else began
    state, reason, since = _unlatched(seen, repeatable=repeatable, span=(before, now))
    if state == "unchanged" and not repeatable and wealth >= -math.log(alpha):
        first = likeliest_start(every)
        times = [began, *(run.time for run in heard), now]
        state, since = "changed", (times[first], times[first + 1])
        reason = f"answers rank as they would by chance less than once in {math.exp(wealth):.3g}"
    changed = next((run for run in runs if run.state == "changed"), None)
    if changed is not None:
        state, since = "changed", changed.since
        reason = f"{changed.reason} (run {changed.number})"
    return Run(
        number=len(runs) + 1,
        time=now,
        state=state,
        reason=reason,
        since=since,
        repeatable=repeatable,
        evidence=wealth / math.log(10),
        asked=seen.asked,
        queries=seen.queries,
        failure=seen.failure,
        scores=seen.scores,
        gains=paid,
    )


def _unlatched(
    seen: Observation, *, repeatable: bool, span: tuple[str, str]
) -> tuple[State, str, tuple[str, str] | None]:
    """Returns what the answers of this run alone say."""
    count = len(seen.scores)
    if seen.other:
        return "changed", seen.other, span
    if not count:
        return "unclear", seen.failure or "no question was answered", None
    answers = f"{count} of {seen.asked} answers"
    if repeatable and seen.differ:
        return "changed", f"{len(seen.differ)} of {count} answers are not as recorded", span
    if seen.wavers:
        return "unchanged", f"{answers}; they do not repeat any more and are ranked now", None
    if not repeatable:
        return "unchanged", f"{answers}, ranked", None
    other = sum(score > 0 for _, score in seen.scores)
    if other:
        return "unclear", f"{other} of {answers} are not as recorded, and none came again", None
    return "unchanged", f"{answers}, as recorded", None


def _paid(baseline: Baseline, heard: Sequence[Run], seen: Observation) -> tuple[float, ...]:
    """Returns what each bet paid in this run; nothing where no question was answered."""
    if not seen.scores:
        return ()
    earlier = {place: [*baseline.scores[place]] for place, _ in seen.scores}
    for run in heard:
        for place, score in run.scores:
            if place in earlier:
                earlier[place].append(score)
    total = np.zeros(BETS)
    for place, score in seen.scores:
        total += gains(score, earlier[place])
    return tuple(float(one) for one in total)
