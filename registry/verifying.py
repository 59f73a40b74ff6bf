"""Verifies a suspect against what is registered, and remembers the verdict.

No verdict rests on a damaged registry: the chain is checked first, then the hash of every probe
set that takes part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.progress import Progress
from registry.values import RegisteredModel

if TYPE_CHECKING:
    from fingerprint.verification.verification import Verification
    from registry.store import Registry

__all__ = ["verify"]


def verify(
    registry: Registry,
    suspect: Any,
    *,
    against: Sequence[str],
    alpha: float,
    progress: Progress,
) -> Verification:
    """Does what ``Registry.verify`` promises."""
    import fingerprint as library

    registry.verify_chain()
    suspect = _opened(suspect)
    chosen = _chosen(registry, suspect, against)
    if chosen:
        verification: Verification = library.verify(
            suspect,
            {model.name: registry.fingerprint(model.name) for model in chosen},
            alpha=alpha,
            pair_ratios=registry.pair_ratios(chosen[0].domain),
            progress=progress,
        )
    else:
        verification = _nobody_to_compare(suspect)
    digest = getattr(suspect, "digest", None)
    twins = [model.name for model in chosen if digest is not None and model.model_digest == digest]
    if twins:
        lines = (f"identical weights digest to {name!r}" for name in twins)
        verification = replace(verification, warnings=(*verification.warnings, *lines))
    registry.record(verification, suspect_digest=digest)
    return verification


def _opened(suspect: Any) -> Any:
    """Returns a bare module as a model; anything else as it is."""
    from torch import nn

    import fingerprint as library

    return library.load_model(suspect) if isinstance(suspect, nn.Module) else suspect


def _chosen(registry: Registry, suspect: Any, against: Sequence[str]) -> list[RegisteredModel]:
    """Returns the registered models the suspect is compared with: all of one domain."""
    named = list(dict.fromkeys(against))
    models = [registry.model(name) for name in named] if named else registry.models()
    domain = _domain(suspect)
    if domain is None:
        domains = {model.domain for model in models}
        if len(domains) > 1:
            raise UsageError(
                f"suspect: its inputs are not known and the registered models take "
                f"{len(domains)} kinds; name those to compare with by --against"
            )
        return models
    for model in models:
        if named and model.domain != domain:
            raise IncompatibleModel(
                f"{model.name!r} takes inputs {model.domain}, the suspect {domain}; "
                "compare models of the same inputs"
            )
    return [model for model in models if model.domain == domain]


def _domain(suspect: Any) -> str | None:
    spec = getattr(suspect, "input", None)
    return None if spec is None else str(spec.domain)


def _nobody_to_compare(suspect: Any) -> Verification:
    from fingerprint.verification.verification import Verification

    domain = _domain(suspect)
    takes = f" that takes inputs {domain}" if domain else ""
    return Verification(
        suspect=suspect.to_dict() if hasattr(suspect, "to_dict") else {},
        verdict="inconclusive",
        reason=f"no model is registered{takes}; register one first",
        best=None,
        queries=0,
    )
