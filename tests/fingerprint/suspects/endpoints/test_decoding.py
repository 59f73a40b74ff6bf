"""Whatever an endpoint sends, reading it gives rows of numbers, names with scores, or no answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.suspects.endpoints import make_adapter, parse_address
from fingerprint.suspects.endpoints.adapter import Adapter
from fingerprint.suspects.endpoints.transport import NoAnswer, Reply

_ADDRESSES = {
    "oip": "https://host/v2/models/a",
    "kserve-v1": "https://host/v1/models/a",
    "mlflow": "https://host/",
    "huggingface": "https://host/",
}
_KEYS = st.sampled_from(
    ("outputs", "predictions", "name", "shape", "datatype", "data", "label", "score", "parameters")
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(("FP32", "y", "logits", "\x1b[31m"))
    | st.text(max_size=3)
)
_DOCUMENTS = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_KEYS, inner, max_size=5)
        | st.fixed_dictionaries({"predictions": inner})
        | st.fixed_dictionaries({"outputs": st.lists(inner, max_size=2)})
        | st.fixed_dictionaries(
            {"name": _LEAVES, "datatype": st.just("FP32"), "shape": inner, "data": inner}
        )
        | st.lists(st.fixed_dictionaries({"label": inner, "score": inner}), max_size=3)
    ),
    max_leaves=12,
)


def checked(adapter: Adapter, body: bytes, count: int) -> None:
    try:
        answers = adapter.decode(Reply(headers={}, body=body), count)
    except NoAnswer:
        return
    for answer in answers:
        values = [*answer.values()] if isinstance(answer, Mapping) else answer
        assert len(values) > 0
        assert np.isfinite(np.asarray(values, np.float64)).all()


@pytest.mark.parametrize("name", _ADDRESSES)
@given(document=_DOCUMENTS, count=st.integers(1, 3))
def test_any_document_is_an_answer_or_none(name: str, document: Any, count: int) -> None:
    adapter = make_adapter(name, parse_address(_ADDRESSES[name]))
    checked(adapter, json.dumps(document).encode(), count)


@pytest.mark.parametrize("name", _ADDRESSES)
@given(body=st.binary(max_size=40))
def test_any_bytes_are_no_answer_or_one(name: str, body: bytes) -> None:
    checked(make_adapter(name, parse_address(_ADDRESSES[name])), body, 1)


@pytest.fixture(scope="module")
def generic(tmp_path_factory: pytest.TempPathFactory) -> list[Adapter]:
    """Adapters of two files, one with names and one without."""
    folder = tmp_path_factory.mktemp("files")
    adapters = []
    for number, answer in enumerate(
        ('scores = "$.predictions[*]"', 'label = "$..label"\nscore = "$..score"')
    ):
        path: Path = folder / f"{number}.toml"
        path.write_text(f'[body]\nraw = "png"\n[answer]\n{answer}\n')
        adapters.append(make_adapter(f"generic:{path}", parse_address("https://host/")))
    return adapters


@given(document=_DOCUMENTS)
def test_any_document_is_an_answer_or_none_by_paths(generic: list[Adapter], document: Any) -> None:
    for adapter in generic:
        checked(adapter, json.dumps(document).encode(), 1)
