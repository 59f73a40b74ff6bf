"""From a lineage to what people read: a tree, measured links, and what is to be settled."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from cli import render
from fingerprint.text import clean
from registry.lineage import Edge, Lineage, Node

__all__ = ["lineage"]

_SHOWN = 20
_LINE = 1000
_WAYS = {True: "both ways", False: "one way only", None: "one way, the other not asked"}


def lineage(found: Lineage) -> RenderableType:
    """Returns the declared trees, a row for each measured link, and what is to be settled."""
    if not found.nodes:
        return Text("No models are registered; 'fp register FILE' adds one.")
    parts: list[RenderableType] = [_tree(found)]
    links = [edge for edge in found.edges if edge.kind == "measured"]
    if links:
        title = "Measured links; answers alone do not say which came first"
        parts += [Text(""), Text(title), _links(links[:_SHOWN]), *_more(len(links))]
    undeclared = [one.reason for one in found.contradictions if one.kind == "undeclared"]
    others = [one.reason for one in found.contradictions if one.kind != "undeclared"]
    for title, lines in (("Alike, and not declared kin", undeclared), ("Contradictions", others)):
        if lines:
            parts += [Text(""), Text(f"{title}: {len(lines)}", style="bold")]
            parts += [Text(f"- {clean(line, _LINE)}") for line in lines[:_SHOWN]]
            parts += _more(len(lines))
    return Group(*parts)


def _more(count: int) -> list[RenderableType]:
    return [Text(f"and {count - _SHOWN} more; --json has all")] if count > _SHOWN else []


def _tree(found: Lineage) -> Tree:
    """Returns the models, children below their declared parents."""
    copies = {edge.target: edge.source for edge in found.edges if edge.kind == "copy"}
    tree = Tree(Text("Registered models, children below their declared parents"))
    places: dict[str, Tree] = {}
    for node in found.nodes:
        above = places.get(node.parent, tree) if node.parent is not None else tree
        places[node.name] = above.add(_label(node, copies.get(node.name)))
    return tree


def _label(node: Node, original: str | None) -> Text:
    text = Text(clean(node.name), style="bold" if node.generation == 0 else "")
    notes = [
        "reference" if node.role == "reference" else "",
        "trained from scratch" if node.from_scratch else "",
        f"same weights as {clean(original)}" if original is not None else "",
    ]
    if said := ", ".join(note for note in notes if note):
        text.append(f" ({said})", style="not bold dim")
    return text


def _links(links: list[Edge]) -> RenderableType:
    rows = [
        (
            clean(edge.source),
            clean(edge.target),
            render.verdict(edge.verdict or ""),
            render.number(edge.harm_ratio),
            _WAYS[edge.mutual],
        )
        for edge in links
    ]
    return render.table(("model", "and", "looks", "harm ratio", "measured"), rows)
