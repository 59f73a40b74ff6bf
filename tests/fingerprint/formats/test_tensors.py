from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fingerprint.errors import IncompatibleModel, UnsafeFile
from fingerprint.formats.tensors import admit, non_finite


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2]
)
def test_other_precisions_become_float32_with_a_warning(dtype: torch.dtype) -> None:
    values = torch.tensor([0.5, -1.0, 2.0])
    admitted, warnings = admit({"w": values.to(dtype)}, "f")
    assert admitted["w"].dtype == torch.float32
    assert torch.equal(admitted["w"], values)  # exact in every one of these formats
    assert str(dtype).removeprefix("torch.") in warnings[0]


def test_float32_and_integers_pass_as_they_are() -> None:
    tensors = {"w": torch.ones(2), "n": torch.tensor(3), "mask": torch.tensor([True])}
    admitted, warnings = admit(tensors, "f")
    assert warnings == ()
    assert {name: tensor.dtype for name, tensor in admitted.items()} == {
        "w": torch.float32, "n": torch.int64, "mask": torch.bool
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (lambda: torch.ones(2, 2).to_sparse(), "sparse"),
        (lambda: torch.ones(2, dtype=torch.complex64), "complex"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantised"),
        (lambda: torch.ones(2, device="meta"), "meta"),
    ],
    ids=["sparse", "complex", "quantised", "meta"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_no_weights_are_refused_by_kind(
    tensor: Callable[[], Tensor], kind: str
) -> None:
    with pytest.raises(IncompatibleModel, match=f"'layer.w'.*{kind}"):
        admit({"layer.w": tensor()}, "f")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
def test_a_tensor_of_a_trillion_repeated_elements_is_refused_without_a_copy(
    dtype: torch.dtype,
) -> None:
    expanded = torch.ones(1, dtype=dtype).expand(10**6, 10**6)  # 10^12 elements, stride 0
    with pytest.raises(UnsafeFile, match="claims 1000000000000 elements"):
        admit({"w": expanded}, "f")


def test_an_overlapping_view_larger_than_its_storage_is_refused() -> None:
    overlapping = torch.ones(1000).as_strided((900, 100), (1, 1))
    with pytest.raises(UnsafeFile, match="its storage holds 1000"):
        admit({"w": overlapping}, "f")


def test_thousands_of_views_of_one_storage_are_refused() -> None:
    base = torch.ones(2**16)
    with pytest.raises(UnsafeFile, match="views of each other"):
        admit({f"w{index}": base[: 2**16 - index] for index in range(100)}, "f")


def test_tied_and_transposed_weights_are_accepted() -> None:
    base = torch.randn(30, 40)
    admitted, _ = admit({"encoder": base, "decoder": base.T}, "f")
    assert torch.equal(admitted["decoder"], base.T)


def test_non_finite_names_the_tensors() -> None:
    tensors = {"good": torch.ones(2), "nan": torch.tensor([0.0, float("nan")]),
               "inf": torch.tensor([float("-inf")]), "count": torch.tensor(1)}  # fmt: skip
    assert non_finite(tensors) == ["nan", "inf"]
