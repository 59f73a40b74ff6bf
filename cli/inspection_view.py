"""From an inspection to what people read: pure functions, no terminal and no library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from cli import render
from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.inspection import Inspection, LayerFacts, SegmentFacts

__all__ = ["inspection"]

_NONE = "-"
_GLUE = "Not listed: reshapes, sums of two paths and other glue"
_HEADINGS = (
    "layer",
    "kind",
    "inputs",
    "outputs",
    "rank",
    "harmless",
    "free here",
    "smallest singular values",
)


def inspection(found: Inspection) -> RenderableType:
    """Returns what is harmless for the input, and a table of all layers."""
    notes = _numbered(found.layers)
    parts: list[RenderableType] = [_head(found), Text(""), _layers(found.layers, notes)]
    if notes:
        parts.append(Text(""))
    parts += [Text(f"[{number}] {clean(note, 300)}") for note, number in notes.items()]
    parts.append(Text(_closing(found), style="dim"))
    return Group(*parts)


def _head(found: Inspection) -> RenderableType:
    shape = "x".join(map(str, found.input.shape))
    return render.facts(
        [
            ("model", Text(clean(found.architecture), style="bold")),
            ("input", f"{shape} {found.input.kind}"),
            ("harmless for the input", _segment(found.segment)),
            ("nonlinear layers at", clean(found.given, 300)),
        ]
    )


def _segment(segment: SegmentFacts) -> str:
    """Returns what the first affine segment leaves harmless, in a sentence."""
    note = f" ({clean(segment.note, 300)})" if segment.note else ""
    if segment.dimension is None:
        size = f"at least {segment.at_least}" if segment.at_least else "not computed"
        return f"{size} of {segment.n} dimensions{note}"
    ends = f", ended by {clean(segment.ended_by)}" if segment.ended_by else ""
    return f"{segment.dimension} of {segment.n} dimensions, rank {segment.rank}{ends}{note}"


def _layers(layers: Sequence[LayerFacts], notes: dict[str, int]) -> RenderableType:
    rows = [
        (
            clean(layer.name),
            _kind(layer, notes),
            str(layer.n),
            str(layer.m),
            _NONE if layer.rank is None else str(layer.rank),
            _harmless(layer),
            _free(layer),
            _values(layer),
        )
        for layer in layers
    ]
    return render.table(_HEADINGS, rows)


def _kind(layer: LayerFacts, notes: dict[str, int]) -> str:
    """Returns what a layer does, with the number of its note."""
    kind = clean(layer.function if layer.kind == "activation" else layer.kind)
    return f"{kind} [{notes[layer.note]}]" if layer.note else kind


def _harmless(layer: LayerFacts) -> str:
    if layer.dimension is not None:
        return str(layer.dimension)
    return f">= {layer.at_least}" if layer.at_least else "?"


def _free(layer: LayerFacts) -> str:
    if layer.affine:
        return ""
    return "?" if layer.free is None else f"{layer.free} of {layer.of}"


def _values(layer: LayerFacts) -> str:
    """Returns the smallest singular values, with how often they occur: ``0.1 0.2 x49``."""
    pairs = list(zip(layer.singular_values, layer.multiplicities, strict=True))
    counts = {count for _, count in pairs}
    if len(counts) == 1:
        (times,) = counts
        ending = f" x{times}" if times > 1 else ""
        return " ".join(render.number(value) for value, _ in pairs) + ending
    return " ".join(f"{render.number(value)}x{count}" for value, count in pairs)


def _numbered(layers: Sequence[LayerFacts]) -> dict[str, int]:
    """Numbers the notes in the order of their first layers, each kind of note once."""
    notes = dict.fromkeys(layer.note for layer in layers if layer.note)
    return {note: number for number, note in enumerate(notes, start=1)}


def _closing(found: Inspection) -> str:
    others = ", ".join(clean(name, 40) for name in found.unlisted)
    return f"{_GLUE}{f', and {others}' if others else ''}."
