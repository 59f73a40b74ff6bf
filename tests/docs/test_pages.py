"""The tour, the tutorials and the page on the library do what they say, on networks of digits."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import Block, agrees, blocks, steps
from tests.docs.session import DEMO, ROOT, Shell, environment

PAGES = ("tour", "tutorials/engineer", "tutorials/auditor", "tutorials/team")
NEEDS = {"tutorials/auditor": ("cryptography", "matplotlib")}

pytestmark = [pytest.mark.docs, pytest.mark.timeout(1500)]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's ``digits`` and, in ``printed``, what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "cli", *DEMO.split()[1:]],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    (folder / "printed").write_text(done.stdout, encoding="utf-8")
    return folder


def _page(name: str) -> list[Block]:
    return blocks((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_shows_is_what_happens(name: str, demo: Path, tmp_path: Path) -> None:
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    shown = [step for block in _page(name) if block.kind == "console" for step in steps(block.body)]
    printed = Shell(tmp_path, demo).run(shown)
    assert len(printed) == len(shown)
    for step, found in zip(shown, printed, strict=True):
        exactly = step.command == "echo $?"
        assert agrees(step.said, found, exactly=exactly), f"$ {step.command}\n{found}"


def test_the_calls_of_the_library_page_print_what_it_says(demo: Path) -> None:
    shown = [block for block in _page("library") if block.kind in ("python", "text")]
    program = "\n".join(block.body for block in shown if block.kind == "python")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=demo / "digits",
        env=environment(demo),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(block.body for block in shown if block.kind == "text")


def test_every_tutorial_is_run() -> None:
    found = {f"tutorials/{page.stem}" for page in (ROOT / "docs/tutorials").glob("*.md")}
    assert found == {name for name in PAGES if "/" in name}


def test_a_page_does_not_run_what_is_shown_without_a_prompt() -> None:
    for name in PAGES:
        for block in _page(name):
            if block.kind == "console":
                assert re.match(r"\$ ", block.body), name
