"""Building the zoo, and what it is planned to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import data as weights
from benchmarks.detection import export, zoo
from benchmarks.detection.plan import plan
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.split import HALVES, half_of
from fingerprint.lab.data import Data
from fingerprint.lab.training import accuracy, pixels
from tests.fingerprint.lab.parts import few_images, images_for, unsettled

OF_THE_ISSUE = (
    "last layer",
    "fine-tuned, all layers",
    "new head",
    "other task",
    "int8",
    "int4",
    "bf16",
    "pruned 20 %",
    "pruned 40 %",
    "pruned 60 %",
    "pruned 80 %",
    "pruned 60 %, retrained",
    "average of two",
    "merged with an independent",
    "permuted",
    "rescaled",
    "folded",
    "ONNX",
    "distilled, same",
    "distilled, other",
    "extracted from labels",
    "adversarial",
    "input-noise",
)


def _plans() -> list[tuple[Recipe, ...]]:
    """Both plans; nothing of the folder is read before a recipe is made."""
    cifar = replace(few_images(), name="cifar10")
    return [plan(few_images(), None), plan(cifar, Path("nowhere"))]


def _chosen(*names: str) -> list[Recipe]:
    return [recipe for recipe in _plans()[0] if recipe.name in names]


def _contents(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}


def test_what_a_recipe_needs_is_made_before_it() -> None:
    for recipes in _plans():
        made: set[str] = set()
        for recipe in recipes:
            assert set(recipe.needs) <= made, recipe.name
            made.add(recipe.name)
        assert len(made) == len(recipes)
        assert len({zoo.stem(name) for name in made}) == len(made)


def test_the_large_zoo_has_three_hundred_independent_pairs_and_every_modification() -> None:
    large = _plans()[1]
    bases = [recipe for recipe in large if recipe.group == "base"]
    assert len(bases) * (len(bases) - 1) >= 300
    sources = [recipe for recipe in bases if recipe.source]
    halves = {
        half: [one for one in sources if half_of(one.architecture) == half] for half in HALVES
    }
    assert {one.architecture for one in halves["settings"]} == {"resnet20", "plain cnn", "vit"}
    assert len(halves["reporting"]) == 5
    for source in sources:
        rows = [recipe.modification for recipe in large if recipe.base == source.name]
        missing = [part for part in OF_THE_ISSUE if not any(part in row for row in rows)]
        # A transformer has nothing to fold; not every architecture's symmetries are written down.
        assert set(missing) <= {"folded", "permuted", "rescaled"}
        assert ("folded" in missing) == (source.architecture in {"vit", "mixer", "convnext"})
        assert source in halves["reporting"] or set(missing) <= {"folded"}
        assert sum("all layers, " in row and "fine-tuned" in row for row in rows) == 3


def test_a_merged_network_is_kin_to_both_of_its_parents() -> None:
    for recipe in (recipe for recipes in _plans() for recipe in recipes):
        parents = 2 if "merged" in recipe.name else 1
        assert len(set(recipe.kin)) == parents
        assert recipe.base == recipe.kin[0]


def test_building_goes_on_where_it_stopped(tmp_path: Path) -> None:
    names = ("digits mlp 0", "digits mlp 1")
    zoo.build(few_images(), tmp_path, recipes=_chosen(names[0]))
    before = _contents(tmp_path)
    built = zoo.build(few_images(), tmp_path, recipes=_chosen(*names))
    assert [member.name for member in built] == list(names)
    assert before.items() <= _contents(tmp_path).items()


def test_a_member_is_loaded_as_it_was_made(tmp_path: Path) -> None:
    names = (
        "digits cnn 0",
        "digits cnn 0/batch normalisation folded",
        "digits cnn 0/new head, five classes, last layer",
    )
    cnn, folded, transferred = zoo.build(few_images(), tmp_path, recipes=_chosen(*names))
    images = images_for("digits")
    torch.testing.assert_close(
        folded.network()(images), cnn.network()(images), rtol=1e-4, atol=1e-5
    )
    assert cnn.accuracy == accuracy(cnn.network(), few_images())
    assert transferred.network()(images).shape == (len(images), 5)
    assert transferred.kin == ("digits cnn 0",)


def test_what_is_needed_is_made_first_even_if_it_was_not_asked_for(tmp_path: Path) -> None:
    built = zoo.build(few_images(), tmp_path, recipes=_chosen("digits vit 0/int8 weights"))
    assert [member.name for member in built] == ["digits vit 0", "digits vit 0/int8 weights"]


def test_no_time_makes_no_network(tmp_path: Path) -> None:
    assert zoo.build(few_images(), tmp_path, minutes=0) == ()


def test_an_interrupted_network_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(state: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(weights, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        zoo.build(few_images(), tmp_path, recipes=_chosen("digits mlp 0"))
    assert not _contents(tmp_path)


def test_weights_without_a_card_are_no_member(tmp_path: Path) -> None:
    (built,) = zoo.build(few_images(), tmp_path, recipes=_chosen("digits mlp 0"))
    built.file.with_suffix(".json").unlink()
    assert zoo.members(tmp_path) == ()


def test_an_export_is_left_out_with_a_word_where_nothing_can_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "available", lambda: False)
    said: list[str] = []
    zoo.build(
        few_images(),
        tmp_path,
        recipes=_chosen("digits cnn 0/ONNX export"),
        progress=lambda stage, done, total: said.append(stage),
    )
    assert any("ONNX" in line and "pip install" in line for line in said)
    assert zoo.members(tmp_path) == ()


def test_shares_of_the_work_are_disjoint_and_complete() -> None:
    for recipes in _plans():
        parts = [zoo._part(recipes, part) for part in ("1/2", "2/2")]
        names = [[recipe.name for recipe in part] for part in parts]
        assert sorted(names[0] + names[1]) == sorted(recipe.name for recipe in recipes)


def test_averaging_keeps_the_share_of_each_parent(tmp_path: Path) -> None:
    name = "digits vit 0/merged with an independent network, 70:30"
    first, second, merged = (
        {member.name: member for member in _built(few_images(), tmp_path, _chosen(name))}[wanted]
        for wanted in ("digits vit 0", "digits vit 1", name)
    )
    states = [member.network().state_dict() for member in (first, second, merged)]
    for weight, other, mean in zip(*(state.values() for state in states), strict=True):
        torch.testing.assert_close(mean, 0.7 * weight + 0.3 * other)


def _built(data: Data, directory: Path, recipes: Sequence[Recipe]) -> tuple[zoo.Member, ...]:
    return zoo.build(data, directory, recipes=recipes)


@pytest.mark.slow
def test_an_exported_network_answers_as_the_one_it_was_made_from(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    if not export.available():
        pytest.skip("onnx is not installed")
    network: nn.Module = unsettled("digits cnn")
    export.export(network, tmp_path / "cnn.onnx", (1, 16, 16))
    run = export.OnnxNetwork(tmp_path / "cnn.onnx")
    for count in (1, 7):
        images = pixels(few_images().test_images[:count])
        torch.testing.assert_close(run(images), network(images), rtol=1e-4, atol=1e-5)
