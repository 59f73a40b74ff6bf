"""The tables of ``docs/rare_labels.md``.

A cell such as ``0.98, 58 of 68`` is the AUC against all strangers, and how many suspects are found:
score above all but 1 % of the strangers.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmarks.detection.metrics import auc, detection_rate
from benchmarks.detection.rivals import ANY
from benchmarks.detection.split import HALVES, Half
from benchmarks.markdown import percent, table
from benchmarks.rare_labels.zoo import ASKED, METHODS, RELATIVE, SAME, STRANGER, Labels, Pair, Zoo
from fingerprint.evidence.rare_labels import Pictures, RareLabels
from fingerprint.kinship import Kinship
from fingerprint.lab.modifications import pruned, quantised

__all__ = ["tables"]

REFERENCES = (3, 5, 8, 12)
POOLS = (100, 240, 1000)
FEWER = (5, 2)
"""Classes that the ten are joined to."""
FALSE_POSITIVES = 0.01
ADVERSARIAL = "adversarial fine-tuning"
STUDENTS, WEIGHTS = "*all students*", "*all others*"

Score = Callable[[Pair], float | None]


def tables(zoo: Zoo, pictures: Path) -> dict[str, Callable[[], str]]:
    """Returns what makes each table of the page, by its name there.

    Args:
        zoo: The networks at 32 pixels.
        pictures: A folder of ImageNet's, for those at 224.
    """
    made: dict[str, Callable[[], str]] = {"what is needed": partial(limits, zoo, ASKED[0])}
    for half in HALVES:
        for asked in ASKED:
            made[f"{half} half, {asked} pictures"] = partial(methods, zoo, half, asked)
        made[f"{half} half, other teachers"] = partial(teachers, zoo, half)
    return made | {"224 pixels": partial(lites, pictures)}


def _kinds(pairs: Sequence[Pair]) -> Mapping[str, Sequence[Pair]]:
    """Returns pairs by row: students, adversarial training, what shares weights, strangers."""
    kinds: dict[str, list[Pair]] = defaultdict(list)
    for pair in sorted(pairs, key=lambda one: one.kind):
        kinds[pair.kind].append(pair)
        if pair.kin and pair.kind != ADVERSARIAL:
            kinds[STUDENTS if "student" in pair.kind else WEIGHTS].append(pair)
    last = (STUDENTS, ADVERSARIAL, WEIGHTS, SAME, STRANGER)
    students = [kind for kind in kinds if kind.startswith("student")]
    others = sorted(kinds.keys() - {*last, *students})
    order = (*students, STUDENTS, ADVERSARIAL, *others, WEIGHTS, SAME, STRANGER)
    return {kind: kinds[kind] for kind in order if kind in kinds}


def _rate(some: Sequence[Pair], pairs: Sequence[Pair], score: Score) -> str:
    """The AUC, and how many are found at 1 % false positives, of some kin against strangers."""
    if not some[0].kin:
        return ""

    def scores(of: Sequence[Pair]) -> NDArray[np.float64]:
        told = [score(pair) for pair in of]
        return np.array([one for one in told if one is not None])

    related, independent = scores(some), scores([one for one in pairs if not one.kin])
    if not len(related):
        return "-"
    found = detection_rate(related, independent, FALSE_POSITIVES)
    area = math.floor(100 * (auc(related, independent) or 0.0)) / 100  # lest 1.00 be less than 1
    return f"{area:.2f}, {found.hits} of {len(related)}"


def _said(pairs: Sequence[Pair]) -> str:
    """How many are said to share rare mistakes."""
    shares = [bool(one.found.detail.get("shares")) for one in pairs]
    return percent(float(np.mean(shares))) if shares else "-"


def methods(zoo: Zoo, half: Half, asked: int) -> str:
    """One row for each kind of suspect: every method that its half measured, on as many queries."""
    shown = METHODS if half == "reporting" else RELATIVE
    pairs = list(zoo.pairs(half, asked))
    rows = []
    for kind, some in _kinds(pairs).items():
        rates = [
            _rate(some, pairs, partial(zoo.score, method=method, asked=asked)) for method in shown
        ]
        rows.append((kind, len(some), _said(some), *rates))
    return table(("suspect", "pairs", "said to share", *shown), rows)


def teachers(zoo: Zoo, half: Half) -> str:
    """Compares labels as they are and less the agreement with the nearest teacher."""
    head, rows = ["suspect", "queries", "pairs"], []
    for method in RELATIVE:
        head += [method, "relative"]
    for asked in ASKED:
        pairs = list(zoo.pairs(half, asked))
        for kind, some in _kinds(pairs).items():
            if kind in (STUDENTS, ADVERSARIAL, WEIGHTS):
                ways = [
                    partial(zoo.score, method=method, asked=asked, relative=relative)
                    for method in RELATIVE
                    for relative in (False, True)
                ]
                rates = [_rate(some, pairs, way) for way in ways]
                rows.append((kind, asked, len(some), *rates))
    return table(head, rows)


def limits(zoo: Zoo, asked: int) -> str:
    """One row for each number of references, pictures and classes; on the settings half."""
    settings = [(zoo.classes, count, 0, pool) for count in REFERENCES for pool in POOLS]
    settings += [(classes, max(REFERENCES), 0, max(POOLS)) for classes in FEWER]
    training = zoo.pool.training
    settings += [(zoo.classes, max(REFERENCES), training.start, training.stop)]
    rows = []
    for classes, references, begin, end in settings:
        asking = zoo if classes == zoo.classes else zoo.merged(classes)
        kinds = defaultdict(list)
        for pair in asking.pairs("settings", asked, references=references, begin=begin, end=end):
            kinds["kin" if pair.kin and "student" not in pair.kind else pair.kind].append(pair)
        students = [one for kind, some in kinds.items() if "student" in kind for one in some]
        said = [_said(some) for some in (kinds["kin"], students, kinds[STRANGER], kinds[SAME])]
        trained = " of the training" if begin else ""
        rows.append((classes, references, f"{end - begin}{trained}", *said))
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
