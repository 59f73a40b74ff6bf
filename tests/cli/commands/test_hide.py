"""``fp hide``: hidden pictures are written, the answers kept, and nothing is glossed over."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from cli.hiding_view import hiding
from cli.output import console
from fingerprint import Model, load_model
from fingerprint.privacy import Hidden, Similarity
from fingerprint.solvers.effect import Effect
from tests.cli.fakes import HOSTILE
from tests.support.digits import digits

SIZE = (1, 16, 16)


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    paths = []
    for place in range(2):
        path = tmp_path / f"digit{place}.png"
        Image.fromarray(digits().test_images[place, 0]).save(path)
        paths.append(str(path))
    return paths


@pytest.fixture
def public(tmp_path: Path) -> str:
    folder = tmp_path / "public"
    folder.mkdir()
    for place in range(40):
        Image.fromarray(digits().train_images[place, 0]).save(folder / f"{place:02}.png")
    return str(folder)


Run = Callable[..., Any]


@pytest.fixture
def run(fp: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: list[str]) -> Run:
    """Runs ``fp hide`` on two digits; ``run(module, "--json")`` writes to ``out``."""
    import fingerprint.network

    def call(module: nn.Module, *arguments: str) -> Any:
        model: Model = load_model(module, input_size=SIZE)
        monkeypatch.setattr(fingerprint.network, "load_model", lambda *_, **__: model)
        out = str(tmp_path / "out")
        return fp("hide", "net.safetensors", *pictures, "-o", out, *arguments)

    return call


def _names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "out").iterdir())


def test_linear_writes_pictures_and_says_what_remains(
    run: Run, trained_vit: nn.Module, tmp_path: Path
) -> None:
    result = run(trained_vit, "--exact")
    assert result.exit_code == 0, result.stderr
    assert _names(tmp_path) == [
        "digit0-exact.npy",
        "digit0.png",
        "digit1-exact.npy",
        "digit1.png",
    ]
    exact = np.load(tmp_path / "out" / "digit0-exact.npy")
    sent = np.asarray(Image.open(tmp_path / "out" / "digit0.png"))
    assert exact.dtype == np.float64
    np.testing.assert_array_equal(np.round(exact[0] * 255), sent)
    assert "whoever knows the weights gets that part back" in result.stderr
    assert "--recover measures how much" in result.stderr
    assert "labels kept" in result.stdout
    assert "2 of 2 (100%)" in result.stdout


def test_json_holds_every_number_and_the_accuracy(
    run: Run, trained_vit: nn.Module, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    truth = digits().test_labels
    labels.write_text(f"file,class\ndigit0.png,{truth[0]}\ndigit1.png,{(truth[1] + 1) % 10}\n")
    result = run(trained_vit, "--json", "--labels", str(labels))
    document = json.loads(result.stdout)
    assert document["schema"] == 1
    assert [image["name"] for image in document["images"]] == ["digit0", "digit1"]
    for image in document["images"]:
        assert image["method"] == "linear"
        assert image["effect_exact"]["relative"] <= image["effect"]["relative"]
        assert image["similarity"]["mse"] > 0.01
    assert document["kept"] == document["same_label"] == 2
    assert document["accuracy_before"] == document["accuracy_after"] == 0.5


def test_recover_measures_and_writes_what_comes_back(
    run: Run, trained_vit: nn.Module, public: str, tmp_path: Path
) -> None:
    result = run(trained_vit, "--recover", "--public", public, "--json")
    assert result.exit_code == 0, result.stderr
    assert "digit0-recovered.png" in _names(tmp_path)
    back = np.asarray(Image.open(tmp_path / "out" / "digit0-recovered.png")) / 255
    truth = digits().test_images[0, 0] / 255
    for image in json.loads(result.stdout)["images"]:
        found = image["recovered"]
        assert list(found) == ["least squares", "mean image", "Gaussian prior"]
        assert found["Gaussian prior"]["mse"] < image["similarity"]["mse"]
    assert np.mean((back - truth) ** 2) < 0.02


def test_network_is_chosen_where_nothing_is_linear(
    run: Run, trained_cnn: nn.Module, tmp_path: Path
) -> None:
    result = run(trained_cnn, "--recover", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert {image["method"] for image in document["images"]} == {"network"}
    assert "give images to learn from, --public" in result.stderr
    assert "linear method" not in result.stderr
    assert _names(tmp_path) == ["digit0.png", "digit1.png"]


def test_one_seed_writes_the_same_bytes_again(
    run: Run, trained_mlp: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "out" / "digit0.png"
    run(trained_mlp, "--seed", "a", "--method", "network")
    first = path.read_bytes()
    run(trained_mlp, "--seed", "a", "--method", "network", "--force")
    assert path.read_bytes() == first
    run(trained_mlp, "--seed", "b", "--method", "network", "--force")
    assert path.read_bytes() != first


def test_nothing_is_overwritten_without_force(
    run: Run, trained_mlp: nn.Module, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "digit1.png").write_text("mine")
    result = run(trained_mlp, "--method", "network")
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert _names(tmp_path) == ["digit1.png"]
    assert (tmp_path / "out" / "digit1.png").read_text() == "mine"


def test_linear_without_a_harmless_space_is_refused_with_the_way_out(
    run: Run, trained_cnn: nn.Module
) -> None:
    result = run(trained_cnn, "--method", "linear")
    assert result.exit_code == 2
    assert "use the method network" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--method", "magic"), "--method: expected linear or network, got 'magic'"),
        (("--aim", "moon"), "--aim: expected noise or distance"),
        (("--public", "x"), "together with --recover"),
    ],
)
def test_mistyped_options_are_refused(
    run: Run, trained_mlp: nn.Module, arguments: tuple[str, ...], words: str
) -> None:
    result = run(trained_mlp, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("digit0.png,1\n", 2, "has none for digit1.png"),
        ("digit0.png,1\ndigit1.png,dog\n", 3, "line 2"),
        (b"\xff\xfe\x00\x01".decode("latin-1"), 2, "has none for digit0.png"),
        ("digit0.png,1\ndigit1.png,10\n", 2, "expected classes from 0 to 9"),
        ("digit0.png,1\ndigit1.png," + "9" * 5000, 3, "line 2"),
        ("a/digit0.png,1\nb/digit0.png,2\n", 3, "line 2: a second class for digit0.png"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    run: Run, trained_mlp: nn.Module, tmp_path: Path, text: str, code: int, words: str
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(text, encoding="utf-8")
    result = run(trained_mlp, "--labels", str(labels))
    assert result.exit_code == code
    assert words in result.stderr


def _effect(*, relative: float = 0.0, after: int = 3) -> Effect:
    return Effect(relative=relative, rmse=0.0, largest=0.0, label=3, label_after=after)


def _hidden(effect: Effect) -> Hidden:
    return Hidden(
        image=np.zeros(SIZE, dtype=np.uint8),
        exact=np.zeros(SIZE),
        method="network",
        distance=0.25,
        residual=0.0,
        converged=True,
        effect_exact=_effect(),
        effect=effect,
    )


@pytest.mark.parametrize(
    ("effect", "kept"),
    [
        (_effect(relative=0.05), True),
        (_effect(relative=0.5), False),
        (_effect(relative=0.05, after=4), False),
        (_effect(relative=float("nan")), False),
    ],
)
def test_an_answer_is_kept_with_its_label_and_nine_tenths_of_it(effect: Effect, kept: bool) -> None:
    assert _hidden(effect).is_kept == kept


def test_hostile_names_reach_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    alike = Similarity(mse=0.25, ssim=None, ssim_inverted=None, haarpsi=None, note="too small")
    image: dict[str, Any] = {
        "similarity": alike.to_dict(),
        "recovered": {"regression": alike.to_dict()},
    }
    image |= {"name": HOSTILE, **_hidden(_effect(after=4)).to_dict()}
    document: dict[str, Any] = {"images": [image], "kept": 0, "same_label": 0}
    document |= {"accuracy_before": 1.0, "accuracy_after": 0.0}
    console(sys.stdout).print(hiding(document))
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "3 -> 4" in text
    assert "too small" in text
    assert "100.0% before, 0.0% after" in text


def test_when_no_answer_is_kept_the_code_is_inconclusive(
    run: Run, trained_mlp: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fingerprint.privacy

    lost = (_hidden(_effect(after=4)),) * 2
    monkeypatch.setattr(fingerprint.privacy, "hide", lambda *_, **__: lost)
    result = run(trained_mlp)
    assert result.exit_code == 4
    assert "the answer is not kept for digit0, digit1" in result.stderr


def test_a_seed_that_is_no_text_is_a_seed(run: Run, trained_mlp: nn.Module) -> None:
    result = run(trained_mlp, "--seed", "\udcff")
    assert result.exit_code == 0, result.stderr


def test_too_few_public_images_are_refused_before_the_work(
    run: Run, trained_mlp: nn.Module, pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import fingerprint.privacy

    monkeypatch.setattr(fingerprint.privacy, "hide", lambda *_, **__: pytest.fail("worked"))
    result = run(trained_mlp, "--recover", "--public", pictures[0])
    assert result.exit_code == 2
    assert "--public: expected at least 4 images, got 1" in result.stderr


def test_the_originals_are_not_replaced_even_with_force(
    fp: Any, run: Run, trained_mlp: nn.Module, pictures: list[str], tmp_path: Path
) -> None:
    before = Path(pictures[0]).read_bytes()
    result = run(trained_mlp, "--force", "--out", str(tmp_path))
    assert result.exit_code == 2
    assert "would replace the image it is made of" in result.stderr
    assert Path(pictures[0]).read_bytes() == before


def test_a_dead_network_is_refused(run: Run, trained_mlp: nn.Module) -> None:
    dead = copy.deepcopy(trained_mlp)
    for parameter in dead.parameters():
        parameter.detach().zero_()
    result = run(dead)
    assert result.exit_code == 3
    assert "dead or constant" in result.stderr


def test_labels_from_a_pipe_are_refused_and_not_waited_for(
    run: Run, trained_mlp: nn.Module, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "labels.csv")
    result = run(trained_mlp, "--labels", str(tmp_path / "labels.csv"))
    assert result.exit_code == 3
    assert "expected a regular file" in result.stderr
