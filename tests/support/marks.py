"""Imports, where only tests with some mark are asked for, only the files that use the mark.

To import all of them takes longer than most of the steps that run a few of their tests. A mark has
to be written in a test's own file, or in a ``conftest.py`` above it, to be found; a run that
leaves out its tests imports everything, and refuses where that does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def required(expression: str) -> frozenset[str]:
    """Returns the marks every test of ``pytest -m expression`` has, as far as that is plain."""
    if not re.fullmatch(r"(not )?\w+( and +(not )?\w+)*", expression):
        return frozenset()
    return frozenset(
        word for word in re.split(r" and +", expression) if not word.startswith("not ")
    )


@cache
def written(path: Path) -> frozenset[str]:
    """Returns the marks that a file of tests uses, with those of each ``conftest.py`` above it."""
    above = [folder / "conftest.py" for folder in path.parents if folder.is_relative_to(TESTS)]
    texts = [file.read_text(encoding="utf-8") for file in (path, *above) if file.exists()]
    return frozenset(re.findall(r"\bmark\.(\w+)", "\n".join(texts)))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out files of tests without the marks that are asked for."""
    if collection_path.suffix != ".py" or not collection_path.is_relative_to(TESTS):
        return None
    missing = required(config.option.markexpr) - written(collection_path)
    return True if missing else None


def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Refuses tests that ``pytest -m`` of one of their marks would not find.

    Raises:
        pytest.UsageError: If a mark came from somewhere else.
    """
    asked = set(re.findall(r"\w+", config.option.markexpr))
    for item in items:
        names = {mark.name for mark in item.iter_markers()} & asked
        if strays := names - written(item.path):
            raise pytest.UsageError(
                f"{item.nodeid}: expected pytest.mark.{min(strays)} to be written in this file or "
                "in a conftest.py above it; it came from elsewhere, and pytest -m would miss it"
            )
