"""Which networks choose settings, and which report figures: split by architecture, once.

The margins of :mod:`fingerprint.evidence.calibration` were chosen on the first half alone
(:mod:`benchmarks.detection.calibrate` prints the choice); what ``docs/detection.md`` reports comes
from the second. A copy belongs where its base network does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from benchmarks.detection.zoo import Member

__all__ = ["HALVES", "Half", "half_of", "members_of"]

Half = Literal["settings", "reporting"]
HALVES: tuple[Half, ...] = ("settings", "reporting")
_SETTINGS = {"resnet20", "resnet44", "plain cnn", "vit", "mlp", "digits cnn", "digits mlp"}


def half_of(architecture: str) -> Half:
    """Returns the half that an architecture belongs to."""
    return "settings" if architecture in _SETTINGS else "reporting"


def members_of(zoo: Sequence[Member], half: Half) -> list[Member]:
    """Returns the base networks of a half, and everything made of them."""
    architectures = {member.name: member.architecture for member in zoo}
    return [member for member in zoo if half_of(architectures[member.base]) == half]
