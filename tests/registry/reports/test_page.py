"""The page loads nothing, runs nothing, and shows names as text, whatever is in them."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from fingerprint.errors import EnvironmentFailure
from registry import Registry
from registry.reports.dossier import Dossier
from registry.reports.view import view_of
from tests.support.dossiers import HOSTILE
from tests.support.fingerprints import make_model

pytest.importorskip("matplotlib")

from registry.reports.page import page, write_page

MADE = "2026-01-31T12:00:00+00:00"
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "nav"),
    *("section", "h1", "h2", "h3", "p", "strong", "small", "span", "a", "ul", "li", "dl", "dt"),
    *("dd", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary"),
    *("figure", "figcaption", "picture", "source", "img", "code"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "id", "href", "scope", "role"),
    *("tabindex", "aria-label", "aria-labelledby", "src", "srcset", "media", "alt", "width"),
    *("height", "colspan"),
}
VOID = {"meta", "img", "source"}


class Reader(HTMLParser):
    """Takes a page apart, and sees to it that every tag is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.style, self.open = "", "", [""]
        self.feed(text)
        assert self.open == [""]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] == "style":
            self.style += data
        else:
            self.text += data

    def values(self, attribute: str) -> list[str]:
        """Returns every value of an attribute."""
        return [one[attribute] for _, one in self.tags if attribute in one]


@pytest.fixture(scope="module")
def read(hostile: Dossier) -> Reader:
    return Reader(page(view_of(hostile, made=MADE)))


def test_only_known_tags_and_attributes_are_there(read: Reader) -> None:
    assert {tag for tag, _ in read.tags} <= TAGS
    assert {name for _, attributes in read.tags for name in attributes} <= ATTRIBUTES


def test_nothing_leads_out_of_the_page(read: Reader) -> None:
    ids = read.values("id")
    assert len(ids) == len(set(ids))
    assert {f"#{one}" for one in ids} >= set(read.values("href"))
    for address in (*read.values("src"), *read.values("srcset")):
        assert re.fullmatch(r"data:image/(png|svg\+xml);base64,[A-Za-z0-9+/=]+", address)


def test_the_policy_allows_the_style_sheet_and_pictures_alone(read: Reader) -> None:
    (policy,) = (
        one["content"] for _, one in read.tags if one.get("http-equiv") == "Content-Security-Policy"
    )
    digest = base64.b64encode(hashlib.sha256(read.style.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_hostile_names_are_text(read: Reader) -> None:
    for name in (
        *HOSTILE[:2],
        '" onload="document.title=\'owned\'" $x_1$ {{ 7*7 }} \\u202egpj.exe',
    ):
        assert name in read.text
    assert "\\x1b[2J\\n" in read.text
    assert "\x1b" not in read.text


def test_drawings_hold_no_script_and_no_address(hostile: Dossier, read: Reader) -> None:
    drawings = [one for one in read.values("src") if one.startswith("data:image/svg")]
    assert len(drawings) == len(read.values("srcset")) == 3
    for address in (*drawings, *read.values("srcset")):
        drawing = base64.b64decode(address.partition(",")[2]).decode()
        assert "<script" not in drawing
        assert "<img" not in drawing
        assert "\u202e" not in drawing
        assert " on" not in "".join(re.findall(r"<\w[^>]*>", drawing))


def test_every_picture_has_words_and_every_table_headings(read: Reader) -> None:
    pictures = [one for tag, one in read.tags if tag == "img"]
    assert len(pictures) == 3 + 4 * 6
    assert all(one["alt"] for one in pictures)
    assert all("scope" in one for tag, one in read.tags if tag == "th")
    headings = [int(tag[1]) for tag, _ in read.tags if tag in ("h1", "h2", "h3")]
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))


def test_the_same_view_makes_the_same_page(dossier: Dossier) -> None:
    view = view_of(dossier, made=MADE)
    assert page(view) == page(view)


def test_a_page_is_written_whole_or_not_at_all(dossier: Dossier, tmp_path: Path) -> None:
    view = view_of(dossier, made=MADE)
    write_page(view, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page(view)
    with pytest.raises(EnvironmentFailure):
        write_page(view, tmp_path / "none" / "report.html")
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_a_verdict_without_candidates_has_a_page(tmp_path: Path) -> None:
    with Registry(tmp_path / "registry.db") as registry:
        view = view_of(registry.dossier(registry.verify(make_model(0))), made=MADE)
    read = Reader(page(view))
    assert "There was no registered model to compare with." in read.text
