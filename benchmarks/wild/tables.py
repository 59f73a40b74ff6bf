"""What was said of files as packages ship them, as Markdown tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.markdown import decimal, table

__all__ = ["TITLE", "summary", "tables"]

TITLE = "Files as packages ship them: tables"


def tables(document: Mapping[str, Any]) -> Mapping[str, Callable[[], str]]:
    """Returns what makes each table of the page, by its name there."""
    rows = document["rows"]
    return {
        "registered": partial(_registered, document["registered"]),
        "kin": partial(_kin, rows),
        "series": partial(_series, rows),
        "strangers": partial(_strangers, rows),
        "not asked": partial(_not_asked, rows),
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Says in one line how many were found, and who was accused falsely."""
    truths = Counter(row["truth"] for row in rows if "truth" in row)
    faults = Counter(row["fault"] for row in rows if row.get("fault"))
    kin = truths["the same"] + truths["copy"]
    missed = faults["not found"] + faults["taken for a stranger"]
    return (
        f"{kin - missed} of {kin} exports and copies are found, {faults['taken for a stranger']} "
        f"are taken for strangers; {faults['false accusation']} of {truths['another']} strangers "
        "are accused"
    )


def _registered(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("network", "package", "input", "answers", "probes", "s", "by its answers only, for")
    cells = [
        (
            row["network"],
            row["package"],
            _size(row["input"]),
            row["answers"],
            row["probes"],
            decimal(row["seconds"], 0),
            row["answers only"],
        )
        for row in rows
    ]
    return table(head, cells)


_HEAD = (
    "suspect",
    "answers off by",
    "against",
    "verdict",
    "relation",
    "harm ratio",
    "resemblance",
    "p",
    "queries",
    "s",
    "fault",
)


def _asked(rows: Sequence[Mapping[str, Any]], *truths: str) -> str:
    cells = [
        (
            _called(row),
            decimal(row.get("off")),
            row["against"],
            row["verdict"],
            row.get("relation") or "-",
            decimal(row.get("harm ratio")),
            decimal(row.get("resemblance")),
            decimal(row.get("p")),
            row["queries"],
            decimal(row["seconds"], 1),
            row["fault"],
        )
        for row in rows
        if row.get("truth") in truths
    ]
    return table(_HEAD, cells)


def _kin(rows: Sequence[Mapping[str, Any]]) -> str:
    return _asked(rows, "the same", "copy")


def _series(rows: Sequence[Mapping[str, Any]]) -> str:
    return _asked(rows, "not known")


def _strangers(rows: Sequence[Mapping[str, Any]]) -> str:
    """Counts by registered network; the suspects are files and copies of other networks."""
    verdicts = ("same", "derived", "inconclusive", "independent", "ruled out")
    head = ("against", "strangers", *verdicts, "lowest harm ratio", "lowest p")
    about: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("truth") == "another":
            about.setdefault(row["against"], []).append(row)
    cells = []
    for against, some in about.items():
        counts = Counter(row["verdict"] for row in some)
        ratios = [row["harm ratio"] for row in some if row.get("harm ratio") is not None]
        values = [row["p"] for row in some if row.get("p") is not None]
        cells.append(
            (
                against,
                len(some),
                *(counts[one] for one in verdicts),
                decimal(min(ratios, default=None)),
                decimal(min(values, default=None)),
            )
        )
    return table(head, cells)


def _not_asked(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [(_called(row), row["error"]) for row in rows if "error" in row]
    return table(("suspect", "why"), cells)


def _called(row: Mapping[str, Any]) -> str:
    parts = (row["suspect"], row["change"], f"at {_size(row['size'])}")
    return ", ".join(part for part in parts if part)


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
