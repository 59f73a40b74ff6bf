"""A headless Chromium, what a page in it does, and what axe says of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium: the system's, or the one that Playwright brought."""
    need = "'make test-browser' installs it"
    api = pytest.importorskip("playwright.sync_api", reason=f"needs playwright: {need}")
    pytest.importorskip("axe_playwright_python", reason=f"needs axe-playwright-python: {need}")
    with api.sync_playwright() as playwright:
        system = shutil.which("chromium") or shutil.which("google-chrome")
        if system is None and not os.path.exists(playwright.chromium.executable_path):
            pytest.skip("needs a browser: apt-get install chromium, or playwright install chromium")
        started = playwright.chromium.launch(executable_path=system)
        yield started
        started.close()


class Opened:
    """A page in a browser without network, with all that it did.

    Attributes:
        page: The page.
        said: What it wrote to the console, and what dialogs and errors it raised.
        wanted: The addresses it asked for, but for its own and what it holds itself.
    """

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.said: list[str] = []
        self.wanted: list[str] = []
        self._context = browser.new_context(offline=True, **context)
        self.page = self._context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.wanted.append(request.url))
        self.page.goto(path.as_uri())
        own = ("data:", path.as_uri())
        self.wanted = [address for address in self.wanted if not address.startswith(own)]

    def close(self) -> None:
        self._context.close()


def violations(page: Any, *, but: Collection[str] = ()) -> list[str]:
    """Returns the rules of axe that a page breaks, each with where.

    Args:
        page: What is open.
        but: Rules that are not asked for.
    """
    from axe_playwright_python.sync_playwright import Axe

    options = {"rules": {rule: {"enabled": False} for rule in but}}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]
