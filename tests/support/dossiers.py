"""Dossiers of verdicts that were really given, by synthetic networks with synthetic probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fingerprint.network.model import Model
from registry import Registry
from registry.registration import finished
from registry.reports.dossier import Dossier
from tests.support.fingerprints import make_deep, make_model

__all__ = ["HOSTILE", "dossier_of", "perturbed", "put_deep"]

HOSTILE = (
    "<script>document.title='owned'</script>",
    "</style><img src=x onerror=\"document.title='owned'\">",
    '" onload="document.title=\'owned\'" $x_1$ {{ 7*7 }} \u202egpj.exe',
    "<svg/onload=document.title='owned'>" + "W" * 60,
)
"""Names that a registry takes, each of which would do something in a careless page."""


def put_deep(registry: Registry, name: str, seed: int = 0, **options: object) -> Model:
    """Registers a synthetic network with probes of two depths, a panel and turned controls."""
    model = make_model(seed, path=f"/models/{seed}.safetensors", shape=(3, 8, 8))
    task = registry.plan(model, name=name, **options)  # type: ignore[arg-type]
    made = make_deep(model, seed=registry.seed, panel=96)
    relatives = tuple(peer.model.model_digest for peer in task.relatives)
    registry.commit(finished(task, model, replace(made, relatives=relatives)))
    return model


def perturbed(model: Model, size: float, name: str = "suspect.safetensors") -> Model:
    """Returns a network a little off another one, as if read from a file of its own."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(model.input.size, model.output.classes))
    state = {key: value.clone() for key, value in model.module.state_dict().items()}
    noise = torch.from_numpy(np.random.default_rng(5).normal(size=state["1.weight"].shape))
    state["1.weight"] += size * noise.float()
    module.load_state_dict(state)
    module.requires_grad_(False)
    assert model.file is not None
    return replace(
        model,
        module=module.eval(),
        digest="5d" * 32,
        file=replace(model.file, path=f"/suspects/{name}", sha256="5f" * 32),
    )


def dossier_of(
    path: Path | str,
    *,
    names: Sequence[str] = ("ours", "theirs", "child"),
    file: str = "suspect.pt",
    expect: Sequence[str] = (),
    forbid: Sequence[str] = (),
) -> Dossier:
    """Registers three networks, asks a copy of the first, and gathers what is known of it.

    Args:
        path: A new registry.
        names: What the networks are called; the third is declared the first's child.
        file: What the suspect's file is called.
        expect: Policies.
        forbid: Policies.
    """
    with Registry(path) as registry:
        source = put_deep(registry, names[0], 0, from_scratch=True)
        put_deep(registry, names[1], 1)
        put_deep(registry, names[2], 2, parent=names[0])
        suspect = perturbed(source, 1e-9, file)
        found = registry.verify(suspect, weights=False, expect=expect, forbid=forbid)
        return registry.dossier(found)
