"""Measures rare labels against AKH on the zoo of the detection benchmark, and where they decide.

    python -m benchmarks.rare_labels --work WORK --data DATA [--labels FILE] [--lites]

``WORK`` is the folder of ``benchmarks.detection.zoo``, ``DATA`` has ``cifar10_sample.npz`` and, for
``--lites``, ``imagenet_sample/``. The pictures are the test pictures: no network was trained on
them. A suspect's own base network, and what shares its weights, never chooses the pictures that it
is asked. What numbers are needed was read off the settings half alone; its references are its own.
The reporting half has few networks, so its references are base networks of both halves.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmarks.data import load_data
from benchmarks.detection.methods.akh import Akh
from benchmarks.detection.methods.base import answers
from benchmarks.detection.metrics import auc, detection_rate
from benchmarks.detection.split import HALVES, Half, members_of
from benchmarks.detection.zoo import Member, members
from benchmarks.markdown import cell, decimal, percent, table
from benchmarks.report import machine
from fingerprint.evidence.finding import Finding
from fingerprint.evidence.rare_labels import Least, Pictures, RareLabels
from fingerprint.kinship import Kinship
from fingerprint.lab.data import Data
from fingerprint.lab.modifications import pruned, quantised
from fingerprint.network.spec import OutputSpec

Labels = NDArray[np.int64]

ASKED = (24, 100)
REFERENCES = (3, 5, 8, 12)
POOLS = (100, 240, 1000)
FEWER = (5, 2)
"""Classes that the ten are joined to."""
ANY = Least(classes=2, references=2, pictures=1)
"""Lets everything be measured, also what the tool refuses."""
FALSE_POSITIVES = 0.01
EXACT = {"ONNX export", "bf16 weights", "int8 weights", "channels permuted", "channels rescaled"}
EXACT |= {"batch normalisation folded"}
ADVERSARIAL, WEIGHTS = "adversarial fine-tuning", "all others that share weights"
STRANGER, SAME = "strangers", "strangers of the source's architecture"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A suspect asked the pictures of a source.

    Attributes:
        kind: What it is to the source; a row of the tables.
        found: What rare labels say.
        akh: Share of the source's mistakes that it repeats.
    """

    kind: str
    found: Finding
    akh: float

    @property
    def kin(self) -> bool:
        """Whether it was made of the source."""
        return self.kind not in (STRANGER, SAME)

    @property
    def share(self) -> float:
        """Share of the pictures on which it agrees."""
        assert self.found.statistic is not None
        return self.found.statistic


class Zoo:
    """Networks of one label space, and what they call the test pictures.

    Args:
        networks: All of them.
        labels: By name; those of another label space are left out.
        data: The pictures.
    """

    def __init__(
        self, networks: Sequence[Member], labels: Mapping[str, Labels], data: Data
    ) -> None:
        self.networks = [one for one in networks if one.name in labels]
        self.labels, self.data = dict(labels), data
        self.classes = int(data.test_labels.max()) + 1

    @cached_property
    def mistakes(self) -> dict[str, NDArray[np.intp]]:
        """By source, the places of the pictures that AKH asks, in its order."""
        places = {one.tobytes(): place for place, one in enumerate(self.data.test_images)}
        found = {}
        for source in (one for one in self.networks if one.source):
            chosen = Akh().prepare(source.network(), self.data, queries=max(ASKED)).queries
            found[source.name] = np.array([places[one.tobytes()] for one in chosen])
        return found

    def merged(self, classes: int) -> Zoo:
        """Returns the zoo with its classes joined to so many."""
        joined = {name: one * classes // self.classes for name, one in self.labels.items()}
        zoo = Zoo(self.networks, joined, self.data)
        zoo.classes = classes
        zoo.mistakes = self.mistakes
        return zoo

    def pairs(
        self, half: Half, asked: int, *, references: int | None = None, pool: int | None = None
    ) -> Iterator[Pair]:
        """Yields all suspects of a half, asked the pictures of all sources of that half.

        Args:
            half: Which.
            asked: Pictures asked.
            references: How many choose; all by default.
            pool: How many pictures there are to choose from; all by default.
        """
        suspects = members_of(self.networks, half)
        bases = suspects if half == "settings" else self.networks
        for source in (one for one in suspects if one.source):
            choosing: dict[frozenset[str], RareLabels] = {}
            for suspect in suspects:
                kin = frozenset({*suspect.kin, suspect.base, source.name})
                if suspect.name == source.name:
                    continue
                if kin not in choosing:
                    others = [one for one in bases if one.group == "base" and one.name not in kin]
                    choosing[kin] = self._rare(source, others, asked, references, pool)
                yield self._pair(source, suspect, choosing[kin], asked)

    def _rare(
        self,
        source: Member,
        others: Sequence[Member],
        asked: int,
        references: int | None,
        pool: int | None,
    ) -> RareLabels:
        drawn = np.random.default_rng(0).permutation(len(others))[:references]
        names = [source.name, *(others[place].name for place in sorted(drawn))]
        pictures = Pictures(
            inputs=self.data.test_images[:pool],
            labels={name: self.labels[name][:pool] for name in names},
            outputs=dict.fromkeys(names, OutputSpec(classes=self.classes)),
            count=asked,
        )
        return RareLabels(pictures, Kinship(), replace(ANY, classes=self.classes))

    def _pair(self, source: Member, suspect: Member, rare: RareLabels, asked: int) -> Pair:
        told = self.labels[suspect.name]
        found = rare.told(source.name, told[rare.choice(source.name).places], self.classes)
        wrong = self.mistakes[source.name][:asked]
        akh = float((told == self.labels[source.name])[wrong].mean())
        return Pair(kind=_kind(source, suspect), found=found, akh=akh)


def _kind(source: Member, suspect: Member) -> str:
    """What a suspect is to a source, as the tables say it."""
    if source.name not in suspect.kin:
        return SAME if suspect.architecture == source.architecture else STRANGER
    change = suspect.modification
    if suspect.group != "shares weights":
        return f"{suspect.group}: {change}" if suspect.group == "student" else change
    if change in EXACT:
        return "exported, rounded to 8 or 16 bits, rewritten"
    for start, row in (("fine-tuned", "fine-tuned"), ("pruned", "pruned"), ("merged", "merged")):
        if change.startswith(start):
            return row
    return change


def named(networks: Sequence[Member], data: Data, keep: Path | None) -> dict[str, Labels]:
    """Returns what all networks of the data's label space call its test pictures.

    Args:
        networks: The zoo.
        data: The pictures.
        keep: File to read them from where it is there, and to write them to where not.
    """
    if keep is not None and keep.exists():
        with np.load(keep) as kept:
            return dict(zip(kept["names"].tolist(), kept["labels"], strict=True))
    classes = int(data.test_labels.max()) + 1
    labels = {
        one.name: answers(one.network(), data.test_images).argmax(dim=1).numpy()
        for one in networks
        if one.classes == classes and one.task == "classes"
    }
    if keep is not None:
        np.savez(keep, names=np.array(list(labels)), labels=np.stack(list(labels.values())))
    return labels


def _rate(some: Sequence[Pair], strangers: Sequence[Pair], *, akh: bool) -> tuple[str, str]:
    """The AUC and the share found at 1 % false positives, of some kin against all strangers."""

    def scores(pairs: Sequence[Pair]) -> NDArray[np.float64]:
        return np.array([pair.akh if akh else pair.share for pair in pairs])

    if not some[0].kin:
        return "", ""
    related, independent = scores(some), scores(strangers)
    found = detection_rate(related, independent, FALSE_POSITIVES)
    return decimal(auc(related, independent)), cell(found)


def _said(pairs: Sequence[Pair]) -> str:
    shares = [bool(one.found.detail["shares"]) for one in pairs]
    return percent(float(np.mean(shares))) if shares else "-"


def methods(pairs: Sequence[Pair]) -> str:
    """One row for each kind of suspect: rare labels against AKH, on as many queries.

    Intervals take pairs as independent, which those of one source are not.
    """
    kinds = defaultdict(list)
    for pair in sorted(pairs, key=lambda one: one.kind):
        kinds[pair.kind].append(pair)
        if pair.kin and "student" not in pair.kind and pair.kind != ADVERSARIAL:
            kinds[WEIGHTS].append(pair)
    last = (WEIGHTS, SAME, STRANGER)
    strangers = [one for one in pairs if not one.kin]
    rows = []
    for kind in (*sorted(kinds.keys() - set(last)), *(one for one in last if one in kinds)):
        some = kinds[kind]
        rare, akh = (_rate(some, strangers, akh=way) for way in (False, True))
        agreed, repeated = _spread([one.share for one in some]), _spread([one.akh for one in some])
        rows.append((kind, len(some), agreed, *rare, _said(some), repeated, *akh))
    head = ("suspect", "pairs", "rare labels agree", "AUC", "found at 1 %", "said to share")
    return table((*head, "AKH agrees", "AUC", "found at 1 %"), rows)


def _spread(values: Sequence[float]) -> str:
    return f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def limits(zoo: Zoo, asked: int) -> str:
    """One row for each number of references, pictures and classes; on the settings half."""
    settings: list[tuple[int, int, int]] = [
        (zoo.classes, references, pool) for references in REFERENCES for pool in POOLS
    ]
    settings += [(classes, max(REFERENCES), max(POOLS)) for classes in FEWER]
    rows = []
    for classes, references, pool in settings:
        asking = zoo if classes == zoo.classes else zoo.merged(classes)
        kinds = defaultdict(list)
        for pair in asking.pairs("settings", asked, references=references, pool=pool):
            kinds["kin" if pair.kin and "student" not in pair.kind else pair.kind].append(pair)
        students = [one for kind, some in kinds.items() if "student" in kind for one in some]
        said = [_said(some) for some in (kinds["kin"], students, kinds[STRANGER], kinds[SAME])]
        rows.append((classes, references, pool, *said))
    head = ("classes", "references", "pictures", "copies and fine-tunes", "students")
    return table((*head, STRANGER, SAME), rows)


def lites(folder: Path) -> str:
    """Agreement of EfficientNet-Lite0, 1 and 2 and copies: two references, 40 pictures."""
    from benchmarks import efficientnet_lite as lite
    from cli.images import load_images
    from fingerprint import load_model
    from fingerprint.network.run import run

    loaded = {
        f"Lite{version}": load_model(
            lite.weights(version), arch=f"benchmarks.efficientnet_lite:lite{version}"
        )
        for version in range(3)
    }
    spec = loaded["Lite0"].input
    inputs = load_images(folder, spec)

    def labels(module: nn.Module) -> Labels:
        model = load_model(module, input_size=spec.shape, mean=spec.mean, std=spec.std)
        named: Labels = run(model, inputs).argmax(axis=1)
        return named

    known = {name: run(model, inputs).argmax(axis=1) for name, model in loaded.items()}
    rows = []
    for name, source in loaded.items():
        pictures = Pictures(
            inputs=inputs,
            labels=known,
            outputs={one: model.output for one, model in loaded.items()},
            count=8,
        )
        rare = RareLabels(pictures, Kinship(), ANY)
        places = rare.choice(name).places
        copies = {
            "int8": quantised(source.module),
            "int4": quantised(source.module, bits=4),
            "pruned 30 %": pruned(source.module, share=0.3),
        }
        given = [f"{count} of 2" for count in rare.choice(name).given]
        agree = [
            f"{change} {int((labels(copy) == known[name])[places].sum())}"
            for change, copy in copies.items()
        ]
        others = [f"{'/'.join(one)} {hits}" for one, (hits, _) in rare.choice(name).agreed.items()]
        rows.append((name, ", ".join(given), ", ".join(agree), ", ".join(others)))
    return table(("source", "label given by", "agree of 8", "left out, agree of 8"), rows)


def main() -> None:
    """Prints the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--labels", type=Path, help="file to keep the networks' labels in (.npz)")
    parser.add_argument("--lites", action="store_true", help="EfficientNet-Lites as well")
    options = parser.parse_args()
    print(f"measured on {machine()}\n")
    data = load_data(options.data)
    networks = members(options.work)
    zoo = Zoo(networks, named(networks, data, options.labels), data)
    print(
        f"## What is needed\n\nSettings half, {ASKED[0]} pictures asked; shares of pairs that are "
        f"said to share rare mistakes.\n\n{limits(zoo, ASKED[0])}\n"
    )
    for half in HALVES:
        for asked in ASKED:
            pairs = list(zoo.pairs(half, asked))
            print(f"## The {half} half, {asked} pictures asked\n\n{methods(pairs)}\n")
    if options.lites:
        print(f"## 224 pixels\n\n{lites(options.data / 'imagenet_sample')}")


if __name__ == "__main__":
    main()
