r"""Scores your own suspects by methods of the literature and by rare labels, on as many queries.

    python -m benchmarks.detection.rivals ours.safetensors --arch timm:resnet18 \
        --suspect theirs.pt --suspect other.pt timm:resnet34 \
        --reference public.pt timm:mobilenetv2_100 --data pictures.npz

``--data`` is an .npz file with ``train_images``, ``train_labels``, ``test_images`` and
``test_labels``, images uint8 ``(N, H, W, C)``, of the source's task; or a folder of pictures, which
count as what the source calls them, so that AKH, which asks its mistakes, has none to ask. Rare
labels are taken from the test pictures; no network should have been trained on those. With
``--student``, networks that you taught the source's answers, there is a column for rare labels that
all of them share, which finds students better (``docs/rare_labels.md``).

A score alone says nothing: networks that have nothing to do with the source score too, some methods
high. References are such networks. If a suspect is one as well, and as like the source as they are,
it scores above all k of them with probability 1/(k+1).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.data import read_data
from benchmarks.detection.methods import Akh, IpGuard, ModelDiff, QueryMethod, Sac
from benchmarks.detection.methods.base import answers
from benchmarks.markdown import decimal, table
from benchmarks.rare_labels.conferrable import blended, conferred
from fingerprint import Model, load_model
from fingerprint.errors import FingerprintError, UsageError
from fingerprint.evidence.rare_labels import Least, Pictures, RareLabels
from fingerprint.kinship import Kinship
from fingerprint.lab.data import Data
from fingerprint.network.spec import OutputSpec

__all__ = ["ANY", "CONFERRABLE", "RARE", "RIVALS", "Asked", "compared", "main", "shown"]

RIVALS: tuple[QueryMethod, ...] = (Akh(), IpGuard(), Sac(), ModelDiff())
"""Methods of the literature that ask a suspect pictures."""
RARE, CONFERRABLE = "rare labels", "conferrable"
ANY = Least(classes=2, references=1, pictures=1, rare=1.0)
"""Lets rare labels be measured where the tool would refuse to say anything."""
_SOURCE = "the source"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the methods say of a network.

    Attributes:
        name: Of the network.
        reference: Whether it is known to have nothing to do with the source.
        scores: By method, higher for more alike; None where it cannot answer.
    """

    name: str
    reference: bool
    scores: Mapping[str, float | None]


def compared(
    source: nn.Module,
    suspects: Mapping[str, nn.Module],
    references: Mapping[str, nn.Module],
    data: Data,
    *,
    queries: int,
    students: Sequence[nn.Module] = (),
) -> tuple[list[Asked], list[str]]:
    """Asks every network the source's queries.

    Args:
        source: Takes pixels, gives logits; gradients are needed.
        suspects: By name; they need no gradients, nor do references.
        references: By name, other than those of suspects.
        data: Pictures; methods choose their queries from them.
        queries: How many each method may ask a network.
        students: Of the source, trained by its owner; with them there is a column for pictures
            that are conferrable.

    Returns:
        One row for each suspect, then for each reference; and what methods say of their queries.
    """
    networks = {**suspects, **references}
    scores: dict[str, dict[str, float | None]] = {name: {} for name in networks}
    notes = []
    for method in RIVALS:
        prepared = method.prepare(source, data, queries=queries)
        if prepared.note:
            notes.append(f"{method.name}: {prepared.note}")
        for name, network in networks.items():
            scores[name][method.name] = method.scores(prepared, network, (queries,))[queries]
    named = _Named(source, networks, set(references), students, data)
    for name in networks:
        scores[name][RARE] = named.rare(name, queries)
        if students:
            scores[name][CONFERRABLE] = named.conferrable(name, queries)
    rows = [
        Asked(name=name, reference=name in references, scores=scores[name]) for name in networks
    ]
    return rows, notes


class _Named:
    """What networks call the test pictures and blends of them, and who names as the source does.

    A reference is left out where the pictures that it is asked are chosen.
    """

    def __init__(
        self,
        source: nn.Module,
        networks: Mapping[str, nn.Module],
        references: set[str],
        students: Sequence[nn.Module],
        data: Data,
    ) -> None:
        images = data.test_images
        if students:
            images = np.concatenate([images, blended(images)])
        self.images, self.tests = images, len(data.test_images)
        self.references = sorted(references)
        told = {name: answers(one, images) for name, one in {**networks, _SOURCE: source}.items()}
        self.labels = {name: one.argmax(dim=1).numpy() for name, one in told.items()}
        self.classes = {name: one.shape[1] for name, one in told.items()}
        self.taught = [answers(one, images).argmax(dim=1).numpy() for one in students]

    def rare(self, name: str, queries: int) -> float | None:
        """Returns on what share of the rarest labels a network agrees."""
        choosing = [_SOURCE, *self._choosing(name)]
        pictures = Pictures(
            inputs=self.images[: self.tests],
            labels={one: self.labels[one][: self.tests] for one in choosing},
            outputs={one: OutputSpec(classes=self.classes[one]) for one in choosing},
            count=queries,
        )
        rare = RareLabels(pictures, Kinship(), ANY)
        told = self.labels[name][rare.choice(_SOURCE).places]
        return rare.told(_SOURCE, told, self.classes[name]).statistic

    def conferrable(self, name: str, queries: int) -> float | None:
        """Returns the same of those that all students share; None without references."""
        own, others = self.labels[_SOURCE], self._choosing(name)
        if not others or self.classes[name] != self.classes[_SOURCE]:
            return None
        places = conferred(own, self.taught, [self.labels[one] for one in others], queries)
        return float((self.labels[name] == own)[places].mean()) if len(places) else None

    def _choosing(self, name: str) -> list[str]:
        classes = self.classes[_SOURCE]
        return [one for one in self.references if one != name and self.classes[one] == classes]


def shown(rows: Sequence[Asked]) -> str:
    """Writes a table; the score of a suspect above all references is marked with an asterisk."""
    methods = list(rows[0].scores)
    highest = {
        method: max(
            (score for one in rows if one.reference and (score := one.scores[method]) is not None),
            default=None,
        )
        for method in methods
    }

    def written(one: Asked, method: str) -> str:
        score, limit = one.scores[method], highest[method]
        above = not one.reference and None not in (score, limit) and score > limit  # type: ignore[operator]
        return decimal(score) + (" *" if above else "")

    lines = [
        [f"{one.name}{' (reference)' * one.reference}", *(written(one, each) for each in methods)]
        for one in rows
    ]
    if any(one.reference for one in rows):
        lines.append(["highest of references", *(decimal(highest[each]) for each in methods)])
    return table(("network", *methods), lines)


class _Pixels(nn.Module):
    """A model as the methods ask it: pixels in [0, 1] to logits."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = [model]  # in a list, lest its weights count as this module's

    def forward(self, x: Tensor) -> Tensor:
        (model,) = self._model
        return model(x.to(model.dtype))


def _pictures(path: Path, model: Model) -> Data:
    """Reads the .npz file or the folder of ``--data``."""
    if path.is_file():
        try:
            return read_data(path, name=path.stem)
        except (KeyError, ValueError, OSError) as error:
            raise UsageError(f"--data: {path}: {error}") from error
    from cli.images import read_inputs

    images = read_inputs([path], model.input).values
    labels = answers(_Pixels(model), images).argmax(dim=1).numpy()
    return Data(
        name=path.name,
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
    )


def _check(data: Data, queries: int) -> None:
    """Refuses pictures that methods cannot choose their queries from."""
    images = data.train_images
    if len(images) < queries or len(set(data.train_labels.tolist())) < 2:
        raise UsageError(
            f"--data: expected at least {queries} training pictures of two classes or more, got "
            f"{len(images)} of {len(set(data.train_labels.tolist()))}"
        )


def _options() -> argparse.ArgumentParser:
    def numbers(text: str) -> tuple[float, ...]:
        return tuple(float(part) for part in text.split(","))

    def size(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split(","))

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection.rivals",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    network: dict[str, Any] = {
        "nargs": "+",
        "action": "append",
        "metavar": ("FILE", "ARCH"),
        "default": [],
    }
    parser.add_argument("source", type=Path, help="weights of the network that may be copied")
    parser.add_argument("--arch", help="of the source, and of every network that states no other")
    parser.add_argument("--suspect", **network, help="weights, and their --arch if it is another")
    parser.add_argument("--reference", **network, help="likewise, of an independent network")
    parser.add_argument("--student", **network, help="likewise, taught the source's answers")
    parser.add_argument("--data", type=Path, required=True, metavar="FILE|DIR", help="pictures")
    parser.add_argument("--queries", type=int, default=24, help="pictures asked by each method")
    parser.add_argument("--input-size", type=size, metavar="C,H,W", help="of every network")
    parser.add_argument("--mean", type=numbers, metavar="A,B,C", help="subtracted by each of them")
    parser.add_argument("--std", type=numbers, metavar="A,B,C", help="divided by, likewise")
    return parser


def main() -> None:
    """Prints a table of scores."""
    parser = _options()
    options = parser.parse_args()
    given = (*options.suspect, *options.reference, *options.student)
    if not options.suspect or any(len(one) > 2 for one in given):
        parser.error("expected --suspect FILE or --suspect FILE ARCH, at least once")
    if options.queries < 2:
        parser.error(f"--queries: expected at least 2, got {options.queries}")
    torch.set_num_threads(1)

    def read(file: str | Path, arch: str | None = None) -> Model:
        how = {name: getattr(options, name) for name in ("input_size", "mean", "std")}
        return load_model(file, arch=arch or options.arch, **how)

    def named(given: Sequence[Sequence[str]]) -> dict[str, nn.Module]:
        return {one[0]: _Pixels(read(*one)) for one in given}

    try:
        model = read(options.source)
        suspects, references = named(options.suspect), named(options.reference)
        students = list(named(options.student).values())
        data = _pictures(options.data, model)
        _check(data, options.queries)
        rows, notes = compared(
            _Pixels(model),
            suspects,
            references,
            data,
            queries=options.queries,
            students=students,
        )
    except FingerprintError as error:
        parser.error(str(error))
    print(shown(rows))
    if references:
        rate = 1 / (len(references) + 1)
        print(f"\n* above all {len(references)} references: one more like them is, in {rate:.0%}")
    for note in notes:
        print(note)


if __name__ == "__main__":
    main()
