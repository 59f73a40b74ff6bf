from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from fingerprint.errors import UsageError
from fingerprint.operators import Convolution, Dense
from fingerprint.spaces import null_space, principal_angles
from tests.fingerprint.spaces.judge import random


@pytest.mark.parametrize(("n", "p", "q"), [(10, 3, 4), (10, 7, 6), (5, 5, 2), (6, 1, 1)])
def test_angles_between_column_spaces_are_scipys(n: int, p: int, q: int) -> None:
    one, two = random(n, p), random(n, q, seed=1)
    found = principal_angles(one, two)
    expected = scipy.linalg.subspace_angles(one.numpy(), two.numpy())
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("angle", [1e-3, 1e-7, 1e-9, 1e-12])
def test_tiny_angles_keep_their_digits(angle: float) -> None:
    axes = torch.linalg.qr(random(20, 20)).Q
    turned = np.cos(angle) * axes[:, :2] + np.sin(angle) * axes[:, 2:4]
    found = principal_angles(axes[:, :2], turned)
    np.testing.assert_allclose(found.numpy(), [angle, angle], rtol=1e-3)


def test_null_spaces_of_two_models_meet_at_right_angles_and_in_their_intersection() -> None:
    one = null_space(Convolution(random(2, 1, 3, 3), (1, 6, 6), stride=3))
    two = null_space(Convolution(random(2, 1, 3, 3, seed=1), (1, 6, 6), stride=3))
    angles = principal_angles(one, two).numpy()
    expected = scipy.linalg.subspace_angles(one.basis().numpy(), two.basis().numpy())
    np.testing.assert_allclose(angles, expected, atol=1e-7)
    # 9 inputs a patch, 2 + 2 outputs: 5 shared directions in each of 4 patches.
    assert int((angles < 1e-8).sum()) == 5 * 4


def test_angles_with_an_empty_space_are_none() -> None:
    trivial = null_space(Dense(random(5, 5)))
    assert principal_angles(trivial, random(5, 2)).shape == (0,)


def test_subspaces_of_different_spaces_are_refused() -> None:
    with pytest.raises(UsageError, match="dimensions"):
        principal_angles(random(5, 2), random(6, 2))
