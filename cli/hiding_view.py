"""From hidden images to what people read: a pure function of the JSON document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from cli import render
from fingerprint.text import clean

__all__ = ["hiding"]

_HEADINGS = (
    "image",
    "method",
    "MSE",
    "SSIM",
    "of negative",
    "HaarPSI",
    "change exact",
    "change sent",
    "label",
    "kept",
)


def hiding(document: Mapping[str, Any]) -> RenderableType:
    """Returns a row for each image, and a summary of all."""
    images = document["images"]
    attacks = tuple(f"SSIM {name}" for name in images[0]["recovered"])
    rows = [_row(image) for image in images]
    parts: list[RenderableType] = [render.table((*_HEADINGS, *attacks), rows), Text("")]
    parts.append(render.facts(_summary(document)))
    notes = dict.fromkeys(image["similarity"]["note"] for image in images)
    parts += [Text(clean(note), style="dim") for note in notes if note]
    return Group(*parts)


def _row(image: Mapping[str, Any]) -> tuple[str, ...]:
    alike, effect = image["similarity"], image["effect"]
    label, after = effect["label"], effect["label_after"]
    return (
        clean(image["name"], 60),
        image["method"],
        f"{alike['mse']:.3f}",
        _score(alike["ssim"]),
        _score(alike["ssim_inverted"]),
        _score(alike["haarpsi"]),
        f"{image['effect_exact']['relative']:.1e}",
        f"{effect['relative']:.1e}",
        str(label) if label == after else f"{label} -> {after}",
        "yes" if image["kept"] else "no",
        *(_score(recovered["ssim"]) for recovered in image["recovered"].values()),
    )


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _summary(document: Mapping[str, Any]) -> list[tuple[str, str | Text]]:
    images, same = document["images"], document["same_label"]
    count = len(images)
    pairs: list[tuple[str, str | Text]] = [
        ("labels kept", f"{same} of {count} ({same / count:.0%})"),
        ("answers kept", f"{document['kept']} of {count} (label, and 10 % of the answer)"),
        ("mean SSIM", _mean(image["similarity"]["ssim"] for image in images)),
        ("mean HaarPSI", _mean(image["similarity"]["haarpsi"] for image in images)),
    ]
    before, after = document["accuracy_before"], document["accuracy_after"]
    if before is not None:
        pairs.append(("accuracy", f"{before:.1%} before, {after:.1%} after"))
    for name in images[0]["recovered"]:
        scores = (image["recovered"][name]["ssim"] for image in images)
        pairs.append((f"mean SSIM of {name}", _mean(scores)))
    return pairs


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.3f}" if known else "-"
