"""What an extraction was given to know, and what is settled before its first probe is solved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fingerprint.network.model import Model
from fingerprint.probes.harmless_spaces import HarmlessSpaces
from fingerprint.probes.kinds import FeatureProbes, LinearProbes, ProbeKind
from fingerprint.probes.pilot import Pilot
from fingerprint.probes.screening import Screen
from fingerprint.probes.settings import ExtractionSettings

__all__ = ["Known", "Plan"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """The models beside the source, each by name.

    Attributes:
        others: Registered models to stay away from.
        linear: Stored linear parts of those whose weights are gone.
        relatives: Ancestors and their other descendants, nearest first.
        references: Further strangers of the pilot.
    """

    others: Mapping[str, Model]
    linear: Mapping[str, Mapping[str, NDArray[Any]]]
    relatives: Mapping[str, Model]
    references: Mapping[str, Model]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What is settled before the first probe is solved.

    Attributes:
        model: The source.
        settings: What the caller chose.
        seed: Registry seed.
        bases: Public bases, shape ``(B, *input.shape)``.
        spaces: The model's harmless spaces.
        screen: The models to stay away from.
        kin: The relatives, which individual probes stay away from.
        kinds: The kinds of probe, in the order of the network.
        counts: How many probes each of them gets.
        pilot: How the early depth was chosen.
        turns: Which turns are controls.
        solved_against: Names of the relatives in the solve.
    """

    model: Model
    settings: ExtractionSettings
    seed: str
    bases: NDArray[Any]
    spaces: HarmlessSpaces
    screen: Screen
    kin: Screen
    kinds: tuple[ProbeKind, ...]
    counts: tuple[int, ...]
    pilot: Pilot
    turns: tuple[int, ...]
    solved_against: tuple[str, ...]

    @property
    def harmless_earlier(self) -> list[str]:
        """Names of the depths on the way at which early probes are harmless as well."""
        return [depth.name for kind in self._features for depth in kind.earlier]

    @property
    def enlarged(self) -> dict[str, float]:
        """The size that a weak δ is brought to, by the depth at which that is done."""
        return {kind.name: kind.enlarged for kind in self._features if kind.enlarged}

    @property
    def _features(self) -> list[FeatureProbes]:
        return [kind for kind in self.kinds if isinstance(kind, FeatureProbes)]

    @property
    def decides(self) -> list[str]:
        """What decides the probes beside the model, its bases and the seed."""
        decides = [f"{kind.name} {kind.contrast} {kind.networks}" for kind in self.kinds]
        decides += [f"quiet at {name}" for name in self.harmless_earlier]
        decides += [f"{name} enlarged to {size}" for name, size in self.enlarged.items()]
        decides += [relative.digest for relative in self.kin.models.values()]
        if any(isinstance(kind, LinearProbes) for kind in self.kinds):
            # Their starts are moved out of what the others ignore.
            decides += [other.digest for other in self.screen.models.values()]
            decides += self.screen.linear
        return decides
