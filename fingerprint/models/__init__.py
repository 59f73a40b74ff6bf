"""Networks: read as data, built, described and given an identity.

from fingerprint.models import load_model

model = load_model("resnet18.safetensors")
model.input, model.output, model.digest
"""

from __future__ import annotations

from fingerprint.models.loading import load_model
from fingerprint.models.model import FileFacts, Model
from fingerprint.models.spec import InputSpec, OutputSpec

__all__ = ["FileFacts", "InputSpec", "Model", "OutputSpec", "load_model"]
