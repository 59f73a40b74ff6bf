"""From decomposed perturbations to what people read: a pure function of the JSON document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from cli import render
from fingerprint.text import clean

__all__ = ["decomposition"]

_NONE = "-"
_HEADINGS = (
    "image",
    "what is added",
    "L2 norm",
    "largest value",
    "compared with",
    "answer moves by",
    "class",
    "as 8-bit picture",
)
_WORDS = {"harmless": "harmless part", "harmful": "harmful part"}
_WHOLE = "the perturbation"


def decomposition(document: Mapping[str, Any]) -> RenderableType:
    """Returns how the perturbations were split, and what each piece does to the answers."""
    rows = [row for image in document["images"] for row in _rows(image)]
    return Group(
        _head(document),
        Text(""),
        render.table(_HEADINGS, rows),
        Text(""),
        Text(_closing(document), style="dim"),
    )


def _head(document: Mapping[str, Any]) -> RenderableType:
    base = clean(document["base"], 300)
    split = {
        "zero": "the image itself, that is its difference from zero",
        "the image": f"an adversarial one, no value by more than {document['epsilon']:.4g}"
        if document["epsilon"] is not None
        else "",
    }.get(document["base"], f"the difference from {base}")
    return render.facts(
        [
            ("model", Text(clean(document["architecture"]), style="bold")),
            ("perturbation", split),
            ("split by", _method(document)),
            ("answers in", clean(document["precision"])),
            ("written to", clean(document["folder"], 300)),
        ]
    )


def _method(document: Mapping[str, Any]) -> str:
    note = clean(document["note"], 300)
    if document["method"] == "linear":
        size = document["dimension"]
        known = "a space" if size is None else f"{size} of {document['input_dimension']} dimensions"
        return f"projection on the linear harmless space, {known} ({note})"
    reason = f" ({note})" if note else ""
    return f"the whole-network solver, there being no linear harmless space{reason}"


def _rows(image: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for piece in image["pieces"]:
        what = _WORDS.get(piece["what"], piece["what"])
        if piece["what"].startswith("x"):
            what = f"{piece['what']} as long, same effect"
        for key, words in (("from_base", "nothing added"), ("from_whole", _WHOLE)):
            effect = piece[key]
            if effect is None:
                continue
            yield (
                clean(image["name"], 60),
                what,
                f"{piece['norm']:.4g}",
                f"{piece['scale']:.3g}",
                words,
                _moved(effect),
                f"{effect['label']} -> {effect['label_after']}",
                _rounded(piece, key),
            )


def _rounded(piece: Mapping[str, Any], key: str) -> str:
    """Returns how far rounding moves the answer from that to the perturbation itself."""
    effect = piece["rounded"]
    if effect is None:
        return "out of range" if key == "from_whole" and not piece["in_range"] else _NONE
    return _moved(effect)


def _moved(effect: Mapping[str, Any]) -> str:
    """Returns how far the answer moved; an answer of zero has no length to measure that by."""
    relative = effect["relative"]
    return f"{relative:.2g}" if math.isfinite(relative) else _NONE


def _closing(document: Mapping[str, Any]) -> str:
    """Says what the numbers mean for the way that was taken."""
    moves = "'answer moves by' is relative to the answer it is compared with: 0 is no change."
    pictures = "In pictures of perturbations grey is 0, black and white the largest value."
    if document["method"] == "linear":
        return f"{moves} The split is exact at every size (Theorems 4 and 5). {pictures}"
    return (
        f"{moves} On this network the harmful part need not act as the whole perturbation does: "
        f"that holds for linear layers. {pictures}"
    )
