"""Weights as training code leaves them: other names, other tensors beside them, other values."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

from fingerprint.errors import IncompatibleModel, InputRefused, UsageError
from fingerprint.network import Model, load_model
from tests.fingerprint.network.networks import equal

State = dict[str, Tensor]
SIZE = (3, 8, 8)


class Block(nn.Module):
    """A residual block, so that a network has numbered parts of several layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.bn1(self.conv1(x)))


class Net(nn.Module):
    """A small network with the names of a common one."""

    def __init__(self, num_classes: int = 10, depth: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.layer1 = nn.Sequential(*(Block() for _ in range(depth)))
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.layer1(self.conv1(x)).mean((2, 3)))
        return y


def net(num_classes: int = 10) -> Net:
    torch.manual_seed(0)
    return Net(num_classes)


def linear_sequence(num_classes: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, num_classes))


ARCH = f"{__name__}:net"
STATE: State = net(7).state_dict()
OTHER: State = {name: tensor + 1 for name, tensor in STATE.items()}


def load(content: Any, folder: Path, arch: str = ARCH, **options: Any) -> Model:
    torch.save(content, folder / "a.pt")
    return load_model(folder / "a.pt", arch=arch, input_size=SIZE, **options)


def prefixed(prefix: str, state: State = STATE) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


MANY = "which was taken off"
PREFIXED: dict[str, State] = {
    "lightning": prefixed("model."),
    "net": prefixed("net."),
    "deep": prefixed("algorithm.featurizer.network."),
    "compiled inside": prefixed("model._orig_mod."),
    "sharded": prefixed("_fsdp_wrapped_module.model."),
    "parallel and more": prefixed("module.encoder_q."),
    "numbered": prefixed("0."),
    "mmpretrain": {("head." if "fc" in k else "backbone.") + k: v for k, v in STATE.items()},
    "three parts": {
        {"conv1": "stem.", "layer1": "body.", "fc": "heads.main."}[k.partition(".")[0]] + k: v
        for k, v in STATE.items()
    },
}


@pytest.mark.parametrize("names", PREFIXED)
def test_prefixes_of_wrappers_are_taken_off_and_said(names: str, tmp_path: Path) -> None:
    model = load({"state_dict": PREFIXED[names]}, tmp_path)
    assert equal(model.module.state_dict(), STATE)
    assert model.output.classes == 7
    assert any(MANY in warning for warning in model.warnings)


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        ("online.", "target.", "online."),
        ("encoder_q.", "encoder_k.", "encoder_q."),
        ("model.", "model_ema.", "model_ema."),
        ("", "teacher.", ""),
    ],
)
def test_of_two_networks_in_one_state_one_is_taken_said_and_can_be_chosen(
    first: str, second: str, taken: str, tmp_path: Path
) -> None:
    state = prefixed(first) | prefixed(second, OTHER)
    model = load(state, tmp_path)
    expected = STATE if taken == first else OTHER
    assert equal(model.module.state_dict(), expected)
    assert any(f"'{taken}' was taken" in line and second in line for line in model.warnings)
    chosen = load(state, tmp_path, key=second.rstrip("."))
    assert equal(chosen.module.state_dict(), OTHER)
    assert not any("--key" in line for line in chosen.warnings)


def wrapped(num_classes: int = 10) -> nn.Module:
    return nn.Sequential(OrderedDict(network=net(num_classes)))


@pytest.mark.parametrize("prefix", ["", "model."])
def test_names_that_lack_the_prefix_of_the_network_get_it(prefix: str, tmp_path: Path) -> None:
    model = load(prefixed(prefix), tmp_path, arch=f"{__name__}:wrapped")
    assert equal(model.module.state_dict(), prefixed("network."))
    assert any("which was put before them" in warning for warning in model.warnings)


def test_of_two_networks_of_one_family_the_one_of_the_right_shape_is_taken(tmp_path: Path) -> None:
    wide = {name: torch.zeros([2 * size for size in t.shape]) for name, t in STATE.items()}
    model = load(prefixed("teacher.", wide) | prefixed("student."), tmp_path)
    assert equal(model.module.state_dict(), STATE)


ONE, ROW = torch.ones(1), torch.ones(10)
EXTRA: dict[str, State] = {
    "swa": dict(AveragedModel(net(7)).state_dict()),
    "profiler": {**STATE, "total_ops": ONE, "fc.total_params": ONE, "layer1.0.total_ops": ONE},
    "loss": {**STATE, "criterion.weight": ROW},
    "loss beside a wrapped one": {**prefixed("model."), "loss_fn.pos_weight": ROW},
    "metrics": {**prefixed("model."), "train_acc.tp": ROW, "val_acc.confusion": torch.ones(7, 7)},
    "averages": {**STATE, **{"ema_" + k.replace(".", "_"): v for k, v in OTHER.items()}},
    "averages of each": {**STATE, **{f"{k}_avg": v for k, v in OTHER.items()}},
    "observers": {**STATE, "conv1.weight_fake_quant.scale": ROW,
                  "layer1.0.conv1.activation_post_process.min_val": ONE},
    "auxiliary head": {**STATE, "aux_head.0.weight": torch.ones(7, 4), "aux_head.0.bias": ROW},
    "projector": {**prefixed("backbone."), "projector.0.weight": torch.ones(4, 4)},
    "queue": {**prefixed("encoder_q."), "queue": torch.ones(4, 64), "queue_ptr": ONE},
    "normalisation": {**prefixed("1."), "0.mean": torch.ones(3), "0.std": torch.ones(3)},
}  # fmt: skip


@pytest.mark.parametrize("names", EXTRA)
def test_tensors_that_are_none_of_the_networks_are_left_out_and_listed(
    names: str, tmp_path: Path
) -> None:
    model = load(EXTRA[names], tmp_path)
    assert equal(model.module.state_dict(), STATE)
    assert any("were left out" in warning for warning in model.warnings)


CHANGED: dict[str, State] = {
    "deeper": Net(7, depth=3).state_dict(),
    "another part in a block": {**STATE, "layer1.0.se.fc.weight": torch.ones(4, 4)},
    "adapters in a layer": {**STATE, "fc.lora_A.weight": torch.ones(2, 4)},
    "adapters in a block": {**STATE, "layer1.1.conv1.lora_B": torch.ones(4, 2)},
    "a missing layer": {k: v for k, v in STATE.items() if k != "layer1.1.conv1.weight"},
    "a following layer": {**prefixed("0."), "1.weight": torch.ones(2, 7), "1.bias": torch.ones(2)},
}


@pytest.mark.parametrize("names", CHANGED)
def test_what_would_change_the_answers_is_not_left_out(names: str, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleModel, match=r"unexpected|missing"):
        load(CHANGED[names], tmp_path)


def test_a_longer_sequence_is_not_cut_to_a_shorter_one(tmp_path: Path) -> None:
    state = {**linear_sequence(3).state_dict(), "5.weight": torch.ones(2, 3)}
    with pytest.raises(IncompatibleModel, match=r"unexpected 5\.weight"):
        load(state, tmp_path, arch=f"{__name__}:linear_sequence")


NESTED: dict[str, Callable[[State], Any]] = {
    "model_dict": lambda state: {"model_dict": state, "epoch": 3},
    "anything": lambda state: {"whatever": {"deep": {"er": state}}},
    "beside tensors": lambda state: {"epoch": torch.tensor(3), "best": ONE, "model_dict": state},
    "in a list": lambda state: {"models": [state], "epoch": 1},
    "after a shadow of other things": lambda state: {
        "ema": {"updates": torch.tensor(3), "decay": ONE}, "student": state,
    },
    "an average's shadow": lambda state: {
        "model": OTHER, "ema": {"updates": torch.tensor(3), "shadow": state},
    },
    "numpy": lambda state: {name: tensor.numpy() for name, tensor in state.items()},
    "numpy beside options": lambda state: {
        "weights": {name: tensor.numpy().astype(">f8") for name, tensor in state.items()
                    if not name.endswith("tracked")},
        "lr": torch.tensor(0.1).numpy(),
    },
    "numpy by columns": lambda state: {
        name: torch.from_numpy(tensor.numpy().copy(order="F")).numpy()
        for name, tensor in state.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("how", NESTED)
def test_weights_are_found_under_any_name_and_as_arrays(how: str, tmp_path: Path) -> None:
    model = load(NESTED[how](STATE), tmp_path)
    own = model.module.state_dict()
    assert all(torch.equal(own[k], STATE[k]) for k in STATE if not k.endswith("tracked"))


@pytest.mark.parametrize(
    ("content", "taken", "other"),
    [
        ({"model": STATE, "model_ema": OTHER}, "model_ema", "model"),
        ({"teacher": OTHER, "student": STATE}, "teacher", "student"),
        ({"model": STATE, "ema": {"shadow": OTHER}}, "ema.shadow", "model"),
        ([OTHER, STATE], "0", "1"),
    ],
    ids=str,
)
def test_a_choice_between_sets_that_fit_is_said_and_can_be_made(
    content: Any, taken: str, other: str, tmp_path: Path
) -> None:
    model = load(content, tmp_path)
    assert equal(model.module.state_dict(), OTHER)
    assert any(f"'{taken}' was taken, not '{other}'; --key" in line for line in model.warnings)
    assert equal(load(content, tmp_path, key=other).module.state_dict(), STATE)


def test_an_unknown_key_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing under 'student'"):
        load({"model": STATE}, tmp_path, key="student")


def parametrised(change: Callable[[Net], Any]) -> tuple[State, nn.Module]:
    network = net(7).eval()
    change(network)
    return network.state_dict(), network


def masks(network: Net) -> None:
    for layer in (network.conv1, network.layer1[0].conv1, network.fc):
        prune.l1_unstructured(layer, "weight", 0.3)  # type: ignore[no-untyped-call]
    prune.random_unstructured(network.fc, "bias", 0.5)  # type: ignore[no-untyped-call]
    prune.ln_structured(network.conv1, "weight", 0.3, n=2, dim=0)  # type: ignore[no-untyped-call]


class Mask(nn.Module):
    """A parametrisation that keeps its mask, as torch.ao's sparsifiers do."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", (torch.arange(28).view(7, 4) % 3 > 0).float())

    def forward(self, x: Tensor) -> Tensor:
        return self.mask * x  # type: ignore[no-any-return, operator]


PARAMETRISED: dict[str, Callable[[Net], Any]] = {
    "masks": masks,
    "weight norm": lambda n: parametrizations.weight_norm(n.fc),
    "weight norm of all": lambda n: parametrizations.weight_norm(n.fc, dim=None),
    "weight norm of columns": lambda n: parametrizations.weight_norm(n.conv1, dim=1),
    "spectral norm": lambda n: parametrizations.spectral_norm(n.conv1),
    "spectral norm of columns": lambda n: parametrizations.spectral_norm(n.fc, dim=1),
    "older weight norm": lambda n: nn.utils.weight_norm(n.conv1),
    "older spectral norm": lambda n: nn.utils.spectral_norm(n.fc),
    "a mask as parametrisation": lambda n: nn.utils.parametrize.register_parametrization(
        n.fc, "weight", Mask()
    ),
    "two kinds": lambda n: (masks(n), parametrizations.spectral_norm(n.layer1[1].conv1)),
}


@pytest.mark.parametrize("how", PARAMETRISED)
@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_parametrised_weights_are_computed_and_said(how: str, prefix: str, tmp_path: Path) -> None:
    state, network = parametrised(PARAMETRISED[how])
    model = load(prefixed(prefix, state), tmp_path)
    x = torch.rand(5, *SIZE)
    torch.testing.assert_close(model(x), network.eval()(x), rtol=1e-4, atol=1e-5)
    assert any("and computed: " in warning for warning in model.warnings)


@pytest.mark.parametrize("prefix", ["", "model."])
def test_masks_beside_weights_are_applied_where_they_hide_something(
    prefix: str, tmp_path: Path
) -> None:
    network = net()
    mask = (torch.arange(network.fc.weight.numel()) % 2).view_as(network.fc.weight)
    state = {**network.state_dict(), "fc.weight_mask": mask.float()}
    model = load(prefixed(prefix, state), tmp_path)
    assert torch.equal(model.module.state_dict()["fc.weight"], network.fc.weight * mask)
    assert any("masks" in warning for warning in model.warnings)
    hidden = load(prefixed(prefix, {**state, "fc.weight": network.fc.weight * mask}), tmp_path)
    assert hidden.digest == model.digest


def test_a_parametrisation_that_tensors_do_not_tell_is_refused_by_name(tmp_path: Path) -> None:
    state, _ = parametrised(lambda n: parametrizations.orthogonal(n.fc))
    with pytest.raises(IncompatibleModel, match=r"fc\.weight.*remove_parametrizations"):
        load(state, tmp_path)


def by_tensor(weight: Tensor) -> tuple[Tensor, Tensor]:
    scale = weight.abs().max() / 127
    return (weight / scale).round().to(torch.int8), scale


def by_row(weight: Tensor) -> tuple[Tensor, Tensor]:
    scale = weight.flatten(1).abs().amax(1) / 127
    rows = scale.view(-1, *[1] * (weight.ndim - 1))
    return (weight / rows).round().to(torch.int8), scale


def quantised(rename: Callable[[str, Tensor], dict[str, Tensor]]) -> State:
    state: State = {}
    for name, tensor in STATE.items():
        state |= rename(name, tensor) if tensor.ndim > 1 else {name: tensor}
    return state


def pair(integers: str, scale: str, how: Callable[[Tensor], Any] = by_tensor) -> State:
    def rename(name: str, tensor: Tensor) -> State:
        words = {"n": name, "o": name.removesuffix(".weight")}
        return dict(
            zip((integers.format(**words), scale.format(**words)), how(tensor), strict=True)
        )

    return quantised(rename)


def with_zero_points(name: str, tensor: Tensor) -> State:
    scale = (tensor.max() - tensor.min()) / 255
    zero = (-tensor.min() / scale).round()
    values = (tensor / scale + zero).round().clamp(0, 255).to(torch.uint8)
    return {name: values, f"{name}_scale": scale, f"{name}_zero_point": zero.to(torch.int32)}


def in_blocks(name: str, tensor: Tensor) -> State:
    if tensor.ndim != 2:
        return {name: tensor}
    scale = tensor.view(len(tensor), 2, -1).abs().amax(2) / 127
    spread = scale.repeat_interleave(tensor.shape[1] // 2, dim=1)
    return {name: (tensor / spread).round().to(torch.int8), f"{name}_scale": scale}


def eight_bit_floats(tensor: Tensor) -> tuple[Tensor, Tensor]:
    scale = tensor.abs().max() / 448
    return (tensor / scale).to(torch.float8_e4m3fn), scale


QUANTISED: dict[str, State] = {
    "one scale": pair("{n}", "{n}_scale"),
    "a scale a row": pair("{n}", "{n}_scale", by_row),
    "dotted": pair("{n}", "{n}.scale", by_row),
    "of the layer": pair("{n}", "{o}.scale"),
    "renamed": pair("{n}_int8", "{n}_scale", by_row),
    "quanto": pair("{n}._data", "{n}._scale", by_row),
    "bitsandbytes": pair("{n}", "{o}.SCB", lambda w: (by_row(w)[0], by_row(w)[1] * 127)),
    "a column of scales": pair("{n}", "{n}_scale", lambda w: (by_row(w)[0], by_row(w)[1][:, None])),
    "unpacked": pair("{o}.qweight", "{o}.scales", by_row),
    "integers of a name of their own": pair("{o}.int_weight", "{o}.weight_scale"),
    "zero points": quantised(with_zero_points),
    "blocks": quantised(in_blocks),
    "8-bit floats": pair("{n}", "{n}_scale", eight_bit_floats),
    "8-bit floats, other name": pair("{n}", "{n}_scale_inv", eight_bit_floats),
}


@pytest.mark.parametrize("how", QUANTISED)
@pytest.mark.parametrize("prefix", ["", "model."])
def test_small_numbers_with_scales_are_dequantised_and_said(
    how: str, prefix: str, tmp_path: Path
) -> None:
    model = load(prefixed(prefix, QUANTISED[how]), tmp_path)
    own = model.module.state_dict()
    for name, tensor in STATE.items():
        error = (own[name].float() - tensor.float()).abs().max()
        assert error <= 0.05 * tensor.abs().max(), name
    assert any("dequantised" in warning for warning in model.warnings)


def test_integers_without_sign_are_refused_without_their_zero_point(tmp_path: Path) -> None:
    state = {k: v for k, v in QUANTISED["zero points"].items() if "zero_point" not in k}
    with pytest.raises(IncompatibleModel):
        load(state, tmp_path)


def test_integers_without_scales_are_refused(tmp_path: Path) -> None:
    state = {k: (100 * v).to(torch.int8) if v.ndim > 1 else v for k, v in STATE.items()}
    with pytest.raises(IncompatibleModel, match="without its scale"):
        load(state, tmp_path)


@pytest.mark.parametrize("name", ["fc.qweight", "fc.weight.absmax", "fc.weight.quant_state.nf4"])
def test_packed_weights_are_refused_by_name(name: str, tmp_path: Path) -> None:
    state = {k: v for k, v in STATE.items() if k != "fc.weight"}
    save_file({**state, name: torch.ones(3, dtype=torch.int32)}, tmp_path / "a.safetensors")
    with pytest.raises(IncompatibleModel, match=rf"{name}.*dequantised network"):
        load_model(tmp_path / "a.safetensors", arch=ARCH, input_size=SIZE)


@pytest.mark.parametrize("content", [{"a": torch.ones(2)}, {"epoch": torch.tensor(1)}], ids=str)
def test_other_tensors_are_refused(content: State, tmp_path: Path) -> None:
    with pytest.raises(InputRefused):
        load(content, tmp_path)
