from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fingerprint.errors import (
    AmbiguousArchitecture,
    EnvironmentFailure,
    IncompatibleModel,
    InputRefused,
    UnknownArchitecture,
    UsageError,
)
from fingerprint.network import FileFacts, InputSpec, Model, OutputSpec, load_model
from tests.fingerprint.network.networks import SMALL, equal, small

RESNET = "timm:test_resnet"


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    """A timm network with 7 classes and statistics that matter."""
    torch.manual_seed(1)
    module: nn.Module = timm.create_model("test_resnet", num_classes=7)
    module(torch.randn(4, 3, 64, 64))
    return module.eval()


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


SAVERS: dict[str, Callable[[dict[str, Tensor], Path], None]] = {
    "pt": torch.save,
    "legacy": lambda state, path: torch.save(
        state, path, _use_new_zipfile_serialization=False
    ),
    "safetensors": save_file,
    "wrapped": lambda state, path: torch.save({"model": state, "epoch": 3}, path),
    "data parallel": lambda state, path: torch.save(
        {"state_dict": prefixed(state, "module.")}, path
    ),
    "compiled": lambda state, path: save_file(prefixed(state, "_orig_mod."), path),
    "average": lambda state, path: torch.save({"state_dict_ema": state}, path),
}  # fmt: skip


@pytest.mark.parametrize("how", SAVERS)
@pytest.mark.parametrize("arch", [None, RESNET])
def test_a_network_comes_back_the_same_from_any_file(
    resnet: nn.Module, tmp_path: Path, how: str, arch: str | None
) -> None:
    path = tmp_path / "weights.any"
    SAVERS[how](resnet.state_dict(), path)
    model = load_model(path, arch=arch)
    live = load_model(resnet)
    assert model.digest == live.digest
    assert equal(model.module.state_dict(), resnet.state_dict())
    assert model.architecture == RESNET
    assert model.output == OutputSpec(classes=7)
    x = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (model.input.mean, model.input.std))
    torch.testing.assert_close(model(x), resnet((x - mean) / std))


def test_a_vision_transformer_is_recognised_and_its_normalisation_warned_of(
    tmp_path: Path,
) -> None:
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=7)
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    model = load_model(tmp_path / "vit.safetensors")
    assert model.architecture == "timm:vit_tiny_patch16_224"
    assert model.input.shape == (3, 224, 224)
    assert model.input.mean == (0.5, 0.5, 0.5)
    assert any("deit_tiny_patch16_224" in warning for warning in model.warnings)
    assert any("--mean and --std" in warning for warning in model.warnings)
    stated = load_model(tmp_path / "vit.safetensors", mean=(0.4,) * 3, std=(0.2,) * 3)
    assert stated.input.mean == (0.4, 0.4, 0.4)
    assert not any("--mean and --std" in warning for warning in stated.warnings)


def test_an_architecture_of_another_size_and_other_channels_is_built_to_fit(
    tmp_path: Path,
) -> None:
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=64, in_chans=1)
    torch.save(vit.state_dict(), tmp_path / "vit.pt")
    arch = "timm:vit_tiny_patch16_224"
    model = load_model(tmp_path / "vit.pt", arch=arch, input_size=(1, 64, 64))
    assert (model.input.shape, model.output.classes) == ((1, 64, 64), 3)
    again = load_model(tmp_path / "vit.pt", arch=f"{arch},img_size=64", input_size=(1, 64, 64))
    assert again.digest == model.digest


def test_file_facts_are_those_of_the_bytes_read(resnet: nn.Module, tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "a.safetensors"
    save_file(resnet.state_dict(), path)
    data = path.read_bytes()
    assert load_model(path).file == FileFacts(
        path=str(path), sha256=hashlib.sha256(data).hexdigest(), size=len(data),
        format="safetensors",
    )  # fmt: skip


def test_a_factory_builds_what_timm_does_not_have(tmp_path: Path) -> None:
    save_file(small(9).state_dict(), tmp_path / "small.safetensors")
    path = tmp_path / "small.safetensors"
    model = load_model(path, arch=SMALL, input_size=(3, 32, 32), mean=(0.5,), std=(0.2,))
    assert model.output.classes == 9
    assert model.input == InputSpec(shape=(3, 32, 32), mean=(0.5,), std=(0.2,))
    assert model.warnings == ()
    with pytest.raises(UnknownArchitecture, match="--arch"):
        load_model(path)


def test_a_model_folder_says_its_architecture_and_normalisation(
    resnet: nn.Module, tmp_path: Path
) -> None:
    save_file(resnet.state_dict(), tmp_path / "model.safetensors")
    config = {
        "architecture": "test_resnet",
        "num_classes": 7,
        "pretrained_cfg": {"input_size": [3, 96, 96], "mean": [0.1] * 3, "std": [0.9] * 3},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = load_model(tmp_path)
    assert model.architecture == RESNET
    assert model.input == InputSpec(shape=(3, 96, 96), mean=(0.1,) * 3, std=(0.9,) * 3)


def test_a_named_architecture_keeps_what_its_folder_says_of_inputs(
    resnet: nn.Module, tmp_path: Path
) -> None:
    save_file(resnet.state_dict(), tmp_path / "model.safetensors")
    stated = {"input_size": [3, 96, 96], "mean": [0.1] * 3, "std": [0.9] * 3}
    config = {"architecture": "test_resnet", "num_classes": 7, "pretrained_cfg": stated}
    (tmp_path / "config.json").write_text(json.dumps(config))
    kept = load_model(tmp_path, arch=RESNET)
    assert kept.input == InputSpec(shape=(3, 96, 96), mean=(0.1,) * 3, std=(0.9,) * 3)
    flags = load_model(tmp_path, arch=RESNET, input_size=(3, 64, 64), mean=(0.3,) * 3)
    assert flags.input == InputSpec(shape=(3, 64, 64), mean=(0.3,) * 3, std=(0.9,) * 3)


@pytest.mark.parametrize(
    ("stated", "shape"),
    [
        ({"size": {"height": 96, "width": 80}}, (3, 96, 80)),
        ({"size": 72}, (3, 72, 72)),
        ({"size": {"shortest_edge": 110}, "crop_size": {"height": 96, "width": 96}}, (3, 96, 96)),
    ],
    ids=["sides", "number", "crop"],
)
def test_a_preprocessors_configuration_says_size_and_normalisation(
    resnet: nn.Module, tmp_path: Path, stated: dict[str, Any], shape: tuple[int, ...]
) -> None:
    save_file(resnet.state_dict(), tmp_path / "model.safetensors")
    processor = {"image_mean": [0.2, 0.3, 0.4], "image_std": [0.5] * 3, **stated}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    model = load_model(tmp_path, arch=RESNET)
    assert model.input == InputSpec(shape=shape, mean=(0.2, 0.3, 0.4), std=(0.5,) * 3)


@pytest.mark.parametrize(
    "config",
    [
        {"architecture": "hf-hub:evil/model"},
        {"architecture": "no_such_network"},
        {"architecture": "test_resnet", "model_args": {"checkpoint_path": "/etc/passwd"}},
        {"architecture": "test_resnet", "model_args": {"pretrained": True}},
        {"architecture": "test_resnet", "pretrained_cfg": {"input_size": [3, 10**7, 10**7]}},
        {"architecture": "test_resnet", "pretrained_cfg": {"input_size": [3, 0, 0]}},
        {"architecture": "test_resnet", "pretrained_cfg": {"input_size": [3, 32.5, 32.5]}},
        {"architecture": "test_resnet", "pretrained_cfg": {"input_size": [3, math.inf, 32]}},
        {"architecture": "test_resnet", "pretrained_cfg": {"mean": [math.nan] * 3}},
        {"architecture": "test_resnet", "pretrained_cfg": {"std": [0, 0, 0]}},
    ],
    ids=str,
)
def test_a_hostile_configuration_fetches_nothing_and_is_refused(
    resnet: nn.Module, tmp_path: Path, config: dict[str, Any]
) -> None:
    save_file(resnet.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputRefused, match=r"metadata|input size"):
        load_model(tmp_path)


def test_a_configuration_that_cannot_be_does_not_matter_where_the_caller_says_better(
    resnet: nn.Module, tmp_path: Path
) -> None:
    save_file(resnet.state_dict(), tmp_path / "model.safetensors")
    wrong = {"input_size": [3, math.inf, 32], "mean": [math.nan] * 3, "std": [0] * 3}
    (tmp_path / "config.json").write_text(
        json.dumps({"architecture": "test_resnet", "pretrained_cfg": wrong})
    )
    model = load_model(tmp_path, input_size=(3, 32, 32), mean=(0.5,), std=(0.5,))
    assert model.input == InputSpec(shape=(3, 32, 32), mean=(0.5,), std=(0.5,))


@pytest.mark.parametrize(
    "arch",
    ["timm:nope", "timm:hf-hub:a/b", "timm:test_resnet,pretrained=True", "timm:test_resnet,q=1"],
)
def test_a_wrong_timm_architecture_is_a_usage_error(
    resnet: nn.Module, tmp_path: Path, arch: str
) -> None:
    torch.save(resnet.state_dict(), tmp_path / "a.pt")
    with pytest.raises(UsageError, match="arch"):
        load_model(tmp_path / "a.pt", arch=arch)


def test_weights_of_another_architecture_are_incompatible(
    resnet: nn.Module, tmp_path: Path
) -> None:
    torch.save(resnet.state_dict(), tmp_path / "a.pt")
    with pytest.raises(IncompatibleModel, match=r"a\.pt: the weights do not fit timm:resnet18"):
        load_model(tmp_path / "a.pt", arch="timm:resnet18")


def test_an_ambiguous_file_lists_its_candidates(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet18", num_classes=3).state_dict(), tmp_path / "a.pt")
    with pytest.raises(AmbiguousArchitecture, match=r"a\.pt: .*resnetblur18") as caught:
        load_model(tmp_path / "a.pt")
    assert "resnet18" in caught.value.candidates
    chosen = load_model(tmp_path / "a.pt", arch=f"timm:{caught.value.candidates[0]}")
    assert chosen.architecture == "timm:resnet18"


def test_half_precision_weights_become_float32_with_a_warning(
    resnet: nn.Module, tmp_path: Path
) -> None:
    state = {n: t.half() if t.is_floating_point() else t for n, t in resnet.state_dict().items()}
    save_file(state, tmp_path / "half.safetensors")
    model = load_model(tmp_path / "half.safetensors")
    assert model.dtype == torch.float32
    assert any("float16" in warning for warning in model.warnings)
    assert torch.equal(model.module.state_dict()["fc.weight"], state["fc.weight"].float())


def test_a_live_module_is_copied_forced_to_evaluation_and_left_alone() -> None:
    network = small().train()
    model = load_model(network, input_size=(3, 32, 32))
    assert not model.module.training
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert any("training mode" in warning for warning in model.warnings)
    assert (model.architecture, model.file) == ("live:Sequential", None)


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
def test_a_live_scripted_module_is_loaded() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    scripted = torch.jit.script(module)
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(load_model(scripted, input_size=(3, 8, 8))(x), module(x))


def test_wrappers_do_not_change_a_live_modules_digest() -> None:
    plain = load_model(small().eval(), input_size=(3, 32, 32))
    wrapped = load_model(nn.DataParallel(small()).eval(), input_size=(3, 32, 32))
    assert plain.digest == wrapped.digest


def test_gradients_reach_the_input_but_not_the_weights() -> None:
    model = load_model(small(), input_size=(3, 16, 16), mean=(0.5,), std=(0.5,))
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    model(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


class Answers(nn.Module):
    """Returns its logits in another package."""

    def __init__(self, pack: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.inner = small()
        self.pack = pack

    def forward(self, x: Tensor) -> Any:
        return self.pack(self.inner(x))


@pytest.mark.parametrize(
    ("pack", "output", "pick"),
    [
        (lambda y: {"logits": y, "aux": 2 * y}, None, "logits"),
        (lambda y: {"a": y, "b": 2 * y}, "a", "a"),
        (lambda y: (y, 2 * y), 0, 0),
        (lambda y: [y], None, 0),
    ],
    ids=["logits", "named", "index", "list"],
)
def test_the_logits_are_taken_out_of_their_package(
    pack: Callable[[Tensor], Any], output: str | int | None, pick: str | int
) -> None:
    model = load_model(Answers(pack).eval(), input_size=(3, 16, 16), output=output)
    x = torch.rand(2, 3, 16, 16)
    assert model.pick == pick
    assert torch.equal(model(x), small().eval()(x))


def test_several_unnamed_answers_ask_for_output() -> None:
    with pytest.raises(UsageError, match="--output"):
        load_model(Answers(lambda y: (y, y)), input_size=(3, 16, 16))


@pytest.mark.parametrize(
    "pack", [lambda y: y[:, :0], lambda y: y.argmax(1), lambda y: "cat", lambda y: y[:, :, None]]
)
def test_answers_that_are_no_logits_are_refused(pack: Callable[[Tensor], Any]) -> None:
    with pytest.raises(IncompatibleModel):
        load_model(Answers(pack), input_size=(3, 16, 16))


@pytest.mark.parametrize(
    "pack",
    [lambda y: y[:, :1], lambda y: y[:, 0], lambda y: {"logits": y[:, :1]}, lambda y: [y[:, 0]]],
)
def test_one_output_is_taken_as_two_logits_and_said(pack: Callable[[Tensor], Any]) -> None:
    model = load_model(Answers(pack).eval(), input_size=(3, 16, 16))
    assert model.output == OutputSpec(classes=2)
    assert any("one number for each input" in warning for warning in model.warnings)
    x = torch.rand(3, 3, 16, 16, requires_grad=True)
    answers = model(x)
    assert answers.shape == (3, 2)
    assert torch.equal(answers[:, 1], small().eval()(x)[:, 0])
    assert torch.equal(answers[:, 0], torch.zeros(3))
    answers[:, 1].sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("size", [(1, 32, 32), (32, 32, 3), (3, 1, 1), (12,)])
def test_a_wrong_input_size_is_an_error_before_any_probe(size: tuple[int, ...]) -> None:
    with pytest.raises(IncompatibleModel, match="--input-size"):
        load_model(small(), input_size=size)


class Doubles(nn.Module):
    """Answers a batch of more than a few inputs with too many rows."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(192, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x.flatten(1))
        return torch.cat([y, y]) if len(x) > 7 else y


def test_answers_that_are_not_one_row_for_each_input_are_refused() -> None:
    model = load_model(Doubles(), input_size=(3, 8, 8))
    with pytest.raises(IncompatibleModel, match=r"expected 8 answers of 3 values, .* gave 16x3"):
        model(torch.zeros(8, 3, 8, 8))


def test_a_table_network_takes_float_inputs() -> None:
    model = load_model(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), bounds=(-3, 3))
    assert model.input == InputSpec(shape=(6,), kind="float", bounds=(-3.0, 3.0))


def test_a_device_that_does_not_exist_is_an_environment_failure() -> None:
    with pytest.raises(EnvironmentFailure, match="device"):
        load_model(small(), device="cuda:99")
    with pytest.raises(EnvironmentFailure, match="device"):
        load_model(small(), device="abacus")
    with pytest.raises(EnvironmentFailure, match="computes nothing"):
        load_model(small(), device="meta")


@pytest.mark.parametrize("source", [3, None, b"a", {}])
def test_something_else_than_a_path_or_module_is_a_usage_error(source: Any) -> None:
    with pytest.raises(UsageError):
        load_model(source)


def test_an_architecture_for_a_live_module_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="arch"):
        load_model(small(), arch=RESNET)


@pytest.mark.parametrize("key", [None, "student"])
def test_a_model_can_be_loaded_again_from_what_it_says(
    resnet: nn.Module, tmp_path: Path, key: str | None
) -> None:
    other = {name: 2 * tensor for name, tensor in resnet.state_dict().items()}
    torch.save({"teacher": other, "student": resnet.state_dict()}, tmp_path / "a.pt")
    first = load_model(tmp_path / "a.pt", key=key)
    assert first.file is not None
    options = json.loads(json.dumps(first.load_options))
    again = load_model(first.file.path, **options)
    assert (again.digest, again.input, again.output) == (first.digest, first.input, first.output)
    assert again.load_options == first.load_options


@pytest.fixture
def exported() -> set[str]:
    import fingerprint.network as room

    return set(room.__all__)


def test_the_room_exports_its_public_names(exported: set[str]) -> None:
    assert exported >= {"FileFacts", "InputSpec", "Model", "OutputSpec", "load_model"}
    assert isinstance(load_model(small(), input_size=(3, 8, 8)), Model)


class Exits(nn.Module):
    """A network whose code ends the program, at once or when it has answered a few times."""

    def __init__(self, code: int | str | None, after: int) -> None:
        super().__init__()
        self.fc = nn.Linear(192, 3)
        self.code, self.left = code, after

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            sys.exit(self.code)
        y: Tensor = self.fc(x.flatten(1))
        return y


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("code", [None, 0, 1, 4, "a message"])
def test_a_network_that_exits_is_refused(code: int | str | None, after: int) -> None:
    """Its exit code would look like a verdict that passed, or a policy that failed."""
    with pytest.raises(IncompatibleModel, match="ends the program"):
        load_model(Exits(code, after), input_size=(3, 8, 8))(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("after", [0, 1, 3])
def test_the_end_by_a_signal_is_one_within_a_network(after: int) -> None:
    with pytest.raises(SystemExit, match="143"):
        load_model(Exits(143, after), input_size=(3, 8, 8))(torch.zeros(1, 3, 8, 8))
