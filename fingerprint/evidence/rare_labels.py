"""Rare labels: does the suspect repeat what the source alone says of pictures?

Networks that are right are alike; each wrong one is wrong in its own way. Of many pictures, which
need no labels, those are asked on which the label of the registered model is the one that fewest
reference models give, and the labels that agree are counted. References are other registered
models that name the same classes and are not kin; models that are kin to each other are one
reference, which gives a label if any of them does.

*The null hypothesis*: the suspect has no more to do with the source than the references have, and
agrees with it no more often than they do on pictures that they did not choose. References that
chose the pictures do not calibrate them, for they were chosen where they disagree. So each is left
out in turn, pictures are chosen by the others, and it is asked those as if it were the suspect.
The p-value is the larger of two:

* *rank* (conformal): if the suspect is exchangeable with k references, it agrees more often than
  each of them with probability 1/(k+1). No p-value lies below that, whatever is found: there is no
  default rate. With one reference less the pictures are a little less rare than the suspect's own,
  so this errs to the safe side;
* *count* (Fisher's exact test): the suspect's agreements against those of the highest reference.

What is found says "shares its rare mistakes", which is not "shares weights", and decides nothing of
the verdict, of labels alone neither. The null hypothesis can be false of strangers:

* a source that is better than its references has rare labels that are right, and any good model
  gives them;
* networks of the source's architecture and training pictures share more of its mistakes than
  others do, so that one of them should be among the references (where none was, 2 of 11 were said
  to share them with 100 pictures asked, and none of 11 with 24);
* whoever brings the pictures can pick them by the suspect's answers. Their digest is kept with the
  finding; where they come from has to be agreed on. Pictures of the training are no use: on those
  networks are right. Where all were trained on them, nothing is rare, and nothing is said; where
  the source alone was, its rare labels are right.

``benchmarks.rare_labels`` measures how often (docs/rare_labels.md). Students are hardly found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fingerprint.canonical import canonical, sha256_of
from fingerprint.distances import answered
from fingerprint.evidence.calibration import Margin
from fingerprint.evidence.finding import Finding
from fingerprint.questions import question_id

if TYPE_CHECKING:
    from fingerprint.answers import Answers
    from fingerprint.kinship import Kinship
    from fingerprint.network.spec import OutputSpec

__all__ = ["PICTURES", "Choice", "Least", "Pictures", "RareLabels", "labels_of", "rarest"]

PICTURES = 24
"""Pictures a suspect is asked of each candidate."""
LEAST_KAPPA = 0.2
"""Cohen's kappa of a reference's labels and the source's, below which they name other classes."""
LEAST_ANSWERED = 0.75
"""Share of the pictures asked that must be answered."""
COUNT_LEVEL = 0.05
"""Level of the count test from which a suspect above all references *shares its rare mistakes*."""

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Least:
    """What there must be for rare labels to say anything.

    Attributes:
        classes: Fewer were only tried by joining the ten of a benchmark: with two classes 2 of 178
            strangers were said to share rare mistakes, with ten none.
        references: With five, and 240 pictures, 2 of 12 strangers of the source's architecture
            were said to share its mistakes; with eight, none.
        pictures: How many for each one asked: of four times as many, fewer copies are found.
        rare: Largest share of references that names half of the pictures asked as the source does.
            Where the networks were trained on the pictures, all of them are right, and nothing is
            rare; of unseen pictures, 240 or 1000, it was 0.12 at most.
    """

    classes: int = 10
    references: int = 8
    pictures: int = 10
    rare: float = 0.5

    def problem(self, *, classes: int, references: int, pictures: int, count: int) -> str:
        """Says what there is too little of to ask so many pictures; empty if there is enough."""
        for what, given, least in (
            ("classes", classes, self.classes),
            ("references that name the same classes and are no kin", references, self.references),
            ("different pictures", pictures, self.pictures * count),
        ):
            if given < least:
                return f"expected at least {least} {what}, got {given}"
        return ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Pictures without labels, and what registered models call them.

    Attributes:
        inputs: Shape ``(N, *shape)``; uint8 for pixels, else float32. Equal ones count once.
        labels: By model, the class that it names for each, shape ``(N,)``; -1 for none.
        outputs: By model, what it answers.
        absent: By model that could not be asked, why.
        count: How many a suspect is asked of each candidate.
    """

    inputs: NDArray[Any]
    labels: Mapping[str, Labels]
    outputs: Mapping[str, OutputSpec]
    absent: Mapping[str, str] = field(default_factory=dict)
    count: int = PICTURES

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The id of each picture, as it is asked."""
        return tuple(map(question_id, self.inputs))

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """Places of different pictures in the order of their ids, which nobody picks."""
        places: dict[str, int] = {}
        for place, one in enumerate(self.ids):
            places.setdefault(one, place)
        return np.array([places[one] for one in sorted(places)], dtype=np.intp)


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """What a suspect is asked of one candidate, and what references make of such pictures.

    Attributes:
        places: Of the pictures chosen, rarest first.
        given: How many references give the candidate's label, for each of them.
        agreed: By reference, how many of its pictures it names as the candidate does when it is
            left out of the choosing, and how many it was asked. Kin are one reference.
        missing: Why nothing is asked; empty if something is.
    """

    places: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    given: Labels = field(default_factory=lambda: np.empty(0, np.int64))
    agreed: Mapping[tuple[str, ...], tuple[int, int]] = field(default_factory=dict)
    missing: str = ""


_LEAST = Least()


class RareLabels:
    """Chooses pictures for candidates, and counts on how many a suspect agrees.

    Args:
        pictures: What there is to choose from.
        kinship: What is declared of the models; kin of a candidate are no references for it.
        least: What there must be for an answer.
    """

    name = "rare_labels"

    def __init__(self, pictures: Pictures, kinship: Kinship, least: Least = _LEAST) -> None:
        self.pictures, self.least = pictures, least
        self._families = kinship.families()
        self._choices: dict[str, Choice] = {}

    def choice(self, name: str) -> Choice:
        """Returns what to ask of a candidate."""
        if name not in self._choices:
            self._choices[name] = self._choose(name)
        return self._choices[name]

    def wanted(self, names: Iterable[str], classes: int) -> dict[str, NDArray[Any]]:
        """Returns by candidate the pictures to be asked of a suspect of so many classes.

        Those that would say nothing are left out; the others have shape ``(n, *shape)``.
        """
        return {
            name: self.pictures.inputs[self.choice(name).places]
            for name in names
            if not self.choice(name).missing and self.pictures.outputs[name].classes == classes
        }

    def measure(self, name: str, answers: Answers) -> Finding:
        """Counts on how many of a candidate's pictures the suspect agrees with it.

        Args:
            name: The candidate.
            answers: The suspect's, to its pictures among others; some may be missing.
        """
        asked = self.pictures.inputs[self.choice(name).places]
        told = labels_of(answers.of(asked), answers.output)
        return self.told(name, told, answers.output.classes)

    def told(self, name: str, told: Labels, classes: int) -> Finding:
        """Does the same with the labels themselves.

        Args:
            name: The candidate.
            told: What the suspect calls the candidate's pictures, shape ``(n,)``; -1 for none.
            classes: How many classes it names.
        """
        choice = self.choice(name)
        used = int((told >= 0).sum())
        missing = choice.missing
        if not missing and classes != self.pictures.outputs[name].classes:
            known = self.pictures.outputs[name].classes
            missing = f"the suspect names {classes} classes, the model {known}"
        elif not missing and used < LEAST_ANSWERED * len(told):
            missing = f"{len(told) - used} of {len(told)} pictures were not answered"
        if missing:
            return Finding(test=self.name, detail=self._detail(choice, missing=missing))
        # A label of -1 equals none, for the pictures chosen are named by the source.
        same = int((told == self.pictures.labels[name][choice.places]).sum())
        return self._counted(choice, same, used)

    def _counted(self, choice: Choice, same: int, used: int) -> Finding:
        """What so many agreements say."""
        counts = list(choice.agreed.values())
        worst = max(counts, key=lambda count: count[0] / count[1])
        floor = 1 / (len(counts) + 1)
        rank = floor * (1 + sum(hits / asked >= same / used for hits, asked in counts))
        count = _fisher((same, used), worst)
        interval = stats.binomtest(same, used).proportion_ci(method="exact")
        return Finding(
            test=self.name,
            statistic=same / used,
            interval=(float(interval.low), float(interval.high)),
            p_value=max(rank, count),
            least_p=max(floor, _fisher((used, used), worst)),
            margin=_margin(worst[0] / worst[1], len(counts)),
            used=used,
            detail=self._detail(
                choice,
                agreed=same,
                p_rank=rank,
                p_count=count,
                shares=rank == floor and count <= COUNT_LEVEL,
            ),
        )

    def _choose(self, name: str) -> Choice:
        pictures, own = self.pictures, self.pictures.labels.get(name)
        if own is None:
            reason = pictures.absent.get(name, "it is not known what it calls the pictures")
            return Choice(missing=f"the model could not be asked the pictures: {reason}")
        references = self._references(name)
        order = pictures.order[own[pictures.order] >= 0]
        problem = self.least.problem(
            classes=pictures.outputs[name].classes,
            references=len(references),
            pictures=len(order),
            count=pictures.count,
        )
        if problem:
            return Choice(missing=problem)
        labels = {
            family: np.stack([pictures.labels[member] for member in family])
            for family in references
        }
        places, given = rarest(own, list(labels.values()), order, pictures.count)
        if np.median(given) > self.least.rare * len(references):
            return Choice(
                missing="the model names hardly a picture otherwise than its references do; "
                "pictures that networks were trained on are no use"
            )
        agreed = {}
        for family, rows in labels.items():
            others = [one for key, one in labels.items() if key != family]
            asked, _ = rarest(own, others, order, pictures.count)
            agreed[family] = _most_alike(own[asked], rows[:, asked])
        return Choice(places=places, given=given, agreed=agreed)

    def _references(self, name: str) -> list[tuple[str, ...]]:
        """Returns who chooses and calibrates: models that name the same classes, kin together."""
        pictures = self.pictures
        own, classes = pictures.labels[name], pictures.outputs[name].classes
        family = self._families.get(name, name)
        found: dict[object, list[str]] = {}
        for other, labels in pictures.labels.items():
            kin = self._families.get(other, other)
            if (
                kin != family
                and pictures.outputs[other].classes == classes
                and _kappa(own[pictures.order], labels[pictures.order], classes) >= LEAST_KAPPA
            ):
                found.setdefault(kin, []).append(other)
        return [tuple(sorted(members)) for members in found.values()]

    def _detail(self, choice: Choice, **more: Any) -> dict[str, Any]:
        """Everything that the finding rests on, so that it lies in the chain with it."""
        ids = [self.pictures.ids[place] for place in choice.places]
        return {
            "pictures": len(self.pictures.inputs),
            "pictures_sha256": sha256_of(canonical(self.pictures.ids)),
            "chosen": choice.places.tolist(),
            "chosen_sha256": sha256_of(canonical(ids)),
            "given_by": choice.given.tolist(),
            "references": [
                {"models": list(family), "agreed": hits, "asked": asked}
                for family, (hits, asked) in choice.agreed.items()
            ],
            "absent": dict(self.pictures.absent),
            **more,
        }


def labels_of(rows: NDArray[np.floating], output: OutputSpec) -> Labels:
    """Returns the class that each row of answers ``(N, classes)`` names, -1 for none."""
    there = answered(rows, output.kind)
    best = np.where(there[:, None], rows, 0.0).argmax(axis=-1)
    return np.where(there, best, -1).astype(np.int64)


def rarest(
    own: Labels, references: Sequence[Labels], order: NDArray[np.intp], count: int
) -> tuple[NDArray[np.intp], Labels]:
    """Chooses the pictures on which fewest references give the source's label.

    Args:
        own: The source's labels, shape ``(N,)``.
        references: Of each, the labels of its models, shape ``(models, N)``.
        order: Places to choose from; of equally rare ones the first are taken.
        count: How many.

    Returns:
        Their places, rarest first, and how many references give the source's label there.
    """
    given = np.zeros(len(own), np.int64)
    for rows in references:
        given += (rows == own).any(axis=0)
    places = order[np.argsort(given[order], kind="stable")][:count]
    return places, given[places]


def _most_alike(own: Labels, rows: Labels) -> tuple[int, int]:
    """Of models of one family, the hits of the one that agrees most, and its answers."""
    counts = [(int((row == own).sum()), max(1, int((row >= 0).sum()))) for row in rows]
    return max(counts, key=lambda count: count[0] / count[1])


def _margin(value: float, references: int) -> Margin:
    """What agreement is held against: nothing above it makes anybody independent."""
    floor = 1 / (references + 1)
    return Margin(value, "references", pairs=references, floor=floor, bound=math.inf)


def _kappa(first: Labels, second: Labels, classes: int) -> float:
    """Cohen's kappa: agreement beyond what these shares of labels give by chance."""
    there = (first >= 0) & (second >= 0)
    if not there.any():
        return 0.0
    shares = [np.bincount(one[there], minlength=classes) / there.sum() for one in (first, second)]
    chance = float(shares[0] @ shares[1])
    return 0.0 if chance == 1 else float(((first == second)[there].mean() - chance) / (1 - chance))


def _fisher(suspect: tuple[int, int], other: tuple[int, int]) -> float:
    """Fisher's exact p-value: hits of the first against hits of the second, each of so many."""
    (hits, asked), (rival, rivals) = suspect, other
    return float(min(1.0, stats.hypergeom.sf(hits - 1, asked + rivals, hits + rival, asked)))
