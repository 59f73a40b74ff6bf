"""The first affine segment of real architectures, with random weights."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import timm
import torch
from torch.nn import functional

from fingerprint.network.model import Model
from fingerprint.network.spec import InputSpec, OutputSpec
from fingerprint.operators import (
    AffineSegment,
    Convolution,
    first_affine_segment,
    from_arrays,
    same_kernel,
    to_arrays,
)

SHAPE = (3, 224, 224)


@cache
def model(name: str) -> Model:
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, num_classes=10).eval().requires_grad_(False)
    return Model(
        module=network,
        input=InputSpec(shape=SHAPE, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        output=OutputSpec(classes=10),
        architecture=f"timm:{name}",
        digest="",
    )


@cache
def segment(name: str) -> AffineSegment:
    return first_affine_segment(model(name), SHAPE)


@pytest.mark.parametrize(
    ("name", "layers", "ended_by", "kind"),
    [
        ("resnet18", ("div", "conv1", "bn1"), "relu", Convolution),
        (
            "vit_tiny_patch16_224",
            ("div", "patch_embed.proj"),
            "native_layer_norm, add",
            Convolution,
        ),
        ("efficientnet_b0", ("div", "conv_stem", "bn1"), "silu", Convolution),
        ("convnext_atto", ("div", "stem.0"), "native_layer_norm", Convolution),
        ("mixer_s32_224", ("div", "stem.proj"), "native_layer_norm, add", Convolution),
    ],
)
def test_the_segment_of_a_known_architecture_is_its_stem(
    name: str, layers: tuple[str, ...], ended_by: str, kind: type
) -> None:
    found = segment(name)
    assert found.operator is not None, found.reason
    assert found.layers == layers
    assert found.ended_by == ended_by
    assert not found.identity
    assert type(same_kernel(found.operator)) is kind


def test_the_linear_part_of_a_resnet_is_its_first_convolution_and_batch_norm() -> None:
    source = model("resnet18").to(dtype=torch.float64)
    x = torch.rand(1, *SHAPE, dtype=torch.float64)
    network = source.module

    def before_relu(value: torch.Tensor) -> torch.Tensor:
        return network.bn1(network.conv1(source.input.normalise(value)))

    expected = before_relu(x) - before_relu(torch.zeros_like(x))
    found = segment("resnet18").operator
    assert found is not None
    # the model's mean and deviation are rounded to single precision before the walk sees them
    torch.testing.assert_close(found.matvec(x), expected, rtol=1e-5, atol=1e-5)


def test_the_null_space_of_a_patch_embedding_leaves_the_transformer_unchanged() -> None:
    source = model("vit_tiny_patch16_224").to(dtype=torch.float64)
    found = first_affine_segment(source, SHAPE).operator
    assert found is not None
    core = same_kernel(found)
    assert isinstance(core, Convolution)
    assert core.is_patchwise
    block = core.weight.flatten(1).numpy()
    _, values, rows = np.linalg.svd(block)
    assert values.min() > 1e-6  # full rank: 192 of 768 dimensions of a patch are seen
    null = torch.from_numpy(rows[block.shape[0] :])
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(196, len(null), generator=generator, dtype=torch.float64)
    patches = functional.fold((weights @ null).T[None], SHAPE[1:], 16, stride=16)
    delta = patches[0]
    x = torch.rand(1, *SHAPE, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        plain, moved, scrambled = (source(x + d) for d in (0 * delta, delta, delta.flip(-1)))
    assert float(delta.std()) > 0.5  # far larger than the image's own deviation of 0.29
    assert float((moved - plain).norm() / plain.norm()) < 1e-10
    assert float((scrambled - plain).norm() / plain.norm()) > 1e-3


def test_a_stored_segment_of_a_transformer_acts_the_same() -> None:
    found = segment("vit_tiny_patch16_224").operator
    assert found is not None
    core = same_kernel(found)
    arrays = to_arrays(core)
    assert 0 < sum(array.nbytes for array in arrays.values()) < 2e6
    x = torch.randn(2, *SHAPE, dtype=torch.float64)
    assert torch.equal(from_arrays(arrays).matvec(x), core.matvec(x))
