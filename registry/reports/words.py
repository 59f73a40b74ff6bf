"""What a report says in sentences: pure functions, each text ready to be shown.

Every name passes through ``clean``; HTML is escaped where the page is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fingerprint.readable import NONE
from fingerprint.text import clean, listed

if TYPE_CHECKING:
    from fingerprint.evidence.finding import Finding
    from fingerprint.verification import Candidate, Verification

__all__ = [
    "BENCHMARKS",
    "LARGE",
    "TESTS",
    "error_rates",
    "margin_from",
    "on_the_way",
    "question",
    "sentence",
    "suspect_name",
    "unsaid",
    "untested",
]

BENCHMARKS = "benchmarks.json"
"""Beside this file, by size in pixels: networks, their architectures, independent pairs that were
claimed, suspects that share weights that were found; ``benchmarks.detection.page`` writes it."""
LARGE = 64
"""Pixels of a side, above which the benchmark at 224 pixels is the nearer one."""

_NETWORKS = {
    "32": (
        "small networks of {architectures} architectures, each trained from scratch on pictures of "
        "CIFAR-10 and changed in many ways",
        "So a claim is seldom wrong, and no claim is no proof of independence.",
    ),
    "224": (
        "published networks of {architectures} architectures, all of one kind (EfficientNet-Lite), "
        "what was made of them, and strangers trained on enlarged CIFAR-10",
        "Controls were chosen by these very pairs, so the first of the two counts is fitted; early "
        "probes have changed since, and not all of it was measured again.",
    ),
}
"""What was measured at each size, and what that means."""

TESTS = {
    "harm_ratio": "harm ratio",
    "resemblance": "resemblance",
    "copies": "usual copies",
    "equality": "equal answers",
    "rare_labels": "rare labels",
}
_FULL = ("logits", "probabilities")


def suspect_name(result: Verification) -> str:
    """Returns what the suspect is called: its address, file or architecture."""
    facts = result.suspect
    file = str(facts.get("file") or "").rpartition("/")[2]
    return clean(facts.get("address") or file or facts.get("architecture") or "the suspect", 200)


def question(result: Verification) -> str:
    """Returns what was asked."""
    count = len(result.candidates) + len(result.not_asked)
    models = "the one registered model" if count == 1 else f"one of the {count} registered models"
    if not count:
        return "Whose is the suspect? No registered model takes its inputs."
    return (
        f"Is the suspect {models} that it can be compared with, derived from {_it(count)}, or "
        f"independent of {'it' if count == 1 else 'them all'}?"
    )


def _it(count: int) -> str:
    return "it" if count == 1 else "one of them"


def sentence(result: Verification) -> str:
    """Returns the verdict in one sentence."""
    best = next((one for one in result.candidates if one.name == result.best), None)
    name = clean(result.best)
    if result.verdict == "same":
        return f"The suspect answers as {name} does: it is the same model."
    if result.verdict == "derived":
        if best is not None and best.relation == "descends":
            return f"The suspect is derived from {name}: it descends from it."
        return (
            f"The suspect shares an origin with {name}: one descends from the other, or both from "
            "a third model."
        )
    if result.verdict == "independent":
        count = sum(not one.reference for one in result.candidates)
        ruled = (
            f" ({len(result.not_asked)} more were ruled out unasked)" if result.not_asked else ""
        )
        models = "the model" if count == 1 else f"all {count} models"
        return f"The suspect is independent of {models} it was compared with{ruled}."
    return "Nothing can be concluded: this is neither a match nor a pass."


def margin_from(finding: Finding) -> str:
    """Returns where a margin comes from, and on how much it rests."""
    margin = finding.margin
    if margin is None:
        return NONE
    models = f"{margin.pairs} {'model' if margin.pairs == 1 else 'models'}"
    known = {
        "default": f"benchmark ({models} asked)",
        "registry": f"lowest of {models} asked",
        "linearity": "lowered, the model is nearly linear",
        "copies": "lowered to what a pruned copy needs",
        "relatives": "lowered, its relatives are near",
        "surrogates": "lowered by stand-ins at registration",
        "references": f"highest of {models}",
        "fixed": "of the distance to a relative",
    }
    return known.get(margin.source, clean(margin.source))


def error_rates(result: Verification, side: int = 0) -> Iterator[str]:
    """Yields how often such a verdict is wrong, as far as that is known.

    Args:
        result: The verdict.
        side: Pixels of the longer side of its inputs; 0 where they are no pictures.
    """
    count = max(1, len(result.candidates) + len(result.not_asked))
    which = "the one compatible model" if count == 1 else f"all {count} compatible models together"
    yield (
        f"A false claim of descent is accepted at a rate of α = {result.alpha:g}, over {which}: "
        "p-values are corrected over depths and over candidates (Holm). This holds if independent "
        "models do not fall below the margins of the criteria above."
    )
    best = next((one for one in result.candidates if one.name == result.best), None)
    if best is None and result.candidates:
        best = result.candidates[0]
    if best is not None and best.margin is not None:
        yield _vouched(best, result.alpha, count)
    for size in ("224", "32") if side > LARGE else ("32",):
        yield _measured(size)
    yield (
        "Other sizes and kinds of networks were measured less (docs/detection.md of the release)."
    )


def _measured(size: str) -> str:
    counts = _benchmarks()[size]
    networks, meaning = _NETWORKS[size]
    return (
        f"Benchmark of the release at {size} pixels, {counts['networks']} "
        f"{networks.format_map(counts)}: {counts['claimed']} independent pairs were called same or "
        f"derived, and {counts['found']} suspects that share weights were; the others were missed. "
        f"{meaning}"
    )


@cache
def _benchmarks() -> dict[str, dict[str, Any]]:
    text = (files("registry.reports") / BENCHMARKS).read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


def _vouched(best: Candidate, alpha: float, count: int) -> str:
    name, pairs = clean(best.name), best.margin_pairs
    if not pairs:
        return (
            f"No independent registered model was asked the probes of {name}: its margin rests on "
            "the benchmark alone."
        )
    asked = "1 independent model was" if pairs == 1 else f"{pairs} independent models were"
    total = min(1.0, alpha + count / (pairs + 1))
    return (
        f"{asked} asked the probes of {name}. By such models alone, without the benchmark, the "
        f"margin would be vouched for only at α + {count}/{pairs + 1} = {total:.2g}."
    )


def on_the_way(result: Verification) -> str:
    """Returns what is known of what happens to inputs before the model; empty if nobody asked."""
    found = result.channel
    if found is None:
        return ""
    if found.missing:
        return f"not known: {clean(found.missing, 200)}"
    unknown = [kind for kind in found.reactions if kind not in found.known]
    parts = (("kept", found.kept), ("lost", found.lost), ("not known", unknown))
    return "; ".join(f"{what}: {listed(kinds)}" for what, kinds in parts if kinds)


def untested(result: Verification) -> Iterator[str]:
    """Yields what was not tested, or not with full force."""
    if result.not_asked:
        yield (
            f"The probes of {listed(result.not_asked, shown=10)}: the panel of public inputs ruled "
            "them out, and their values were not kept."
        )
    yield "Models that are not registered, and registered ones that take other inputs."
    if not result.weights:
        yield "Weights: they were not at hand, or not compared. The verdict rests on answers alone."
    found = [one for candidate in result.candidates for one in candidate.findings]
    if not any(one.test == "rare_labels" for one in found):
        yield "Rare mistakes on real pictures (fp verify --data): no pictures were given."
    if not any(one.test == "equality" for one in found):
        yield "Whether answers equal the recorded ones: classes differ, or nothing was answered."
    kind = result.candidates[0].answer_kind if result.candidates else _FULL[0]
    if kind not in _FULL:
        yield f"Full answers: it gave {clean(kind)}, which say less, so kin is missed more often."
    for candidate in result.candidates:
        for one in candidate.findings:
            if one.missing:
                what = f" ({clean(one.depth)})" if one.depth else ""
                yield (
                    f"{clean(candidate.name)}, {_test(one)}{what}: no evidence, "
                    f"{clean(one.missing, 300)}."
                )


def _test(finding: Finding) -> str:
    return TESTS.get(finding.test, clean(finding.test))


def unsaid(result: Verification) -> Iterator[str]:
    """Yields what the verdict does not say, the most tempting misreading first."""
    name = clean(result.best)
    best = next((one for one in result.candidates if one.name == result.best), None)
    if result.verdict == "derived" and best is not None and best.relation == "descends":
        own = {one.test for one in best.findings if _speaks_alone(one)}
        ground = f"on its owner's statement that {name} was trained from scratch"
        if "harm_ratio" in own:
            ground = f"on probes that speak for {name} alone and not for its relatives"
        elif "copies" in own:
            ground = f"on answers that a copy of {name} gives, and none of its relatives"
        yield (
            f"In how many steps the suspect descends. That it does, and not {name} from it, rests "
            f"{ground}."
        )
    elif result.verdict == "derived":
        yield (
            f"Which of the two came first: {name} may descend from the suspect, or both from a "
            "third."
        )
    elif result.verdict == "same":
        yield "That the files are equal: the answers are, as far as they were given."
    elif result.verdict == "independent":
        yield (
            "That the suspect learned nothing from a registered model: a student trained on its "
            "answers, and a copy trained adversarially, look independent."
        )
    else:
        yield "That the suspect is independent, or that it is not. No evidence is never a pass."
    if result.verdict != "independent":
        yield "That models which are not named here have nothing to do with the suspect."
    yield (
        "Who copied, when, with what right, on which data a network was trained, or under which "
        "licence."
    )


def _speaks_alone(finding: Finding) -> bool:
    return finding.speaks_for == "individual" and finding.decides == "kin"
