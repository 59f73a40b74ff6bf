"""How every picture of a benchmark looks, and how it is written.

    with drawing(options.out / "figure2.svg", width=8.2, height=3.4) as figure:
        figure.add_subplot().plot(x, y, color=COLOURS[0], marker=MARKERS[0])

Colours are those of Okabe and Ito, which people who see colours differently can tell apart;
backgrounds are white, so that a picture reads the same on a dark page. Equal numbers give equal
bytes in SVG. Photographs belong in PNG.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from torch import Tensor

from fingerprint.files import write_whole

__all__ = ["COLOURS", "MARKERS", "STYLE", "drawing", "show"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = "osD^vPX*"

STYLE: Any = {
    "svg.hashsalt": "paper",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E5E5E5",
    "legend.frameon": False,
}


def show(axes: Any, picture: Tensor) -> None:
    """Shows pixels ``(C, H, W)``, clipped to [0, 1], without axes."""
    shown = picture.clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    axes.imshow(shown.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


@contextmanager
def drawing(path: Path, *, width: float, height: float, dpi: int = 110) -> Iterator[Figure]:
    """Yields an empty figure and writes it when the block succeeds, whole or not at all.

    Args:
        path: Of the picture; its suffix, ``.svg`` or ``.png``, is its format.
        width: In inches.
        height: In inches.
        dpi: Dots per inch of a PNG.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        kind = path.suffix.removeprefix(".")
        # Without a date, equal numbers give equal bytes.
        metadata = {"Date": None} if kind == "svg" else None
        write_whole(
            path,
            lambda stream: figure.savefig(
                stream, format=kind, facecolor="white", metadata=metadata, dpi=dpi
            ),
        )
