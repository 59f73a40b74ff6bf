"""Same: the answers equal the recorded ones, and more than that shows whose they are.

Equal answers alone prove nothing where many models would give them, so a test of descent has to
reject as well, or the panel has to be arranged as no unrelated model arranges it.
"""

from __future__ import annotations

from fingerprint.evidence.calibration import NEARLY_LINEAR
from fingerprint.evidence.finding import Finding
from fingerprint.text import clean
from fingerprint.verdict.case import Case, Ruling

__all__ = ["equal_answers", "other_answers"]

_LEAST_OF_PANEL = 0.5
"""Share of the panel that the source itself answers as recorded; another model next to nothing."""


def equal_answers(case: Case) -> Ruling | None:
    """What equal answers show; None for labels, which alone never make the same model."""
    equality = case.equality
    if equality is None or not equality.detail["equal"] or case.answer_kind == "labels":
        return None
    if not (case.rejecting or _arranged(case) or _panel_alone(case)):
        return None
    if _replayed(equality):
        return Ruling(
            "inconclusive",
            "its answers to the probes equal the recorded ones, those to the panel are "
            "another model's: are they replayed?",
        )
    rounded = equality.detail["rounded_to"]
    within = f"within {equality.detail['tolerance']:.1g} of their size"
    if rounded is not None:
        within += f" or as far as answers rounded to {rounded:.1g} tell"
    asked = "probes" if equality.detail.get("told_apart") is None else "inputs of the panel"
    said = f"its answers to all {equality.used} {asked} equal the recorded ones {within}"
    panel = case.resemblance
    if panel is not None and panel.detail.get("linearity", 0.0) >= NEARLY_LINEAR:
        said += "; it is nearly linear, and training one twice alike gives it twice"
    return Ruling("same", said)


def other_answers(case: Case) -> Ruling | None:
    """What the candidate's very weights show that answer otherwise: they are fed otherwise."""
    if not case.identical or (case.equality and case.equality.detail["explained"]):
        return None
    return Ruling(
        "inconclusive",
        f"the weights are those of {clean(case.name)}, the answers are not: check --mean, "
        "--std, --input-size, --arch, --output",
    )


def _arranged(case: Case) -> bool:
    """Whether the panel is arranged as the source arranges it, over all candidates."""
    panel = case.resemblance
    if panel is None or panel.margin is None:
        return False
    corrected = case.family * (1.0 if panel.p_value is None else panel.p_value)
    return corrected <= case.alpha and _lies_above(panel, panel.margin.value)


def _panel_alone(case: Case) -> bool:
    """Whether equal answers to the panel, the only ones there are, prove as much as a test.

    The margin of a nearly linear model leaves a test no room, for whoever learned the same task
    arranges the panel as it does. Nobody else gives the same answers, if they tell inputs apart
    and are arranged as no unrelated model arranges them.
    """
    equality, panel = case.equality, case.resemblance
    if equality is None or not equality.detail.get("told_apart") or panel is None:
        return False
    least = panel.detail.get("default_margin")
    return least is not None and _lies_above(panel, least)


def _lies_above(panel: Finding, margin: float) -> bool:
    """Whether a resemblance lies above a margin with its whole interval."""
    return panel.interval is not None and panel.interval[0] > margin


def _replayed(equality: Finding) -> bool:
    """Whether the panel's answers are those of another model."""
    share = equality.detail.get("panel")
    return share is not None and share < _LEAST_OF_PANEL
