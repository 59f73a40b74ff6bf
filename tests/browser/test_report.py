"""A report in a real browser: it shows the verdict, asks nobody, and obeys no name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry.reports.dossier import Dossier
from registry.reports.view import view_of
from tests.browser.conftest import Opened, violations
from tests.support.dossiers import HOSTILE, dossier_of

MADE = "2026-01-31T12:00:00+00:00"
NARROW = {"width": 360, "height": 720}

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _drawings() -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'nullprint[plot]'")


def claimed(dossier: Dossier) -> Dossier:
    """Returns the dossier as if the suspect descended from the first candidate."""
    result = dossier.verification
    first, *others = result.candidates
    first = replace(first, verdict="derived", relation="descends")
    found = replace(result, verdict="derived", best=first.name, candidates=(first, *others))
    return replace(dossier, verification=found)


@pytest.fixture(scope="module")
def pages(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of a plain report and of one with hostile names."""
    from registry.reports.page import write_page

    folder = tmp_path_factory.mktemp("reports")
    dossiers = {
        "plain": dossier_of(folder / "plain.db"),
        "hostile": dossier_of(folder / "hostile.db", names=HOSTILE[:3], file=HOSTILE[3] + ".pt"),
    }
    for name, dossier in dossiers.items():
        write_page(view_of(claimed(dossier), made=MADE), folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in dossiers}


@pytest.fixture(params=["plain", "hostile"])
def opened(request: Any, browser: Any, pages: dict[str, Path]) -> Iterator[Opened]:
    found = Opened(browser, pages[request.param])
    yield found
    found.close()


def unfolded(page: Any) -> None:
    """Opens all that is folded."""
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")


def test_title_and_verdict_are_shown(browser: Any, pages: dict[str, Path]) -> None:
    found = Opened(browser, pages["plain"])
    assert found.page.title() == "suspect.pt: derived"
    verdict = found.page.locator(".verdict strong")
    assert verdict.inner_text() == "The suspect is derived from ours: it descends from it."
    assert verdict.is_visible()
    found.close()


def test_nothing_is_said_to_the_console_and_nobody_is_asked(opened: Opened) -> None:
    unfolded(opened.page)
    assert opened.said == []
    assert opened.wanted == []


def test_every_picture_is_there_on_light_and_on_dark_paper(opened: Opened) -> None:
    shown = "[...document.images].map(one => [one.currentSrc, one.naturalWidth])"
    light = opened.page.evaluate(shown)
    opened.page.emulate_media(color_scheme="dark")
    opened.page.wait_for_function(
        "first => document.images[0].currentSrc !== first && document.images[0].complete",
        arg=light[0][0],
    )
    dark = opened.page.evaluate(shown)
    assert len(light) == len(dark) == 3 + 4 * 6
    assert all(width > 0 for _, width in (*light, *dark))
    # The three drawings; photographs are the same on any paper.
    assert sum(one != other for (one, _), (other, _) in zip(light, dark, strict=True)) == 3
    assert opened.said == []


def test_names_do_nothing_but_stand_there(browser: Any, pages: dict[str, Path]) -> None:
    found = Opened(browser, pages["hostile"])
    unfolded(found.page)
    assert found.page.title().endswith(".pt: derived")
    assert found.page.evaluate("document.scripts.length") == 0
    assert found.page.evaluate("document.querySelectorAll('body style, svg').length") == 0
    text = found.page.locator("body").inner_text()
    for name in HOSTILE[:2]:
        assert name in text
    assert "{{ 7*7 }}" in text
    found.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("folded", [True, False])
def test_axe_finds_no_violation(
    browser: Any, pages: dict[str, Path], scheme: str, folded: bool
) -> None:
    for path in pages.values():
        found = Opened(browser, path, color_scheme=scheme)
        if not folded:
            unfolded(found.page)
        assert violations(found.page) == []
        found.close()


def test_the_keyboard_reaches_everything(browser: Any, pages: dict[str, Path]) -> None:
    found = Opened(browser, pages["plain"])
    page = found.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#candidates")
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.get_attribute("open") is not None
    found.close()


def test_a_narrow_window_needs_no_sideways_scrolling(opened: Opened) -> None:
    opened.page.set_viewport_size(NARROW)
    unfolded(opened.page)
    widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    wide, room = opened.page.evaluate(widths)
    assert wide <= room


def test_paper_shows_what_is_folded_and_no_dark_ink(browser: Any, pages: dict[str, Path]) -> None:
    found = Opened(browser, pages["plain"], color_scheme="dark")
    found.page.emulate_media(media="print")
    heights = found.page.evaluate(
        "[...document.querySelectorAll('details')].map(one => one.lastElementChild.offsetHeight)"
    )
    assert heights
    assert all(height > 0 for height in heights)
    background = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"
    assert found.page.pdf(format="A4").startswith(b"%PDF")
    found.close()
