"""The depths of a network at which an input can be harmless: places that all its answers pass.

::

    for depth in depths_of(model):
        depth.name, depth.width, depth.share    # "layer2", 8192, 0.68
        depth(x)                                # (N, *input.shape) -> (N, width)

A depth is a *cut*: everything behind it depends on the input only through it. Two inputs that are
equal there get equal answers, whatever is behind. What one convolution of a residual block gives
is no cut, because the shortcut passes it by; what the block gives is one.

Nothing is read from the network's code. Modules are watched while it runs on two inputs, and a
place is a cut if exchanging the two rows there exchanges the two answers. A map to a depth ends
the pass at that depth, so it costs the depth's share of a whole pass.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

from fingerprint.errors import IncompatibleModel, NoInformation
from fingerprint.network.features import penultimate
from fingerprint.network.inputs import sample_inputs
from fingerprint.network.logits import logits_of
from fingerprint.network.model import Model
from fingerprint.network.run import full_precision
from fingerprint.network.spec import InputSpec
from fingerprint.precision import differ
from fingerprint.text import clean

__all__ = ["FEATURES", "LOGITS", "Depth", "Place", "depths_of"]

FEATURES = "features"
"""Name of the depth that the last linear layer reads."""
LOGITS = "logits"
"""Name of the last depth: the answers."""

_MOST = 16
"""Most depths of one network."""
_PASSES = 40
"""Most passes that look for cuts; with those that list the places, fewer than 48."""
_NEAR = 1 / 64
"""Two places of one width and less work between them than this share are one depth."""
_OCTAVES = 16.0
"""Doublings of the width that lie as far apart as a network's beginning and end."""
_TELLING = 1e-4
"""Of the largest answer: how much two answers must differ for their exchange to be seen."""


@dataclass(frozen=True)
class Place:
    """Where a depth lies in a network.

    Attributes:
        module: Name of a module.
        call: Which of its calls in one pass, counted from 1.
        reads: Whether what it reads is meant, and not what it gives.
    """

    module: str
    call: int = 1
    reads: bool = False


@dataclass(frozen=True, eq=False)
class Depth:
    """The map from a network's inputs to one depth of it.

    Call it with ``(N, *input.shape)`` in ``input.bounds``; it returns ``(N, width)``, in the
    model's device and dtype, differentiable, and runs nothing that lies behind. It raises
    :class:`NoInformation` where the network did not come by there with one row of ``width``
    numbers for each input.

    Attributes:
        name: The module whose output it is, with ``#2`` behind it if that is its second in a
            pass; ``features`` or ``logits``. A module of such a name gets a ``#1``.
        width: Numbers for each input.
        share: How much of a whole pass's work is done up to there, in (0, 1]: floating-point
            operations in products and convolutions.
        model: The network.
        place: Where it is; None for the answers.
    """

    name: str
    width: int
    share: float
    model: Model
    place: Place | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Runs the network up to here."""
        return self.with_earlier(x, ())[-1]

    def with_earlier(self, x: Tensor, earlier: Sequence[Depth]) -> tuple[Tensor, ...]:
        """Runs the network up to here, and returns what it gave at earlier depths on the way.

        Args:
            x: Shape ``(N, *input.shape)``.
            earlier: Depths of the same model that every pass comes by before this one.

        Returns:
            Rows of each of them, then those of this depth.
        """
        if self.place is None:
            assert not earlier, "the answers are solved for alone"
            return (logits_of(self.model)(x),)
        seen: dict[int, Any] = {}

        def note(number: int, value: Any) -> None:
            # The next layer may write over it.
            seen[number] = value.clone() if isinstance(value, Tensor) else value

        def stop(value: Any) -> None:
            seen[len(earlier)] = value
            raise _Reached

        try:
            with ExitStack() as watched:
                for number, depth in enumerate(earlier):
                    assert depth.place is not None
                    act = partial(note, number)
                    watched.enter_context(_at(depth.place, self.model.module, act))
                watched.enter_context(_at(self.place, self.model.module, stop))
                self.model(x)
        except (_Reached, IncompatibleModel):
            # Code that passes on whatever ends it passes on this end as an error of its own.
            if len(earlier) not in seen:
                raise
        places = enumerate((*earlier, self))
        return tuple(depth._rows(x, seen.get(number)) for number, depth in places)

    def _rows(self, x: Tensor, value: Any) -> Tensor:
        """Returns what was seen here, a row for each input."""
        if not isinstance(value, Tensor) or value.shape[:1] != x.shape[:1]:
            raise NoInformation(
                f"depth '{clean(self.name)}': expected one row for each input, got none or others"
            )
        rows = value.flatten(1)
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise NoInformation(
                f"depth '{clean(self.name)}': expected {self.width} numbers for each input, got "
                f"{math.prod(value.shape[1:])}"
            )
        return rows

    @property
    def input(self) -> InputSpec:
        """What its network takes."""
        return self.model.input

    @property
    def device(self) -> torch.device:
        """Where its network runs."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """What its network computes in."""
        return self.model.dtype

    def of(self, other: Model) -> Depth:
        """Returns the same place in another model of the same architecture.

        Its answers are its own: they may be to other classes.

        Raises:
            IncompatibleModel: The other model has no module of that name.
        """
        if self.place is None:
            return replace(self, model=other, width=other.output.classes)
        try:
            other.module.get_submodule(self.place.module)
        except AttributeError as error:
            raise IncompatibleModel(
                f"expected a network with a layer '{clean(self.place.module)}', got "
                f"{clean(other.architecture)} without one"
            ) from error
        return replace(self, model=other)


def depths_of(model: Model) -> tuple[Depth, ...]:
    """Finds the depths of a network by running it on two inputs, at most 48 times.

    Places are looked at from outer modules to inner ones, far from those already found first.
    Where several have the same width and hardly any work between them, such as a convolution, its
    normalisation and its activation, one is kept, the last of the outermost.

    Args:
        model: The network.

    Returns:
        At most 16 depths in the order in which they run, spread over the work and the width. The
        last is ``logits``; one that the last linear layer reads, if it is a cut, is ``features``.
        Only ``logits`` where the network has no modules to watch, fails when it is watched, or
        answers both inputs alike. Places before the first product or convolution are left out:
        little can be harmless there.
    """
    end = _Seen(LOGITS, None, width=model.output.classes, share=1.0, order=math.inf)
    try:
        with _unnoticed(model):
            found = _found(_precise(model), end)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception:
        # A network that cannot be watched, such as a scripted or a quantised one.
        found = []
    places = sorted([*found, end], key=lambda seen: seen.order)
    return tuple(Depth(seen.name, seen.width, seen.share, model, seen.place) for seen in places)


@dataclass(frozen=True)
class _Seen:
    """A place that a pass came by.

    Attributes:
        name: What it is called.
        place: Where it is; None for the answers.
        width: Numbers for each input.
        share: Of a whole pass's work, up to there.
        order: When it was come by.
    """

    name: str
    place: Place | None
    width: int
    share: float
    order: float

    @property
    def level(self) -> int:
        """How many modules the module lies in."""
        return self.place.module.count(".") if self.place else 0

    def apart(self, other: _Seen) -> float:
        """How far two places lie apart, as a share of a network."""
        octaves = abs(math.log2(self.width / other.width))
        return max(abs(self.share - other.share), octaves / _OCTAVES)


def _found(model: Model, end: _Seen) -> list[_Seen]:
    """Returns the depths before the answers."""
    x = sample_inputs(model.input, 2).to(model.device, model.dtype)
    places = _listed(model, x)
    with torch.no_grad():
        answers, exchanged = (logits_of(model)(rows) for rows in (x, x.flip(0)))
    repeats = not differ(answers.flip(0), exchanged)
    if not (repeats and differ(answers, exchanged, tolerance=_TELLING)):
        return []
    is_cut = partial(_is_cut, model, x, exchanged)
    read = [seen for seen in places if seen.name == FEATURES and is_cut(seen)]
    given = [seen for seen in places if seen.name != FEATURES]
    ends = [*read, end]
    cuts = _cuts(given, ends, is_cut)
    return [*read, *_spread(cuts, ends)[: _MOST - len(ends)]]


def _cuts(
    places: list[_Seen], ends: list[_Seen], is_cut: Callable[[_Seen], bool], passes: int = _PASSES
) -> list[_Seen]:
    """Looks for cuts from outer modules to inner ones until there are enough."""
    cuts: list[_Seen] = []
    for level in sorted({seen.level for seen in places}):
        if len(ends) + len(cuts) >= _MOST:
            break
        for seen in _spread([s for s in places if s.level == level], [*ends, *cuts]):
            if min(seen.apart(known) for known in (*ends, *cuts)) < _NEAR:
                continue
            if passes == 0:
                return cuts
            passes -= 1
            if is_cut(seen):
                cuts.append(seen)
    return cuts


def _spread(places: Iterable[_Seen], beside: list[_Seen]) -> list[_Seen]:
    """Orders places so that the first few of them lie far apart, and far from others.

    Of places that lie equally far, the one that runs last comes first.
    """
    distances = {seen: min(seen.apart(other) for other in beside) for seen in places}
    ordered = []
    while distances:
        far = max(distances, key=lambda seen: (distances[seen], seen.order))
        del distances[far]
        ordered.append(far)
        distances = {seen: min(old, seen.apart(far)) for seen, old in distances.items()}
    return ordered


# ---- one pass ----


def _listed(model: Model, x: Tensor) -> list[_Seen]:
    """Runs the network once and lists the places that a gradient reaches, in their order."""
    log = _Log(len(x))
    features = penultimate(model)
    with ExitStack() as hooks:
        for name, module in model.module.named_modules():
            if features is not None and module is features.layer:
                hooks.callback(_hook(module, True, partial(log.note, name, True)).remove)
            if name:  # what the whole gives are the answers
                hooks.callback(_hook(module, False, partial(log.note, name, False)).remove)
        with _plain_kernels(), log.counter, torch.enable_grad():
            model(x.clone().requires_grad_())
    return log.places()


class _Log:
    """What hooks note during one pass.

    Attributes:
        counter: Counts the work while it is entered.
    """

    def __init__(self, rows: int) -> None:
        self.counter = FlopCounterMode(display=False)
        self._rows = rows
        self._calls: Counter[tuple[str, bool]] = Counter()
        self._noted: list[tuple[Place, int, int]] = []
        self._last: tuple[Tensor | None, int] = (None, 0)

    def note(self, name: str, reads: bool, value: Any) -> None:
        """Notes what a module reads or gives, once where several give the very same tensor."""
        self._calls[name, reads] += 1
        if not _is_rows(value, self._rows):
            return
        place = Place(name, self._calls[name, reads], reads)
        last, version = self._last
        same = last is not None and value is last and last._version == version
        if not reads and same:
            # A block gives what its last module gives; what gives what it read is no place.
            if not self._noted[-1][0].module.startswith(f"{name}."):
                return
            self._noted.pop()
        self._noted.append((place, value[0].numel(), self.counter.get_total_flops()))
        self._last = (None if reads else value, value._version)

    def places(self) -> list[_Seen]:
        """Returns what was noted, with the last of what was read."""
        work = self.counter.get_total_flops()
        last_read = max(
            (k for k, (place, _, _) in enumerate(self._noted) if place.reads), default=None
        )
        return [
            _Seen(_name(place), place, width, done / work, order)
            for order, (place, width, done) in enumerate(self._noted)
            if done and (not place.reads or order == last_read)
        ]


def _is_rows(value: Any, count: int) -> bool:
    """Whether it is one row of several numbers for each input, which a gradient reaches."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_nested
        and value.ndim > 1
        and len(value) == count
        and value[0].numel() > 1
        and value.is_floating_point()
        and value.requires_grad
    )


def _name(place: Place) -> str:
    if place.reads:
        return FEATURES
    first = place.call == 1 and place.module not in (FEATURES, LOGITS)
    return place.module if first else f"{place.module}#{place.call}"


def _is_cut(model: Model, x: Tensor, exchanged: Tensor, seen: _Seen) -> bool:
    """Whether exchanging the rows at a place exchanges the answers."""
    assert seen.place is not None  # only the answers have none
    try:
        with torch.no_grad(), _at(seen.place, model.module, lambda value: value.flip(0)):
            answers = logits_of(model)(x)
    except IncompatibleModel:  # its code minds
        return False
    return not differ(answers, exchanged)


@contextmanager
def _at(place: Place, module: nn.Module, act: Callable[[Any], Any]) -> Iterator[None]:
    """Calls ``act`` with what is at a place whenever a pass comes by; what it returns replaces it.

    None leaves it alone.
    """
    calls = 0

    def visit(value: Any) -> Any:
        nonlocal calls
        calls += 1
        return act(value) if calls == place.call else None

    hook = _hook(module.get_submodule(place.module), place.reads, visit)
    try:
        yield
    finally:
        hook.remove()


def _hook(module: nn.Module, reads: bool, visit: Callable[[Any], Any]) -> RemovableHandle:
    """Calls ``visit`` with what a linear layer reads, or with what a module gives."""

    def before(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        value = visit(given[0] if given else named["input"])
        if value is None:
            return None
        return ((value, *given[1:]), named) if given else (given, {**named, "input": value})

    def after(_: nn.Module, __: Any, given: Any) -> Any:
        return visit(given)

    if reads:
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(after)


class _Reached(BaseException):
    """Ends a pass at a depth. No error, so that a network's own handlers let it through."""


# ---- around all passes ----


def _precise(model: Model) -> Model:
    """Returns the model, or a copy in float32 of one in half precision.

    In half precision a whole branch may weigh less than rounding.
    """
    if torch.finfo(model.dtype).bits >= 32:
        return model
    return model.to(dtype=torch.float32)


@contextmanager
def _unnoticed(model: Model) -> Iterator[None]:
    """Runs a block that leaves the random numbers to come as they are."""
    devices = [model.device] if model.device.type == "cuda" else []
    with full_precision(), torch.random.fork_rng(devices=devices):
        yield


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Runs a block without kernels that do in one call what is not counted as one."""
    with (
        # None leaves what a caller has set.
        torch.backends.mkldnn.flags(enabled=False, allow_tf32=None, fp32_precision=None),
        torch.backends.cudnn.flags(enabled=False, allow_tf32=False),
        sdpa_kernel(SDPBackend.MATH),
    ):
        yield
