"""Weights that no timm architecture has exactly: recognised among others, or named with what
differs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from fingerprint.architectures.recognition import recognise
from fingerprint.errors import AmbiguousArchitecture, UnknownArchitecture
from fingerprint.network import load_model

ONE = torch.ones(1)


def state(name: str, **options: object) -> dict[str, Tensor]:
    with torch.device("meta"):
        module: nn.Module = timm.create_model(name, pretrained=False, **options)
    return {key: torch.zeros(tensor.shape) for key, tensor in module.state_dict().items()}


def renamed(own: Mapping[str, Tensor], **begins: str) -> dict[str, Tensor]:
    """Puts a prefix before every name; another one before those of a part, by keyword."""
    return {
        begins.get(key.partition(".")[0], begins["every"]) + key: tensor
        for key, tensor in own.items()
    }


RESNET = state("test_resnet", num_classes=10)
FOUND: dict[str, dict[str, Tensor]] = {
    "prefix": renamed(RESNET, every="model."),
    "deep prefix": renamed(RESNET, every="net.backbone.encoder."),
    "two prefixes": renamed(RESNET, every="backbone.", fc="head."),
    "counters": {**RESNET, "total_ops": ONE, "fc.total_ops": ONE, "conv1.0.total_params": ONE},
    "loss": {**renamed(RESNET, every="model."), "criterion.weight": torch.ones(10)},
    "average of torch": {**renamed(RESNET, every="module."), "n_averaged": ONE},
    "averages": {**RESNET, **{"ema_" + k.replace(".", "_"): v for k, v in RESNET.items()}},
    "auxiliary head": {**RESNET, "aux.weight": torch.ones(3, 4)},
    "observers": {**RESNET, "conv1.0.weight_fake_quant.scale": ONE},
    "all pruned": {
        key + "_orig" * (tensor.ndim > 1): tensor for key, tensor in RESNET.items()
    } | {f"{key}_mask": tensor for key, tensor in RESNET.items() if tensor.ndim > 1},
    "pruned": {
        **{k: v for k, v in RESNET.items() if k != "fc.weight"},
        "fc.weight_orig": RESNET["fc.weight"], "fc.weight_mask": RESNET["fc.weight"],
    },
    "integers": {
        **RESNET, "fc.weight": RESNET["fc.weight"].to(torch.int8), "fc.weight_scale": ONE,
    },
}  # fmt: skip


@pytest.mark.parametrize("names", FOUND)
def test_a_network_is_recognised_whatever_stands_around_its_names(names: str) -> None:
    assert (recognise(FOUND[names]).name, recognise(FOUND[names]).classes) == ("test_resnet", 10)


def test_what_is_ambiguous_stays_so_under_a_prefix() -> None:
    with pytest.raises(AmbiguousArchitecture, match="resnetblur18"):
        recognise({**renamed(state("resnet18"), every="model."), "loss.weight": torch.ones(5)})


@pytest.mark.parametrize(
    ("weights", "texts"),
    [
        (state("test_resnet", in_chans=1),
         ("those of timm:test_resnet", r"conv1\.0\.weight has another size", "--input-size 1,")),
        (state("test_resnet", in_chans=4), ("those of timm:test_resnet", "--input-size 4,")),
        (state("test_vit", img_size=32),
         ("those of timm:test_vit", "pos_embed has another size",
          r"--arch timm:test_vit and --input-size 3,32,32")),
        (state("test_vit", img_size=96, in_chans=1), ("timm:test_vit", "--input-size 1,96,96")),
        (state("test_resnet", num_classes=0),
         ("timm:test_resnet", r"missing fc\.weight", "--arch timm:test_resnet,num_classes=0")),
        (state("test_vit", global_pool="avg"),
         ("timm:test_vit", r"unexpected fc_norm\.", "--arch timm:test_vit,global_pool='avg'")),
        ({k.replace("fc.", "fc.1."): v for k, v in RESNET.items()},
         ("nearest to those of timm:test_resnet", r"missing fc\.", r"unexpected fc\.1\.",
          "package.module:factory")),
        ({**RESNET, "layer1.0.se.fc1.weight": torch.ones(4, 4)},
         ("timm:test_resnet", r"unexpected layer1\.0\.se")),
    ],
    ids=["grey", "four channels", "small vit", "grey vit", "headless", "pooled", "deep head", "se"],
)  # fmt: skip
def test_a_near_miss_names_the_architecture_what_differs_and_the_way_out(
    weights: dict[str, Tensor], texts: tuple[str, ...]
) -> None:
    for given in (weights, renamed(weights, every="model.")):
        with pytest.raises(UnknownArchitecture) as caught:
            recognise(given)
        assert all(re.search(text, str(caught.value)) for text in texts), caught.value


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"])
def test_torchvisions_networks_are_named_and_load_as_told(name: str, tmp_path: Path) -> None:
    networks = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    weights = getattr(networks, name)(num_classes=7).state_dict()
    torch.save(weights, tmp_path / "a.pt")
    with pytest.raises(UnknownArchitecture, match=rf"--arch torchvision\.models:{name}"):
        load_model(tmp_path / "a.pt")
    model = load_model(tmp_path / "a.pt", arch=f"torchvision.models:{name}", input_size=(3, 64, 64))
    assert model.output.classes == 7


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (("vit.embeddings.cls_token", "classifier.weight"), "ViTForImageClassification"),
        (("convnext.embeddings.patch_embeddings.weight",), "ConvNextForImageClassification"),
        (("model.resnet.embedder.embedder.convolution.weight",), "ResNetForImageClassification"),
        (("swin.layernorm.weight",), "SwinForImageClassification"),
    ],
)
def test_transformers_names_are_named(names: tuple[str, ...], text: str) -> None:
    with pytest.raises(UnknownArchitecture, match=text):
        recognise({name: torch.ones(3) for name in names})


@pytest.mark.parametrize("weights", [{}, {"a": ONE}, {"0.weight": torch.ones(3, 3), "0.bias": ONE}])
def test_what_is_near_to_nothing_is_told_what_to_give(weights: dict[str, Tensor]) -> None:
    with pytest.raises(UnknownArchitecture, match="no timm architecture has these"):
        recognise(weights)
