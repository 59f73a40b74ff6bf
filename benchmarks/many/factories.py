"""The zoo's architectures as factories for ``--arch``, so that its files load as an owner's do.

``benchmarks.many.factories:plain_cnn`` builds ``plain cnn``; ``plain_cnn_folded`` the same with
its batch normalisation folded away.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from benchmarks.detection.zoo import Member
from fingerprint.lab.architectures import ARCHITECTURES, build
from fingerprint.lab.data import CLASSES

__all__ = ["arch_of"]

_FOLDED = "_folded"


def arch_of(member: Member) -> str:
    """Returns what to give as ``--arch`` for a network of the zoo."""
    name = member.architecture.replace(" ", "_") + _FOLDED * member.folded
    return f"{__name__}:{name}"


def __getattr__(name: str) -> Callable[..., nn.Module]:
    known = {architecture.replace(" ", "_"): architecture for architecture in ARCHITECTURES}
    architecture = known.get(name.removesuffix(_FOLDED))
    if architecture is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def factory(classes: int = CLASSES) -> nn.Module:
        return build(architecture, classes=classes, folded=name.endswith(_FOLDED))

    return factory
