"""Steps that ask for a mark import the files that use it, and miss none of its tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import marks
from tests.support.marks import TESTS, required, written


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("", set()),
        ("onnx", {"onnx"}),
        ("slow and not postgresql", {"slow"}),
        ("not slow and not attest  and not aws", set()),
        ("slow or onnx", set()),
        ("not (slow or onnx)", set()),
        ("slow and (onnx or aws)", set()),
    ],
)
def test_what_every_test_must_have_is_read_from_the_expression(
    expression: str, expected: set[str]
) -> None:
    assert required(expression) == expected


def _config(expression: str) -> Any:
    return SimpleNamespace(option=SimpleNamespace(markexpr=expression))


def test_a_mark_in_a_folder_s_conftest_counts_for_its_files() -> None:
    store = TESTS / "registry" / "test_store.py"
    assert "postgresql" not in store.read_text(encoding="utf-8")
    assert marks.pytest_ignore_collect(store, _config("postgresql")) is None
    assert marks.pytest_ignore_collect(store, _config("browser")) is True
    assert marks.pytest_ignore_collect(store, _config("not browser")) is None


def test_a_mark_from_elsewhere_is_refused() -> None:
    here = TESTS / "test_marks.py"
    item: Any = SimpleNamespace(
        path=here, nodeid="here", iter_markers=lambda: [SimpleNamespace(name="cathedral")]
    )
    marks.pytest_collection_modifyitems(_config("not browser"), [item])
    assert "cathedral" not in written(here)
    with pytest.raises(pytest.UsageError, match=r"here: expected pytest\.mark\.cathedral"):
        marks.pytest_collection_modifyitems(_config("not cathedral"), [item])
