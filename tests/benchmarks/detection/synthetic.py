"""An invented results document, shaped like the real one. Its numbers mean nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["BUDGETS", "LENGTHS", "document"]

BUDGETS = (6, 12, 24, 48, 100)
LENGTHS = (15, 24, 48)
_SOURCES = {"resnet20": "resnet20", "plain": "plain cnn", "vit": "vit"}
_KINDS = ("logits", "probabilities", "top-5", "labels")
# Modification, group, and the harm ratio round which pairs are invented.
_MODIFICATIONS = (
    ("channels permuted", "shares weights", 0.003),
    ("channels rescaled", "shares weights", 0.003),
    ("batch norm folded", "shares weights", 0.003),
    ("ONNX export", "shares weights", 0.003),
    ("bf16 weights", "shares weights", 0.01),
    ("int8 weights", "shares weights", 0.03),
    ("int4 weights", "shares weights", 0.4),
    ("pruned 20 %", "shares weights", 0.05),
    ("pruned 40 %", "shares weights", 0.25),
    ("pruned 60 %", "shares weights", 0.5),
    ("pruned 80 %", "shares weights", 0.9),
    ("pruned 20 %, retrained", "shares weights", 0.3),
    ("pruned 40 %, retrained", "shares weights", 0.35),
    ("pruned 60 %, retrained", "shares weights", 0.5),
    ("pruned 80 %, retrained", "shares weights", 0.75),
    ("fine-tuned, last layer", "shares weights", 0.1),
    ("fine-tuned, all layers, lr 1e-3", "shares weights", 0.3),
    ("fine-tuned, all layers, lr 1e-2", "shares weights", 0.4),
    ("fine-tuned, all layers, lr 5e-2", "shares weights", 0.6),
    ("new head, 5 classes", "shares weights", 0.4),
    ("other task (upright or rotated)", "shares weights", 0.45),
    ("average of two fine-tunes", "shares weights", 0.35),
    ("merged with an independent network", "shares weights", 0.85),
    ("trained with input noise", "shares weights", 0.5),
    ("distilled, same architecture", "student", 0.75),
    ("distilled, other architecture", "student", 0.95),
    ("labels only, same architecture", "student", 0.9),
    ("labels only, other architecture", "student", 0.98),
    ("adversarial training, eps 2/255", "adversarial training", 0.6),
    ("adversarial training, eps 8/255", "adversarial training", 0.8),
)


def document(*, seed: int = 0, independents: int = 4, rows: Sequence[int] | None = None) -> dict:
    """Invents results: three main sources, their copies, and further networks of each kind.

    Args:
        seed: Of the numbers.
        independents: Further networks of each architecture.
        rows: Which modifications; all thirty if omitted.
    """
    generator = np.random.default_rng(seed)
    members = [_member(name, name, "none", "base", arch, True) for name, arch in _SOURCES.items()]
    typical = {}
    modifications = [_MODIFICATIONS[row] for row in rows or range(len(_MODIFICATIONS))]
    for name, arch in _SOURCES.items():
        members += [
            _member(f"{name} seed {at}", f"{name} seed {at}", "none", "base", arch, False)
            for at in range(1, independents + 1)
        ]
        for modification, group, ratio in modifications:
            member = _member(f"{name}/{modification}", name, modification, group, arch, False)
            typical[member["name"]] = ratio
            members.append(member)
    pairs = [_pair(source, member, typical, generator) for source in _SOURCES for member in members]
    return {
        "schema": 1,
        "made": {"command": "make detection", "date": "2000-01-01", "data": "invented images"},
        "budgets": list(BUDGETS),
        "alpha": 0.001,
        "members": members,
        "sources": [_registration(name, arch) for name, arch in _SOURCES.items()],
        "costs": [_cost(count, probes) for count in (1, 8) for probes in LENGTHS],
        "pairs": pairs,
    }


def _member(name, base, modification, group, architecture, source) -> dict:
    return {
        "name": name,
        "base": base,
        "kin": [base],
        "modification": modification,
        "group": group,
        "architecture": architecture,
        "source": source,
        "accuracy": 0.9,
        "classes": 10,
    }


def _registration(name, architecture) -> dict:
    return {
        "name": name,
        "architecture": architecture,
        "depths": [["layer1", "early", 0.2], ["features", "late", 1.0]],
        "probes": 24,
        "seconds": 40.0,
        "passes_per_probe": 250.0,
        "own_ratio_median": 0.002,
    }


def _pair(source, member, typical, generator) -> dict:
    related = source in member["kin"]
    centre = typical.get(member["name"], 0.002) if related else 0.95
    ratio = centre * math.exp(generator.normal(0, 0.06))
    kinds = {kind: _verdict(ratio, centre, step, generator) for step, kind in enumerate(_KINDS)}
    no_answer = member["modification"].startswith("new head")
    scores = {"harmless": _scores(ratio, 0.3, generator)}
    for step, method in enumerate(("AKH", "IPGuard", "SAC", "ModelDiff")):
        blind = no_answer and method in ("AKH", "IPGuard")
        spread = 0.5 + 0.2 * step
        scores[method] = (
            dict.fromkeys(map(str, BUDGETS)) if blind else _scores(ratio, spread, generator)
        )
    shares = related and member["group"] in ("base", "shares weights")
    scores["weight cosine"] = {"0": float(generator.normal(0.9 if shares else 0.0, 0.05))}
    return {
        "source": source,
        "suspect": member["name"],
        "related": related,
        "scores": scores,
        "p_exchangeable": 1e-9 if related else float(generator.random() ** 1.6),
        "p_margin": 1e-9 if related else float(generator.random() ** 0.2),
        "verdicts": kinds,
        "power": {kind: _power(verdict) for kind, verdict in kinds.items()},
    }


def _power(verdict) -> dict:
    p = verdict["p"]
    accused = verdict["verdict"] in ("same", "derived")
    return {
        "p": {str(probes): p ** (probes / 24) for probes in LENGTHS},
        "claimed": [probes for probes in LENGTHS if accused and probes >= 24],
    }


def _cost(count, probes) -> dict:
    asked = {
        "panel": 96,
        "bases": probes // 2,
        "probes": count * probes,
        "turns": 3 * count * probes,
        "repeated": 1,
    }
    return {"candidates": count, "probes": probes, "asked": asked}


def _scores(ratio, spread, generator) -> dict:
    return {
        str(budget): float(-math.log(ratio) + generator.normal(0, spread * math.sqrt(6 / budget)))
        for budget in BUDGETS
    }


def _verdict(ratio, centre, step, generator) -> dict:
    wide = 1.1 + 0.15 * step**2
    low, high = ratio / wide, ratio * wide
    if centre < 0.005 and step < 3:
        verdict = "same"
    elif high < 0.8:
        verdict = "derived"
    elif low >= 0.7:
        verdict = "independent"
    else:
        verdict = "inconclusive"
    return {
        "verdict": verdict,
        "ratio": ratio,
        "low": low,
        "high": high,
        "p": 0.5,
        "queries": 55,
        "depths": {"layer1": [ratio, low, high, 0.5], "features": [ratio, low, high, 0.7]},
        "resemblance": 0.1,
        "resemblance_p": 0.9,
        "equal": verdict == "same",
    }
