"""The pilot: of several depths, the one that tells kin from strangers at the least cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fingerprint.errors import NoInformation
from fingerprint.network.depths import FEATURES, LOGITS, Depth, depths_of
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from fingerprint.probes.bases import dead_leaves
from fingerprint.probes.harmless_spaces import find_spaces
from fingerprint.probes.kinds import FeatureProbes, LinearProbes, ProbeKind
from fingerprint.probes.pilot import CONTRASTS, Tried, early_kinds, judged, pilot, told_apart
from fingerprint.progress import Progress, silent
from fingerprint.solvers.solution import Solution
from tests.support.extracted import model_of

SIZE = (1, 12, 12)


class Blind(nn.Module):
    """Does not see the lower half of its input: everybody of this architecture ignores that."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        mask = torch.ones(SIZE)
        mask[:, 6:] = 0.0
        self.register_buffer("mask", mask)
        self.layer = nn.Linear(144, 5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer((x * self.mask).flatten(1))
        return logits


def model(seed: int = 0) -> Model:
    """Draws weights by numpy: torch's own draws differ from one kind of processor to another."""
    module = Blind()
    rows = np.random.default_rng(seed).uniform(-1 / 12, 1 / 12, (5, 145))
    with torch.no_grad():
        module.layer.weight.copy_(torch.from_numpy(rows[:, 1:]))
        module.layer.bias.copy_(torch.from_numpy(rows[:, 0]))
    return load_model(module, input_size=SIZE)


@pytest.fixture(autouse=True)
def _stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear one: of 12 draws three come to the least that a stranger may, for want of weights."""
    monkeypatch.setattr("fingerprint.probes.pilot.stranger", lambda *_: model(7))


class Given(ProbeKind):
    """A kind that solves in a known way."""

    width, dtype = None, torch.float32

    def __init__(self, name: str, solves: Any, *, share: float = 0.2) -> None:
        self.name, self.share, self.contrast = name, share, 0.1
        self._solves = solves

    def solve(self, base: Tensor, start: Tensor, progress: Progress) -> Solution:
        delta = self._solves(start - base)
        residual = torch.zeros(len(base))
        return Solution(
            delta=delta,
            point=base + delta,
            residual=residual,
            converged=residual == 0,
            passes=3.0,
        )


def in_the_null_space(delta: Tensor) -> Tensor:
    """Moves nothing of what the source answers; half of δ does not reach it anyway."""
    module = model().module
    assert isinstance(module, Blind)
    rows = module.layer.weight * module.mask.flatten()
    flat = delta.flatten(1)
    projected: Tensor = (flat - flat @ rows.T @ torch.linalg.pinv(rows).T).reshape(delta.shape)
    return projected


def unseen(delta: Tensor) -> Tensor:
    """Only what nobody of this architecture sees."""
    out = torch.zeros_like(delta)
    out[:, :, 6:] = delta[:, :, 6:]
    return out


def fails(delta: Tensor) -> Tensor:
    raise NoInformation("no gradient")


GOOD = Given("good", in_the_null_space)
DEAR = Given("dear", in_the_null_space, share=0.9)
NOISE = Given("noise", lambda delta: delta)
UNSEEN = Given("unseen", unseen)
NOTHING = Given("nothing", torch.zeros_like)
BROKEN = Given("broken", fails)


def piloted(*kinds: ProbeKind, count: int = 6, **references: Model) -> Any:
    bases = dead_leaves(model().input, "seed", count)
    end = depths_of(model())[-1]
    return pilot(end, kinds, seed="seed", bases=bases, references=references, progress=silent)


@pytest.mark.parametrize(("side", "name"), [(64, LOGITS), (65, FEATURES)])
def test_of_large_inputs_what_the_last_layer_reads_is_judged(side: int, name: str) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 5)
    )
    depths = depths_of(load_model(network, input_size=(3, side, side)))
    assert judged(depths).name == name


def test_a_network_of_large_inputs_without_such_a_layer_is_judged_by_its_answers() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 65), nn.Flatten())
    assert judged(depths_of(load_model(network, input_size=(3, 65, 65)))).name == LOGITS


def test_a_depth_that_only_kin_ignore_is_chosen() -> None:
    found = piloted(NOISE, GOOD, NOTHING)
    assert found.best is GOOD
    by_name = {one.depth: one for one in found.tried}
    good, noise, nothing = (by_name[name] for name in ("good", "noise", "nothing"))
    assert good.source < 0.1
    assert good.source <= good.kin < 0.4
    assert good.stranger > 0.7
    assert 0.5 < noise.source < 2
    assert (nothing.source, nothing.kin, nothing.stranger) == (1.0, 1.0, 1.0)
    assert not nothing.usable


def test_what_strangers_ignore_as_well_is_not_used() -> None:
    found = piloted(UNSEEN)
    assert found.tried[0].stranger < 0.1
    assert not found.tried[0].usable
    assert found.best is None


def test_of_two_that_tell_the_same_the_cheaper_one_is_chosen() -> None:
    assert piloted(DEAR, GOOD).best is GOOD
    assert piloted(GOOD, DEAR).best is GOOD


def test_what_cannot_be_solved_is_left_out_and_all_work_is_counted() -> None:
    found = piloted(BROKEN, GOOD, NOISE)
    assert [one.depth for one in found.tried] == ["good", "noise"]
    assert found.passes == 2 * 4 * 3.0
    assert piloted(BROKEN).best is None
    assert piloted(GOOD, count=2).passes == 2 * 3.0
    assert piloted().tried == ()


def test_the_same_seed_finds_the_same() -> None:
    assert [one.to_dict() for one in piloted(GOOD, NOISE).tried] == [
        one.to_dict() for one in piloted(GOOD, NOISE).tried
    ]


# References as further strangers.


def added() -> Tensor:
    """What the reference has learned beside what the source has, shape ``(5, 144)``."""
    return torch.from_numpy(np.random.default_rng(7).normal(size=(5, 144)).astype(np.float32)) / 6


def in_both_null_spaces(delta: Tensor) -> Tensor:
    """Moves nothing of what the source answers, nor of what the reference does."""
    module = model().module
    assert isinstance(module, Blind)
    rows = torch.cat([module.layer.weight, added()]) * module.mask.flatten()
    flat = delta.flatten(1)
    projected: Tensor = (flat - flat @ rows.T @ torch.linalg.pinv(rows).T).reshape(delta.shape)
    return projected


BOTH = Given("both", in_both_null_spaces, share=0.01)
OWN = Given("own", in_the_null_space, share=0.4)


def related() -> Model:
    """A network that ignores some of what the source ignores."""
    module = Blind()
    source = model().module
    assert isinstance(source, Blind)
    with torch.no_grad():
        module.layer.weight.copy_(source.layer.weight + added())
    return load_model(module, input_size=SIZE)


def test_the_nearest_of_all_strangers_counts() -> None:
    alone = piloted(BOTH, OWN, NOISE)
    assert alone.best is BOTH, "the cheaper of two that tell the same"
    reference = related()
    found = piloted(BOTH, OWN, NOISE, reference=reference)
    assert found.best is OWN
    assert (found.references, found.like_kin) == ((reference.digest,), ())
    both, own, _ = (one.references[0] for one in found.tried)
    assert both < 0.3
    assert own > 0.6
    assert found.passes == alone.passes, "references cost forward passes"
    for one, before in zip(found.tried, alone.tried, strict=True):
        assert replace(one, references=()) == before
        assert "references" in one.to_dict()
        assert "references" not in before.to_dict()


def test_a_far_reference_changes_no_choice() -> None:
    far = model(3)
    found = piloted(BOTH, OWN, NOISE, far=far)
    assert found.best is BOTH
    assert found.references == (far.digest,)


def test_a_reference_that_ignores_what_the_source_ignores_is_no_stranger() -> None:
    found = piloted(BOTH, OWN, copy=model())
    assert (found.references, found.like_kin) == ((), (model().digest,))
    assert found.best is BOTH
    assert found.tried == piloted(BOTH, OWN).tried


def test_a_reference_that_answers_nothing_finite_shows_nothing() -> None:
    broken = related()
    with torch.no_grad():
        next(broken.module.parameters()).fill_(torch.nan)
    found = piloted(BOTH, OWN, broken=broken)
    assert found.best is BOTH
    assert [one.references for one in found.tried] == [(1.0,), (1.0,)]


def test_a_close_reference_lowers_the_score_and_is_no_sign_of_too_little_room() -> None:
    assert a_try(references=(0.55,)).usable
    assert a_try(references=(0.55, 0.9)).score == pytest.approx(np.log(0.55 / 0.2) - 0.2)
    assert not a_try(references=(0.21,)).usable


def a_try(**changes: Any) -> Tried:
    one = Tried(
        depth="d", share=0.2, contrast=0.1, source=0.05, kin=0.2, stranger=1.0, residual=0.0,
        passes=1.0,
    )  # fmt: skip
    return replace(one, **changes)


def test_a_score_is_the_factor_between_kin_and_strangers_less_the_share() -> None:
    assert a_try().score == pytest.approx(np.log(5) - 0.2)
    assert a_try(stranger=3.0).score == a_try().score, "more than the turns shows nothing more"
    assert a_try(kin=0.01).score == pytest.approx(np.log(20) - 0.2), "the source is kin, too"
    assert a_try().usable
    assert a_try(stranger=0.7).usable
    assert not a_try(stranger=0.69).usable
    assert not a_try(kin=0.85).usable


# What is compared.


def depth(name: str, share: float) -> Depth:
    return Depth(name=name, width=10, share=share, model=model(), place=None)


def test_early_depths_near_a_few_shares_are_compared() -> None:
    shares = {"a": 0.02, "b": 0.09, "c": 0.15, "d": 0.23, "e": 0.38, "f": 0.5, "g": 0.51, "h": 1.0}
    depths = [depth(name, share) for name, share in shares.items()]
    kinds = early_kinds(model(), depths, None)
    assert all(isinstance(kind, FeatureProbes) for kind in kinds)
    assert [(kind.name, kind.contrast) for kind in kinds] == [
        (name, CONTRASTS[0]) for name in ("b", "d", "e")
    ]


def test_the_null_space_is_compared_at_every_contrast_and_what_is_solved_for_at_one() -> None:
    """What is solved for is enlarged, whatever it starts from; the null space's probes are not."""
    source = model_of("vit")
    kinds = early_kinds(source, [depth("a", 0.1)], find_spaces(source).space)
    assert [(kind.name, kind.contrast) for kind in kinds] == [
        *(("linear", contrast) for contrast in CONTRASTS),
        ("a", CONTRASTS[0]),
    ]


def test_late_depths_alone_leave_nothing_to_compare() -> None:
    assert early_kinds(model(), [depth("late", 0.8), depth("logits", 1.0)], None) == ()


def test_the_null_space_of_the_first_segment_is_compared_as_well() -> None:
    vit = model_of("vit")
    kinds = early_kinds(vit, [depth("late", 0.9)], find_spaces(vit).space)
    assert [(type(kind), kind.contrast) for kind in kinds] == [
        (LinearProbes, contrast) for contrast in CONTRASTS
    ]


class Mirrored(nn.Module):
    """Adds the mirrored picture: whatever is antisymmetric, left to right, it does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(144, 5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer((x + x.flip(-1)).flatten(1))
        return logits


def test_turns_that_the_source_takes_for_the_perturbation_itself_are_no_controls() -> None:
    torch.manual_seed(0)
    source = load_model(Mirrored(), input_size=SIZE)
    bases = dead_leaves(source.input, "seed", 4)
    delta = np.random.default_rng(0).integers(-20, 21, bases.shape)
    delta = np.concatenate([delta[..., :6], -delta[..., 5::-1]], axis=-1)
    harmless = (bases + delta).astype(np.uint8)
    # Those that leave left and right where they are, or exchange them, are left out.
    assert told_apart(source, bases, harmless) == (0, 1, 2, 3)
    with torch.no_grad():
        layer = source.module.get_submodule("layer")
        assert isinstance(layer, nn.Linear)
        layer.weight.zero_()
    assert told_apart(source, bases, harmless) == tuple(range(7)), "nothing moves it"
