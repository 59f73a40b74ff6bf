"""Links out of the repository are addresses that a reader may follow: of another site, by https.

Nobody is asked whether they answer: tests need no network. Links inside are checked by the strict
build of the site, and those of the README by ``test_readme.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.docs.session import ROOT

PLACEHOLDER = "OWNER/nullprint"
"""Stands for the repository's own address until it has one."""
LINK = re.compile(
    r"""\]\(([a-z+]+:[^)\s]+)\)|<([a-z+]+://[^>\s]+)>|(?:href|src)="([a-z+]+:[^"]+)\""""
)
INVENTED = re.compile(r"(?:^|\.)(?:example|invalid|test|localhost)(?:\.(?:com|net|org))?$")
UNFINISHED = re.compile(r"\b(?:TODO|TBD|FIXME|XXX|YOUR[-_ ]|CHANGEME)|example\.com/(?:you|org)\b")


def pages() -> Iterator[Path]:
    """Yields whatever people read."""
    yield from (ROOT / "docs").rglob("*.md")
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))
    yield from (one for one in (ROOT / "examples").iterdir() if one.is_file())


def test_links_lead_to_other_sites_by_https() -> None:
    found = 0
    for page in pages():
        for groups in LINK.findall(page.read_text(encoding="utf-8")):
            (address,) = filter(None, groups)
            found += 1
            parts = urlsplit(address)
            where = f"{page.relative_to(ROOT)}: {address}"
            assert parts.scheme == "https", where
            assert "." in (parts.hostname or ""), where
            assert not INVENTED.search(parts.hostname or ""), where
            assert not re.search(r"[<>{}|\\^`\s]", address), where
    assert found >= 5


def test_nothing_waits_to_be_filled_in_but_the_address_of_this_repository() -> None:
    holders = set()
    for page in pages():
        text = page.read_text(encoding="utf-8")
        assert not UNFINISHED.search(text), (page, UNFINISHED.search(text))
        owners = set(re.findall(r"\bOWNER/\S*?(?=[@`\s]|$)", text))
        assert owners <= {PLACEHOLDER}, page
        if owners:
            holders.add(page.relative_to(ROOT).as_posix())
            assert "address of this repository" in text, page
    assert holders <= {
        "docs/pipelines.md",
        "examples/github-workflow.yml",
        "examples/pre-commit-config.yaml",
    }
