"""Who comes from whom: the graph of registered models, declared and measured.

::

    found = lineage_of(kinship, pairs)
    [(edge.source, edge.target) for edge in found.edges if edge.kind == "declared"]

Owners declare parents, which have a direction. Answers alone have none: a measured link says
that one model descends from the other, or both from a third. Where the two disagree, a
contradiction says what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from registry.declaring import way_out
from registry.pairs import RELATED

if TYPE_CHECKING:
    from fingerprint.kinship import Kinship
    from registry.values import Pair

__all__ = ["Contradiction", "Edge", "Lineage", "Node", "lineage_of"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """A registered model.

    Attributes:
        name: Its name.
        role: ``model``, or ``reference`` for a public checkpoint.
        model_digest: Content digest of its weights.
        from_scratch: Whether its owner states that it has no parent.
        parent: Declared parent of it, or else of a copy of it; None if there is none.
        family: Number of the models that declared parents and equal weights join.
        generation: How many declared ancestors it has, one after another.
    """

    name: str
    role: Literal["model", "reference"] = "model"
    model_digest: str
    from_scratch: bool = False
    parent: str | None = None
    family: int = 0
    generation: int = 0


@dataclass(frozen=True, kw_only=True)
class Edge:
    """What joins two models.

    Attributes:
        kind: ``declared`` from parent to child; ``measured`` where answers look related, and
            ``copy`` where weights are equal, both without a direction.
        source: The parent; without a direction, the one that was registered first.
        target: The other one.
        verdict: same or derived, the stronger of both directions; None unless measured.
        harm_ratio: The lowest that was measured; None if there is none.
        mutual: Whether each was asked the other's probes and looks related; None where only
            one of them was asked, or nothing was measured.
    """

    kind: Literal["declared", "measured", "copy"]
    source: str
    target: str
    verdict: str | None = None
    harm_ratio: float | None = None
    mutual: bool | None = None

    @property
    def directed(self) -> bool:
        """Whether it is known which of the two comes from the other."""
        return self.kind == "declared"

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {**asdict(self), "directed": self.directed}


@dataclass(frozen=True, kw_only=True)
class Contradiction:
    """Something declared that answers deny, or something measured that nobody declared.

    Attributes:
        kind: ``from_scratch``: a model without a parent is linked to one that is declared no
            descendant of it. ``undeclared``: two families are linked, and nobody declared how; of
            their links the strongest, where declaring the others named before does not join them.
            ``independent``: a declared child and its parent do not look related.
        source: One of the two models, as in the edge between them.
        target: The other one.
        reason: One line: what contradicts what, and what to do about it.
    """

    kind: Literal["from_scratch", "undeclared", "independent"]
    source: str
    target: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """The graph of registered models.

    Attributes:
        nodes: The models, family by family, each parent before its children.
        edges: What joins them.
        contradictions: Where declared and measured edges disagree.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()

    def part(self, name: str) -> Lineage:
        """Returns the connected part that holds a model.

        Raises:
            KeyError: There is no such model.
        """
        from scipy.cluster.hierarchy import DisjointSet

        joined: DisjointSet = DisjointSet([node.name for node in self.nodes])
        for edge in self.edges:
            joined.merge(edge.source, edge.target)
        kept = joined.subset(name)
        return replace(
            self,
            nodes=tuple(node for node in self.nodes if node.name in kept),
            edges=tuple(edge for edge in self.edges if edge.source in kept),
            contradictions=tuple(one for one in self.contradictions if one.source in kept),
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "nodes": [asdict(node) for node in self.nodes],
            "edges": [edge.to_dict() for edge in self.edges],
            "contradictions": [asdict(one) for one in self.contradictions],
        }


def lineage_of(
    kinship: Kinship, pairs: Iterable[Pair], loaded: Mapping[str, str] | None = None
) -> Lineage:
    """Builds the graph of all registered models.

    Args:
        kinship: What is declared of them, and their digests in the order of registration.
        pairs: Whatever was measured between them, kin or not.
        loaded: By name, what ``fp register --again`` takes to load it.
    """
    nodes = _nodes(kinship)
    measured = _between(pairs, list(kinship.digests))
    links = [_link(ends, found) for ends, found in measured.items()]
    links = sorted(
        (link for link in links if link.verdict is not None),
        key=lambda link: (link.harm_ratio is None, link.harm_ratio, link.source, link.target),
    )
    declared = tuple(
        Edge(kind="declared", source=kinship.parents[node.name], target=node.name)
        for node in nodes
        if node.name in kinship.parents
    )
    return Lineage(
        nodes=nodes,
        edges=(*declared, *_copies(nodes), *links),
        contradictions=(
            *_strangers(links, kinship, loaded),
            *_estranged(declared, {(link.source, link.target) for link in links}, measured),
        ),
    )


def _nodes(kinship: Kinship) -> tuple[Node, ...]:
    """Returns the models, each parent before its children, and copies side by side."""
    families = kinship.families()
    copies: dict[str, list[str]] = {}
    for name, digest in kinship.digests.items():
        copies.setdefault(digest, []).append(name)
    parents: dict[str, str] = {}
    for child, parent in kinship.parents.items():
        parents.setdefault(kinship.digests[child], parent)
    return tuple(
        Node(
            name=name,
            role="reference" if name in kinship.references else "model",
            model_digest=digest,
            from_scratch=name in kinship.from_scratch,
            parent=kinship.parents.get(name, parents.get(digest)),
            family=families[name],
            generation=generation,
        )
        for digest, generation in _walk(
            list(copies), {child: kinship.digests[parent] for child, parent in parents.items()}
        )
        for name in copies[digest]
    )


def _walk(digests: Sequence[str], parents: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Goes from each root down, and then from what no root leads to: somebody's circle."""
    children: dict[str, list[str]] = {}
    for digest in digests:
        if digest in parents:
            children.setdefault(parents[digest], []).append(digest)
    seen: set[str] = set()
    for root in sorted(digests, key=lambda digest: digest in parents):
        ahead = [(root, 0)]
        while ahead:
            digest, generation = ahead.pop()
            if digest in seen:
                continue
            seen.add(digest)
            yield digest, generation
            ahead += [(child, generation + 1) for child in reversed(children.get(digest, []))]


def _copies(nodes: Iterable[Node]) -> Iterator[Edge]:
    first: dict[str, str] = {}
    for node in nodes:
        original = first.setdefault(node.model_digest, node.name)
        if original != node.name:
            yield Edge(kind="copy", source=original, target=node.name)


def _between(pairs: Iterable[Pair], names: Sequence[str]) -> dict[tuple[str, str], list[Pair]]:
    """Puts both directions of a pair together, under the one that was registered first."""
    place = {name: index for index, name in enumerate(names)}
    found: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        first, second = sorted((pair.source, pair.other), key=place.__getitem__)
        found.setdefault((first, second), []).append(pair)
    return found


def _link(ends: tuple[str, str], pairs: Sequence[Pair]) -> Edge:
    """Returns what was measured between two models; without a verdict, they look unrelated."""
    related = [pair for pair in pairs if pair.verdict in RELATED]
    verdicts = {pair.verdict for pair in related}
    return Edge(
        kind="measured",
        source=ends[0],
        target=ends[1],
        verdict=next((verdict for verdict in RELATED if verdict in verdicts), None),
        harm_ratio=min((pair.harm_ratio for pair in related if pair.ratios), default=None),
        mutual=None if len(pairs) == 1 else len(related) == len(pairs),
    )


def _strangers(
    links: Iterable[Edge], kinship: Kinship, loaded: Mapping[str, str] | None
) -> Iterator[Contradiction]:
    """Finds links between families of which nobody declared that they are one.

    Once those that are named are declared, all that is linked is one family.
    """
    from scipy.cluster.hierarchy import DisjointSet

    families = kinship.families()
    joined: DisjointSet = DisjointSet(set(families.values()))
    for link in links:
        ends = (link.source, link.target)
        if families[link.source] == families[link.target]:
            continue
        rootless = [name for name in ends if kinship.has_no_parent(name)]
        if not joined.merge(families[link.source], families[link.target]) and not rootless:
            continue
        said = "the answers of both" if link.mutual else "answers"
        reason = f"{said} say that {link.source!r} and {link.target!r} are related"
        if rootless:
            stated = " and ".join(map(repr, rootless))
            reason += f", {stated} {'are' if len(rootless) > 1 else 'is'} stated from scratch"
        else:
            reason += (
                ", and it is not declared whether one descends from the other or both from a third"
            )
        yield Contradiction(
            kind="from_scratch" if rootless else "undeclared",
            source=link.source,
            target=link.target,
            reason=f"{reason}; {way_out(ends, kinship, loaded)}",
        )


def _estranged(
    declared: Iterable[Edge],
    linked: set[tuple[str, str]],
    measured: dict[tuple[str, str], list[Pair]],
) -> Iterator[Contradiction]:
    """Finds children that were asked about their parents, or these about them, in vain."""
    for edge in declared:
        parent, child = edge.source, edge.target
        ends = (parent, child) if (parent, child) in measured else (child, parent)
        verdicts = {pair.verdict for pair in measured.get(ends, ())}
        if "independent" in verdicts and ends not in linked:
            yield Contradiction(
                kind="independent",
                source=parent,
                target=child,
                reason=f"{parent!r} is the declared parent of {child!r}, but they look "
                "independent, as they also do after long training at a high rate; if it was "
                "declared by mistake, remove the child and register it again",
            )
