"""Compares the weights of a suspect at hand with those of registered models whose files are.

What it finds stands beside the verdict on the answers and changes nothing there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fingerprint.errors import FingerprintError

if TYPE_CHECKING:
    from fingerprint.network.model import Model
    from fingerprint.suspects.base import Suspect
    from fingerprint.weights.finding import WeightsFinding
    from registry.registration import Peer

__all__ = ["MOST", "at_hand", "findings"]

MOST = 16
"""How many candidates are compared at most: the nearest by their answers."""


def at_hand(suspect: Suspect) -> Model | None:
    """Returns the network behind a suspect, if it is one whose weights are here."""
    from fingerprint.network.digest import has_weights
    from fingerprint.suspects import Journal, ModelSuspect

    inner = suspect.suspect if isinstance(suspect, Journal) else suspect
    if isinstance(inner, ModelSuspect) and has_weights(inner.model.module.state_dict()):
        return inner.model
    return None


def findings(suspect: Model, peers: Sequence[Peer], *, alpha: float) -> tuple[WeightsFinding, ...]:
    """Compares a suspect with registered models, one of them in memory at a time.

    Args:
        suspect: The suspect. Candidates are only built by the code that built it.
        peers: The candidates.
        alpha: Accepted rate of false claims, over all of them together.

    Returns:
        A finding for each candidate, in their order; one whose file is gone or changed says so.
    """
    from fingerprint.weights.comparison import compare_layers
    from fingerprint.weights.finding import judged, not_compared
    from fingerprint.weights.wiring import layers_of

    code = (suspect.architecture.partition(":")[0],)
    found: list[WeightsFinding] = []
    try:
        theirs = layers_of(suspect)
    except FingerprintError as error:
        return tuple(not_compared(peer.name, f"the suspect: {error}") for peer in peers)
    for peer in peers:
        try:
            model = peer.load(code=code)
            result = compare_layers(layers_of(model), theirs)
        except FingerprintError as error:
            found.append(not_compared(peer.name, str(error)))
            continue
        same = model.digest == suspect.digest
        found.append(judged(peer.name, result, same=same, alpha=alpha, candidates=len(peers)))
    return tuple(found)
