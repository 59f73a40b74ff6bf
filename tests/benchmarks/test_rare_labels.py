"""The benchmark of rare labels: who is what to whom, and who never chooses the pictures."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.detection.zoo import Member
from benchmarks.rare_labels import tables
from benchmarks.rare_labels.asking import Memory
from benchmarks.rare_labels.conferrable import blended, conferred
from benchmarks.rare_labels.zoo import AKH, CONFERRABLE, RARE, SAME, STRANGER, Labels, Places, Zoo
from benchmarks.rare_labels.zoo import taught as taught_to
from fingerprint.lab.data import Data

N = 120
TRAINING = 1000


def member(name: str, architecture: str, change: str = "none", group: str = "base") -> Member:
    base = name.partition("/")[0]
    return Member(
        name=name,
        base=base,
        kin=(base,),
        modification=change,
        group=group,
        architecture=architecture,
        source=name == "vit 0",
        accuracy=0.5,
        task="classes",
        folded=False,
        seconds=0.0,
        file=Path("nowhere"),
    )


NETWORKS = [
    member("vit 0", "vit"),
    member("vit 1", "vit"),
    *(member(f"plain cnn {place}", "plain cnn") for place in range(4)),
    member("vit 0/pruned 20 %", "vit", "pruned 20 %", "shares weights"),
    member("vit 0/bf16 weights", "vit", "bf16 weights", "shares weights"),
    member("vit 0/extracted from labels", "plain cnn", "extracted from labels", "student"),
    member("plain cnn 0/pruned 20 %", "plain cnn", "pruned 20 %", "shares weights"),
]


@pytest.fixture
def zoo() -> Zoo:
    """Networks that are wrong at random on 40 % of the pictures; copies are as wrong as theirs."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (N, 3, 4, 4), np.uint8)
    truth = np.arange(N) % 10
    pool = np.concatenate([np.tile(truth, 5), np.arange(TRAINING) % 10])
    labels: dict[str, Labels] = {}
    for one in NETWORKS:
        wrong = np.where(generator.random(len(pool)) < 0.4, generator.integers(10), pool)
        labels[one.name] = labels.get(one.base, wrong)
    for name in taught_to("vit 0"):
        labels[name] = np.where(generator.random(len(pool)) < 0.5, labels["vit 0"], pool)
    data = Data(
        name="made",
        train_images=np.tile(images, (9, 1, 1, 1))[:TRAINING],
        train_labels=truth[:0],
        test_images=images,
        test_labels=truth,
    )
    made = Zoo(NETWORKS, lambda name, places: labels[name][places], data, {})
    made.mistakes = {"vit 0": np.flatnonzero(labels["vit 0"][:N] != truth)}
    return made


def test_every_suspect_is_asked_and_known_for_what_it_is(zoo: Zoo) -> None:
    pairs = list(zoo.pairs("settings", 10))
    assert [pair.kind for pair in pairs] == [
        SAME,
        *[STRANGER] * 4,
        "pruned",
        "exported, rounded to 8 or 16 bits, rewritten",
        "student: extracted from labels",
        STRANGER,
    ]
    for method in (RARE, CONFERRABLE, AKH):
        score = partial(zoo.score, method=method, asked=10)
        assert [score(pair) for pair in pairs if pair.kin] == [1.0] * 3
        assert max(score(pair) or 0.0 for pair in pairs if not pair.kin) < 0.5
        for pair in pairs:
            relative = score(pair, relative=True)
            assert relative is not None
            assert relative <= (score(pair) or 0.0)


def test_a_suspects_own_base_network_never_chooses_what_it_is_asked(zoo: Zoo) -> None:
    chosen = [set(pair.references) for pair in zoo.pairs("settings", 10)]
    cnns = {f"plain cnn {place}" for place in range(4)}
    assert chosen[0] == cnns
    assert chosen[1] == chosen[-1] == {"vit 1", *cnns} - {"plain cnn 0"}
    assert chosen[5] == {"vit 1", *cnns}


def test_training_pictures_are_asked_only_where_they_are_named(zoo: Zoo) -> None:
    pairs = list(zoo.pairs("settings", 10))
    for method in (RARE, CONFERRABLE, AKH):
        assert max(max(zoo.places(pair, method, 10)) for pair in pairs) < zoo.pool.training.start
    part = zoo.pool.training
    asked: list[int] = []

    def told(name: str, places: Places) -> Labels:
        asked.extend(np.arange(part.stop)[places])
        return plain(name, places)

    plain, zoo.told = zoo.told, told
    list(zoo.pairs("settings", 10, begin=part.start, end=part.stop))
    assert min(asked) == part.start


def test_the_tables_hold_a_row_for_each_kind(zoo: Zoo) -> None:
    lines = tables.methods(zoo, "settings", 10).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| student: extracted from labels",
        "| *all students*",
        "| exported, rounded to 8 or 16 bits, rewritten",
        "| pruned",
        "| *all others*",
        f"| {SAME}",
        f"| {STRANGER}",
    ]
    assert "| 1.00, 1 of 1 | 1.00, 1 of 1 | 1.00, 1 of 1 |" in lines[2]
    merged = zoo.merged(2)
    assert (merged.told("vit 0", slice(0, N)).max(), merged.classes) == (1, 2)


def test_conferrable_pictures_are_those_that_every_student_names_so() -> None:
    own = np.array([0, 1, 2, 3, 4])
    taught = [np.array([0, 1, 2, 3, 9]), np.array([0, 1, 2, 9, 4])]
    references = [np.array([0, 9, 9, 9, 9]), np.array([0, 9, 2, 9, 9])]
    assert conferred(own, taught, references, 2).tolist() == [1, 2]
    assert conferred(own, taught, references, 9).tolist() == [1, 2, 0], "no more are shared"


def test_blends_lie_between_two_pictures() -> None:
    images = np.array([0, 100], np.uint8).reshape(2, 1, 1, 1)
    mixed = blended(images).ravel()
    assert mixed.shape == (8,)
    assert set(mixed.tolist()) <= {0, 40, 60, 100}


class Counted(nn.Module):
    """Names a picture by its only pixel, and counts."""

    asked = 0

    def forward(self, x: Tensor) -> Tensor:
        Counted.asked += len(x)
        return nn.functional.one_hot((255 * x).round().long().flatten(), 10).float()


def test_nobody_is_asked_a_picture_twice(tmp_path: Path) -> None:
    images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    with torch.inference_mode():
        first = Memory({"one": Counted}, images, tmp_path)
        assert first("one", slice(1, 3)).tolist() == [1, 2]
        assert first("one", np.array([5, 2, 5])).tolist() == [5, 2, 5]
        again = Memory({"one": Counted}, images, tmp_path)
        assert again("one", slice(None)).tolist() == [0, 1, 2, 3, 4, 5]
    assert Counted.asked == 6


def test_the_page_says_what_its_tables_say(zoo: Zoo) -> None:
    page = Path("docs/rare_labels.md").read_text(encoding="utf-8")
    named = re.findall(r"<!-- table: (.+) -->", page)
    assert sorted(named) == sorted(tables.tables(zoo, Path()))

    def row(table: str, kind: str) -> list[str]:
        lines = page.partition(f"<!-- table: {table} -->\n")[2].splitlines()
        (found,) = [line for line in lines[: lines.index("<!-- end -->")] if f"| {kind} |" in line]
        return found.strip("| ").split(" | ")

    words = " ".join(page.split())
    few, many = (row(f"reporting half, {asked} pictures", "*all students*") for asked in (24, 100))
    counts = [cells[place].split(", ")[1].split()[0] for cells in (few, many) for place in (4, 5)]
    found, by_akh, found_of_100, by_akh_of_100 = counts
    assert f"With 24 queries {found} of {few[1]} students are found, by AKH {by_akh};" in words
    assert f"with 100, {found_of_100} and {by_akh_of_100}." in words
    assert "**With 100 pictures asked, 2 of 14 strangers" in words
    assert row("reporting half, 100 pictures", SAME)[1:3] == ["14", "14.3 %"]
    assert row("reporting half, 24 pictures", SAME)[2] == "0 %"
    assert row("what is needed", "10 | 5 | 240")[-1] == "16.7 %"
    assert row("what is needed", "10 | 8 | 240")[-1] == "0 %"
