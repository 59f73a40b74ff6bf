"""The benchmark of rare labels: who is what to whom, and who never chooses the pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import rare_labels
from benchmarks.detection.zoo import Member
from fingerprint.lab.data import Data

N = 120


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
def zoo() -> rare_labels.Zoo:
    generator = np.random.default_rng(0)
    truth = np.arange(N) % 10
    labels: dict[str, rare_labels.Labels] = {}
    for one in NETWORKS:
        base = labels.get(one.base)
        wrong = generator.integers(10, size=N)
        labels[one.name] = (
            np.where(generator.random(N) < 0.4, wrong, truth) if base is None else base
        )
    images = generator.integers(0, 256, (N, 3, 4, 4), np.uint8)
    data = Data(
        name="made",
        train_images=images[:0],
        train_labels=truth[:0],
        test_images=images,
        test_labels=truth,
    )
    made = rare_labels.Zoo(NETWORKS, labels, data)
    made.mistakes = {"vit 0": np.flatnonzero(labels["vit 0"] != truth)}
    return made


def test_every_suspect_is_asked_and_known_for_what_it_is(zoo: rare_labels.Zoo) -> None:
    pairs = list(zoo.pairs("settings", 10))
    assert [pair.kind for pair in pairs] == [
        rare_labels.SAME,
        *[rare_labels.STRANGER] * 4,
        "pruned",
        "exported, rounded to 8 or 16 bits, rewritten",
        "student: extracted from labels",
        rare_labels.STRANGER,
    ]
    assert [pair.share for pair in pairs if pair.kin] == [1.0] * 3
    assert [pair.akh for pair in pairs if pair.kin] == [1.0] * 3
    assert max(pair.share for pair in pairs if not pair.kin) < 0.5


def test_a_suspects_own_base_network_never_chooses_what_it_is_asked(zoo: rare_labels.Zoo) -> None:
    chosen = [
        {name for one in pair.found.detail["references"] for name in one["models"]}
        for pair in zoo.pairs("settings", 10)
    ]
    cnns = {f"plain cnn {place}" for place in range(4)}
    assert chosen[0] == cnns
    assert chosen[1] == chosen[-1] == {"vit 1", *cnns} - {"plain cnn 0"}
    assert chosen[5] == {"vit 1", *cnns}


def test_the_tables_hold_a_row_for_each_kind(zoo: rare_labels.Zoo) -> None:
    lines = rare_labels.methods(list(zoo.pairs("settings", 10))).splitlines()
    assert len(lines) == 2 + 6
    assert lines[2].startswith("| exported, rounded to 8 or 16 bits, rewritten | 1 | 1.00 (1.00 to")
    assert [zoo.merged(2).labels["vit 0"].max(), zoo.merged(5).classes] == [1, 5]
