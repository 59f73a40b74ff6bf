"""A few probes as pictures, with how far they moved source and suspect.

The source is measured by its own recorded answers, in the very way the suspect was.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.answers import Answers
from fingerprint.errors import MalformedFile
from fingerprint.evidence.calibration import Calibration
from fingerprint.evidence.finding import number_of
from fingerprint.evidence.harm_ratio import HarmRatio
from fingerprint.questions import question_id
from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.evidence.finding import Finding
    from fingerprint.probes.probe import Fingerprint

__all__ = ["Moved", "Shot", "are_large", "are_pictures", "moved_by", "of_source", "shots"]

SHOWN = 3
"""Probes shown of each depth."""
_FEWER, _LARGE = 2, 3 * 64 * 64
"""Of inputs with more values than this, fewer are shown: pages that are sent stay small."""
_BANDS = {1: "L", 3: "RGB"}


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How far one probe and its turned controls moved the answers of one model.

    Attributes:
        probe: By the probe; None where it was not answered.
        control: By its controls, their geometric mean.
        ratio: The first over the second.
        used: Whether it counts.
    """

    probe: float | None = None
    control: float | None = None
    ratio: float | None = None
    used: bool = True

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Moved:
        """Reads a row of a finding's ``per_probe``; old ones lack some of it."""
        return cls(
            probe=number_of(row.get("harm")),
            control=number_of(row.get("control_harm")),
            ratio=number_of(row.get("harm_ratio")),
            used=bool(row.get("used", True)),
        )


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One probe as four pictures, each a ``data:`` address.

    Attributes:
        number: Its place among the probes of its depth, from 1.
        base: What it starts from.
        probe: The base with the perturbation.
        control: The base with the perturbation turned.
        difference: The perturbation alone, around grey.
        gain: How much the difference is enlarged.
        largest: Its largest value, of 255.
        source: How far source and suspect moved.
        suspect: The same.
    """

    number: int
    base: str
    probe: str
    control: str
    difference: str
    gain: int
    largest: int
    source: Moved
    suspect: Moved


def of_source(fingerprint: Fingerprint) -> dict[str, list[Moved]]:
    """Returns by depth how far each probe moved the source, by its recorded answers.

    Old fingerprints recorded no answer to the turned bases: of them only ratios are known.
    """
    if not fingerprint.turns:
        return {
            depth: [Moved(ratio=probe.harm_ratio) for probe in _at(fingerprint, depth)]
            for depth in dict.fromkeys(probe.kind for probe in fingerprint.probes)
        }
    inputs = (fingerprint.bases, fingerprint.harmless, fingerprint.controls)
    rows = (
        fingerprint.base_answers,
        np.stack([probe.answer for probe in fingerprint.probes]),
        np.concatenate([probe.control_answers for probe in fingerprint.probes]),
    )
    given = zip(np.concatenate(inputs), np.concatenate(rows), strict=True)
    answers = Answers(
        output=fingerprint.output, values={question_id(one): row for one, row in given}
    )
    found = HarmRatio().measure("", fingerprint, answers, Calibration())
    return {str(one.depth): moved_by(one) for one in found}


def moved_by(finding: Finding) -> list[Moved]:
    """Returns how far each probe of a finding moved whom it speaks of.

    Raises:
        MalformedFile: Whoever wrote the registry put something else there.
    """
    try:
        return [Moved.of(row) for row in finding.detail.get("per_probe", ())]
    except (AttributeError, TypeError, ValueError) as error:
        raise MalformedFile(
            f"verification: expected the harm of each probe, got damaged data ({clean(error)})"
        ) from error


def are_pictures(fingerprint: Fingerprint) -> bool:
    """Whether inputs can be shown."""
    spec = fingerprint.input
    return spec.kind == "pixels" and len(spec.shape) == 3 and spec.shape[0] in _BANDS


def are_large(fingerprint: Fingerprint) -> bool:
    """Whether pictures take so much room that fewer are shown."""
    return fingerprint.input.size > _LARGE


def shots(
    fingerprint: Fingerprint, depth: str, source: Sequence[Moved], suspect: Sequence[Moved]
) -> tuple[Shot, ...]:
    """Returns the first probes of a depth: nobody picks which.

    Args:
        fingerprint: Of inputs that are pictures.
        depth: Whose probes.
        source: How far each of them moved the source.
        suspect: How far each of them moved the suspect.
    """
    count = _FEWER if are_large(fingerprint) else SHOWN
    return tuple(_shots(fingerprint, depth, source[:count], suspect[:count]))


def _shots(
    fingerprint: Fingerprint, depth: str, source: Sequence[Moved], suspect: Sequence[Moved]
) -> Iterator[Shot]:
    places = [place for place, one in enumerate(fingerprint.probes) if one.kind == depth]
    turns = max(1, len(fingerprint.turns))
    controls = fingerprint.controls.reshape(-1, turns, *fingerprint.input.shape)[:, 0]
    for number, (place, of, by) in enumerate(zip(places, source, suspect, strict=False), start=1):
        probe = fingerprint.probes[place]
        base = fingerprint.bases[probe.base]
        delta = probe.harmless.astype(np.int16) - base.astype(np.int16)
        largest = int(np.abs(delta).max())
        gain = max(1, 127 // max(largest, 1))
        yield Shot(
            number=number,
            base=_png(base),
            probe=_png(probe.harmless),
            control=_png(controls[place]),
            difference=_png((128 + gain * delta).astype(np.uint8)),
            gain=gain,
            largest=largest,
            source=of,
            suspect=by,
        )


def _at(fingerprint: Fingerprint, depth: str) -> Iterator[Any]:
    return (probe for probe in fingerprint.probes if probe.kind == depth)


def _png(pixels: NDArray[np.uint8]) -> str:
    """Returns a picture of shape ``(C, H, W)`` as an address that holds it."""
    from PIL import Image

    rows = pixels.transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(rows[:, :, 0] if len(pixels) == 1 else rows).save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
