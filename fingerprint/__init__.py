"""Model fingerprinting and provenance by harmless perturbations.

A perturbation that leaves one network's answers unchanged, at any magnitude, changes those of
every other. This library solves for such perturbations and tells from a suspect's answers alone
whether it is a registered model, derived from one, or independent.

    from fingerprint import extract, load_model, verify

    source = load_model("resnet18.safetensors")
    fingerprint = extract(source, seed="registry seed")
    verification = verify(load_model("suspect.pt"), {"resnet18": fingerprint})
    print(verification.verdict, verification.to_dict())

Nothing is printed and no state is global. Values are frozen dataclasses with ``to_dict()``; a
verdict that does not match is a value, never an exception. Errors are in
:mod:`fingerprint.errors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fingerprint.errors import FingerprintError

if TYPE_CHECKING:
    from fingerprint.answers import Answers, Identity, ask
    from fingerprint.evidence.calibration import Calibration, PairRatio
    from fingerprint.inspection import Inspection, LayerFacts, inspect
    from fingerprint.kinship import Kinship
    from fingerprint.network import FileFacts, InputSpec, Model, OutputSpec, load_model
    from fingerprint.probes.extraction import extract
    from fingerprint.probes.probe import Fingerprint, Probe, SpaceFacts
    from fingerprint.questions import Questions, questions_for
    from fingerprint.suspects import (
        Journal,
        ModelSuspect,
        Narrowed,
        Suspect,
        load_onnx,
        load_onnx_model,
        load_program,
    )
    from fingerprint.verdict import judge
    from fingerprint.verification import Candidate, Verification
    from fingerprint.verifying import verify

__all__ = [
    "Answers",
    "Calibration",
    "Candidate",
    "FileFacts",
    "Fingerprint",
    "FingerprintError",
    "Identity",
    "InputSpec",
    "Inspection",
    "Journal",
    "Kinship",
    "LayerFacts",
    "Model",
    "ModelSuspect",
    "Narrowed",
    "OutputSpec",
    "PairRatio",
    "Probe",
    "Questions",
    "SpaceFacts",
    "Suspect",
    "Verification",
    "ask",
    "extract",
    "inspect",
    "judge",
    "load_model",
    "load_onnx",
    "load_onnx_model",
    "load_program",
    "questions_for",
    "verify",
]

# Names are looked up when they are used: importing torch and timm takes seconds, which listing
# a registry or reporting an error should not have to wait for.
_HOME = {
    "fingerprint.answers": ("Answers", "Identity", "ask"),
    "fingerprint.evidence.calibration": ("Calibration", "PairRatio"),
    "fingerprint.inspection": ("Inspection", "LayerFacts", "inspect"),
    "fingerprint.kinship": ("Kinship",),
    "fingerprint.network": ("FileFacts", "InputSpec", "Model", "OutputSpec", "load_model"),
    "fingerprint.probes.extraction": ("extract",),
    "fingerprint.probes.probe": ("Fingerprint", "Probe", "SpaceFacts"),
    "fingerprint.questions": ("Questions", "questions_for"),
    "fingerprint.suspects": (
        "Journal",
        "ModelSuspect",
        "Narrowed",
        "Suspect",
        "load_onnx",
        "load_onnx_model",
        "load_program",
    ),
    "fingerprint.verdict": ("judge",),
    "fingerprint.verification": ("Candidate", "Verification"),
    "fingerprint.verifying": ("verify",),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
