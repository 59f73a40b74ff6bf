"""A registry with one model, and files to ask about it, made in seconds."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from fingerprint import load_model
from registry import Registry
from tests.support.fingerprints import make_model

__all__ = ["OPTIONS", "ROOT", "made"]

ROOT = Path(__file__).parents[2]
OPTIONS = ("--arch=tests.support.fingerprints:small", "--input-size=3,4,4")


def made(folder: Path) -> Path:
    """Registers ``ours``, and writes a copy of it and a network that nothing is known of."""
    save_file(make_model(0).module.state_dict(), folder / "copy.safetensors")
    save_file(make_model(9).module.state_dict(), folder / "other.safetensors")
    how = {"arch": "tests.support.fingerprints:small", "input_size": (3, 4, 4)}
    with Registry(folder / "models.db") as registry:
        model = load_model(folder / "copy.safetensors", **how)
        registry.register(model, name="ours", answers_only=True)
    return folder
