"""Whose is it? Compares a suspect with registered models from its answers alone.

verification = verify(load_model("suspect.safetensors"), {"resnet": fingerprint})
verification.verdict, verification.best
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from torch import nn

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from fingerprint.probes.probe import Fingerprint
from fingerprint.progress import Progress, silent
from fingerprint.suspects.base import Suspect
from fingerprint.suspects.pytorch import ModelSuspect
from fingerprint.verification.asking import ask
from fingerprint.verification.calibration import margin_from
from fingerprint.verification.evidence import gather
from fingerprint.verification.verdict import judge
from fingerprint.verification.verification import Candidate, Verdict, Verification

__all__ = ["verify"]

_ORDER = {"same": 0, "derived": 1, "inconclusive": 2, "independent": 3}


def verify(
    suspect: Model | nn.Module | Suspect,
    candidates: Mapping[str, Fingerprint] | Fingerprint,
    *,
    alpha: float = 0.001,
    pair_ratios: Mapping[str, Sequence[float]] | None = None,
    progress: Progress = silent,
) -> Verification:
    """Compares a suspect with one or many fingerprints.

    Public inputs that candidates share are asked once. For one candidate of 24 probes that is
    54 inputs, and one of them a second time to see whether the suspect answers the same.

    Args:
        suspect: A loaded model, a live module, or anything that answers.
        candidates: Fingerprints by name, or a single one, which is then named ``source``.
        alpha: Significance level of the test for each candidate.
        pair_ratios: By candidate, harm ratios of its probes on registered, independent models
            that they were not screened against; they and the candidate's own decoys can lower
            its margin, and no other candidate's. Names that are no candidates' are left out.
        progress: Called as ``progress(stage, done, total)``.

    Returns:
        The verdict with its evidence, candidates best first. What does not match is a value,
        never an exception.

    Raises:
        IncompatibleModel: A candidate takes other inputs than the suspect.
        UsageError: ``alpha`` is not between 0 and 1.
    """
    began = time.perf_counter()
    if not 0 < alpha < 1:
        raise UsageError(f"alpha: expected a level between 0 and 1, got {alpha}")
    named = {"source": candidates} if isinstance(candidates, Fingerprint) else dict(candidates)
    asked = _as_suspect(suspect, named, progress)
    _check_domains(asked, named)
    judged = _judge_all(asked, named, alpha, pair_ratios or {}) if named else ()
    ranked = tuple(sorted(judged, key=_rank))
    warnings = _ties(ranked)
    first = ranked[0] if ranked else None
    matched = first is not None and first.verdict in ("same", "derived")
    return Verification(
        suspect=asked.facts(),
        verdict=_overall(ranked),
        reason=first.reason if first else "there is no registered model to compare with",
        best=first.name if first is not None and matched else None,
        queries=asked.queries,
        candidates=ranked,
        warnings=warnings,
        seconds=time.perf_counter() - began,
    )


def _as_suspect(
    suspect: Model | nn.Module | Suspect, named: Mapping[str, Fingerprint], progress: Progress
) -> Suspect:
    if isinstance(suspect, Suspect):
        return suspect
    if isinstance(suspect, nn.Module):
        known = next(iter(named.values())).input if named else None
        suspect = load_model(
            suspect,
            input_size=known.shape if known else None,
            mean=known.mean or None if known else None,
            std=known.std or None if known else None,
            bounds=known.bounds if known and known.kind == "float" else None,
        )
    return ModelSuspect(suspect, progress=progress)


def _check_domains(suspect: Suspect, named: Mapping[str, Fingerprint]) -> None:
    for name, fingerprint in named.items():
        if fingerprint.input.domain != suspect.input.domain:
            raise IncompatibleModel(
                f"{name!r} takes inputs {fingerprint.input.domain}, the suspect takes "
                f"{suspect.input.domain}; give the suspect's --input-size or leave it out"
            )


def _judge_all(
    suspect: Suspect,
    named: Mapping[str, Fingerprint],
    alpha: float,
    pair_ratios: Mapping[str, Sequence[float]],
) -> tuple[Candidate, ...]:
    fingerprints = list(named.values())
    tolerance = max(fingerprint.tolerance for fingerprint in fingerprints)
    answers = ask(suspect, fingerprints, tolerance)
    judged = []
    for name, fingerprint in named.items():
        margin = margin_from(pair_ratios.get(name, ()), fingerprint.parameters.get("decoys", ()))
        candidate = judge(
            name,
            fingerprint,
            gather(fingerprint, answers, margin.tested),
            margin=margin,
            alpha=alpha,
            answer_kind=answers.kind,
            repeatable=answers.repeatable,
        )
        judged.append(candidate)
    return tuple(judged)


def _rank(candidate: Candidate) -> tuple[int, float, str]:
    ratio = candidate.harm_ratio if candidate.harm_ratio is not None else float("inf")
    return (_ORDER[candidate.verdict], ratio, candidate.name)


def _overall(ranked: tuple[Candidate, ...]) -> Verdict:
    """The best candidate's verdict; independent only when it is so of every candidate."""
    return ranked[0].verdict if ranked else "inconclusive"


def _ties(ranked: tuple[Candidate, ...]) -> tuple[str, ...]:
    """Names candidates that the answers do not tell apart."""
    same = [candidate.name for candidate in ranked if candidate.verdict == "same"]
    derived = [candidate.name for candidate in ranked if candidate.verdict == "derived"]
    if len(same) > 1:
        return (f"a family: its answers equal those of {', '.join(map(repr, same))}",)
    if not same and len(derived) > 1:
        return (f"a family: it is related to {', '.join(map(repr, derived))}; best first",)
    return ()
