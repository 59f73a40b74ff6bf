"""``fp register`` hands everything to the registry and shows what it kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


def test_its_options_reach_the_registry(fp: Any, script: Any) -> None:
    options = ["--name", "mine", "--parent", "ours", "--probes", "12", "--answers-only"]
    assert fp("register", "x.pt", *options).exit_code == 0
    (asked,) = script.named("register")
    assert asked["images"] is None
    del asked["progress"], asked["images"]
    assert asked == {
        "name": "mine",
        "parent": "ours",
        "from_scratch": False,
        "probes": 12,
        "answers_only": True,
        "reference": False,
        "again": None,
    }


def test_that_it_has_no_parent_is_stated_and_excludes_one(fp: Any, script: Any) -> None:
    assert fp("register", "x.pt", "--from-scratch").exit_code == 0
    assert script.named("register")[0]["from_scratch"] is True
    both = fp("register", "x.pt", "--from-scratch", "--parent", "ours")
    assert both.exit_code == 2
    assert "--parent or --from-scratch" in both.stderr


def test_a_reference_is_registered_as_one(fp: Any, script: Any) -> None:
    assert fp("register", "x.pt", "--reference").exit_code == 0
    assert script.named("register")[0]["reference"] is True


def test_a_registered_model_is_renewed_from_the_file_it_was_registered_from(
    fp: Any, script: Any
) -> None:
    result = fp("register", "--again", "ours")
    assert result.exit_code == 0
    assert "renewed ours" in result.stderr
    assert script.named("load_again") == [{"name": "ours", "code": [], "device": "cpu"}]
    assert script.named("load") == []
    assert script.named("register")[0]["again"] == "ours"


def test_code_is_run_to_renew_a_model_only_where_it_is_named(fp: Any, script: Any) -> None:
    assert fp("register", "--again", "ours", "--arch", "my_networks:small").exit_code == 0
    assert script.named("load_again")[0]["code"] == ["my_networks"]


def test_a_file_that_was_moved_can_be_given_to_renew_its_model(fp: Any, script: Any) -> None:
    assert fp("register", "moved.pt", "--again", "ours", "--mean", "0.5").exit_code == 0
    assert script.named("load_again") == []
    assert script.named("load")[0]["source"] == Path("moved.pt")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected FILE, or --again NAME"),
        (["--again", "ours", "--name", "new"], "--again without --name"),
        (["--again", "ours", "--reference"], "--again without --name"),
        (["--again", "ours", "--parent", "theirs", "--from-scratch"], "--parent or --from-scratch"),
        (["--again", "ours", "--parent", "nobody"], "no registered model is named 'nobody'"),
        (["--again", "ours", "--input-size", "3,4,4"], "--input-size: expected FILE"),
        (["--again", "nobody"], "no registered model is named 'nobody'"),
    ],
)
def test_what_does_not_go_together_is_refused_before_the_work(
    fp: Any, script: Any, arguments: list[str], said: str
) -> None:
    result = fp("register", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert script.named("register") == script.named("load_again") == []


@pytest.mark.parametrize("probes", ["1", "5", "481"])
def test_too_few_or_too_many_probes_are_refused_before_anything_is_loaded(
    fp: Any, script: Any, probes: str
) -> None:
    assert fp("register", "x.pt", "--probes", probes).exit_code == 2
    assert script.calls == []


def test_its_defaults_are_those_of_the_design(fp: Any, script: Any) -> None:
    fp("register", "x.pt")
    (asked,) = script.named("register")
    assert (asked["name"], asked["parent"]) == (None, None)
    assert (asked["probes"], asked["answers_only"], asked["reference"]) == (24, False, False)


def test_pictures_become_base_images_at_the_models_size(
    fp: Any, script: Any, tmp_path: Path
) -> None:
    Image.new("RGB", (50, 40), (1, 2, 3)).save(tmp_path / "a.png")
    assert fp("register", "x.pt", "--data", str(tmp_path)).exit_code == 0
    (asked,) = script.named("register")
    assert asked["images"].shape == (1, 3, 32, 32)
    assert asked["images"].dtype == np.uint8


def test_a_folder_without_pictures_is_a_usage_error_before_the_work(
    fp: Any, script: Any, tmp_path: Path
) -> None:
    assert fp("register", "x.pt", "--data", str(tmp_path)).exit_code == 2
    assert script.named("register") == []


def test_json_is_the_documented_document(fp: Any) -> None:
    document = json.loads(fp("register", "x.pt", "--json").stdout)
    assert document["schema"] == 2
    assert document.keys() >= {
        *("name", "model_digest", "file_sha256", "architecture", "input", "output", "spaces"),
        *("depths", "panel", "probes", "source_harm_ratio", "screened_against", "redrawn"),
        *("passes", "seconds"),
    }
    (depth,) = document["depths"]
    assert depth.keys() == {"layer", "width", "probes", "residual", "source_harm_ratio"}


def test_what_was_assumed_is_said_as_a_warning(fp: Any) -> None:
    assert fp("register", "x.pt").stderr == "fp: warning: no lower bound is known\n"
