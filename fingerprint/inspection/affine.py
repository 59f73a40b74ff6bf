"""Affine layers: the linear operator of a call, its rank, and what it leaves harmless.

A call becomes an operator by the rules that find the first affine segment of a network. How far
it is decomposed is decided beforehand, from estimated costs alone, so that a result depends on
the network and never on the speed of the machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from fingerprint.inspection.calls import AffineCall, LayerCall
from fingerprint.inspection.facts import LayerFacts, without_batch
from fingerprint.inspection.spectrum import Spectrum
from fingerprint.inspection.ways import Way, core, rank_bound, ways
from fingerprint.operators.base import LinearOperator
from fingerprint.operators.convolution import Convolution
from fingerprint.operators.segment import first_affine_segment

__all__ = ["Budget", "affine_facts"]

_LEAST_AXES = {"linear": 2, "addmm": 2, "batch_norm": 2}
"""Axes from which on the first one counts samples that are treated separately."""


@dataclass(kw_only=True)
class Budget:
    """What may be spent on the layers of a network; see ``ways`` for what is counted.

    Attributes:
        layer: Floating-point operations of one layer; the default is about 10 s on one core.
        left: Of all further layers together; the default is one to two minutes.
        entries: float64 entries held at once; the default is 512 MiB.
    """

    layer: float = 2.0**38
    left: float = 2.0**41
    entries: int = 2**26

    @classmethod
    def generous(cls) -> Budget:
        """Returns a budget for layers that were asked for by name: minutes, 2 GiB each."""
        return cls(layer=2.0**43, left=math.inf, entries=2**28)

    def affords(self, way: Way) -> bool:
        """Whether a way may be gone."""
        return way.flops <= min(self.layer, self.left) and way.entries <= self.entries


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What is known of one sample's operator.

    Attributes:
        spectrum: Rank and singular values; None if not computed.
        rank_bound: A number the rank does not exceed.
        note: Why it was not computed, or a remark.
    """

    spectrum: Spectrum | None
    rank_bound: int
    note: str = ""


def affine_facts(call: LayerCall, k: int, budget: Budget) -> LayerFacts:
    """Returns what is to be said of an affine layer.

    Args:
        call: The call; ``call.apply`` is there.
        k: How many of the smallest singular values to find.
        budget: What may be spent; what is spent is taken off.
    """
    assert call.apply is not None  # the caller picks the affine calls
    n, m = math.prod(call.in_shape), math.prod(call.out_shape)
    batch = call.in_shape[0] if _samples_apart(call) else 1
    found = _found(call, batch, k, budget)
    spectrum = found.spectrum and found.spectrum.repeated(batch)
    rank = spectrum.rank if spectrum else None
    at_least = max(n - found.rank_bound * batch, 0)
    return LayerFacts(
        name=call.name,
        kind=call.kind.label,
        function=call.function,
        affine=True,
        in_shape=without_batch(call.in_shape),
        out_shape=without_batch(call.out_shape),
        n=n,
        m=m,
        rank=rank,
        dimension=None if rank is None else n - rank,
        at_least=at_least if rank is None else n - rank,
        singular_values=tuple(value for value, _ in spectrum.values) if spectrum else (),
        multiplicities=tuple(count for _, count in spectrum.values) if spectrum else (),
        note=found.note,
    )


def _found(call: LayerCall, batch: int, k: int, budget: Budget) -> _Found:
    assert call.apply is not None
    n, m = math.prod(call.in_shape) // batch, math.prod(call.out_shape) // batch
    shapes_only = min(m, n)
    if call.apply.constants > budget.entries:
        note = f"not computed: too many weights; {_ASK}"
        return _Found(spectrum=None, rank_bound=shapes_only, note=note)
    operator = _operator(call, batch)
    if operator is None:
        note = f"not computed: this form of {call.function} has no linear operator here"
        return _Found(spectrum=None, rank_bound=shapes_only, note=note)
    tried = False
    every = ways(operator, k)
    for way in every:
        if budget.affords(way):
            tried = True
            budget.left -= way.flops
            spectrum = way.run()
            if spectrum is not None:
                return _Found(spectrum=spectrum, rank_bound=spectrum.rank, note=spectrum.note)
    note = f"not computed: {_described(call, operator)}, {_why(every, tried, budget)}"
    more = Budget.generous()
    if budget.layer < more.layer and any(more.affords(w) and not budget.affords(w) for w in every):
        note += f"; {_ASK}"
    return _Found(spectrum=None, rank_bound=rank_bound(operator), note=note)


def _why(every: list[Way], tried: bool, budget: Budget) -> str:
    """Says in words why no way led to the spectrum."""
    if tried:
        return "smallest singular values too close to zero to tell"
    alone = Budget(layer=budget.layer, left=math.inf, entries=budget.entries)
    if any(alone.affords(way) for way in every):
        return "what may be spent on one network is spent"
    return "too large"


_ASK = "ask for this layer by name to spend more on it"


def _samples_apart(call: LayerCall) -> bool:
    """Whether the first axis of the input counts samples that the call treats separately."""
    least = _LEAST_AXES.get(call.function)
    if least is None and call.function[-2:] in ("1d", "2d", "3d"):
        least = int(call.function[-2]) + 2
    one = call.in_shape[:1] == (1,) and call.out_shape[:1] == (1,)
    apart = least is not None and len(call.in_shape) >= least
    return one or (apart and call.in_shape[:1] == call.out_shape[:1] != (0,))


class _Whole:
    """A call that mixes its samples, as a function of a batch of one."""

    def __init__(self, apply: AffineCall) -> None:
        self.apply = apply
        self.dtype = apply.dtype
        self.device = apply.device

    def __call__(self, x: Tensor) -> Tensor:
        return self.apply(x.squeeze(0)).unsqueeze(0)


def _operator(call: LayerCall, batch: int) -> LinearOperator | None:
    """Returns the linear part of a call on one sample; None where no rule knows it."""
    assert call.apply is not None
    apart = _samples_apart(call)
    shape = call.in_shape[1:] if apart else call.in_shape
    function = call.apply if apart else _Whole(call.apply)
    segment = first_affine_segment(function, shape, device=call.apply.device)
    operator = segment.operator
    # Where no rule knows the call, the segment ends before it.
    known = operator is not None and segment.ended_by == "output"
    fits = known and operator is not None and operator.m * batch == math.prod(call.out_shape)
    return operator if fits else None


def _described(call: LayerCall, operator: LinearOperator) -> str:
    inner = core(operator)
    if isinstance(inner, Convolution):
        overlap = "" if inner.is_patchwise else "overlapping "
        groups = f" in {inner.groups} groups" if inner.groups > 1 else ""
        return f"{overlap}{'x'.join(map(str, inner.kernel))} convolution{groups}"
    return call.kind.label
