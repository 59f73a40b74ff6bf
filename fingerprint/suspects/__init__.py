"""Who answers: a model at hand, and whatever else can be asked."""

from __future__ import annotations

from fingerprint.suspects.base import Identity, Suspect
from fingerprint.suspects.graph import GraphSuspect
from fingerprint.suspects.journal import Journal
from fingerprint.suspects.narrowed import Narrowed
from fingerprint.suspects.onnx_graph import OnnxSuspect, load_onnx
from fingerprint.suspects.onnx_model import load_onnx_model
from fingerprint.suspects.program import ProgramSuspect, load_program
from fingerprint.suspects.pytorch import ModelSuspect
from fingerprint.suspects.recorded import Recorded

__all__ = [
    "GraphSuspect",
    "Identity",
    "Journal",
    "ModelSuspect",
    "Narrowed",
    "OnnxSuspect",
    "ProgramSuspect",
    "Recorded",
    "Suspect",
    "load_onnx",
    "load_onnx_model",
    "load_program",
]
