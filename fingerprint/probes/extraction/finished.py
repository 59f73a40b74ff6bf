"""The finished fingerprint, of probes or of answers alone."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.operators.storage import to_arrays
from fingerprint.probes.extraction.candidates import Drawn
from fingerprint.probes.extraction.device import device_facts, tolerance
from fingerprint.probes.extraction.facts import cost, parameters, warnings
from fingerprint.probes.extraction.plan import Plan
from fingerprint.probes.extraction.room import copy_answers, near_relatives, rough_copy
from fingerprint.probes.panel import panel_inputs
from fingerprint.probes.probe import DepthFacts, Fingerprint
from fingerprint.probes.twins import twin_inputs
from fingerprint.progress import Progress

__all__ = ["of_answers_alone", "of_probes"]


def of_probes(plan: Plan, drawn: Drawn, began: float, progress: Progress) -> Fingerprint:
    """Puts the result together; a depth whose probes do not hold for the source is left out.

    Its seconds count from ``began``, a time of ``time.perf_counter``.
    """
    model = plan.model
    useless = drawn.useless
    probes = tuple(kept.probe for kept in drawn.kept if kept.probe.kind not in useless)
    kinds = [kind for kind in plan.kinds if kind.name not in useless]
    panel_answers = run(model, panel_inputs(model.input, plan.seed))
    copies = copy_answers(plan, panel_answers, progress)
    return Fingerprint(
        model_digest=model.digest,
        input=model.input,
        output=model.output,
        seed=plan.seed,
        parameters={
            **parameters(plan),
            "not_told_from": sorted(drawn.given_up),
            "rough_copy": rough_copy(plan, probes),
            "near_relatives": near_relatives(plan, probes),
        },
        start="uniform",
        bases=plan.bases,
        base_answers=run(model, plan.bases),
        probes=probes,
        spaces=plan.spaces.facts,
        tolerance=tolerance(
            model, np.concatenate([plan.bases, *(probe.harmless[None] for probe in probes)])
        ),
        device=device_facts(model),
        screened_against=plan.screen.names,
        redrawn=drawn.redrawn,
        cost=cost(plan, drawn, time.perf_counter() - began),
        linear_part=to_arrays(plan.spaces.operator) if plan.spaces.operator else {},
        warnings=warnings(plan, drawn),
        depths=tuple(
            DepthFacts(
                name=kind.name,
                width=kind.width,
                share=kind.share,
                speaks_for=kind.speaks_for,
                contrast=kind.contrast,
            )
            for kind in kinds
        ),
        turns=plan.turns,
        panel_answers=panel_answers,
        twin_answers=_twin_answers(model, plan.seed),
        copies=copies,
        relatives=tuple(relative.digest for relative in plan.kin.models.values()),
    )


def _twin_answers(model: Model, seed: str) -> NDArray[np.float32]:
    twins = twin_inputs(model.input, seed)
    return run(model, twins) if len(twins) else np.empty((0, 0), np.float32)


def of_answers_alone(model: Model, seed: str, began: float) -> Fingerprint:
    """Returns a fingerprint of the panel's answers alone.

    Its seconds count from ``began``, a time of ``time.perf_counter``.
    """
    inputs = panel_inputs(model.input, seed)
    answers = run(model, inputs)
    return Fingerprint(
        model_digest=model.digest,
        input=model.input,
        output=model.output,
        seed=seed,
        parameters={"bases": "panel"},
        start="none",
        bases=inputs[:1],
        base_answers=answers[:1],
        probes=(),
        spaces=(),
        tolerance=tolerance(model, inputs),
        device=device_facts(model),
        cost={"seconds": time.perf_counter() - began, "passes": 0.0},
        warnings=(
            *model.warnings,
            "registered by its answers alone: equality and resemblance are all that can be told",
        ),
        panel_answers=answers,
    )
