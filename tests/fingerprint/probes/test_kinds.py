"""Kinds of probe: harmless at their depth, inside the room around their base, at a known cost."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fingerprint.lab.modifications import matrices, pruned
from fingerprint.network.depths import FEATURES, Depth, depths_of
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model
from fingerprint.probes.bases import ROOM, dead_leaves, start_delta
from fingerprint.probes.harmless_spaces import find_spaces, linear_operator_of
from fingerprint.probes.kinds import FeatureProbes, IndividualProbes, LinearProbes, ProbeKind
from fingerprint.probes.probe import ProbeRequest
from fingerprint.probes.simulated import (
    pruned_copies_of,
    with_head,
    with_statistics,
    without_smallest,
)
from fingerprint.probes.solving import Solver
from fingerprint.progress import silent
from fingerprint.solvers.objective import centred
from fingerprint.solvers.solution import Solution

SIZE = (1, 12, 12)
SEED = "seed"
COUNT = 5


def a_model(seed: int, *, width: int = 20, classes: int = 4) -> Model:
    torch.manual_seed(seed)
    first = (nn.Flatten(), nn.Linear(144, width), nn.Tanh())
    module = nn.Sequential(*first, nn.Linear(width, 12), nn.Tanh(), nn.Linear(12, classes))
    return load_model(module.eval(), input_size=SIZE)


OURS, KIN = a_model(0), a_model(1)
BASES = dead_leaves(OURS.input, SEED, COUNT)


def depth_of(model: Model, name: str) -> Depth:
    return next(one for one in depths_of(model) if one.name == name)


def starts(dtype: torch.dtype, contrast: float = 0.2) -> tuple[Tensor, Tensor]:
    base = torch.from_numpy(BASES).to(dtype) / 255
    noise = [start_delta(OURS.input, contrast, f"{place}") for place in range(COUNT)]
    return base, base + torch.from_numpy(np.stack(noise)).to(dtype)


def moved(network: object, base: Tensor, point: Tensor) -> Tensor:
    """How far a network's centred answers move, for each input."""
    with torch.no_grad():
        after, before = (centred(network(x)) for x in (point, base))  # type: ignore[operator]
    return (after - before).norm(dim=1)


def solved(kind: ProbeKind) -> tuple[Tensor, Tensor, Solution]:
    base, start = starts(kind.dtype, kind.contrast)
    return base, start, kind.solve(base, start, silent)


def linear(others: tuple[Model, ...] = ()) -> LinearProbes:
    space = find_spaces(OURS).space
    assert space is not None
    operators = [linear_operator_of(other) for other in others]
    return LinearProbes(
        space, OURS.input, contrast=0.2, others=[one for one in operators if one is not None]
    )


KINDS = {
    "features": lambda: FeatureProbes(depth_of(OURS, FEATURES), contrast=0.2),
    "individual": lambda: IndividualProbes(
        depth_of(OURS, FEATURES), [depth_of(OURS, FEATURES).of(KIN)], contrast=0.2
    ),
    "linear": linear,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_probe_stays_in_the_room_around_its_base_and_is_no_base(name: str) -> None:
    base, start, solution = solved(KINDS[name]())
    delta = solution.point - base
    assert float(delta.abs().max()) <= ROOM * (1 + 1e-6)
    assert float(solution.point.min()) >= 0
    assert float(solution.point.max()) <= 1
    sizes = delta.flatten(1).norm(dim=1) / (start - base).flatten(1).norm(dim=1)
    assert 0.3 < float(sizes.min()) <= float(sizes.max()) < 2


def test_features_stay_as_they_are() -> None:
    kind = FeatureProbes(depth_of(OURS, FEATURES), contrast=0.2)
    base, start, solution = solved(kind)
    ratio = moved(kind.depth, base, solution.point) / moved(kind.depth, base, start)
    assert float(ratio.max()) < 0.1
    assert bool(solution.converged.all())
    assert (kind.name, kind.width, kind.speaks_for) == (FEATURES, 12, "family")
    assert 0 < solution.passes <= 150 * kind.share


def test_passes_end_where_they_are_limited_to() -> None:
    depth = depth_of(OURS, FEATURES)
    few = FeatureProbes(depth, contrast=0.2, passes=3)
    assert solved(few)[2].passes <= 3 * depth.share


def rms(delta: Tensor) -> Tensor:
    return delta.flatten(1).square().mean(1).sqrt()


def rounded(point: Tensor) -> Tensor:
    return (255 * point).round() / 255


def test_a_weak_probe_that_is_enlarged_is_as_harmless_and_survives_rounding() -> None:
    depth = depth_of(OURS, FEATURES)
    weak = FeatureProbes(depth, contrast=4 / 255, passes=150)
    large = FeatureProbes(depth, contrast=4 / 255, passes=300, enlarged=24 / 255)
    (base, _, small), (_, _, solution) = solved(weak), solved(large)
    assert (rms(solution.point - base) > 3 * rms(small.point - base)).all()
    assert float(solution.residual.max()) < 0.05
    left = [
        moved(depth, base, rounded(one.point)) / rms(one.point - base) for one in (small, solution)
    ]
    assert float(left[1].median()) < 0.5 * float(left[0].median())


def test_both_solves_of_an_enlarged_probe_share_its_passes_and_its_progress() -> None:
    depth = depth_of(OURS, FEATURES)
    kind = FeatureProbes(depth, contrast=0.2, passes=9, enlarged=24 / 255)
    base, start = starts(kind.dtype)
    reported: list[float] = []
    solution = kind.solve(base, start, lambda _, done, total: reported.append(done / total))
    assert 0 < solution.passes <= 9 * depth.share
    assert reported == sorted(reported)
    assert max(reported[:3]) <= 0.5 < reported[-1] <= 1


def test_where_nothing_was_found_nothing_is_enlarged() -> None:
    kind = FeatureProbes(depth_of(OURS, FEATURES), contrast=0.2, passes=9, enlarged=24 / 255)
    base, _ = starts(kind.dtype)
    solution = kind.solve(base, base, silent)
    torch.testing.assert_close(solution.point, base, atol=0, rtol=0)


def test_individual_probes_move_a_relative_as_their_start_did() -> None:
    kind = KINDS["individual"]()
    assert isinstance(kind, IndividualProbes)
    (relative,) = kind.relatives
    base, start, solution = solved(kind)
    own = moved(kind.depth, base, solution.point) / moved(kind.depth, base, start)
    others = moved(relative, base, solution.point) / moved(relative, base, start)
    assert float(own.max()) < 0.15
    assert float(others.min()) > 0.85
    with torch.no_grad():
        answers = [centred(relative(x)) for x in (solution.point, start)]
    assert float((answers[0] - answers[1]).norm(dim=1).div(moved(relative, base, start)).max()) < (
        0.15
    ), "not merely as far, but to the same place"
    assert (kind.name, kind.speaks_for) == (f"individual {FEATURES}", "individual")
    assert kind.share == pytest.approx(2 * kind.depth.share)


def test_individual_probes_hold_for_a_pruned_copy_too_and_still_move_the_relative() -> None:
    depth = depth_of(OURS, FEATURES)
    (copy,) = pruned_copies_of(depth)
    relative = depth.of(KIN)
    ratios = {}
    for name, copies in (("plain", ()), ("with a copy", (copy,))):
        kind = IndividualProbes(depth, [relative], contrast=0.2, copies=copies)
        base, start, solution = solved(kind)
        there = [
            moved(place, base, solution.point) / moved(place, base, start)
            for place in (depth, copy, relative)
        ]
        ratios[name] = [float(one.mean()) for one in there]
        assert kind.share == pytest.approx((2 + len(copies)) * depth.share)
    assert ratios["with a copy"][0] < 0.15
    assert ratios["with a copy"][1] < ratios["plain"][1] / 2
    assert ratios["with a copy"][2] > 0.8


def test_where_there_is_nothing_to_take_away_there_is_no_pruned_copy() -> None:
    bare = load_model(nn.Flatten(), input_size=OURS.input.shape)
    assert without_smallest(bare, 0.4) is None
    assert pruned_copies_of(depths_of(bare)[-1]) == ()
    ternary = copy.deepcopy(OURS.module)
    for weight in ternary.parameters():
        weight.data = weight.data.sign()
    assert without_smallest(load_model(ternary, input_size=SIZE), 0.4) is None


def _normalising(mean: float, weight: float) -> Model:
    first = nn.BatchNorm2d(SIZE[0])
    first.running_mean.fill_(mean)  # type: ignore[union-attr]
    first.weight.data.fill_(weight)
    return load_model(nn.Sequential(first, nn.Flatten()), input_size=SIZE)


def test_a_sibling_that_learned_hardly_anything_has_the_parents_weights_and_our_statistics() -> (
    None
):
    ours, parent = _normalising(0.3, 2.0), _normalising(0.1, 1.0)
    alike = with_statistics(parent, ours)
    assert alike is not None
    expected, found = (one.module.state_dict() for one in (_normalising(0.3, 1.0), alike))
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert torch.equal(parent.module.state_dict()["0.running_mean"], torch.full(SIZE[:1], 0.1))
    assert with_statistics(parent, parent) is None, "nothing differs"
    assert with_statistics(parent, OURS) is None, "it has none"


def a_deep_model(seed: int, *, classes: int) -> Model:
    torch.manual_seed(seed)
    widths = (144, 20, 20, 12, classes)
    layers = [nn.Linear(*pair) for pair in itertools.pairwise(widths)]
    parts = [part for layer in layers for part in (layer, nn.Tanh())]
    return load_model(nn.Sequential(nn.Flatten(), *parts[:-1]).eval(), input_size=SIZE)


def learned_on(model: Model, *, anew: tuple[str, ...]) -> Model:
    """Returns a model whose layers learned on from another's, but for those drawn anew."""
    found, drawn = a_deep_model(2, classes=4), model.module.state_dict()
    state = found.module.state_dict()
    for name, value in state.items():
        if not name.startswith(anew):
            value.copy_(drawn[name] + 0.1 * drawn[name].std() * torch.randn_like(value))
    return found


@pytest.mark.parametrize("classes", [4, 7])
@pytest.mark.parametrize("anew", [("7.",), ("5.", "7.")], ids=["head", "two layers"])
def test_a_sibling_with_our_head_has_the_parents_other_layers(
    classes: int, anew: tuple[str, ...]
) -> None:
    parent = a_deep_model(1, classes=classes)
    child = learned_on(parent, anew=anew)
    sibling = with_head(parent, child)
    assert sibling is not None
    assert sibling.output == child.output
    ours, theirs = (one.module.state_dict() for one in (child, parent))
    for name, value in sibling.module.state_dict().items():
        assert torch.equal(value, (ours if name.startswith(anew) else theirs)[name])
    assert not torch.equal(ours["1.weight"], theirs["1.weight"])


def test_nobody_has_our_head_where_layers_do_not_fit_or_the_last_is_not_linear() -> None:
    assert with_head(a_model(2, width=9), OURS) is None
    assert with_head(KIN, OURS) is None, "it learned on from none of its layers"
    normalising = _normalising(0.3, 2.0)
    assert with_head(normalising, normalising) is None


def test_a_sparse_model_loses_a_share_of_what_it_has_left() -> None:
    sparse = load_model(pruned(OURS.module, share=0.6), input_size=SIZE)
    rough = without_smallest(sparse, 0.45)
    assert rough is not None
    left = [sum(int(w.count_nonzero()) for w in matrices(one.module)) for one in (sparse, rough)]
    assert left[1] == pytest.approx(0.55 * left[0], abs=1)


def test_linear_probes_lie_in_the_null_space_and_outside_the_others() -> None:
    plain, moved_out = linear(), linear((KIN,))
    layer, other = (model.module[1].weight.double() for model in (OURS, KIN))  # type: ignore[index]
    harm = {}
    for name, kind in (("plain", plain), ("out", moved_out)):
        base, start, solution = solved(kind)
        delta = (solution.point - base).flatten(1)
        first = (start - base).flatten(1)
        assert float(((delta @ layer.T).norm(dim=1) / (first @ layer.T).norm(dim=1)).max()) < 1e-6
        harm[name] = (delta @ other.T).norm(dim=1) / delta.norm(dim=1)
        assert solution.passes == 0
    assert bool((harm["out"] > harm["plain"]).all())
    assert (plain.name, plain.width, plain.share) == ("linear", 20, 0.0)


# Solving requests.


def solver(*kinds: ProbeKind, seed: str = SEED) -> Solver:
    return Solver(OURS, seed=seed, bases=BASES, kinds=kinds)


def test_results_come_in_the_order_of_the_requests_and_depend_on_them_alone() -> None:
    kinds = linear(), FeatureProbes(depth_of(OURS, FEATURES), contrast=0.2)
    requests = [
        ProbeRequest(FEATURES, 2, 0),
        ProbeRequest("linear", 0, 1),
        ProbeRequest(FEATURES, 0, 0),
        ProbeRequest("linear", 4, 0),
    ]
    found = solver(*kinds).solve(requests)
    assert [one.request for one in found] == requests
    assert all(one.harmless.dtype == np.uint8 for one in found)
    backwards = solver(*kinds[::-1]).solve(requests[::-1])[::-1]
    for one, other in zip(found, backwards, strict=True):
        difference = one.harmless.astype(int) - other.harmless
        assert np.abs(difference).max() <= 2, "but for the rounding of sums"


def test_every_draw_kind_seed_and_model_starts_elsewhere() -> None:
    kind = linear()
    requests = [ProbeRequest("linear", 0, draw) for draw in range(3)]
    images = [one.harmless for one in solver(kind).solve(requests)]
    images += [one.harmless for one in solver(kind, seed="other").solve(requests[:1])]
    other = Solver(KIN, seed=SEED, bases=BASES, kinds=(kind,))
    images += [one.harmless for one in other.solve(requests[:1])]
    assert len({image.tobytes() for image in images}) == 5


def test_many_requests_are_solved_in_parts_and_progress_never_goes_back() -> None:
    reported = []
    requests = [ProbeRequest(FEATURES, base, draw) for base in range(5) for draw in range(8)]
    kind = FeatureProbes(depth_of(OURS, FEATURES), contrast=0.2, passes=4)
    found = solver(kind).solve(requests, lambda _, done, total: reported.append(done / total))
    assert [one.request for one in found] == requests
    assert reported == sorted(reported)
    assert reported[-1] <= 1


def test_probes_solved_for_an_earlier_depth_as_well_are_harmless_at_both() -> None:
    before, depth = depths_of(OURS)[0], depth_of(OURS, FEATURES)
    kinds = (
        FeatureProbes(depth, contrast=0.2, passes=300, earlier=earlier)
        for earlier in ((), [before])
    )
    (base, start, alone), (_, _, both) = (solved(kind) for kind in kinds)
    for place in (before, depth):
        assert (moved(place, base, both.point) < 0.5 * moved(place, base, start)).all()
    assert (moved(before, base, both.point) < moved(before, base, alone.point)).all()


def test_numbers_that_are_larger_at_one_depth_do_not_decide() -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(144, 20), nn.Linear(20, 12)
    module = nn.Sequential(nn.Flatten(), first, nn.ReLU(), second, nn.ReLU(), nn.Linear(12, 4))
    points = []
    for unit in (1.0, 100.0):
        with torch.no_grad():
            first.weight *= unit
            first.bias *= unit
            second.weight /= unit
        model = load_model(module.eval(), input_size=SIZE)
        before, depth = depths_of(model)[0], depth_of(model, FEATURES)
        kind = FeatureProbes(depth, contrast=0.2, passes=60, earlier=[before])
        points.append(solved(kind)[2].point)
    torch.testing.assert_close(points[0], points[1], atol=2e-2, rtol=0)


class Fragile(nn.Module):
    """Divides by its smallest weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(144, 12), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = self.first(x.flatten(1)) / self.first.weight.abs().min()
        answers: Tensor = self.last(features)
        return answers


def test_a_copy_that_answers_nothing_finite_is_left_out() -> None:
    assert len(pruned_copies_of(depth_of(OURS, FEATURES))) == 1
    torch.manual_seed(0)
    fragile = load_model(Fragile().eval(), input_size=SIZE)
    assert pruned_copies_of(depth_of(fragile, FEATURES)) == ()
