from __future__ import annotations

import pytest
import torch

from benchmarks.detection.methods import IpGuard
from benchmarks.detection.methods.ipguard import boundary_loss
from tests.benchmarks.detection.methods import cases
from tests.support.digits import digits


def test_the_loss_is_the_papers_written_out() -> None:
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0)) * 4
    first, target = torch.arange(20) % 5, (torch.arange(20) + 2) % 5
    loss = boundary_loss(logits, first, target, 3.0)
    for z, i, j, value in zip(
        logits.tolist(), first.tolist(), target.tolist(), loss.tolist(), strict=True
    ):
        third = max(z[t] for t in range(5) if t not in (i, j))
        assert value == pytest.approx(max(z[i] - z[j] + 3, 0) + max(third - z[i], 0), abs=1e-5)


def test_two_classes_leave_no_third_term() -> None:
    loss = boundary_loss(torch.tensor([[1.0, 5.0]]), torch.tensor([0]), torch.tensor([1]), 3.0)
    assert loss.tolist() == [0.0]


def test_points_reach_the_margin_with_the_start_label_second() -> None:
    k = 2.0
    prepared = IpGuard(k=k).prepare(cases.source(), digits(), queries=20, seed=0)
    reached = int(prepared.note.split()[0]) if prepared.note else 20
    assert reached >= 10
    best = prepared.answers[:reached].topk(2, dim=1).values
    # Rounding to 8 bits moves logits a little.
    assert bool((best[:, 0] - best[:, 1] > 0.7 * k).all())


def test_a_longer_budget_of_steps_never_leaves_points_that_had_arrived() -> None:
    short = IpGuard(k=2.0, steps=30).prepare(cases.source(), digits(), queries=12, seed=0)
    long = IpGuard(k=2.0, steps=60).prepare(cases.source(), digits(), queries=12, seed=0)
    arrived = int(short.note.split()[0]) if short.note else 12
    kept = {image.tobytes() for image in long.queries}
    assert arrived
    assert all(image.tobytes() in kept for image in short.queries[:arrived])
