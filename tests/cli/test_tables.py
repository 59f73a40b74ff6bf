"""Tables fit the screen: no cell is cut, no word broken that need not be."""

from __future__ import annotations

import io
import re
from collections import Counter
from typing import Any

import pytest
from rich.console import Console, RenderableType

from cli import inspection_view, render, watch_view
from cli.demo.result import DemoResult, DemoRow, view
from cli.hiding_view import hiding
from fingerprint.verification import Verification
from registry import RecordedVerification
from tests.cli.fakes import candidate, registered, verification

LONG = "a_finetune_with_a_long_name"
TIME = "2026-01-02T03:04:05.678901+00:00"


def _shown(what: RenderableType, width: int) -> str:
    screen = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    screen.print(what)
    return screen.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def _letters(text: str) -> Counter[str]:
    return Counter(re.sub(r"[\s─]", "", text))


def _verification() -> RenderableType:
    return render.verification(verification(candidate(LONG), candidate("theirs", "independent")))


def _models() -> RenderableType:
    return render.models_table([registered(LONG, registered=TIME, from_scratch=True)])


def _old_models() -> RenderableType:
    changes: dict[str, Any] = {"role": "reference", "current": False, "renew": "it has a parent"}
    return render.models_table([registered(LONG, registered=TIME, **changes)])


def _recorded() -> RenderableType:
    found: Verification = verification(candidate(LONG, relation="shares_origin"))
    one = RecordedVerification(
        number=8,
        recorded=TIME,
        suspect_digest="ab" * 32,
        verdict="derived",
        best=LONG,
        queries=233,
        evidence=found.to_dict(),
    )
    return render.verifications_table([one])


def _demo() -> RenderableType:
    row = DemoRow(
        what="hidden channels reordered",
        expected="independent",
        verdict="independent",
        best="tuned",
        harm_ratio=0.0632,
        harm_ratio_ci=(0.0521, 0.0772),
        p_value=6.1e-21,
        queries=233,
        as_expected=True,
    )
    return view(DemoResult(registered=("cnn",), rows=(row,), seconds=3.0, folder=None))


def _watches() -> RenderableType:
    headings = ("watch", "target", "state", "changed between (UTC)", "runs", "last (UTC)")
    times = f"{render.when(TIME)} and {render.when(TIME)}"
    row = ("prod", "https://models.example/v2/models/m", "changed", times, "12", render.when(TIME))
    return render.table(headings, [row])


def _layers() -> RenderableType:
    values = ("batch norm [1]", "1024", "1024", "1024", "0", "529 of 1024", "2.66 3.16 4.72 x64")
    return render.table(inspection_view._HEADINGS, [("stages.0.blocks.0.norm1", *values)])


VIEWS = (_verification, _models, _old_models, _recorded, _demo, _watches, _layers)


@pytest.mark.parametrize("width", [80, 100, 4000])
@pytest.mark.parametrize("make", VIEWS, ids=lambda make: make.__name__.strip("_"))
def test_a_table_fits_and_loses_nothing(make: Any, width: int) -> None:
    shown = _shown(make(), width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    lost = _letters(_shown(make(), 4000)) - _letters(shown)
    assert lost in (Counter(), Counter("name"))  # a list has its first cell without a heading


@pytest.mark.parametrize("make", [_models, _old_models, _recorded, _watches])
def test_times_are_written_as_people_write_them_and_stay_whole(make: Any) -> None:
    for width in (80, 4000):
        assert "2026-01-02 03:04" in _shown(make(), width)
        assert "T03:04" not in _shown(make(), width)


def test_numbers_are_not_torn_and_words_are_not_broken() -> None:
    shown = _shown(_demo(), 80)
    assert "0.063 [0.052, 0.077]" in shown
    assert "hidden channels" in shown
    assert "reordered" in shown


def test_rows_that_cannot_fit_are_lists() -> None:
    lines = _shown(_old_models(), 80).splitlines()
    assert lines[0].strip() == LONG
    assert any(re.fullmatch(r"  renew, because +it has a parent *", line) for line in lines)


def test_a_column_without_a_cell_is_left_out() -> None:
    assert "note" not in _shown(render.table(("name", "note"), [("a", ""), ("b", "")]), 80)
    assert "note" in _shown(render.table(("name", "note"), []), 80)


def test_only_verdicts_and_states_have_colours() -> None:
    screen = Console(
        file=io.StringIO(), width=80, force_terminal=True, color_system="standard", no_color=False
    )
    for make in VIEWS:
        screen.print(make())
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    coloured = re.findall(r"\x1b\[(?:\d;)*3\d(?:;\d)*m([^\x1b]*)", text)
    assert coloured
    known = {*render._STYLES, *watch_view._STYLES, "descends", "origin"}
    assert {word for line in coloured for word in re.findall(r"\w+", line)} <= known


def test_hidden_images_are_shown_on_any_screen() -> None:
    image = {
        "name": "picture_0001.png",
        "method": "linear",
        "similarity": {"mse": 0.1, "ssim": 0.2, "ssim_inverted": 0.1, "haarpsi": 0.3, "note": ""},
        "effect": {"label": 3, "label_after": 3, "relative": 0.01},
        "effect_exact": {"relative": 1e-15},
        "kept": True,
        "recovered": {"least squares": {"ssim": 0.5}},
    }
    document = {"images": [image], "same_label": 1, "kept": 1}
    shown = _shown(hiding(document | {"accuracy_before": None, "accuracy_after": None}), 80)
    assert "SSIM least squares  0.50" in shown
    assert max(map(len, shown.splitlines())) <= 80
