"""Chooses the default margins from the half of the zoo that chooses settings, and prints them.

    python -m benchmarks.detection.measure --work WORK --data DIR --half settings --out SETTINGS
    python -m benchmarks.families --work WORK --data DIR --half settings --kinds --results FAMILIES
    python -m benchmarks.detection.calibrate SETTINGS FAMILIES [--out FILE]

A margin is the lowest ratio of any independent pair, to the nearest multiple of 0.05; in the exact
null space 0.5 at most, for above that one copy more is found, and students lie there, who share no
weights (``benchmarks.digits_limits``); early 0.5 at most, for a fine-tune of the public ResNet-20
as source brought the ResNet-44 of the same collection to 0.51. Of individual probes it is the
lowest of any relative or stranger, less one step: siblings are the commonest suspects, and few of
them are here; and 0.4 at most, for runs with other controls brought siblings to 0.47. Children
whose own margin is lower, for what their pruned copy reaches, do not rest on the default and are
left out. A margin is what the null hypothesis says of strangers, not a threshold: a claim needs the
whole interval below it and p below α. A bound of *independent* is the margin, or where higher the
least multiple of 0.05 above which no interval of a working copy lies: one that keeps half of what
its source does better than chance, mere ingredients of a merged network aside. Labels have no
interval; they take the margin of the named classes.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.detection.results import works
from benchmarks.markdown import decimal, table
from fingerprint.evidence.calibration import MARGINS
from fingerprint.files import write_whole

__all__ = ["KINDS", "OUT", "Chosen", "chosen_margins", "margins_table"]

OUT = Path(__file__).with_name("margins.json")
_STEP = 0.05
_MOST = {"linear": 0.5, "early": 0.5, "individual": 0.4}
KINDS = ("logits", "probabilities", "top-5")
"""Kinds of answers that margins are chosen for."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A margin, a bound, and what they rest on.

    Attributes:
        depth: Class of depth.
        answers: Kind of answer.
        pairs: How many independent pairs were measured.
        lowest: Their lowest ratio.
        upper: Lowest upper end of their intervals.
        least_p: Their smallest p-value against the margin in use when they were measured.
        margin: The margin.
        copies: How many copies still work.
        found: How many of these have an interval below the margin.
        least: Highest lower end of their intervals; None where there are none.
        bound: The bound of *independent*; None where the class sets none.
    """

    depth: str
    answers: str
    pairs: int
    lowest: float
    upper: float
    least_p: float | None
    margin: float
    copies: int
    found: int
    least: float | None
    bound: float | None


def chosen_margins(
    settings: Mapping[str, Any], families: Sequence[Mapping[str, Any]]
) -> tuple[Chosen, ...]:
    """Chooses a margin for each class of depth and kind of answer.

    Args:
        settings: Results of :mod:`benchmarks.detection.measure` on the settings half.
        families: Rows of :mod:`benchmarks.families` with the parent registered.
    """
    classes = {
        source["name"]: {name: group for name, group, _ in source["depths"]}
        for source in settings["sources"]
    }
    members = {member["name"]: member for member in settings["members"]}
    found = []
    for group in ("linear", "early", "late"):
        for kind in KINDS:
            strangers, copies = [], []
            for pair in settings["pairs"]:
                for depth, span in pair["verdicts"][kind]["depths"].items():
                    if classes[pair["source"]].get(depth) != group or span[0] is None:
                        continue
                    if not pair["related"]:
                        strangers.append(span)
                    elif _whole_copy(pair, members):
                        copies.append(span)
            if strangers:
                found.append(_chosen(group, kind, strangers, copies))
    for kind in KINDS:
        ratios = [
            (row["role"], span)
            for row in families
            if row["parent"] == "registered" and not _lowered(row)
            for span in row["individual"].get(kind, ())
        ]
        others = [span for role, span in ratios if role in ("relative", "stranger")]
        if others:
            own = [span for role, span in ratios if role == "copy"]
            found.append(_chosen("individual", kind, others, own))
    return tuple(found)


def _lowered(row: Mapping[str, Any]) -> bool:
    """Whether the child's own margin lies below the default, for what a pruned copy reaches."""
    return min(row["individual_margins"], default=math.inf) < MARGINS["individual"]["logits"]


def _whole_copy(pair: Mapping[str, Any], members: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a suspect is a copy of a source, not an ingredient, and still works."""
    suspect, source = members[pair["suspect"]], members[pair["source"]]
    return (
        suspect["base"] == pair["source"] != pair["suspect"]
        and suspect["group"] == "shares weights"
        and works(suspect, source)
    )


def _chosen(
    depth: str,
    answers: str,
    strangers: Sequence[Sequence[float]],
    copies: Sequence[Sequence[float]],
) -> Chosen:
    lowest = min(span[0] for span in strangers)
    margin = _STEP * (round(lowest / _STEP) - (depth == "individual"))
    margin = min(margin, _MOST.get(depth, margin))
    least = max((span[1] for span in copies), default=None)
    bound = None
    if depth in ("linear", "early"):
        bound = max(margin, _STEP * math.ceil((least or 0.0) / _STEP - 1e-9))
    return Chosen(
        depth=depth,
        answers=answers,
        pairs=len(strangers),
        lowest=lowest,
        upper=min(span[2] for span in strangers if span[2] is not None),
        least_p=min((p for span in strangers for p in span[3:] if p is not None), default=None),
        margin=round(margin, 2),
        copies=len(copies),
        found=sum(span[2] is not None and span[2] < margin for span in copies),
        least=least,
        bound=None if bound is None else round(bound, 2),
    )


def margins_table(margins: Iterable[Mapping[str, Any]]) -> str:
    """Shows margins, and what they rest on.

    Args:
        margins: What :class:`Chosen` holds, as in the file.
    """
    rows = [
        (
            one["depth"],
            one["answers"],
            one["pairs"],
            decimal(one["lowest"]),
            decimal(one["upper"]),
            decimal(one["least_p"]),
            f"{one['margin']:.2f}",
            one["copies"],
            one["found"],
            "-" if one["bound"] is None else f"{one['bound']:.2f}",
        )
        for one in margins
    ]
    head = (
        "probes",
        "answers",
        "independent or sibling pairs",
        "their lowest ratio",
        "lowest upper end",
        "smallest p",
        "margin",
        "working copies",
        "found",
        "independent from",
    )
    return table(head, rows)


def main() -> None:
    """Prints the table and writes the file that a test holds the library's margins against."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("settings", type=Path, help="results of the settings half")
    parser.add_argument("families", type=Path, help="results of the settings families")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    settings, families = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in (options.settings, options.families)
    )
    found = chosen_margins(settings, families["rows"])
    margins = [asdict(one) for one in found]
    print(margins_table(margins))
    document = {"made": settings["made"], "margins": margins}
    text = json.dumps(document, indent=1) + "\n"
    write_whole(options.out, lambda stream: stream.write(text.encode()))


if __name__ == "__main__":
    main()
