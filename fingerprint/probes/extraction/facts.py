"""What a fingerprint says about how it came about: its parameters, its cost, its warnings."""

from __future__ import annotations

from typing import Any

from fingerprint.canonical import plain
from fingerprint.probes.bases import GRAINED
from fingerprint.probes.extraction.candidates import Drawn
from fingerprint.probes.extraction.drawing import ROUNDS
from fingerprint.probes.extraction.plan import Plan
from fingerprint.probes.screening import FLOOR
from fingerprint.probes.turns import is_large_picture, on_the_grid

__all__ = ["cost", "parameters", "warnings"]


def parameters(plan: Plan) -> dict[str, Any]:
    """Says by what settings, depths and references the probes were found."""
    references = {
        "pilot_references": plan.pilot.references,
        "pilot_references_like_kin": plan.pilot.like_kin,
    }
    found: dict[str, Any] = plain(
        {
            **{key: digests for key, digests in references.items() if digests},
            "probes": plan.settings.probes,
            "control": "turn on the same base",
            "pilot": [one.to_dict() for one in plan.pilot.tried],
            "bases": GRAINED if plan.settings.images is None else "images",
            "screening_floor": FLOOR,
            "solved_against": plan.solved_against,
            "networks_in_the_solve": {kind.name: kind.networks for kind in plan.kinds},
            "harmless_earlier_too": plan.harmless_earlier,
            **({"enlarged": plan.enlarged} if plan.enlarged else {}),
        }
    )
    return found


def cost(plan: Plan, drawn: Drawn, seconds: float) -> dict[str, float]:
    """Says what was spent: wall-clock seconds, and passes through the whole network."""
    spent = {f"passes at {kind}": passes for kind, passes in drawn.passes.items()}
    return {
        "seconds": seconds,
        "passes": plan.pilot.passes + sum(spent.values()),
        "passes of the pilot": plan.pilot.passes,
        **spent,
    }


def warnings(plan: Plan, drawn: Drawn) -> tuple[str, ...]:
    """Says what whoever relies on the fingerprint should know, a line for each."""
    useless = drawn.useless
    lines = [*plan.model.warnings, *plan.spaces.warnings]
    lines += [
        f"no perturbation was found that it ignores at depth {name!r}: there are no such probes"
        for name in sorted(useless)
    ]
    close = sum(kept.distance < FLOOR for kept in drawn.kept if kept.probe.kind not in useless)
    if close:
        lines.append(f"{close} probes stayed below the screening floor after {ROUNDS} draws")
    shape = plan.model.input.shape
    if is_large_picture(shape) and not on_the_grid(shape, plan.turns):
        lines.append(
            "the network takes a probe upside down for the probe itself: it has other controls, "
            "and margins are lower for them"
        )
    return tuple(lines)
