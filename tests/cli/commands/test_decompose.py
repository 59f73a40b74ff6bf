"""``fp decompose`` on real files: what it writes is what it says, checked on the network itself."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from cli.main import app
from tests.support.digits import digits

ARCH = ("--arch", "fingerprint.lab.networks:mlp", "--input-size", "1,16,16")
FLAT = ("--arch", "tests.cli.commands.test_decompose:flat", "--input-size", "12", "--bounds=-1,1")

Run = Callable[..., Any]


def flat() -> nn.Module:
    """A network of twelve numbers, with more outputs than inputs: no linear harmless space."""
    return nn.Sequential(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 4))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the command with ``-o out``; returns code, stdout and stderr."""

    def called(*arguments: Any) -> Any:
        words = ["decompose", *map(str, arguments), "-o", str(tmp_path / "out")]
        return CliRunner().invoke(app, words, prog_name="fp")

    return called


@pytest.fixture
def mlp(tmp_path: Path, trained_mlp: nn.Module) -> Path:
    path = tmp_path / "mlp.safetensors"
    save_file(trained_mlp.state_dict(), path)
    return path


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """The weights of ``flat`` and two of its inputs."""
    torch.manual_seed(0)
    save_file(flat().state_dict(), tmp_path / "flat.safetensors")
    values = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 12))
    np.save(tmp_path / "rows.npy", values.astype(np.float32))
    return tmp_path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{place}.png" for place in range(2)]
    for place, path in enumerate(paths):
        Image.fromarray(digits().test_images[place, 0]).save(path)
    return paths


def _pieces(result: Any) -> dict[str, dict[str, Any]]:
    (image,) = json.loads(result.stdout)["images"]
    return {piece["what"]: piece for piece in image["pieces"]}


def test_an_image_is_split_and_the_written_parts_are_answered_as_the_report_says(
    run: Run, mlp: Path, pictures: list[Path], tmp_path: Path, trained_mlp: nn.Module
) -> None:
    result = run(mlp, pictures[0], *ARCH, "--norms", "1,8", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["schema"] == 1
    assert (document["method"], document["base"]) == ("linear", "zero")
    pieces = _pieces(result)
    assert list(pieces) == ["perturbation", "harmless", "harmful", "x1", "x8"]
    written = {what: np.load(tmp_path / "out" / f"0-{what}.npy") for what in pieces}
    image = digits().test_images[0].astype(np.float64) / 255
    np.testing.assert_allclose(written["perturbation"], image)
    np.testing.assert_allclose(written["harmless"] + written["harmful"], image, atol=1e-12)
    exact = copy.deepcopy(trained_mlp).double()
    with torch.no_grad():
        answers = {what: exact(torch.from_numpy(x[None])) for what, x in written.items()}
        nothing = exact(torch.zeros(1, 1, 16, 16, dtype=torch.float64))
    for what in ("harmful", "x1", "x8"):
        torch.testing.assert_close(answers[what], answers["perturbation"], atol=1e-9, rtol=0)
        assert pieces[what]["from_whole"]["relative"] < 1e-12
    torch.testing.assert_close(answers["harmless"], nothing, atol=1e-9, rtol=0)
    assert pieces["harmless"]["from_base"]["relative"] < 1e-12
    size = np.linalg.norm(image)
    assert pieces["x8"]["norm"] == pytest.approx(8 * size)
    assert np.linalg.norm(written["x8"]) == pytest.approx(8 * size)
    assert not pieces["x8"]["in_range"]


def test_every_file_that_is_named_is_there_and_no_other(
    run: Run, mlp: Path, pictures: list[Path], tmp_path: Path
) -> None:
    result = run(mlp, *pictures, *ARCH, "--norms", "2", "--adversarial", "--json")
    assert result.exit_code == 0, result.stderr
    images = json.loads(result.stdout)["images"]
    named = {file for image in images for piece in image["pieces"] for file in piece["files"]}
    assert named == {path.name for path in (tmp_path / "out").iterdir()}
    for place in range(2):
        assert f"{place}-harmless.png" in named
        assert f"{place}-harmful.png" in named
        assert f"{place}-perturbed.png" in named


def test_pictures_of_parts_are_the_numbers_around_grey(
    run: Run, mlp: Path, pictures: list[Path], tmp_path: Path
) -> None:
    pieces = _pieces(run(mlp, pictures[0], *ARCH, "--json"))
    values = np.load(tmp_path / "out" / "0-harmful.npy")[0]
    scale = pieces["harmful"]["scale"]
    assert scale == pytest.approx(np.abs(values).max())
    with Image.open(tmp_path / "out" / "0-harmful.png") as picture:
        shown = (np.asarray(picture) - 127.5) / 127.5 * scale
    np.testing.assert_allclose(shown, values, atol=scale / 127)


def test_an_adversarial_perturbation_stays_in_its_bound_and_is_named(
    run: Run, mlp: Path, pictures: list[Path], tmp_path: Path
) -> None:
    result = run(mlp, pictures[0], *ARCH, "--adversarial", "--epsilon", "51/255", "--json")
    document = json.loads(result.stdout)
    assert document["images"][0]["adversarial_found"] is True
    assert document["epsilon"] == pytest.approx(0.2)
    effect = _pieces(result)["perturbation"]["from_base"]
    assert effect["label"] != effect["label_after"]
    assert np.abs(np.load(tmp_path / "out" / "0-perturbation.npy")).max() <= 0.2 + 1e-12


def test_an_attack_too_weak_is_said_to_have_failed(
    run: Run, mlp: Path, pictures: list[Path]
) -> None:
    result = run(mlp, pictures[0], *ARCH, "--adversarial", "--epsilon", "1e-6")
    assert result.exit_code == 0
    assert "no perturbation of this size was found that misleads" in result.stderr


def test_the_difference_from_another_image_is_split(
    run: Run, mlp: Path, pictures: list[Path], tmp_path: Path
) -> None:
    result = run(mlp, pictures[0], *ARCH, "--from", pictures[1], "--json")
    images = digits().test_images[:2].astype(np.float64) / 255
    np.testing.assert_allclose(
        np.load(tmp_path / "out" / "0-perturbation.npy"), images[0] - images[1], atol=1e-12
    )
    assert _pieces(result)["harmful"]["from_whole"]["relative"] < 1e-12


def test_other_networks_are_split_by_the_solver_which_is_said(
    run: Run, vectors: Path, tmp_path: Path
) -> None:
    arguments = (vectors / "flat.safetensors", vectors / "rows.npy", *FLAT)
    result = run(*arguments, "--adversarial", "--epsilon", "0.2", "--norms", "2", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["method"] == "network"
    assert [image["name"] for image in document["images"]] == ["rows", "rows-2"]
    for image in document["images"]:
        pieces = {piece["what"]: piece for piece in image["pieces"]}
        assert all(piece["converged"] for piece in pieces.values())
        assert pieces["harmless"]["from_base"]["relative"] < 1e-7
        assert pieces["x2"]["from_whole"]["relative"] < 1e-7
        assert pieces["harmful"]["from_whole"]["relative"] > 1e-6
        assert pieces["x2"]["in_range"]
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".npy"}


def test_people_are_told_the_way_and_the_numbers(
    run: Run, mlp: Path, pictures: list[Path], vectors: Path
) -> None:
    text = run(mlp, pictures[0], *ARCH, "--norms", "4").stdout
    assert "projection on the linear harmless space, 160 of 256 dimensions" in text
    assert "x4 as long, same effect" in text
    assert "(Theorems 4 and 5)" in text
    text = run(vectors / "flat.safetensors", vectors / "rows.npy", *FLAT).stdout
    assert "the whole-network solver, there being no linear harmless space" in text
    assert "need not act as the whole perturbation does" in text


def test_a_seed_repeats_and_an_image_does_not_depend_on_its_neighbours(
    run: Run, mlp: Path, pictures: list[Path], tmp_path: Path
) -> None:
    arrays = []
    for given, seed in (([pictures[1]], "a"), (pictures, "a"), ([pictures[1]], "b")):
        assert run(mlp, *given, *ARCH, "--norms", "2", "--seed", seed, "--force").exit_code == 0
        arrays.append(np.load(tmp_path / "out" / "1-x2.npy"))
    np.testing.assert_array_equal(arrays[0], arrays[1])
    assert not np.array_equal(arrays[0], arrays[2])


def test_nothing_is_replaced_unasked_and_nothing_computed_in_vain(
    run: Run, mlp: Path, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1-harmful.png").write_text("precious")
    result = run(mlp, *pictures, *ARCH)
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1-harmful.png"]
    assert run(mlp, *pictures, *ARCH, "--force").exit_code == 0


def test_an_image_equal_to_its_base_is_a_usage_error(
    run: Run, mlp: Path, pictures: list[Path]
) -> None:
    result = run(mlp, pictures[0], *ARCH, "--from", pictures[0])
    assert result.exit_code == 2
    assert "differs from its base" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--norms", "0.5"),
        ("--norms", "1,1"),
        ("--norms", "nan"),
        ("--norms", "1e300"),
        ("--norms", "x"),
        ("--norms", ""),
        ("--adversarial", "--epsilon", "0"),
        ("--adversarial", "--epsilon", "1/0"),
        ("--adversarial", "--epsilon", "nan"),
        ("--epsilon", "0.1"),
        ("--adversarial", "--from", "x.png"),
    ],
    ids=" ".join,
)
def test_mistyped_options_are_reported_before_any_file_is_read(
    run: Run, words: tuple[str, ...], tmp_path: Path
) -> None:
    result = run("missing.safetensors", "missing.png", *words)
    assert result.exit_code == 2
    assert "missing" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_image_a_broken_one_and_a_folder_that_is_a_file_have_their_codes(
    run: Run, mlp: Path, pictures: list[Path], tmp_path: Path
) -> None:
    assert run(mlp, tmp_path / "missing.png", *ARCH).exit_code == 2
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run(mlp, tmp_path / "bad.png", *ARCH).exit_code == 3
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").write_text("x")
    assert run(mlp, pictures[0], *ARCH).exit_code == 5


def test_an_image_that_cannot_be_split_is_refused_before_any_work(
    run: Run, mlp: Path, pictures: list[Path], tmp_path: Path
) -> None:
    Image.new("L", (16, 16)).save(tmp_path / "black.png")
    result = run(mlp, pictures[0], tmp_path / "black.png", *ARCH)
    assert result.exit_code == 2
    assert "black.png: expected an image that differs" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_network_that_answers_everything_alike_is_refused(
    run: Run, pictures: list[Path], tmp_path: Path, trained_mlp: nn.Module
) -> None:
    dead = {name: torch.zeros_like(value) for name, value in trained_mlp.state_dict().items()}
    save_file(dead, tmp_path / "dead.safetensors")
    result = run(tmp_path / "dead.safetensors", pictures[0], *ARCH)
    assert result.exit_code == 3
    assert "dead or constant" in result.stderr


def test_an_answer_of_zero_is_measured_by_nothing_and_not_shown_as_infinite(
    run: Run, pictures: list[Path], tmp_path: Path, trained_mlp: nn.Module
) -> None:
    weights = {
        name: torch.zeros_like(value) if name.endswith("bias") else value
        for name, value in trained_mlp.state_dict().items()
    }
    save_file(weights, tmp_path / "unbiased.safetensors")
    result = run(tmp_path / "unbiased.safetensors", pictures[0], *ARCH)
    assert result.exit_code == 0
    assert not {"nan", "inf"} & set(result.stdout.split())


def test_a_seed_that_is_no_text_is_a_seed(run: Run, mlp: Path, pictures: list[Path]) -> None:
    result = run(mlp, pictures[0], *ARCH, "--adversarial", "--seed", "\udcff")
    assert result.exit_code == 0, result.stderr


def indexed() -> nn.Module:
    """A network that looks its input up in a table."""

    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(21, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.table((10 + 10 * x).long()).mean(dim=1)
            return found

    return Table()


@pytest.mark.parametrize("options", [(), ("--adversarial",)], ids=str)
def test_a_network_without_derivatives_is_refused(
    run: Run, vectors: Path, options: tuple[str, ...]
) -> None:
    save_file(indexed().state_dict(), vectors / "indexed.safetensors")
    arch = ("--arch", "tests.cli.commands.test_decompose:indexed", *FLAT[2:])
    result = run(vectors / "indexed.safetensors", vectors / "rows.npy", *arch, *options)
    assert result.exit_code == 3
    assert "can be differentiated" in result.stderr
