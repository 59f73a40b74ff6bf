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
    from fingerprint.inspection import Inspection, LayerFacts, inspect
    from fingerprint.network import FileFacts, InputSpec, Model, OutputSpec, load_model
    from fingerprint.probes import Fingerprint, Probe, SpaceFacts, extract
    from fingerprint.suspects import ModelSuspect, Narrowed, Suspect
    from fingerprint.verification import Candidate, Verification, verify

__all__ = [
    "Candidate",
    "FileFacts",
    "Fingerprint",
    "FingerprintError",
    "InputSpec",
    "Inspection",
    "LayerFacts",
    "Model",
    "ModelSuspect",
    "Narrowed",
    "OutputSpec",
    "Probe",
    "SpaceFacts",
    "Suspect",
    "Verification",
    "extract",
    "inspect",
    "load_model",
    "verify",
]

# Names are looked up when they are used: importing torch and timm takes seconds, which listing
# a registry or reporting an error should not have to wait for.
_HOME = {
    "fingerprint.inspection": ("Inspection", "LayerFacts", "inspect"),
    "fingerprint.network": ("FileFacts", "InputSpec", "Model", "OutputSpec", "load_model"),
    "fingerprint.probes": ("Fingerprint", "Probe", "SpaceFacts", "extract"),
    "fingerprint.suspects": ("ModelSuspect", "Narrowed", "Suspect"),
    "fingerprint.verification": ("Candidate", "Verification", "verify"),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
