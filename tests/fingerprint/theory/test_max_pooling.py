"""Lemma 1.5, judged by running max pooling; windows overlap, are padded, or leave entries out."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fingerprint.errors import UsageError
from fingerprint.theory import HarmlessSet, harmless_set, set_of_call

SETTINGS: dict[str, dict[str, Any]] = {
    "apart": {"kernel_size": 2},
    "overlapping": {"kernel_size": 3, "stride": 2, "padding": 1},
    "overlapping closely": {"kernel_size": 3, "stride": 1},
    "with gaps": {"kernel_size": 2, "stride": 3},
    "dilated": {"kernel_size": 2, "stride": 1, "dilation": 2, "padding": 1},
    "hanging over": {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    "oblong": {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 0)},
}

CASES = [*itertools.product(SETTINGS, ("distinct", "tied"))]


def features(kind: str, *shape: int, seed: int = 0) -> Tensor:
    """Whole numbers, so that sums are exact: all different, or of four values."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "tied":
        return torch.randint(0, 4, shape, generator=generator).double()
    count = int(torch.tensor(shape).prod())
    return torch.randperm(count, generator=generator).double().reshape(shape)


def unchanged(settings: dict[str, Any], z: Tensor, delta: Tensor) -> Tensor:
    """Whether max pooling answers ``z + δ`` exactly as z, for each δ of a batch."""
    after = F.max_pool2d(z + delta, **settings)
    return (after == F.max_pool2d(z, **settings)).flatten(1).all(dim=1)


def perturbations(z: Tensor) -> Tensor:
    """One entry moved, two moved, many moved: whole numbers, ``(B, *shape)``."""
    n = z.numel()
    units = torch.eye(n, dtype=z.dtype)
    single = torch.cat([units * step for step in (-1.0, 1.0, -9.0, 9.0)])
    pairs = torch.cat(
        [units + units.roll(shift, 1) * step for shift, step in ((1, -1.0), (3, 1.0))]
    )
    generator = torch.Generator().manual_seed(0)
    many = torch.randint(-9, 1, (200, n), generator=generator).double()
    many *= torch.rand(200, n, generator=generator) < torch.rand(200, 1, generator=generator)
    return torch.cat([single, pairs, many]).reshape(-1, *z.shape)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_lemma_1_5_membership_is_what_the_layer_says(name: str, kind: str) -> None:
    z = features(kind, 1, 6, 7)
    found = set_of_call("max_pool2d", z, (), SETTINGS[name])
    deltas = perturbations(z)
    expected = unchanged(SETTINGS[name], z, deltas)
    assert torch.equal(found.contains(deltas), expected)
    assert bool(expected.any())
    assert not bool(expected.all())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_samples_are_not_noticed_and_move_the_maximum_to_other_entries(
    name: str, kind: str
) -> None:
    z = features(kind, 2, 9, 8, seed=3) / 7
    found = set_of_call("max_pool2d", z, (), SETTINGS[name])
    drawn = found.sample(torch.Generator().manual_seed(0), size=20.0, count=(30,))
    assert bool(found.contains(drawn).all())
    before, places = F.max_pool2d(z, return_indices=True, **SETTINGS[name])
    moved = False
    for delta in drawn:
        after, now = F.max_pool2d(z + delta, return_indices=True, **SETTINGS[name])
        torch.testing.assert_close(after, before, atol=1e-13, rtol=1e-13)
        moved |= not torch.equal(now, places)
    assert moved
    assert float(drawn.abs().max()) > 20.0


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_free_entries_are_those_that_move_alone(name: str, kind: str) -> None:
    z = features(kind, 1, 6, 7, seed=1)
    found = set_of_call("max_pool2d", z, (), SETTINGS[name])
    units = torch.eye(z.numel(), dtype=z.dtype).reshape(-1, *z.shape)
    down = unchanged(SETTINGS[name], z, -units / 4)
    up = unchanged(SETTINGS[name], z, units / 4)
    assert found.free == int((down | up).sum())


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_dimension_is_the_largest_number_of_entries_that_move_together(
    name: str, kind: str
) -> None:
    """By trying every set of entries: whoever is not held can at least go down."""
    for seed in range(4):
        z = features(kind, 1, 3, 4, seed=seed)
        found = set_of_call("max_pool2d", z, (), SETTINGS[name])
        sets = torch.tensor(list(itertools.product((0.0, 1.0), repeat=12)), dtype=z.dtype)
        movable = unchanged(SETTINGS[name], z, -sets.reshape(-1, *z.shape) / 4)
        largest = int(sets[movable].sum(dim=1).max())
        if found.dimension is None:
            assert kind == "tied"
            bound = int(found.note.split("at least ")[1].split(":")[0])
            assert bound <= largest
        else:
            assert found.dimension == largest
        assert largest <= found.free


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_piece_is_a_box_inside_the_set(name: str, kind: str) -> None:
    z = features(kind, 1, 6, 7, seed=2)
    found = set_of_call("max_pool2d", z, (), SETTINGS[name])
    low, high = found.piece()
    assert bool(((low <= 0) & (high >= 0)).all())
    corners = torch.stack([low.clamp(min=-50.0), high.clamp(max=50.0)])
    assert bool(unchanged(SETTINGS[name], z, corners).all())
    assert bool((corners != 0).any())


def test_an_entry_of_two_windows_must_suit_both() -> None:
    """Patch by patch, as the paper writes it, 3 might rise to 9; the first window forbids it."""
    z = torch.tensor([[[4.0, 1.0, 3.0, 0.0, 9.0]]])
    found = set_of_call("max_pool1d", z, (3, 2))
    rises = [torch.tensor([[[0.0, 0.0, step, 0.0, 0.0]]]) for step in (1.0, 6.0)]
    pooled = [F.max_pool1d(z + rise, 3, 2) for rise in rises]
    assert torch.equal(pooled[0], F.max_pool1d(z, 3, 2))
    assert not torch.equal(pooled[1], F.max_pool1d(z, 3, 2))
    assert [bool(found.contains(rise)) for rise in rises] == [True, False]


def test_windows_apart_hold_one_entry_each_whether_tied_or_not() -> None:
    for kind in ("distinct", "tied"):
        found = set_of_call("max_pool2d", features(kind, 2, 3, 8, 8), (2,))
        assert found.dimension == 2 * 3 * (64 - 16)


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "one axis": (nn.MaxPool1d(3, 2, 1), (2, 3, 9)),
    "two axes": (nn.MaxPool2d(3, 2, 1), (2, 3, 8, 8)),
    "three axes": (nn.MaxPool3d(2, 1), (1, 2, 4, 4, 4)),
    "adaptive, one axis": (nn.AdaptiveMaxPool1d(4), (2, 3, 10)),
    "adaptive": (nn.AdaptiveMaxPool2d((3, None)), (1, 2, 7, 5)),
    "global": (nn.AdaptiveMaxPool2d(1), (1, 2, 7, 5)),
    "without batch": (nn.MaxPool2d(2), (3, 6, 6)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_all_forms_of_the_layer_are_known(name: str) -> None:
    layer, shape = LAYERS[name]
    z = features("distinct", *shape)
    found: HarmlessSet = harmless_set(layer, z)
    for delta in found.sample(torch.Generator().manual_seed(0), count=(5,)):
        torch.testing.assert_close(layer(z + delta), layer(z))
    with torch.enable_grad():
        leaf = z.clone().requires_grad_(True)
        layer(leaf).sum().backward()
    assert leaf.grad is not None
    assert found.free == found.dimension == int((leaf.grad == 0).sum())


@pytest.mark.parametrize(
    "settings", [{"kernel_size": 9}, {"kernel_size": 2, "padding": 2}, {"kernel_size": 0}]
)
def test_windows_that_do_not_fit_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected a layer that takes"):
        harmless_set(lambda z: F.max_pool2d(z, **settings), torch.zeros(1, 6, 6))


def test_large_feature_maps_are_counted_at_once() -> None:
    """ResNet's pooling after its ReLU: plateaus of zeros, and no loop over entries."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1, 64, 112, 112, generator=generator).relu()
    found = set_of_call("max_pool2d", z, (3, 2, 1))
    leaf = torch.randn(1, 64, 112, 112, generator=generator).requires_grad_(True)
    assert z.numel() - 64 * 56 * 56 < found.free < z.numel()
    F.max_pool2d(leaf, 3, 2, 1).sum().backward()
    assert leaf.grad is not None
    distinct = set_of_call("max_pool2d", leaf, (3, 2, 1))
    assert distinct.free == distinct.dimension == int((leaf.grad == 0).sum())
