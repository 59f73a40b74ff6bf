"""Compares the weights of a suspect at hand with those of registered models whose files are.

What it finds stands beside the verdict on the answers and changes nothing there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from fingerprint.errors import FingerprintError
from fingerprint.progress import Progress, silent
from fingerprint.text import first_line

if TYPE_CHECKING:
    from fingerprint.network.model import Model
    from fingerprint.suspects.base import Suspect
    from fingerprint.verification import Verification
    from fingerprint.weights.finding import WeightsFinding
    from fingerprint.weights.wiring import Layer
    from registry.registration import Peer

__all__ = ["at_hand", "chosen", "findings"]

_MOST = 16
"""How many candidates are compared at most."""


def at_hand(suspect: Suspect) -> Model | None:
    """Returns the network behind a suspect, if it is one whose weights are here."""
    from fingerprint.network.digest import has_weights
    from fingerprint.suspects import Journal, ModelSuspect

    inner = suspect.suspect if isinstance(suspect, Journal) else suspect
    if isinstance(inner, ModelSuspect) and has_weights(inner.model.module.state_dict()):
        return inner.model
    return None


def chosen(verification: Verification, first: Collection[str]) -> tuple[list[str], tuple[str, ...]]:
    """Chooses whose weights are compared: at most 16, the nearest by their answers.

    Args:
        verification: What the answers say. Those that were ruled out unasked come last.
        first: Names that come before all others.

    Returns:
        The names, and a warning if they are not all.
    """
    names = [*(one.name for one in verification.candidates), *verification.not_asked]
    names.sort(key=lambda name: name not in first)
    if len(names) <= _MOST:
        return names, ()
    rest = len(names) - _MOST
    line = f"weights: compared with the {_MOST} nearest models only, not with {rest} more"
    return names[:_MOST], (line,)


def findings(
    suspect: Model, peers: Sequence[Peer], *, alpha: float, progress: Progress = silent
) -> tuple[WeightsFinding, ...]:
    """Compares a suspect with registered models, one of them in memory at a time.

    Args:
        suspect: The suspect. Candidates are only built by the code that built it.
        peers: The candidates.
        alpha: Accepted rate of false claims, over all of them together.
        progress: Told how many were compared.

    Returns:
        A finding for each candidate, in their order; one whose file is gone or changed says so,
        and so does one that cannot be compared: no error here costs the verdict on the answers.
    """
    from fingerprint.weights.finding import not_compared
    from fingerprint.weights.wiring import layers_of

    found: list[WeightsFinding] = []
    try:
        theirs = layers_of(suspect)
    except Exception as error:  # see _reason
        return tuple(not_compared(peer.name, f"the suspect: {_reason(error)}") for peer in peers)
    for number, peer in enumerate(peers):
        progress("comparing weights", number, len(peers))
        try:
            found.append(_finding(suspect, theirs, peer, alpha=alpha, candidates=len(peers)))
        except Exception as error:  # see _reason
            found.append(not_compared(peer.name, _reason(error)))
    progress("comparing weights", len(peers), len(peers))
    return tuple(found)


def _finding(
    suspect: Model, theirs: Sequence[Layer], peer: Peer, *, alpha: float, candidates: int
) -> WeightsFinding:
    from fingerprint.weights.comparison import compare_layers
    from fingerprint.weights.finding import judged
    from fingerprint.weights.wiring import layers_of

    model = peer.load(code=(suspect.architecture.partition(":")[0],))
    result = compare_layers(layers_of(model), theirs)
    same = model.digest == suspect.digest
    return judged(peer.name, result, same=same, alpha=alpha, candidates=candidates)


def _reason(error: Exception) -> str:
    """Returns why there is no comparison: a network's own code may raise anything."""
    if isinstance(error, FingerprintError):
        return str(error)
    return f"comparing weights failed: {first_line(error)}"
