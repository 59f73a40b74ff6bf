"""How many probes each kind gets, and how many turns they are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fingerprint.harm import LEAST_PROBES
from fingerprint.network.model import Model
from fingerprint.probes.kinds import ProbeKind, SpeaksFor
from fingerprint.probes.turns import chosen_kinds, control_groups, is_large, on_the_grid

__all__ = ["dealt", "enough_turns"]

_LATE_SHARES: Mapping[SpeaksFor, float] = {"family": 1 / 3, "individual": 2 / 3}
"""Share of late probes. Those of a family show what was changed behind the early depth and find
nobody whom early probes miss (``benchmarks.detection``); individual ones alone tell a child from a
sibling, and a child's ratio scatters more than a sibling's."""
_LATE_SHARES_LARGE: Mapping[SpeaksFor, float] = {"family": 5 / 24, "individual": 3 / 4}
"""The same above 64 pixels, where fine-tunes with few classes scatter and it takes more probes to
decide. Five late ones of 24 are as few as can claim alone: four come to 1 in 625 at best, and two
depths are tested. Up to 64 pixels as many early ones claim no more, and leave the late ones too few
to tell strangers by (``benchmarks.detection``, settings half)."""
_LEAST_TURNS = 2
"""Of each kind; of one alone, one more."""
_PLANNED = 1e-6
"""The p-value that turns are planned for: 0.001 over a thousand candidates."""


def dealt(probes: int, kinds: Sequence[ProbeKind], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns how many probes each kind gets, for inputs of a shape."""
    if len(kinds) == 1:
        return (probes,)
    shares = _LATE_SHARES_LARGE if is_large(shape) else _LATE_SHARES
    late = max(LEAST_PROBES, int(probes * shares[kinds[-1].speaks_for]))
    return (probes - late, late)


def enough_turns(model: Model, turns: tuple[int, ...], probes: int) -> tuple[int, ...]:
    """Returns the fewest turns with which so many probes of a depth can show what is asked of them.

    An orbit of a probe and k turns is right by chance once in k + 1 times, n of them once in
    ``(k + 1)ⁿ``. Each control group has to show it alone.
    """
    shape = model.input.shape
    kinds = chosen_kinds(shape, turns)
    if on_the_grid(shape, kinds[0]):
        return kinds[0]
    for count in range(_LEAST_TURNS + (len(kinds) == 1), max(map(len, kinds))):
        few = tuple(turn for kind in kinds for turn in kind[:count])
        least = min(map(len, control_groups(shape, few)))
        if (least + 1.0) ** -probes <= _PLANNED:
            return few
    return tuple(turn for kind in kinds for turn in kind)
