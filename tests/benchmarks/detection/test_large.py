"""The zoo at 224 pixels: what is planned, what its tables say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.detection import export, zoo
from benchmarks.detection.findings import Findings
from benchmarks.detection.large import networks
from benchmarks.detection.large.plan import learns, plan
from benchmarks.detection.large.tables import found_elsewhere
from benchmarks.detection.recipe import STUDENT, Recipe
from benchmarks.detection.results import read
from fingerprint.lab.data import Data
from fingerprint.lab.training import Settings
from tests.fingerprint.lab.parts import few_images, unsettled

OF_THE_ISSUE = (
    "float16",
    "int8",
    "static int8",
    "dynamic int8",
    "pruned 10 %, globally",
    "pruned 30 %, in each layer",
    "pruned 50 %, globally, retrained",
    "last layer",
    "SGD 2e-3",
    "SGD 1e-2",
    "SGD 3e-2",
    "rotation",
    "average of two",
    "adversarial",
    "distilled, same",
    "distilled, other",
    "distilled from a fine-tune",
    "fine-tune, other task",
)


def _colour() -> Data:
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), np.uint8)
    labels = np.arange(20) % 10
    return Data(
        name="cifar10",
        train_images=images,
        train_labels=labels,
        test_images=images[:6],
        test_labels=labels[:6],
    )


def _planned() -> dict[str, Recipe]:
    return {recipe.name: recipe for recipe in plan(_colour())}


def test_the_plan_holds_every_modification_once_and_what_it_needs_before_it() -> None:
    made: set[str] = set()
    for recipe in _planned().values():
        assert set(recipe.needs) <= made, recipe.name
        made.add(recipe.name)
    assert len({zoo.stem(name) for name in made}) == len(made) == len(plan(_colour()))
    for modification in OF_THE_ISSUE:
        assert any(modification in name for name in made), modification


def test_only_what_is_trained_learns() -> None:
    planned = _planned()
    assert learns(planned["lite1/fine-tuned, last layer"])
    assert learns(planned["lite0 from scratch 0"])
    for name in ("lite0", "lite0/float16 weights", "lite0/average of two fine-tunes"):
        assert not learns(planned[name]), name


class _Sized(nn.Module):
    """Remembers the sizes it saw; answers with a linear map of the mean colour."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 10)
        self.sizes: set[tuple[int, ...]] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.add(tuple(x.shape[2:]))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def test_learning_enlarges_and_leaves_the_original_alone() -> None:
    network = _Sized()
    before = network.head.weight.clone()
    settings = Settings(epochs=1, lr=0.1, optimizer="sgd", scheduled=False)
    made = networks.learned(network, _colour(), settings, seed=0, device="cpu")
    assert isinstance(made, _Sized)
    assert made.sizes == {(224, 224)}
    assert torch.equal(network.head.weight, before)
    assert not torch.equal(made.head.weight, before)


def test_rounded_weights_are_what_is_measured_and_what_others_are_made_of(tmp_path: Path) -> None:
    seen: list[nn.Module] = []

    def change(data: Data, needed: tuple[nn.Module, ...]) -> nn.Module:
        seen.extend(needed)
        return needed[0]

    first = replace(
        _planned()["lite0 from scratch 0"],
        architecture="digits mlp",
        make=lambda data, needed: unsettled("digits mlp"),
    )
    second = replace(first, name="copy", needs=(first.name,), make=change, half=False)
    zoo.build(few_images(), tmp_path, recipes=[first, second], planned=[first, second])
    weights = [next(iter(one.state_dict().values())) for one in (seen[0], unsettled("digits mlp"))]
    assert torch.equal(weights[0], weights[1].half().float())
    assert not torch.equal(*weights)


def _findings() -> Findings:
    """Two sources; each has a copy, and the second has learned the first one's answers."""

    def member(name: str, base: str, **more: str) -> dict[str, object]:
        modification = "none" if name == base else name
        facts = {"name": name, "base": base, "modification": modification, "architecture": "cnn"}
        return {**facts, "group": "shares weights", "source": name == base, **more}

    def pair(source: str, suspect: str, ratio: float, *, related: bool) -> dict[str, object]:
        logits = {"verdict": "inconclusive", "ratio": ratio, "margin": 1.0}
        return {
            "source": source,
            "suspect": suspect,
            "related": related,
            "verdicts": {"logits": logits},
        }

    return Findings(
        read(
            {
                "schema": 1,
                "budgets": [],
                "alpha": 0.001,
                "members": [
                    member("A", "A"),
                    member("B", "B"),
                    member("copy", "A"),
                    member("pupil", "B", teacher="A"),
                ],
                "pairs": [
                    pair("A", "copy", 0.2, related=True),
                    pair("A", "B", 0.6, related=False),
                    pair("A", "pupil", 0.1, related=True),
                    pair("B", "pupil", 0.7, related=True),
                    pair("B", "A", 0.5, related=False),
                ],
            }
        )
    )


def test_a_student_that_started_elsewhere_is_no_copy_of_its_teacher() -> None:
    pairs = _findings().results.pairs
    assert [pair.group for pair in pairs[2:4]] == [STUDENT, "shares weights"]


def test_a_source_is_judged_at_the_threshold_of_the_others() -> None:
    lines = found_elsewhere(_findings()).splitlines()
    assert lines[2] == "| A | 1 | 0.69 | 0 of 1 | 1 of 1 | 1 of 1 |"
    assert lines[3] == "| B | 1 | 0.51 | 1 of 1 | 0 of 1 | 0 of 0 |"


@pytest.mark.slow
def test_a_graph_of_eight_bits_answers_nearly_as_the_network_it_was_made_from(
    tmp_path: Path,
) -> None:
    pytest.importorskip("onnxruntime")
    if not export.available():
        pytest.skip("onnx is not installed")
    network: nn.Module = unsettled("digits cnn")
    images = torch.rand(20, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    answers = network(images).detach()
    for pictures in (images, None):
        file = tmp_path / "eight.onnx"
        export.export_quantised(network, file, (1, 16, 16), pictures=pictures)
        found = export.OnnxNetwork(file)(images)
        assert 0 < (found - answers).norm() < 0.2 * answers.norm()
    # The last sets its ranges by what it is asked, which must be one image whatever the batch.
    assert torch.equal(export.OnnxNetwork(file)(images[:1]), found[:1])
