"""The kind of the late probes: against relatives where there are any, else for the family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from fingerprint.errors import FingerprintError
from fingerprint.network.depths import FEATURES, LOGITS, Depth
from fingerprint.network.logits import logits_of
from fingerprint.network.model import Model
from fingerprint.probes.kinds import WEAK, FeatureProbes, IndividualProbes, ProbeKind
from fingerprint.probes.pilot import CONTRASTS
from fingerprint.probes.simulated import pruned_copies_of
from fingerprint.probes.turns import is_large

__all__ = ["late_kind"]

_PASSES = 20
_ROOMY = 4
"""Input values for each equation of an individual probe, those of pruned copies aside, which hardly
differ from the model's; with fewer, its solve takes too long."""
_MOST_RELATIVES = 2
"""Relatives that individual probes are solved against; the others are screened against."""


def late_kind(
    depths: Sequence[Depth], relatives: Mapping[str, Model], best: ProbeKind | None
) -> tuple[ProbeKind, tuple[str, ...]]:
    """Returns the kind of the late probes: individual where a relative can be asked.

    Those start weak: the nearer the network is to linear, the further relatives are moved that
    hardly differ from the model (``benchmarks.families``, settings half). Others start, of large
    inputs, from the contrast of the pilot's best kind, if there is one; of smaller ones from the
    larger: from the other, copies of the plain convolutional network in the detection benchmark's
    settings half came to twice as much.
    """
    late = depths[-1]
    if len(depths) > 1 and depths[-2].name == FEATURES:
        asked = 1 + min(len(relatives), _MOST_RELATIVES)
        narrow = asked * depths[-2].width <= late.model.input.size / _ROOMY
        late = depths[-2] if narrow or not relatives else late
    views: list[Callable[[Tensor], Tensor]] = []
    names: list[str] = []
    for name, relative in relatives.items():
        if len(views) < _MOST_RELATIVES and relative.input.domain == late.model.input.domain:
            views.append(_view(late, relative))
            names.append(name)
    if not views:
        contrast = best.contrast if best and is_large(late.input.shape) else CONTRASTS[-1]
        return FeatureProbes(late, contrast=contrast, passes=_PASSES), ()
    kind = IndividualProbes(late, views, contrast=WEAK, copies=pruned_copies_of(late))
    return kind, tuple(names)


def _view(depth: Depth, relative: Model) -> Callable[[Tensor], Tensor]:
    """Returns a relative's own features at a depth, else its logits.

    It is run on the very inputs that the model is, so in the same precision.
    """
    if relative.dtype != depth.model.dtype:
        relative = relative.to(dtype=depth.model.dtype)
    if depth.name == LOGITS:
        return logits_of(relative)
    try:
        there = depth.of(relative)
        there(torch.zeros(1, *relative.input.shape, dtype=relative.dtype, device=relative.device))
    except FingerprintError:
        return logits_of(relative)
    return there
