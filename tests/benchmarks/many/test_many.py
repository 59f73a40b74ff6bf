"""Who is registered in which order, what is owed of a suspect, and what its table says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from benchmarks.detection.recipe import BASE, SHARES_WEIGHTS, STUDENT
from benchmarks.detection.zoo import Member
from benchmarks.many import asking, floor, simulated
from benchmarks.many.registering import arch_of, is_root, registrable
from benchmarks.many.suspects import Suspected
from fingerprint import Verification, load_model
from fingerprint.narrowing import narrowing_note
from tests.fingerprint.lab.parts import unsettled


def _member(name: str, base: str, group: str, suffix: str = ".safetensors") -> Member:
    return Member(
        name=name,
        base=base,
        kin=(base,),
        modification="none",
        group=group,
        architecture="digits mlp",
        source=True,
        accuracy=0.9,
        task="classes",
        folded=False,
        seconds=1.0,
        file=Path(f"{name}{suffix}"),
    )


ZOO = [
    _member("a", "a", BASE),
    _member("b", "b", BASE),
    _member("a/1", "a", SHARES_WEIGHTS),
    _member("a/2", "a", SHARES_WEIGHTS),
    _member("a/onnx", "a", SHARES_WEIGHTS, ".onnx"),
    _member("a/student", "a", STUDENT),
    _member("b/1", "b", SHARES_WEIGHTS),
]


def test_bases_come_first_then_a_copy_of_each_in_turn_and_students_last() -> None:
    names = [member.name for member in registrable(ZOO)]
    assert names == ["a", "b", "a/1", "b/1", "a/2", "a/student"]
    assert [member.name for member in ZOO if is_root(member)] == ["a", "b", "a/student"]


def test_a_network_of_the_zoo_loads_as_an_owner_loads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(unsettled("digits mlp").state_dict(), path)
    assert load_model(path, arch=arch_of(ZOO[0]), input_size=(1, 16, 16)).output.classes == 10


def _verdict(verdict: str, best: str | None, *left_out: str) -> Verification:
    return Verification(
        suspect={},
        verdict=verdict,  # type: ignore[arg-type]
        reason="",
        best=best,
        queries=100,
        not_asked=left_out,
    )


@pytest.mark.parametrize(
    ("source", "verdict", "best", "right", "wrong"),
    [
        ("a", "derived", "a/1", True, False),
        ("a", "derived", "b", False, True),
        ("a", "derived", "a/student", False, True),
        ("a", "inconclusive", None, False, False),
        ("a", "independent", None, False, True),
        ("", "independent", None, True, False),
        ("", "derived", "a", False, True),
        ("", "inconclusive", None, False, False),
    ],
)
def test_what_is_owed(
    source: str, verdict: str, best: str | None, right: bool, wrong: bool
) -> None:
    kin = asking.kin_of(registrable(ZOO))
    suspect = Suspected(
        name="s",
        change="int6" if source else "stranger",
        source=source,
        root=source or "s",
        architecture="digits mlp",
        classes=10,
        file=Path("s"),
    )
    related = {name for name in kin if source in kin[name]}
    found = asking.asked(suspect, _verdict(verdict, best, "a/2", "b"), list(kin), related, 1.0)
    assert (found.right, found.wrong) == (right, wrong)
    assert (found.kin, found.kin_lost) == ((3, 1) if source else (0, 0))
    assert found.strangers_left_out == (1 if source else 2)
    assert len(next(asking.growth([found], {6: 1.0}))) == len(asking.HEAD)


def test_what_lies_below_the_floor_is_counted_and_nothing_said_is_not() -> None:
    def one(kin: bool, value: float) -> floor.Compared:
        return floor.Compared(kin=kin, kind="logits", classes=10, value=value)

    kin = [one(True, value) for value in (0.9, 0.05, np.nan)]
    strangers = [one(False, value) for value in (0.0, 0.2, np.nan, 0.1)]
    (row,) = floor.rows(32, [*kin, *strangers])
    assert row == [32, "logits", "3 to 20", 3, 1, "0.05", 4, "50.0%", "0.20"]


def test_a_verdict_tells_the_committed_counts_of_what_lay_below_the_floor() -> None:
    root = Path(__file__).parents[3]
    committed = json.loads((root / "benchmarks/many.json").read_text(encoding="utf-8"))["floor"]
    counted = {row[1]: (row[3], row[4]) for row in committed["rows"] if row[0] == 32}
    for kind in ("logits", "probabilities", "top-k"):
        copies, fallen = counted[kind]
        assert f"{fallen} of {copies} copies fell that low" in narrowing_note(["one"], kind)


def test_a_student_is_no_stranger_of_its_teacher_and_no_kin_of_it() -> None:
    answers = np.random.default_rng(0).normal(size=(32, 5)).astype(np.float32)

    def asked(name: str, kin: str, *apart: str) -> floor.Asked:
        return floor.Asked(name=name, kin=kin, apart=frozenset(apart), answers=answers)

    found = list(floor.compared([asked("a", "a"), asked("b", "b"), asked("s", "s", "a")]))
    logits = [one.kin for one in found if one.kind == "logits"]
    assert logits == [False] * 3  # a and b with each other, and the student with b


def test_the_page_says_what_was_simulated() -> None:
    root = Path(__file__).parents[3]
    rows = json.loads((root / "benchmarks/many.json").read_text())["simulate"]["rows"]
    page = " ".join((root / "docs/measured.md").read_text(encoding="utf-8").split())
    assert len(NAMES) == len(simulated.HEAD)
    at = [dict(zip(NAMES, row, strict=True)) for row in rows]
    first, last = at[0], at[-1]
    largest = last["models"]
    said = (
        f"up to {largest} models: "
        f"to write one takes {float(last['writing']):.0f} ms of the processor, "
        f"{float(first['writing']):.0f} ms among the first {first['models']}; "
        f"a verdict takes {last['verifying']} s of it, {first['verifying']} s at "
        f"{first['models']}, and asks {last['asked']} models their probes"
    )
    assert said in page
    assert all((row["verdict"], row["right"]) == ("derived", True) for row in at)
    sizes = [str(row["models"]) for row in at]
    assert f"*derived* with {', '.join(sizes[:-1])} and {sizes[-1]} models." in page


NAMES = ("models", "MiB", "wall", "writing", "queries", "seconds", "verifying", "statements")
NAMES += ("memory", "asked", "verdict", "right")
