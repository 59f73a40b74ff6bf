"""A URI names one thing, or is refused in one line."""

from __future__ import annotations

import pytest

from fingerprint.errors import UsageError
from fingerprint.mlflow.uris import ModelUri, is_model_uri

RUN = "c13b5e7f04894e9c993a0dfdfe7e766f"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("models:/cats/3", "cats-3"),
        ("models:/cats and dogs/12", "cats and dogs-12"),
        ("models:/cats@champion", "cats-champion"),
        (f"models:/m-{RUN}", f"m-{RUN}"),
        (f"runs:/{RUN}/model", f"model-{RUN[:8]}"),
        (f"runs:/{RUN}/a/weights.pt", f"weights.pt-{RUN[:8]}"),
    ],
)
def test_what_a_uri_names_is_read_and_written_back(text: str, label: str) -> None:
    assert is_model_uri(text)
    uri = ModelUri.parse(text)
    assert (str(uri), uri.label) == (text, label)


@pytest.mark.parametrize(
    "text",
    [
        "models:",
        "models:/",
        "models:/cats",
        "models:/cats/Production",
        "models:/cats/latest",
        "models:/cats/3/data",
        "models:/cats@a@b",
        "models:/../3",
        "models:/cats/3?x=1",
        "models:/cats\x1b[2J/3",
        "models://profile@databricks/cats/3",
        f"models:/m-{RUN}/data",
        "runs:/",
        f"runs:/{RUN}",
        f"runs:/{RUN}/",
        f"runs:/{RUN}/a//b",
        f"runs:/{RUN}/../other",
        f"runs:/{RUN}/a\nb",
        "runs:/../a",
    ],
)
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="expected models:/NAME/VERSION") as caught:
        ModelUri.parse(text)
    assert str(caught.value).isprintable()


def test_paths_and_addresses_are_no_uris() -> None:
    for text in ("model.pt", "./models:/x", "https://host/models:/cats/3", "models/cats/3"):
        assert not is_model_uri(text)
