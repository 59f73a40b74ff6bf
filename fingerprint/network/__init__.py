"""Networks: read as data, built, described and given an identity.

from fingerprint.network import load_model

model = load_model("resnet18.safetensors")
model.input, model.output, model.digest
"""

from __future__ import annotations

from fingerprint.formats.file_bytes import FileFacts
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from fingerprint.network.spec import InputSpec, OutputSpec

__all__ = ["FileFacts", "InputSpec", "Model", "OutputSpec", "load_model"]
