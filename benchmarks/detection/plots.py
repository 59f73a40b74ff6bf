"""One plot for each claim of the page, as SVG that is the same byte for byte on every run.

The only module here that needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.metrics import Estimate
from benchmarks.detection.pvalues import Uniformity
from benchmarks.pictures import COLOURS, MARKERS, drawing

__all__ = ["Strip", "plot_answer_kinds", "plot_calibration", "plot_queries", "plot_ratios"]

_VERDICT_COLOURS = {
    "same": "#0072B2",
    "derived": "#56B4E9",
    "inconclusive": "#DDDDDD",
    "independent": "#E69F00",
}
_LOWEST_RATIO = 1e-4


@dataclass(frozen=True)
class Strip:
    """One row of the harm ratios: a modification, or a kind of independent pair.

    Attributes:
        label: Of the row.
        ratios: Harm ratios by source.
        group: Rows of one group stand together, under its name.
        independent: Whether the row holds independent pairs.
    """

    label: str
    ratios: Mapping[str, Sequence[float]]
    group: str = ""
    independent: bool = False


def plot_ratios(strips: Sequence[Strip], sources: Sequence[str], path: Path) -> None:
    """Draws every pair's harm ratio over its margin, one row a modification."""
    with drawing(path, width=8.2, height=1.3 + 0.23 * max(len(strips), 4)) as figure:
        axes = figure.add_subplot()
        for row, strip in enumerate(strips):
            if strip.independent:
                axes.axhspan(row - 0.5, row + 0.5, color="#F3F3F3", zorder=0, linewidth=0)
            for index, source in enumerate(sources):
                values = np.maximum(strip.ratios.get(source, ()), _LOWEST_RATIO)
                offset = (index - (len(sources) - 1) / 2) * min(0.22, 0.66 / len(sources))
                axes.plot(
                    values,
                    np.full(len(values), row + offset),
                    linestyle="none",
                    marker=MARKERS[index % len(MARKERS)],
                    markersize=4 if not strip.independent else 3.2,
                    color=COLOURS[index % len(COLOURS)],
                    alpha=0.9 if not strip.independent else 0.45,
                    markeredgewidth=0,
                    label=source if row == 0 else None,
                )
        _separate_groups(axes, strips)
        _finish_ratios(axes, strips)
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 4))


def _separate_groups(axes: Any, strips: Sequence[Strip]) -> None:
    for row, strip in enumerate(strips):
        if row + 1 < len(strips) and strips[row + 1].group == strip.group:
            continue
        # The last row of a group lies furthest right, so its left end has room for the name.
        axes.text(
            0.008,
            row,
            strip.group,
            va="center",
            style="italic",
            color="#666666",
            transform=axes.get_yaxis_transform(),
        )
        if row + 1 < len(strips):
            axes.axhline(row + 0.5, color="#888888", linewidth=0.8)


def _finish_ratios(axes: Any, strips: Sequence[Strip]) -> None:
    axes.axvline(1.0, color="#444444", linestyle="--", linewidth=1)
    axes.text(
        1.0,
        1.0,
        "margin ",
        ha="right",
        va="bottom",
        color="#444444",
        transform=axes.get_xaxis_transform(),
    )
    axes.set_xscale("log")
    every = [value for strip in strips for values in strip.ratios.values() for value in values]
    low = max(min(every, default=0.1), _LOWEST_RATIO)
    axes.set_xlim(min(low / 1.4, 0.1), max(2.0, max(every, default=1) * 1.2))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yticks(range(len(strips)), [strip.label for strip in strips])
    axes.set_ylim(len(strips) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="both")
    axes.set_xlabel("harm ratio over the margin (log scale)")


def plot_queries(
    panels: Mapping[str, Mapping[str, Sequence[tuple[int, Estimate]]]],
    budgets: Sequence[int],
    path: Path,
    *,
    ours: str,
) -> None:
    """Draws the share found at 1 % false positives against queries, one panel a group.

    Args:
        panels: By group, by method: number of queries and rate. Zero queries means a method
            that reads the weights, drawn as a level line.
        budgets: Numbers of queries on the axis.
        path: Of the SVG.
        ours: The method drawn in bold, with its interval.
    """
    with drawing(path, width=3.0 * max(len(panels), 1) + 0.4, height=3.6) as figure:
        grid = figure.subplots(1, max(len(panels), 1), sharey=True, squeeze=False)[0]
        names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
        for axes, (group, panel) in zip(grid, panels.items(), strict=False):
            for name, points in panel.items():
                _query_line(axes, name, points, names.index(name), bold=name == ours)
            axes.set_title(group)
            axes.set_xscale("log")
            axes.set_xticks(budgets, [str(budget) for budget in budgets])
            axes.minorticks_off()
            axes.set_ylim(-0.03, 1.03)
            axes.grid()
            axes.set_xlabel("queries")
        grid[0].set_ylabel("found, at 1 % false positives")
        handles = {}
        for axes in grid:
            found, labels = axes.get_legend_handles_labels()
            handles.update(dict(zip(labels, found, strict=True)))
        if handles:
            figure.legend(
                handles.values(),
                handles.keys(),
                loc="outside lower center",
                ncols=min(len(handles), 6),
            )


def _query_line(
    axes: Any, name: str, points: Sequence[tuple[int, Estimate]], index: int, *, bold: bool
) -> None:
    measured = [(queries, rate) for queries, rate in points if rate.value is not None]
    colour = COLOURS[index % len(COLOURS)]
    if measured and all(queries == 0 for queries, _ in measured):
        value = measured[0][1].value
        axes.axhline(value, color=colour, linestyle="--", linewidth=1.2, label=name)
        return
    asked = [queries for queries, _ in measured]
    if bold:
        axes.fill_between(
            asked,
            [rate.low for _, rate in measured],
            [rate.high for _, rate in measured],
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
    axes.plot(
        asked,
        [rate.value for _, rate in measured],
        color=colour,
        marker=MARKERS[index % len(MARKERS)],
        markersize=5 if bold else 4,
        linewidth=2.2 if bold else 1.2,
        label=name,
        zorder=3 if bold else 2,
        clip_on=False,
    )


def plot_calibration(tests: Mapping[str, Uniformity], path: Path) -> None:
    """Draws the CDF of independent pairs' p-values against uniform, whole and near zero."""
    with drawing(path, width=8.2, height=3.7) as figure:
        whole, tail = figure.subplots(1, 2)
        line = np.concatenate([np.geomspace(1e-4, 1e-2, 40), np.linspace(0.011, 1, 200)])
        band = max((test.band for test in tests.values()), default=1.0)
        for axes in (whole, tail):
            axes.plot(line, line, color="#444444", linestyle="--", linewidth=1, label="uniform")
            axes.fill_between(
                line,
                np.clip(line - band, 0, 1),
                np.clip(line + band, 0, 1),
                color="#BBBBBB",
                alpha=0.4,
                linewidth=0,
                label="95 % band round uniform",
            )
            for index, (label, test) in enumerate(tests.items()):
                shares = np.arange(1, len(test.p_values) + 1) / max(len(test.p_values), 1)
                axes.step(
                    np.concatenate([[0.0], np.maximum(test.p_values, 1e-4), [1.0]]),
                    np.concatenate([[0.0], shares, [1.0]]),
                    where="post",
                    color=COLOURS[index],
                    linewidth=1.6,
                    label=label,
                )
            axes.grid()
            axes.set_xlabel("p-value t")
        whole.set_ylabel("independent pairs with p ≤ t")
        whole.set_xlim(0, 1)
        whole.set_ylim(0, 1.01)
        whole.set_title("above the band: p-values too small")
        tail.set_xscale("log")
        tail.set_xlim(1e-4, 0.1)
        tail.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        shown = [
            float(np.mean(test.p_values <= 0.1)) for test in tests.values() if len(test.p_values)
        ]
        tail.set_ylim(0, min(1.0, 1.15 * max([0.1 + band, *shown])))
        tail.set_title("the same near zero (log scale)")
        handles, labels = whole.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)


def plot_answer_kinds(panels: Mapping[str, Mapping[str, Mapping[str, int]]], path: Path) -> None:
    """Draws the shares of verdicts by kind of answer, one panel a group of pairs.

    Args:
        panels: By group, by kind of answer, by verdict: how many pairs.
        path: Of the SVG.
    """
    with drawing(path, width=8.2, height=3.0) as figure:
        grid = figure.subplots(1, max(len(panels), 1), sharey=True, squeeze=False)[0]
        kinds = list(dict.fromkeys(kind for panel in panels.values() for kind in panel))
        for axes, (group, panel) in zip(grid, panels.items(), strict=False):
            most = max((sum(counts.values()) for counts in panel.values()), default=0)
            left = np.zeros(len(kinds))
            for verdict, colour in _VERDICT_COLOURS.items():
                counts = np.array([panel.get(kind, {}).get(verdict, 0) for kind in kinds], float)
                totals = np.array([max(sum(panel.get(kind, {}).values()), 1) for kind in kinds])
                shares = counts / totals
                axes.barh(kinds, shares, left=left, color=colour, height=0.7, label=verdict)
                _write_counts(axes, counts, shares, left, dark=verdict == "same")
                left += shares
            axes.set_title(f"{group}\n({most} pairs)")
            axes.set_xlim(0, 1)
            axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
            axes.tick_params(axis="y", length=0)
        if kinds:
            grid[0].invert_yaxis()
        handles, labels = grid[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower center", ncols=4)


def _write_counts(axes: Any, counts: Any, shares: Any, left: Any, *, dark: bool) -> None:
    for row, (count, share, start) in enumerate(zip(counts, shares, left, strict=True)):
        if share >= 0.12:  # narrower pieces have no room for their number
            axes.text(
                start + share / 2,
                row,
                f"{count:.0f}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else "black",
            )
