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


PUBLISHED = {"input_size": (3, 32, 32), "mean": (0.485, 0.456, 0.406), "std": (0.2, 0.2, 0.2)}


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), "mean 123.675 lies outside 0..1"),
        ((103.53,), (1.0,), "mean 103.53 lies outside 0..1"),
        ((0.5, 0.5, 127.5), None, "mean 127.5 lies outside 0..1"),
        ((0.0,), (255.0,), "std 255 is wider than 0..1"),
        (None, (0.2, 58.395, 0.2), "std 58.395 is wider than 0..1"),
    ],
)
def test_normalisation_on_the_scale_of_bytes_is_refused_with_the_way_out(
    mean: tuple[float, ...] | None, std: tuple[float, ...] | None, text: str
) -> None:
    with pytest.raises(
        UsageError, match=rf"{text}: on the 0\.\.255 scale\? give --bounds 0,255 or divide"
    ):
        describe_input(small(), settings={}, input_size=(3, 32, 32), mean=mean, std=std)


def test_the_same_scale_in_metadata_is_refused_as_the_files() -> None:
    settings = {"input_size": (3, 32, 32), "mean": (123.675,) * 3, "std": (58.395,) * 3}
    with pytest.raises(IncompatibleModel, match=r"metadata: mean 123\.675 lies outside 0\.\.1"):
        describe_input(small(), settings=settings)


@pytest.mark.parametrize(
    ("mean", "bounds"),
    [((-0.5,), None), ((3.0,), (-1.0, 1.0)), ((300.0,), (0.0, 255.0)), ((5.0,), (10.0, 20.0))],
)
def test_a_mean_outside_any_bounds_is_refused(
    mean: tuple[float, ...], bounds: tuple[float, float] | None
) -> None:
    with pytest.raises(UsageError, match=r"lies outside .*--bounds"):
        describe_input(small(), settings={}, input_size=(3, 32, 32), mean=mean, bounds=bounds)


@pytest.mark.parametrize(
    ("mean", "std", "bounds"),
    [
        ((0.0,), (1.0,), None),
        ((1.0,), (1.0,), None),
        ((0.0,), (1 / 255,), None),  # a network of raw bytes, asked with pictures
        ((0.0,), (1.0,), (10.0, 20.0)),
        ((0.0,), (1.0,), (-0.25, 0.25)),
        ((123.675,) * 3, (58.395,) * 3, (0.0, 255.0)),
    ],
)
def test_normalisation_that_inputs_can_have_is_taken(
    mean: tuple[float, ...], std: tuple[float, ...], bounds: tuple[float, float] | None
) -> None:
    spec, _ = describe_input(
        small(), settings={}, input_size=(3, 32, 32), mean=mean, std=std, bounds=bounds
    )
    assert (spec.mean, spec.std) == (mean, std)


@pytest.mark.parametrize("bounds", [(0.0, 255.0), (-1.0, 1.0), (0.0, 2.0)])
def test_published_normalisation_does_not_apply_to_other_bounds(
    bounds: tuple[float, float],
) -> None:
    spec, warnings = describe_input(small(), settings=PUBLISHED, bounds=bounds)
    assert (spec.mean, spec.std, spec.shape) == ((), (), (3, 32, 32))
    assert any("were not used for bounds" in warning for warning in warnings)
    stated, warnings = describe_input(small(), settings=PUBLISHED, bounds=bounds, mean=(0.0,))
    assert (stated.mean, stated.std) == ((0.0,), ())
    assert warnings == ()


def test_published_normalisation_applies_to_the_bounds_it_is_for() -> None:
    spec, warnings = describe_input(small(), settings=PUBLISHED, bounds=(0.0, 1.0))
    assert (spec.mean, spec.std) == (PUBLISHED["mean"], PUBLISHED["std"])
    assert warnings == ()


def test_small_normalisation_beside_large_bounds_is_warned_of() -> None:
    _, warnings = describe_input(
        small(), settings={}, input_size=(3, 8, 8), mean=(0.5,), std=(0.2,), bounds=(0, 255)
    )
    assert any("looks like one for inputs in 0..1" in warning for warning in warnings)
