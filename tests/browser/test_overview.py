"""The list of ``fp serve`` in a real browser: axe finds nothing, and no name does anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Opened, violations
from tests.cli.service.conftest import Served, registered, served

__all__ = ["registered", "served"]

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _extra() -> None:
    for name in ("fastapi", "limits", "matplotlib"):
        pytest.importorskip(name, reason=f"needs {name}: 'make test-browser' installs it")


def listed(served: Served, folder: Path, role: str) -> Path:
    """Returns a file with the list as the holder of a role is sent it."""
    answer = served.get("/", role)
    assert answer.status_code == 200
    file = folder / "overview.html"
    file.write_text(answer.text, encoding="utf-8")
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("role", ["reader", "auditor"])
def test_axe_finds_no_violation_in_the_list(
    browser: Any, served: Served, tmp_path: Path, scheme: str, role: str
) -> None:
    found = Opened(browser, listed(served, tmp_path, role), color_scheme=scheme)
    assert found.page.locator("tbody tr").count() == 4
    assert violations(found.page) == []
    assert found.said == []
    assert found.wanted == []
    found.close()


def test_axe_finds_no_violation_where_nothing_is_listed(
    browser: Any, served: Served, tmp_path: Path
) -> None:
    for model in served.service.registry.models()[::-1]:
        served.service.registry.remove(model.name)
    found = Opened(browser, listed(served, tmp_path, "auditor"))
    assert "None is registered yet." in found.page.locator("main").inner_text()
    assert violations(found.page) == []
    found.close()
