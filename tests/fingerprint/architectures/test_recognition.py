from __future__ import annotations

import time

import pytest
import timm
import torch
from torch import Tensor, nn

from fingerprint.architectures.recognition import recognise
from fingerprint.errors import AmbiguousArchitecture, UnknownArchitecture


def shapes_of(name: str, num_classes: int = 7) -> dict[str, Tensor]:
    """The state_dict of a timm architecture, without memory for its values."""
    with torch.device("meta"):
        module: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes)
    return dict(module.state_dict())


@pytest.mark.parametrize("num_classes", [2, 7, 1000])
@pytest.mark.parametrize("name", ["test_resnet", "convnext_atto", "regnetx_002", "test_vit"])
def test_an_architecture_is_recognised_for_any_class_count(name: str, num_classes: int) -> None:
    found = recognise(shapes_of(name, num_classes))
    assert (found.name, found.classes) == (name, num_classes)


def test_both_heads_of_a_distilled_network_follow_the_class_count() -> None:
    found = recognise(shapes_of("deit_tiny_distilled_patch16_224", 7))
    assert (found.name, found.classes) == ("deit_tiny_distilled_patch16_224", 7)


def test_names_for_one_function_count_as_one() -> None:
    found = recognise(shapes_of("deit_tiny_patch16_224"))
    assert {found.name, *found.others} == {"vit_tiny_patch16_224", "deit_tiny_patch16_224"}
    assert found.evidence == "answers"


@pytest.mark.parametrize(
    ("name", "candidates"),
    [
        ("efficientnet_b0", {"efficientnet_b0", "tf_efficientnet_b0"}),
        ("tf_efficientnet_b0", {"efficientnet_b0", "tf_efficientnet_b0"}),
        ("resnet18", {"resnet18", "resnetblur18"}),
    ],
)
def test_several_functions_are_listed_and_asked_for(name: str, candidates: set[str]) -> None:
    with pytest.raises(AmbiguousArchitecture, match="--arch") as caught:
        recognise(shapes_of(name))
    assert candidates <= set(caught.value.candidates)
    assert all(candidate in str(caught.value) for candidate in candidates)


def test_the_listed_functions_really_differ() -> None:
    # The claim of the index, tried again on two members of one group.
    torch.manual_seed(0)
    plain = timm.create_model("resnet18", num_classes=3).eval()
    blur = timm.create_model("resnetblur18", num_classes=3).eval()
    blur.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    assert not torch.allclose(plain(x), blur(x), rtol=1e-2)


def test_the_joined_names_really_agree() -> None:
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=3).eval()
    deit = timm.create_model("deit_tiny_patch16_224", num_classes=3).eval()
    deit.load_state_dict(vit.state_dict())
    x = torch.randn(2, 3, 224, 224)
    torch.testing.assert_close(vit(x), deit(x))


def test_counters_of_seen_batches_do_not_matter() -> None:
    state = {name: t for name, t in shapes_of("test_resnet").items() if "num_batches" not in name}
    assert recognise(state).name == "test_resnet"


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "heads"])
def test_a_small_difference_is_not_recognised(change: str) -> None:
    state = shapes_of("test_resnet")
    if change == "missing":
        del state["layer1.0.conv1.weight"]
    elif change == "extra":
        state["layer1.0.conv3.weight"] = torch.ones(4, 4, 1, 1)
    elif change == "shape":
        state["conv1.0.weight"] = torch.ones(1, 1, 3, 3)
    else:
        state["fc.bias"] = torch.ones(8)  # the weight has 7 rows
    with pytest.raises(UnknownArchitecture, match="--arch"):
        recognise(state)


def test_nothing_is_not_recognised() -> None:
    with pytest.raises(UnknownArchitecture):
        recognise({})


def test_recognition_takes_well_under_a_second() -> None:
    state = shapes_of("test_vit")
    recognise(state)  # the index is read once
    began = time.process_time()
    recognise(state)
    assert time.process_time() - began < 0.5
