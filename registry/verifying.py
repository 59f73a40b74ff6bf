"""Verifies a suspect against what is registered, and remembers the verdict.

No verdict rests on a damaged registry: the chain is checked first, then the hash of every probe
set that takes part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fingerprint.errors import IncompatibleModel
from fingerprint.progress import Progress
from registry.screenings import related_warnings
from registry.values import RegisteredModel

if TYPE_CHECKING:
    from torch import nn

    from fingerprint.network.model import Model
    from fingerprint.suspects.base import Suspect
    from fingerprint.verification.verification import Verification
    from registry.store import Registry

__all__ = ["verify"]


def verify(
    registry: Registry,
    suspect: Model | nn.Module | Suspect,
    *,
    against: Sequence[str],
    alpha: float,
    progress: Progress,
) -> Verification:
    """Does what ``Registry.verify`` promises."""
    import fingerprint as library

    registry.verify_chain()
    named = [registry.model(name) for name in dict.fromkeys(against)]
    asked = _opened(suspect, named)
    domain = asked.input.domain
    chosen = _compatible(named, domain) if named else _of_domain(registry.models(), domain)
    verification = library.verify(
        asked,
        {model.name: registry.fingerprint(model.name) for model in chosen},
        alpha=alpha,
        pair_ratios=registry.pair_ratios(domain),
        progress=progress,
    )
    if not chosen:
        reason = f"no registered model takes inputs {domain}; register one first"
        verification = replace(verification, reason=reason)
    digest = _digest(asked)
    twins = [model.name for model in chosen if digest is not None and model.model_digest == digest]
    lines = [f"identical weights digest to {name!r}" for name in twins]
    lines += related_warnings(registry.pairs(domain))
    if lines:
        verification = replace(verification, warnings=(*verification.warnings, *lines))
    registry.record(verification, suspect_digest=digest)
    return verification


def _opened(suspect: Model | nn.Module | Suspect, named: list[RegisteredModel]) -> Model | Suspect:
    """Returns a bare module as a model that takes what the first named one takes."""
    from torch import nn

    import fingerprint as library

    if not isinstance(suspect, nn.Module):
        return suspect
    options = named[0].load_options if named else {}
    return library.load_model(
        suspect,
        input_size=options.get("input_size"),
        mean=options.get("mean"),
        std=options.get("std"),
        bounds=options.get("bounds"),
    )


def _of_domain(models: list[RegisteredModel], domain: str) -> list[RegisteredModel]:
    return [model for model in models if model.domain == domain]


def _compatible(named: list[RegisteredModel], domain: str) -> list[RegisteredModel]:
    for model in named:
        if model.domain != domain:
            raise IncompatibleModel(
                f"{model.name!r} takes inputs {model.domain}, the suspect takes {domain}; "
                "give the suspect's --input-size, or compare with models of the same inputs"
            )
    return named


def _digest(suspect: Model | Suspect) -> str | None:
    from fingerprint.network.model import Model

    # A suspect that is run here holds its model; an endpoint has none to show.
    held = suspect if isinstance(suspect, Model) else getattr(suspect, "model", None)
    return held.digest if isinstance(held, Model) else None
