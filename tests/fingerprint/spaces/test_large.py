"""ImageNet sizes: nothing dense, little memory, seconds."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch

from fingerprint.operators import Convolution
from fingerprint.spaces import PatchSubspace, null_space
from fingerprint.spaces.rank import full_row_rank
from fingerprint.spaces.windows import windows
from tests.fingerprint.spaces.judge import random

SHAPE = (3, 224, 224)


def test_a_patch_embedding_costs_one_small_decomposition() -> None:
    operator = Convolution(random(192, 3, 16, 16), SHAPE, stride=16)
    space = null_space(operator)
    assert isinstance(space, PatchSubspace)
    assert space.dimension == 196 * (768 - 192)
    noise = random(*SHAPE)
    harmless = space.project(noise)
    assert float(operator.matvec(harmless).norm()) < 1e-10 * float(noise.norm())
    assert float(harmless.norm()) == pytest.approx((0.75**0.5) * float(noise.norm()), rel=0.01)


def test_windows_with_more_outputs_than_inputs_prove_that_nothing_is_harmless() -> None:
    operator = Convolution(random(32, 3, 3, 3), SHAPE, stride=2, padding=1)
    assert null_space(operator).dimension == 0


def test_windows_with_inputs_of_their_own_prove_full_row_rank() -> None:
    weight = random(8, 3, 5, 5)
    small = Convolution(weight, (3, 16, 16), stride=4, padding=2)
    groups = windows(small)
    assert groups is not None
    rank = full_row_rank(groups, small.n, torch.float64)
    assert rank == torch.linalg.matrix_rank(small.to_dense())
    large = Convolution(weight, SHAPE, stride=4, padding=2)
    assert null_space(large).dimension == large.n - large.m


def test_an_unknown_dimension_says_why() -> None:
    space = null_space(Convolution(random(2, 3, 3, 3), SHAPE, padding=1))
    assert space.dimension is None
    assert space.rank is None
    assert "at least 50176" in space.note


@pytest.mark.slow  # a fresh interpreter, so that the peak is its own
def test_overlapping_windows_project_in_seconds_and_a_gigabyte() -> None:
    script = """
        import resource, torch
        torch.set_num_threads(1)
        from fingerprint.operators import Convolution
        from fingerprint.spaces import null_space
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        torch.manual_seed(0)
        weight = 0.1 * torch.randn(2, 3, 3, 3, dtype=torch.float64)
        weight[0, 0, 1, 1] = weight[1, 2, 1, 1] = 1.0
        operator = Convolution(weight, (3, 224, 224), padding=1)
        noise = torch.randn(3, 224, 224, dtype=torch.float64)
        harmless = null_space(operator).project(noise)
        assert operator.matvec(harmless).norm() < 1e-9 * operator.matvec(noise).norm()
        assert harmless.norm() > 0.5 * noise.norm()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert int(done.stdout) < 1_000_000  # KiB on Linux, bytes elsewhere: then trivially true


@pytest.mark.parametrize("channels", [16])
def test_the_first_layer_of_a_cifar_resnet_has_no_harmless_space(channels: int) -> None:
    operator = Convolution(random(channels, 3, 3, 3), (3, 32, 32), padding=1)
    space = null_space(operator)
    assert space.dimension == 0
    assert "Gram" in space.note


@pytest.mark.slow
def test_a_deficient_layer_of_cifar_size_is_decomposed_exactly() -> None:
    weight = random(16, 3, 3, 3)
    weight[:, 1] = weight[:, 0]
    operator = Convolution(weight, (3, 32, 32), padding=1)
    space = null_space(operator)
    # Two channels enter alike, so their difference is harmless at every pixel.
    assert space.dimension == 1024
    noise = random(3, 32, 32)
    half = (noise[0] - noise[1]) / 2
    expected = torch.stack([half, -half, torch.zeros(32, 32, dtype=torch.float64)])
    torch.testing.assert_close(space.project(noise), expected, atol=1e-10, rtol=0)
