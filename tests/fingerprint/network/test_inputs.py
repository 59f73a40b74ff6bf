from __future__ import annotations

import pytest
import torch
from torch import nn

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.network.inputs import describe_input, sample_inputs
from tests.fingerprint.network.networks import small


def flat(width: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(width, 4))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (small(), (3, 32, 32)),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), (1, 28, 28)),
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 62 * 62, 4)), (3, 64, 64)),
        (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 222 * 222, 4)),
         (3, 224, 224)),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 4)), (1, 8, 8)),
        (flat(784), (1, 28, 28)),
        (flat(3072), (3, 32, 32)),
        (flat(13), (13,)),
        (nn.Sequential(nn.Conv1d(2, 3, 5), nn.Flatten(), nn.Linear(3 * 60, 4)), (2, 64)),
    ],
    ids=["pooled", "grey", "64", "224", "digits", "mnist", "cifar", "table", "signal"],
)  # fmt: skip
def test_the_size_is_guessed_from_the_first_layer_and_warned_of(
    module: nn.Module, shape: tuple[int, ...]
) -> None:
    spec, warnings = describe_input(module.eval(), settings={})
    assert spec.shape == shape
    assert any("--input-size" in warning for warning in warnings)


def test_metadata_decides_before_guessing() -> None:
    settings = {"input_size": (3, 48, 40), "mean": (0.5, 0.5, 0.5), "std": (0.1, 0.2, 0.3)}
    spec, warnings = describe_input(small(), settings=settings)
    assert (spec.shape, spec.kind, spec.std) == ((3, 48, 40), "pixels", (0.1, 0.2, 0.3))
    assert warnings == ()


def test_the_caller_decides_before_metadata() -> None:
    settings = {"input_size": (3, 48, 48), "mean": (0.5,) * 3, "std": (0.1,) * 3}
    spec, warnings = describe_input(
        small(), settings=settings, input_size=(3, 40, 40), mean=(0.1,), std=(0.9,)
    )
    assert (spec.shape, spec.mean, spec.std) == ((3, 40, 40), (0.1,), (0.9,))
    assert warnings == ()


def test_metadata_for_other_channels_is_left_out() -> None:
    grey = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    settings = {"input_size": (3, 48, 48), "mean": (0.5,) * 3, "std": (0.1,) * 3}
    spec, warnings = describe_input(grey, settings=settings)
    assert (spec.shape, spec.mean) == ((1, 48, 48), ())
    assert any("--mean" in warning for warning in warnings)


def test_given_bounds_make_float_inputs() -> None:
    spec, _ = describe_input(small(), settings={}, input_size=(3, 32, 32), bounds=(-2, 3))
    assert (spec.kind, spec.bounds) == ("float", (-2.0, 3.0))


@pytest.mark.parametrize("shape", [(7,), (2, 64), (5, 32, 32)])
def test_inputs_that_are_no_images_get_default_bounds_with_a_warning(
    shape: tuple[int, ...],
) -> None:
    spec, warnings = describe_input(small(), settings={}, input_size=shape)
    assert (spec.kind, spec.bounds) == ("float", (-1.0, 1.0))
    assert any("--bounds" in warning for warning in warnings)


@pytest.mark.parametrize(
    "options",
    [
        {"bounds": (1, 0)},
        {"bounds": (0, 1, 2)},
        {"bounds": (0, float("inf"))},
        {"mean": (0.1, 0.2)},
        {"std": (0.0, 1.0, 1.0)},
        {"mean": (float("nan"),)},
        {"input_size": (3, 0, 32)},
        {"input_size": ()},
    ],
    ids=str,
)
def test_values_out_of_range_are_usage_errors(options: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(UsageError):
        describe_input(small(), settings={}, **{"input_size": (3, 32, 32), **options})  # type: ignore[arg-type]


def test_a_network_that_takes_no_usual_size_is_refused() -> None:
    odd = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(11, 4))
    with pytest.raises(IncompatibleModel, match="--input-size"):
        describe_input(odd, settings={})


def test_an_input_that_would_exhaust_memory_is_refused() -> None:
    with pytest.raises(IncompatibleModel, match="at most"):
        describe_input(small(), settings={"input_size": (3, 10**6, 10**6)})


def test_samples_are_reproducible_and_inside_the_bounds() -> None:
    spec, _ = describe_input(small(), settings={}, input_size=(3, 8, 8), bounds=(-2, 3))
    first, second = sample_inputs(spec, 4), sample_inputs(spec, 4)
    assert first.shape == (4, 3, 8, 8)
    assert torch.equal(first, second)
    assert -2 <= first.min() < -1.5
    assert 2.5 < first.max() <= 3
