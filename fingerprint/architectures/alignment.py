"""Finds a network's weights among the tensors of a file, whatever stands around their names.

    aligned = align(module, entry.tensors)
    aligned.tensors, aligned.notes

Training code puts a network inside another one, so that all its names begin with ``model.`` or
``backbone.``; it leaves counters, loss weights, averages and auxiliary heads beside it; it masks
or reparametrises weights. All of that is undone here, and said. What would change the network's
answers is not: another depth, or further parts inside its blocks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from fingerprint.architectures.architecture import key_difference
from fingerprint.formats.restored import restored, unmasked
from fingerprint.formats.unwrap import AVERAGED
from fingerprint.text import listed

__all__ = ["Aligned", "align"]

_COUNTER = "num_batches_tracked"
_MOST_PREFIXES = 4
_FEW = 4  # numbers: a step count, a scale, a normalisation's mean for each channel
_BOOKKEEPING = re.compile(
    r"(^|[._])(total_ops|total_params|n_averaged|num_updates|decay|fake_quant\w*"
    r"|activation_post_process|observer|_extra_state|_float_tensor|position_ids|attn_mask"
    r"|relative_position_index|relative_coords_table)([._]|$)"
)
"""What profilers, observers and averagers leave inside a network's parts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Aligned:
    """Tensors under a network's own names.

    Attributes:
        tensors: Its tensors; where they do not fit, all that are left, so that a difference of
            names can be told.
        notes: One line for each thing that was undone or left out.
        prefix: What the names began with; empty if with nothing.
    """

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    prefix: str = ""


def align(module: nn.Module, tensors: Mapping[str, Tensor]) -> Aligned:
    """Returns those tensors that are a network's, under the names it has for them.

    Args:
        module: The network, of any class count; its values are not read, so it may lie on the
            meta device.
        tensors: Tensors of a file by name.

    Raises:
        IncompatibleModel: The weights are parametrised in a way that cannot be undone.
    """
    if not key_difference(module, tensors):
        return Aligned(tensors=dict(tensors))
    own = _Own.of(module)
    direct = _under_prefix(own, tensors)
    if direct is not None and own.accepts_kinds(direct.tensors) and not unmasked(tensors):
        return direct
    plain, notes = restored(tensors)
    computed = _under_prefix(own, plain) if notes else None
    if computed is not None:
        return Aligned(
            tensors=computed.tensors, notes=(*notes, *computed.notes), prefix=computed.prefix
        )
    return _with_prefix(own, plain) or _nearest(own, plain)


class _Own:
    """The names a network has, those of one tensor together."""

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        real: Iterable[str],
        required: Iterable[set[str]],
    ) -> None:
        self.shapes = dict(shapes)
        self.real = set(real)
        self.required = list(required)
        self.containers = {"".join(parts) for name in shapes for parts in _beginnings(name)}
        self.layers = {name.rpartition(".")[0] for name in shapes}

    @classmethod
    def of(cls, module: nn.Module) -> _Own:
        state = module.state_dict(keep_vars=True)
        shared: dict[int, set[str]] = {}
        for name, tensor in state.items():
            if not name.endswith(_COUNTER):
                shared.setdefault(id(tensor), set()).add(name)
        return cls(
            shapes={name: tuple(tensor.shape) for name, tensor in state.items()},
            real=[name for name, tensor in state.items() if tensor.is_floating_point()],
            required=shared.values(),
        )

    @property
    def prefix(self) -> str:
        """What all of the names begin with, in whole parts."""
        first = next(iter(self.shapes), "")
        begins = ("".join(parts) for parts in _beginnings(first))
        common = [text for text in begins if all(name.startswith(text) for name in self.shapes)]
        return max(common, key=len, default="")

    def bare(self) -> _Own:
        """Returns the names without their common prefix."""
        cut = len(self.prefix)
        return _Own(
            shapes={name[cut:]: shape for name, shape in self.shapes.items()},
            real=[name[cut:] for name in self.real],
            required=[{name[cut:] for name in group} for group in self.required],
        )

    def missing(self, names: Iterable[str]) -> list[set[str]]:
        """Returns the tensors of which none of the names is there."""
        given = set(names)
        return [group for group in self.required if not group & given]

    def accepts_kinds(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether no integers stand where the network has real numbers."""
        return all(
            tensor.is_floating_point() or name not in self.real for name, tensor in tensors.items()
        )

    def equal_shapes(self, prefix: str, tensors: Mapping[str, Tensor]) -> int:
        return sum(
            prefix + name in tensors and tuple(tensors[prefix + name].shape) == shape
            for name, shape in self.shapes.items()
        )


def _beginnings(name: str) -> Iterator[list[str]]:
    """Yields the parts of every container's name, each with its dot."""
    parts = [f"{part}." for part in name.split(".")[:-1]]
    for size in range(len(parts) + 1):
        yield parts[:size]


def _under_prefix(own: _Own, tensors: Mapping[str, Tensor]) -> Aligned | None:
    """Returns the whole network under one prefix, or under one a part; None if it is not there."""
    votes = _votes(own, tensors)
    whole = [prefix for prefix in votes if not own.missing(_stripped(prefix, tensors))]
    if whole:
        # Bare names first, then those whose shapes fit, then an average, then the file's order.
        best = min(
            whole,
            key=lambda prefix: (
                prefix != "",
                -own.equal_shapes(prefix, tensors),
                not AVERAGED.search(prefix),
            ),
        )
        return _taken(own, tensors, [best], whole)
    prefixes = _joined(own, tensors, votes)
    return _taken(own, tensors, prefixes, []) if prefixes else None


def _with_prefix(own: _Own, tensors: Mapping[str, Tensor]) -> Aligned | None:
    """Puts before the names what all of the network's begin with: it is the wrapped one."""
    begin = own.prefix
    found = _under_prefix(own.bare(), tensors) if begin else None
    if found is None:
        return None
    return Aligned(
        tensors={begin + name: tensor for name, tensor in found.tensors.items()},
        notes=(f"the names lack '{begin}', which was put before them", *found.notes),
        prefix=found.prefix,
    )


def _votes(own: _Own, tensors: Mapping[str, Tensor]) -> Counter[str]:
    """Returns how many of the network's names each prefix leads to, in the file's order."""
    votes: Counter[str] = Counter()
    for name in tensors:
        parts = name.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in own.shapes:
                votes["".join(f"{part}." for part in parts[:cut])] += 1
    return votes


def _stripped(prefix: str, tensors: Iterable[str]) -> list[str]:
    return [name[len(prefix) :] for name in tensors if name.startswith(prefix)]


def _joined(own: _Own, tensors: Mapping[str, Tensor], votes: Counter[str]) -> list[str]:
    """Returns several prefixes that hold a network in parts, such as ``backbone.``, ``head.``."""
    if not votes:
        return []
    prefixes = [votes.most_common(1)[0][0]]
    used = {prefixes[0] + name for name in own.shapes}
    for group in own.missing(_stripped(prefixes[0], tensors)):
        owners = [
            prefix
            for prefix in votes
            if any(prefix + name in tensors and prefix + name not in used for name in group)
        ]
        if len(owners) != 1:
            return []
        if owners[0] not in prefixes:
            prefixes.append(owners[0])
    return prefixes if len(prefixes) <= _MOST_PREFIXES else []


def _taken(
    own: _Own, tensors: Mapping[str, Tensor], prefixes: Sequence[str], alternatives: Sequence[str]
) -> Aligned:
    found = {
        name: (prefix + name)
        for prefix in reversed(prefixes)
        for name in own.shapes
        if prefix + name in tensors
    }
    notes = []
    if any(prefixes):
        notes.append(f"the names begin with {_quoted(prefixes)}, which was taken off")
    if len(alternatives) > 1:
        notes.append(
            f"this network's weights lie under {_quoted(alternatives)}: "
            f"{_quoted(prefixes[:1])} was taken; --key chooses"
        )
    used = set(found.values())
    extra = [name for name in tensors if name not in used]
    left_out = [name for name in extra if _is_foreign(own, name, tensors[name], prefixes)]
    kept = {name: tensors[key] for name, key in found.items()}
    # What may change the answers stays, so that the weights are refused with its name.
    kept |= {
        name.removeprefix(prefixes[0]): tensors[name] for name in extra if name not in left_out
    }
    told = [name for name in left_out if not name.endswith(_COUNTER)]
    if told:
        notes.append(
            f"{len(told)} tensors are none of the network's and were left out: {listed(told)}"
        )
    return Aligned(tensors=kept, notes=tuple(notes), prefix=prefixes[0])


def _is_foreign(own: _Own, name: str, tensor: Tensor, prefixes: Sequence[str]) -> bool:
    """Whether a tensor can be left out without changing what the network computes."""
    if _BOOKKEEPING.search(name) or name.endswith(_COUNTER):
        return True
    prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
    if prefix is None:
        # Beside the network; but in a sequence, what follows it is part of the whole.
        return not _continues(name, prefixes) or tensor.numel() <= _FEW
    inner = name[len(prefix) :]
    if any(inner.startswith((f"{known}_", f"{known}.")) for known in _of_layer(own, inner)):
        return True  # weight_ema, weight.momentum: beside a weight that is there
    container, child = _deepest(own, inner)
    inside_block = any(part.isdigit() for part in container.split("."))
    in_layer = container.rstrip(".") in own.layers and container != ""
    if tensor.numel() <= 1:
        return True
    return not (child.isdigit() or inside_block or in_layer)


def _of_layer(own: _Own, inner: str) -> list[str]:
    """Returns the network's names that a further tensor of the same layer may continue."""
    container, _ = _deepest(own, inner)
    return [name for name in own.shapes if name.rpartition(".")[0] == container.rstrip(".")]


def _deepest(own: _Own, inner: str) -> tuple[str, str]:
    """Returns the innermost of the network's parts that holds a name, and what it is in there."""
    parts = [f"{part}." for part in inner.split(".")]
    size = max(size for size in range(len(parts)) if "".join(parts[:size]) in own.containers)
    return "".join(parts[:size]), parts[size].rstrip(".")


def _continues(name: str, prefixes: Sequence[str]) -> bool:
    """Whether a name lies in a numbered sequence of which the network is a member."""
    for prefix in prefixes:
        parent, _, last = prefix.rstrip(".").rpartition(".")
        begin = f"{parent}." if parent else ""
        if last.isdigit() and name.startswith(begin):
            return name[len(begin) :].partition(".")[0].isdigit()
    return False


def _nearest(own: _Own, tensors: Mapping[str, Tensor]) -> Aligned:
    """Returns tensors that do not fit with the prefix off that most of the names have."""
    votes = _votes(own, tensors)
    prefix = votes.most_common(1)[0][0] if votes else ""
    kept = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    return Aligned(tensors=kept if prefix else dict(tensors), prefix=prefix)


def _quoted(prefixes: Iterable[str]) -> str:
    return " and ".join(f"'{prefix}'" for prefix in prefixes)
