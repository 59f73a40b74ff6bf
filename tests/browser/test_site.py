"""The built site in a real browser: axe finds nothing but what the theme's own parts break."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Opened, violations

ROOT = Path(__file__).parents[2]
PAGES = (
    "index.html",
    "tour/index.html",
    "tutorials/auditor/index.html",
    "verdict/index.html",
    "detection/index.html",
    "fleets/index.html",
    "reference/commands/index.html",
    "reference/library/index.html",
)
"""One of each kind: prose, what is typed, a tutorial, tables, and what is generated."""
THEME = {
    "aria-dialog-name": "the search box of the theme is a dialog without a name",
    "landmark-unique": "the theme makes a landmark of the buttons beside each block of code",
    "scrollable-region-focusable": "the theme wraps each table, also one that never scrolls",
}
"""Rules that parts break which the theme makes, and which no setting of it changes."""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("material", "mkdocstrings_handlers"):
        if importlib.util.find_spec(name) is None:
            pytest.skip("needs the extra docs: 'make test-browser' installs it")
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, check=True, timeout=500)
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation_of_ours(browser: Any, site: Path, scheme: str, name: str) -> None:
    found = Opened(browser, site / name, color_scheme=scheme)
    assert violations(found.page, but=THEME) == []
    elsewhere = [one for one in found.wanted if not one.startswith(("file:", "blob:"))]
    assert elsewhere == []
    found.close()
