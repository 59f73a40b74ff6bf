"""Chooses the default margins from the half of the zoo that chooses settings, and prints them.

    python -m benchmarks.detection.measure --work WORK --data DIR --half settings --out SETTINGS
    python -m benchmarks.detection.calibrate SETTINGS [--out FILE]

A margin is the lowest ratio of any independent pair, to the nearest multiple of 0.05; in the exact
null space 0.5 at most, for above that one copy more is found, and students lie there, who share no
weights (``benchmarks.digits_limits``); early 0.5 at most, for a fine-tune of the public ResNet-20
as source brought the ResNet-44 of the same collection to 0.51. A margin is what the null hypothesis
says of strangers, not a threshold: a claim needs the whole interval below it and p below α. A bound
of *independent* is the margin, or where higher the least multiple of 0.05 above which no interval
of a working copy lies: one that keeps half of what its source does better than chance, mere
ingredients of a merged network aside; and 0.5 at least, for a fine-tune for another task in the
reporting half had an interval from 0.47. Labels have no interval; they take the margin of the named
classes. Individual probes have margins by child (``benchmarks.families``), and none here.
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
from fingerprint.files import write_whole

__all__ = ["OUT", "Chosen", "chosen_margins", "margins_table"]

OUT = Path(__file__).with_name("margins.json")
_STEP = 0.05
_MOST = {"linear": 0.5, "early": 0.5}
_LEAST_BOUND = 0.5
_KINDS = ("logits", "probabilities", "top-5")
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


def chosen_margins(settings: Mapping[str, Any]) -> tuple[Chosen, ...]:
    """Chooses a margin for each class of depth and kind of answer.

    Args:
        settings: Results of :mod:`benchmarks.detection.measure` on the settings half.
    """
    classes = {
        source["name"]: {name: group for name, group, _ in source["depths"]}
        for source in settings["sources"]
    }
    members = {member["name"]: member for member in settings["members"]}
    found = []
    for group in ("linear", "early", "late"):
        for kind in _KINDS:
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
    return tuple(found)


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
    margin = _STEP * round(lowest / _STEP)
    margin = min(margin, _MOST.get(depth, margin))
    least = max((span[1] for span in copies), default=None)
    bound = None
    if depth in ("linear", "early"):
        bound = max(margin, _LEAST_BOUND, _STEP * math.ceil((least or 0.0) / _STEP - 1e-9))
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
        "independent pairs",
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
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    settings = json.loads(options.settings.read_text(encoding="utf-8"))
    margins = [asdict(one) for one in chosen_margins(settings)]
    print(margins_table(margins))
    document = {"made": settings["made"], "margins": margins}
    text = json.dumps(document, indent=1) + "\n"
    write_whole(options.out, lambda stream: stream.write(text.encode()))


if __name__ == "__main__":
    main()
