"""Parts of weights that do not fit each other: nothing is computed from them, nothing breaks."""

from __future__ import annotations

import itertools
import random

import torch

from fingerprint.errors import IncompatibleModel
from fingerprint.formats.restored import restored, scaled
from fingerprint.formats.tensors import admit

SHAPES = ((), (0,), (3,), (3, 4), (3, 0), (0, 4), (3, 1), (4, 3, 1, 1), (3, 4, 2, 2), (12,))
KINDS = (torch.float32, torch.float32, torch.float16, torch.int8, torch.uint8, torch.int64,
         torch.bool, torch.float8_e4m3fn)  # fmt: skip
PARTS = ("weight", "weight_orig", "weight_mask", "weight_g", "weight_v", "weight_u", "bias",
         "weight_scale", "scale", "scales", "zero_point", "SCB", "qweight", "weight_int8",
         *(f"parametrizations.weight.{part}" for part in
           ("original", "original0", "original1", "0._u", "0._v", "0.mask")))  # fmt: skip


def test_parts_of_any_shape_and_kind_are_computed_left_or_refused() -> None:
    draw = random.Random(0)
    computed = 0
    for _ in range(4000):
        names = draw.sample(PARTS, draw.randint(2, 5))
        tensors = {
            f"fc.{name}": torch.ones(draw.choice(SHAPES)).to(draw.choice(KINDS)) for name in names
        }
        try:
            computed += len(scaled(tensors)[1]) + len(restored(admit(tensors, "a.pt")[0])[1])
        except IncompatibleModel:
            continue
    assert computed > 0


def test_every_pair_of_parts_is_computed_left_or_refused() -> None:
    for one, other in itertools.permutations(PARTS, 2):
        for shapes in itertools.product(SHAPES, repeat=2):
            tensors = {
                f"fc.{name}": torch.ones(shape)
                for name, shape in zip((one, other), shapes, strict=True)
            }
            try:
                restored(tensors)
            except IncompatibleModel:
                continue
