"""From hidden images to what people read: pure functions, no terminal and no library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from cli import render
from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.privacy import Hidden, Similarity

__all__ = ["Hiding", "hiding"]

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Hiding:
    """What ``fp hide`` found.

    Attributes:
        names: Of the images.
        files: Where they came from.
        hidden: The hidden images.
        similarities: Of each hidden image as it is sent to its original.
        labels: Class of each image, if they were given.
        attacks: Each attack's name and how similar what it gave back is to each original.
    """

    names: tuple[str, ...]
    files: tuple[str, ...]
    hidden: tuple[Hidden, ...]
    similarities: tuple[Similarity, ...]
    labels: tuple[int, ...] | None
    attacks: tuple[tuple[str, tuple[Similarity, ...]], ...]

    @property
    def kept(self) -> int:
        """How many images the network answers as before, as they are sent."""
        return sum(one.is_kept for one in self.hidden)

    def accuracy(self) -> tuple[float, float] | None:
        """Share of images named as labelled, before and after; None without labels."""
        if self.labels is None:
            return None
        pairs = list(zip(self.hidden, self.labels, strict=True))
        before = sum(one.effect.label == label for one, label in pairs)
        after = sum(one.effect.label_after == label for one, label in pairs)
        return before / len(pairs), after / len(pairs)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        accuracy = self.accuracy()
        return {
            "images": [
                {
                    "name": name,
                    "file": file,
                    **one.to_dict(),
                    "similarity": alike.to_dict(),
                    "recovered": {attack: found[row].to_dict() for attack, found in self.attacks},
                }
                for row, (name, file, one, alike) in enumerate(
                    zip(self.names, self.files, self.hidden, self.similarities, strict=True)
                )
            ],
            "kept": self.kept,
            "same_label": sum(one.effect.same_label for one in self.hidden),
            "accuracy_before": None if accuracy is None else accuracy[0],
            "accuracy_after": None if accuracy is None else accuracy[1],
        }


def hiding(found: Hiding) -> RenderableType:
    """Returns a row for each image, and a summary of all."""
    attacks = tuple(f"SSIM {name}" for name, _ in found.attacks)
    rows = [_row(found, place) for place in range(len(found.names))]
    parts: list[RenderableType] = [render.table((*_HEADINGS, *attacks), rows), Text("")]
    parts.append(render.facts(_summary(found)))
    notes = dict.fromkeys(alike.note for alike in found.similarities if alike.note)
    parts += [Text(clean(note), style="dim") for note in notes]
    return Group(*parts)


def _row(found: Hiding, place: int) -> tuple[str, ...]:
    one, alike = found.hidden[place], found.similarities[place]
    label, after = one.effect.label, one.effect.label_after
    return (
        clean(found.names[place], 60),
        one.method,
        f"{alike.mse:.3f}",
        _score(alike.ssim),
        _score(alike.ssim_inverted),
        _score(alike.haarpsi),
        f"{one.effect_exact.relative:.1e}",
        f"{one.effect.relative:.1e}",
        str(label) if label == after else f"{label} -> {after}",
        "yes" if one.is_kept else "no",
        *(_score(attack[place].ssim) for _, attack in found.attacks),
    )


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _summary(found: Hiding) -> list[tuple[str, str | Text]]:
    count = len(found.names)
    same = sum(one.effect.same_label for one in found.hidden)
    pairs: list[tuple[str, str | Text]] = [
        ("labels kept", f"{same} of {count} ({same / count:.0%})"),
        ("answers kept", f"{found.kept} of {count} (label, and 10 % of the answer)"),
        ("mean SSIM", _mean([alike.ssim for alike in found.similarities])),
        ("mean HaarPSI", _mean([alike.haarpsi for alike in found.similarities])),
    ]
    accuracy = found.accuracy()
    if accuracy is not None:
        pairs.append(("accuracy", f"{accuracy[0]:.1%} before, {accuracy[1]:.1%} after"))
    for name, alike in found.attacks:
        pairs.append((f"mean SSIM of {name}", _mean([one.ssim for one in alike])))
    return pairs


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.3f}" if known else "-"
