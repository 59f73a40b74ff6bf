"""Verifies a suspect against what is registered, and remembers the verdict.

No verdict rests on a damaged registry: the chain is checked first, then the hash of every probe
set that takes part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fingerprint.errors import IncompatibleModel
from fingerprint.progress import Progress
from registry.screenings import related_warnings
from registry.values import RegisteredModel

if TYPE_CHECKING:
    from torch import nn

    from fingerprint.evidence.calibration import Calibration
    from fingerprint.network.model import Model
    from fingerprint.suspects.base import Suspect
    from fingerprint.verification import Verification
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
    known = registry.models()
    chosen = _compatible(named, domain) if named else _of_domain(known, domain)
    verification = library.verify(
        asked,
        {model.name: registry.fingerprint(model.name) for model in chosen},
        alpha=alpha,
        kinship=library.Kinship(
            parents={model.name: model.parent for model in known if model.parent is not None},
            digests={model.name: model.model_digest for model in known},
        ),
        calibration=_calibration(registry.pair_ratios(domain)),
        compatible=[model.name for model in _of_domain(known, domain)],
        progress=progress,
    )
    if not chosen:
        reason = f"no registered model takes inputs {domain}; register one first"
        verification = replace(verification, reason=reason)
    if lines := related_warnings(registry.pairs(domain)):
        verification = replace(verification, warnings=(*verification.warnings, *lines))
    recorded = registry.record(verification, suspect_digest=_digest(asked))
    return replace(verification, verification=recorded.number)


def _calibration(ratios: Mapping[str, Sequence[float]]) -> Calibration:
    """Returns the measured pairs as the library takes them; nobody noted of which probes."""
    from fingerprint import Calibration, PairRatio

    return Calibration(
        ratios={
            name: [PairRatio("harm_ratio", None, "logits", ratio) for ratio in found]
            for name, found in ratios.items()
        }
    )


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
    from fingerprint.suspects.base import Suspect

    return suspect.identity.model_digest if isinstance(suspect, Suspect) else suspect.digest
