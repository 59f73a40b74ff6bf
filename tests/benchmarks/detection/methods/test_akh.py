from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch

from benchmarks.detection.methods import Akh
from benchmarks.detection.methods.akh import label_agreement
from fingerprint.lab.training import pixels
from tests.benchmarks.detection.methods import cases
from tests.support.digits import digits


def _mistakes(images: np.ndarray, labels: np.ndarray) -> set[bytes]:
    with torch.no_grad():
        named = cases.source()(pixels(images)).argmax(dim=1).numpy()
    return {image.tobytes() for image in images[named != labels]}


def test_queries_are_the_sources_mistakes_test_images_first() -> None:
    data = digits()
    prepared = Akh().prepare(cases.source(), data, queries=100, seed=0)
    test = _mistakes(data.test_images, data.test_labels)
    train = _mistakes(data.train_images, data.train_labels)
    asked = [image.tobytes() for image in prepared.queries]
    assert test
    assert set(asked[: len(test)]) == test
    assert set(asked[len(test) :]) == train
    assert f"{len(test)} misclassified test images, then {len(train)}" in prepared.note


def test_training_images_are_left_alone_where_the_test_images_suffice() -> None:
    data = digits()
    test = _mistakes(data.test_images, data.test_labels)
    prepared = Akh().prepare(cases.source(), data, queries=len(test), seed=0)
    assert {image.tobytes() for image in prepared.queries} == test
    assert prepared.note == ""


def test_a_source_without_mistakes_gives_no_score() -> None:
    data = digits()
    with torch.no_grad():
        named = [
            cases.source()(pixels(images)).argmax(dim=1).numpy()
            for images in (data.train_images, data.test_images)
        ]
    faultless = replace(data, train_labels=named[0], test_labels=named[1])
    prepared = Akh().prepare(cases.source(), faultless, queries=100, seed=0)
    assert Akh().scores(prepared, cases.source(), (6, 12)) == {6: None, 12: None}


def test_a_copy_with_weights_rounded_to_six_bits_ranks_above_an_independent_network() -> None:
    copied = copy.deepcopy(cases.source())
    with torch.no_grad():
        for weight in copied.parameters():
            step = weight.abs().amax() / 31
            weight.copy_((weight / step).round() * step)
    prepared = Akh().prepare(cases.source(), digits(), queries=100, seed=0)
    derived = Akh().scores(prepared, copied)[100]
    other = Akh().scores(prepared, cases.independent())[100]
    assert derived is not None
    assert other is not None
    assert derived > other


def test_agreement_counts_equal_labels() -> None:
    one = torch.eye(4)
    assert label_agreement(one, one) == 1.0
    assert label_agreement(one, one[[0, 1, 3, 2]]) == 0.5
    assert label_agreement(one, torch.eye(4, 5)) is None
