"""The rows of a family whose two fine-tunes are registered in turn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn

from benchmarks.detection.split import Half
from benchmarks.families.members import Family, Network, Suspect
from fingerprint.lab.modifications import averaged, pruned, quantised, with_weights

__all__ = ["Line", "another", "children"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """What descends from a parent, and who does not.

    Attributes:
        name: For the heading.
        public: Whether the parent is a public checkpoint.
        half: Whether its figures are reported, or chose settings.
        parent: Nobody's descendant.
        child: A, who learned in all layers.
        sibling: B, likewise.
        last: Learned in its last layer alone.
        task: Learned another task.
        again: A after it learned on.
        headed: A after it learned another task.
        nearer: Further siblings of both.
        strangers: Rows of networks that share no weight with the parent.
    """

    name: str
    public: bool
    half: Half
    parent: Network
    child: Network
    sibling: Network
    last: Network
    task: Network
    again: Network
    headed: Network
    nearer: tuple[Suspect, ...] = ()
    strangers: tuple[Suspect, ...]


def children(line: Line) -> tuple[Family, Family]:
    """Returns the family twice: A is registered, then B."""
    child, sibling = line.child, line.sibling
    int8, without = child.changed("int8", quantised), child.changed("pruned", pruned)
    both, mixed = (
        child.changed("merged", _mean, sibling),
        sibling.changed("merged", _mean, line.last),
    )
    outside = (
        *line.nearer,
        Suspect("sibling, last layer", "relative", line.last),
        Suspect("sibling, other task", "relative", line.task),
        Suspect("parent", "relative", line.parent),
        Suspect("parent, int8", "relative", line.parent.changed("int8", quantised)),
        *line.strangers,
    )
    of_child = (
        Suspect("A", "itself", child),
        *_copies("A", child),
        Suspect("A fine-tuned once more", "further", line.again),
        Suspect("A with a new head", "further", line.headed),
        Suspect("A merged with B", "further", both),
        Suspect("sibling B", "relative", sibling),
        Suspect("sibling B, int8", "relative", sibling.changed("int8", quantised)),
        Suspect("siblings merged", "relative", mixed),
        *outside,
    )
    of_sibling = (
        Suspect("B", "itself", sibling),
        *_copies("B", sibling),
        Suspect("A merged with B", "further", both),
        Suspect("B merged with a sibling", "further", mixed),
        Suspect("sibling A", "relative", child),
        Suspect("sibling A, int8", "relative", int8),
        Suspect("sibling A, 30 % pruned", "relative", without),
        Suspect("sibling A, fine-tuned on B's images", "relative", line.again),
        Suspect("sibling A with a new head", "relative", line.headed),
        *outside,
    )
    one = Family(
        name=line.name,
        parent=line.parent,
        public=line.public,
        half=line.half,
        child=child,
        suspects=of_child,
    )
    return one, replace(one, name=f"{line.name}, B", child=sibling, suspects=of_sibling, called="B")


def another(family: Family, called: str, child: Network, *siblings: Suspect) -> Family:
    """Returns the family of another child of the same parent.

    Args:
        family: Of the same parent; its relatives and strangers are asked as well.
        called: What the child is called.
        child: Who is registered.
        *siblings: Further relatives; the last one's network is merged with the child.
    """
    outside = (one for one in family.suspects if one.role in ("relative", "stranger"))
    merged = child.changed("merged", _mean, siblings[-1].network)
    suspects = (
        Suspect(called, "itself", child),
        *_copies(called, child),
        Suspect(f"{called}, merged with {siblings[-1].title}", "further", merged),
        *siblings,
        *outside,
    )
    return replace(
        family, name=f"{family.name}, {called}", child=child, suspects=suspects, called=called
    )


def _copies(called: str, child: Network) -> tuple[Suspect, ...]:
    """Returns copies by recipes that registration knows, and by others."""
    quarter = partial(pruned, share=0.25)
    return (
        Suspect(f"{called}, int8", "copy", child.changed("int8", quantised)),
        Suspect(f"{called}, 30 % pruned", "copy", child.changed("pruned", pruned)),
        Suspect(f"{called}, uint8", "other copy", child.changed("uint8", _with_zero_points)),
        Suspect(f"{called}, 25 % pruned", "other copy", child.changed("pruned by 25 %", quarter)),
    )


def _with_zero_points(network: nn.Module) -> nn.Module:
    """Rounds each weight to 8 bits between its least and its largest value."""
    return with_weights(network, _asymmetrical)


def _asymmetrical(weight: Tensor) -> Tensor:
    low, high = weight.min().clamp(max=0), weight.max().clamp(min=0)
    step = (high - low) / 255
    zero = (-low / step).round()
    return ((weight / step).round() + zero).clamp(0, 255).sub(zero) * step


def _mean(first: nn.Module, second: nn.Module) -> nn.Module:
    """Returns a network with the mean of two networks' weights."""
    return averaged((first, second), (0.5, 0.5))
