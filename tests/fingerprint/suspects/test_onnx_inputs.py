"""A graph says sizes and types; from those its layout follows, or has to be stated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fingerprint.errors import IncompatibleModel, UsageError
from fingerprint.suspects.onnx_inputs import Feeding, chosen_input, feeding

PICTURES = np.random.default_rng(0).integers(0, 256, size=(2, 3, 5, 6), dtype=np.uint8)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def port(*shape: int | None, kind: str = "float", name: str = "x") -> dict[str, Any]:
    return {"name": name, "type": f"tensor({kind})", "shape": list(shape)}


def fed(*shape: int | None, kind: str = "float", **stated: Any) -> Feeding:
    options: dict[str, Any] = dict.fromkeys(
        ("input_size", "mean", "std", "bounds", "layout", "channels")
    )
    return feeding(port(*shape, kind=kind), **(options | stated))[0]


@pytest.mark.parametrize(
    ("shape", "stated", "layout", "size"),
    [
        ((None, 3, 5, 6), {}, "nchw", (3, 5, 6)),
        ((1, 5, 6, 3), {}, "nhwc", (3, 5, 6)),
        ((None, 1, 8, 8), {}, "nchw", (1, 8, 8)),
        ((None, 13, 8, 8), {}, "nchw", (13, 8, 8)),
        ((None, 3, 4, 4), {"layout": "nchw"}, "nchw", (3, 4, 4)),
        ((None, 3, 4, 4), {"layout": "nhwc"}, "nhwc", (4, 3, 4)),
        ((None, None, None, 3), {"input_size": (3, 5, 6)}, "nhwc", (3, 5, 6)),
        ((None, 3, None, None), {"input_size": (3, 5, 6)}, "nchw", (3, 5, 6)),
        ((None, 64), {"bounds": (0.0, 16.0)}, "nchw", (64,)),
    ],
)
def test_the_layout_is_found_from_the_sizes(
    shape: tuple[int, ...], stated: dict[str, Any], layout: str, size: tuple[int, ...]
) -> None:
    found = fed(*shape, **stated)
    assert (found.layout, found.spec.shape, found.batch) == (layout, size, shape[0])


@pytest.mark.parametrize(
    ("shape", "stated", "said"),
    [
        ((None, 3, 4, 4), {}, "set --layout nchw or --layout nhwc"),
        ((None, 3, None, None), {}, "set --input-size C,H,W"),
        ((None, 64), {"layout": "nhwc"}, "takes pictures"),
        ((None, 64), {"channels": "bgr"}, "3 channels"),
        ((None, 1, 8, 8), {"channels": "bgr"}, "3 channels"),
        ((None, 3, 5, 6), {"mean": (0.5, 0.5)}, "mean"),
    ],
)
def test_what_the_sizes_leave_open_has_to_be_stated(
    shape: tuple[int, ...], stated: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        fed(*shape, **stated)


def test_a_size_that_is_none_of_the_graph_is_refused() -> None:
    with pytest.raises(IncompatibleModel, match=r"takes 3x5x6 \(channels first\), not 3,8,8"):
        fed(None, 5, 6, 3, input_size=(3, 8, 8))
    with pytest.raises(IncompatibleModel, match="batch dimension"):
        fed(64)


def test_pictures_are_normalised_turned_and_laid_out_as_the_graph_wants_them() -> None:
    plain = torch.from_numpy(PICTURES).float() / 255
    mean, std = (torch.tensor(IMAGENET[name]).view(3, 1, 1) for name in ("mean", "std"))
    wanted = ((plain - mean) / std).numpy()
    given = fed(None, 3, 5, 6, **IMAGENET)(PICTURES)
    np.testing.assert_allclose(given, wanted, rtol=1e-6, atol=1e-6)
    turned = fed(None, 5, 6, 3, channels="bgr", **IMAGENET)(PICTURES)
    np.testing.assert_array_equal(turned, given[:, ::-1].transpose(0, 2, 3, 1))
    assert turned.flags.c_contiguous


@pytest.mark.parametrize("kind", ["float", "double", "float16"])
def test_a_mean_and_deviation_may_be_those_of_bytes(kind: str) -> None:
    of_bytes = fed(
        None, 3, 5, 6, kind=kind, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
    )
    of_units = fed(None, 3, 5, 6, kind=kind, **IMAGENET)
    np.testing.assert_allclose(of_bytes(PICTURES), of_units(PICTURES), rtol=1e-3, atol=1e-3)
    assert of_bytes(PICTURES).dtype == of_bytes.dtype
    less_mean = fed(None, 3, 5, 6, mean=(104.0, 117.0, 124.0))(PICTURES)
    shift = np.array([104.0, 117.0, 124.0]).reshape(3, 1, 1)
    np.testing.assert_allclose(less_mean, PICTURES - shift, atol=1e-3)


def test_bytes_go_in_as_they_are_where_the_graph_takes_bytes() -> None:
    given = fed(None, 3, 5, 6, kind="uint8")(PICTURES)
    assert given.dtype == np.uint8
    np.testing.assert_array_equal(given, PICTURES)
    for stated in (IMAGENET, {"bounds": (0.0, 1.0)}):
        with pytest.raises(UsageError, match="normalises them itself"):
            fed(None, 3, 5, 6, kind="uint8", **stated)


def test_one_of_several_inputs_is_named_and_what_the_others_get_is_said() -> None:
    ports = [port(None, 3, 5, 6), port(None, 2, name="scale\x1b"), port(1, kind="int64", name="n")]
    with pytest.raises(UsageError, match=r"several \(x, scale\\x1b, n\); choose one with --input"):
        chosen_input(ports, None)
    with pytest.raises(UsageError, match="'z' is not in x"):
        chosen_input(ports, "z")
    with pytest.raises(IncompatibleModel, match=r"'n' takes tensor\(int64\)"):
        chosen_input(ports, "n")
    with pytest.raises(IncompatibleModel, match="takes none"):
        chosen_input([], None)
    chosen, warnings = chosen_input(ports, "x")
    assert chosen is ports[0]
    assert warnings == ("the graph's other inputs get zeros: scale\\x1b, n",)
    assert chosen_input(ports[:1], None) == (ports[0], ())
