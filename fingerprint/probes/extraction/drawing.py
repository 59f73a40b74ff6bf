"""Draws a candidate for each place of the fingerprint, and again where one does not hold up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fingerprint.errors import NoInformation
from fingerprint.probes.extraction.candidates import SOURCE_CEILING, Drawn, candidates
from fingerprint.probes.extraction.plan import Plan
from fingerprint.probes.keeping import Keeper
from fingerprint.probes.probe import ProbeRequest
from fingerprint.progress import Progress

__all__ = ["ROUNDS", "drawn"]

ROUNDS = 2
"""Times a candidate is drawn at most."""


def drawn(plan: Plan, keeper: Keeper, progress: Progress) -> Drawn:
    """Solves one candidate for each place, then again for those that do not hold up."""
    requests = _first_requests(plan)
    found = candidates(plan, keeper, requests, frozenset(), progress)
    for draw in range(1, ROUNDS):
        # Where a whole depth does not hold, another draw will not either.
        hopeless = _hopeless(found)
        places = [
            place
            for place, kept in enumerate(found.kept)
            if not kept.good and kept.request.kind not in hopeless
        ]
        if not places:
            break
        again = [
            replace(
                found.kept[place].request,
                draw=found.kept[place].request.draw + len(requests) * draw,
            )
            for place in places
        ]
        fresh = candidates(plan, keeper, again, found.given_up, progress)
        found = _better(found, places, fresh)
    if len(found.useless) == len(plan.kinds):
        usable = sum(kept.usable for kept in found.kept)
        raise NoInformation(
            f"expected perturbations the network ignores, found {usable} of "
            f"{len(found.kept)} probes below harm ratio {SOURCE_CEILING}; "
            "it has too few inputs for its outputs, or its gradients are blocked; "
            "register it with --answers-only"
        )
    return found


def _first_requests(plan: Plan) -> list[ProbeRequest]:
    """Deals the probes over the kinds, and those of a kind over the bases."""
    requests = []
    for kind, count in zip(plan.kinds, plan.counts, strict=True):
        for place in range(count):
            draw, base = divmod(place, len(plan.bases))
            requests.append(ProbeRequest(kind.name, base, draw))
    return requests


def _hopeless(found: Drawn) -> set[str]:
    """Depths of which hardly any candidate holds."""
    kinds = {kept.request.kind for kept in found.kept}
    return {
        kind
        for kind in kinds
        if not any(kept.good for kept in found.kept if kept.request.kind == kind)
    }


def _better(found: Drawn, places: Sequence[int], fresh: Drawn) -> Drawn:
    """Keeps the better of old and fresh candidates at some places."""
    kept = list(found.kept)
    for place, one in zip(places, fresh.kept, strict=True):
        kept[place] = max(kept[place], one, key=lambda candidate: candidate.rank)
    return Drawn(
        kept=tuple(kept),
        passes={kind: spent + fresh.passes[kind] for kind, spent in found.passes.items()},
        given_up=fresh.given_up,
        redrawn=found.redrawn + len(places),
    )
