"""The README leads somewhere: every link in it is a page, a heading or a file that is there."""

from __future__ import annotations

import re

from tests.docs.session import ROOT

_LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)")


def _anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}


def test_links_of_the_readme_are_there() -> None:
    found = _LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(found) > 20
    for target, anchor in found:
        path = ROOT / target
        assert path.is_file(), target
        if anchor:
            assert anchor in _anchors(path.read_text(encoding="utf-8")), (target, anchor)


def test_the_readme_leads_to_every_tutorial_and_begins_with_the_demo_and_the_tests() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs/tutorials").glob("*.md"):
        assert f"(docs/tutorials/{page.name})" in text
    assert text.index("make demo") < text.index("make test") < text.index("pip install")
    assert len(text.splitlines()) < 100
