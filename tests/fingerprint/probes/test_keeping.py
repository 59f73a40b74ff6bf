"""What was solved is kept until a fingerprint is whole, and nothing damaged is believed."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from fingerprint.errors import EnvironmentFailure
from fingerprint.probes.bases import dead_leaves
from fingerprint.probes.keeping import Keeper
from fingerprint.probes.probe import ProbeRequest
from fingerprint.probes.solving import Solved
from fingerprint.progress import silent
from tests.support.fingerprints import make_model

MODEL = make_model()
BASES = dead_leaves(MODEL.input, "seed", 3)
EARLY = [ProbeRequest("early", base, 0) for base in range(3)]
LATE = [ProbeRequest("late", base, 0) for base in range(3)]
REQUESTS = [one for pair in zip(EARLY, LATE, strict=True) for one in pair]


class Counting:
    """Solves nothing: gives each request an image of its own, and remembers who asked."""

    def __init__(self, fails_at: str = "") -> None:
        self.kinds = {"early": None, "late": None}
        self.asked: list[ProbeRequest] = []
        self.fails_at = fails_at

    def solve(self, requests: Sequence[ProbeRequest], progress: Any) -> tuple[Solved, ...]:
        if self.fails_at == requests[0].kind:
            raise KeyboardInterrupt
        self.asked += requests
        return tuple(solved(request) for request in requests)


def solved(request: ProbeRequest) -> Solved:
    place = 1 + 10 * request.base + request.draw + 5 * (request.kind == "late")
    image = (BASES[request.base] + place).astype(np.uint8)
    residual = {0: 1e-3, 1: math.inf, 2: math.nan}[request.base]
    return Solved(request, image, residual, request.base == 0, 2.5)


def keeper(folder: Path | None, decides: Sequence[str] = ("early",), **changes: Any) -> Keeper:
    given: dict[str, Any] = {"model": MODEL, "bases": BASES, "seed": "seed"}
    return Keeper(folder, decides=decides, **(given | changes))


def run(kept: Keeper, solver: Counting, requests: Sequence[ProbeRequest] = REQUESTS) -> list[Any]:
    return kept.solved(solver, requests, silent)  # type: ignore[arg-type]


def same(one: Solved, other: Solved) -> bool:
    return (
        one.request == other.request
        and np.array_equal(one.harmless, other.harmless)
        and one.harmless.dtype == other.harmless.dtype
        and np.array_equal([one.residual], [other.residual], equal_nan=True)
        and (one.converged, one.passes) == (other.converged, other.passes)
    )


def interrupted(folder: Path) -> Path:
    """Leaves the file of an extraction that was interrupted at its second depth."""
    with pytest.raises(KeyboardInterrupt):
        run(keeper(folder), Counting("late"))
    (path,) = folder.iterdir()
    return path


def test_results_come_in_the_order_of_requests_kept_or_not(tmp_path: Path) -> None:
    interrupted(tmp_path)
    found = run(keeper(tmp_path), Counting(), REQUESTS)
    assert [one.request for one in found] == REQUESTS
    assert all(same(one, solved(one.request)) for one in found)


def test_a_depth_that_was_solved_is_not_solved_again(tmp_path: Path) -> None:
    interrupted(tmp_path)
    again = Counting()
    run(keeper(tmp_path), again)
    assert again.asked == LATE
    third = Counting()
    redrawn = [ProbeRequest("early", 0, 6)]
    run(keeper(tmp_path), third, [*REQUESTS, *redrawn])
    assert third.asked == redrawn


def test_what_is_in_the_fingerprint_is_forgotten(tmp_path: Path) -> None:
    path = interrupted(tmp_path)
    kept = keeper(tmp_path)
    kept.forget()
    assert not path.exists()
    kept.forget()


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    kept = keeper(None)
    assert len(run(kept, Counting())) == len(REQUESTS)
    kept.forget()
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": "other"},
        {"model": make_model(1)},
        {"model": replace(MODEL, input=replace(MODEL.input, mean=(0.5,), std=(0.5,)))},
        {"model": replace(MODEL, architecture="live:Other")},
        {"model": replace(MODEL, pick="logits")},
        {"bases": BASES[:2]},
        {"bases": BASES + 1},
        {"decides": ("late",)},
        {"decides": ("early", "parent")},
    ],
)
def test_whatever_decides_the_probes_decides_what_is_found(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    interrupted(tmp_path)
    solver = Counting()
    run(keeper(tmp_path, **changes), solver)
    assert solver.asked == [*EARLY, *LATE]
    assert len([*tmp_path.iterdir()]) == 2


def test_a_damaged_file_is_refused_whole_or_read_and_breaks_nothing(tmp_path: Path) -> None:
    path = interrupted(tmp_path)
    whole, chance = path.read_bytes(), random.Random(0)
    cuts = [whole[:length] for length in range(0, len(whole), 7)]
    flips = []
    for _ in range(200):
        flipped = bytearray(whole)
        flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        flips.append(bytes(flipped))
    for damaged in [*cuts, *flips]:
        path.write_bytes(damaged)
        for one in run(keeper(tmp_path), Counting()):
            assert one.harmless.shape == MODEL.input.shape
            assert one.harmless.dtype == np.uint8
    for damaged in cuts:
        path.write_bytes(damaged)
        solver = Counting()
        run(keeper(tmp_path), solver)
        assert solver.asked == [*EARLY, *LATE]


HOSTILE = [
    "null",
    "{}",
    "[1, 2, 3]",
    "[" * 100_000,
    json.dumps([["early", 0, 0, 0.1, True]] * 3),
    json.dumps([["early", "x", 0, 0.1, True, 1.0]] * 3),
    json.dumps([["early", math.inf, 0, 0.1, True, 1.0]] * 3),
    json.dumps([["early", 0, 0, None, True, 1.0]] * 3),
    json.dumps([["early", 0, 0, 0.1, True, 1.0]] * 2),
    json.dumps([["early", -1, 0, 0.1, True, 1.0]] * 3),
    json.dumps([["early", 0, 0, 0.1, True, math.inf]] * 3),
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:24])
def test_rows_that_say_something_else_are_solved_again(tmp_path: Path, text: str) -> None:
    path = interrupted(tmp_path)
    path.write_bytes(save({"harmless": BASES + 1}, metadata={"solved": text}))
    solver = Counting()
    run(keeper(tmp_path), solver)
    assert solver.asked == [*EARLY, *LATE]


@pytest.mark.parametrize("images", [BASES[:, :, 1:], BASES.astype(np.float32), BASES[:2]])
def test_images_of_another_shape_or_type_are_solved_again(tmp_path: Path, images: Any) -> None:
    path = interrupted(tmp_path)
    rows = json.dumps([["early", base, 0, 0.1, True, 1.0] for base in range(3)])
    path.write_bytes(save({"harmless": np.ascontiguousarray(images)}, metadata={"solved": rows}))
    solver = Counting()
    run(keeper(tmp_path), solver)
    assert solver.asked == [*EARLY, *LATE]


@pytest.mark.parametrize("far", [0, 49, 200])
def test_images_that_cannot_be_turned_around_their_base_are_solved_again(
    tmp_path: Path, far: int
) -> None:
    """Turned, they would leave the bounds; and what is stored of them could not be read again."""
    path = interrupted(tmp_path)
    rows = json.dumps([["early", base, 0, 0.1, True, 1.0] for base in range(3)])
    images = BASES.copy()
    images[1:] += 3
    images[0, 0, 0, 0] = (BASES[0, 0, 0, 0].astype(int) + far) % 256
    path.write_bytes(save({"harmless": images}, metadata={"solved": rows}))
    solver = Counting()
    run(keeper(tmp_path), solver)
    assert solver.asked == [*EARLY, *LATE]


def test_a_folder_that_cannot_be_made_is_an_environment_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailure, match="file: "):
        run(keeper(tmp_path / "file"), Counting())


def test_what_cannot_be_removed_loses_nothing(tmp_path: Path) -> None:
    path = interrupted(tmp_path)
    kept = keeper(tmp_path)
    path.unlink()
    path.mkdir()
    kept.forget()
    assert path.is_dir()
