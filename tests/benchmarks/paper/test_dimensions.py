"""Harmless dimensions of single layers, against the rank of a matrix that is written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmarks.paper.dimensions import Dimension, measured, numpy_rank
from benchmarks.paper.figure2 import STRIDES, WIDTHS, draw, tables


def _written_out(layer: nn.Conv2d, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the matrix row by row: a kernel at the places of the inputs its window reads."""
    n = int(np.prod(shape))
    numbered = torch.arange(1, n + 1, dtype=torch.float64).reshape(1, *shape)
    places = functional.unfold(
        numbered, layer.kernel_size, padding=layer.padding, stride=layer.stride
    )[0].T.long()
    kernels = layer.weight.detach().double().flatten(1).numpy()
    matrix = np.zeros((len(places), len(kernels), n + 1))
    for window, columns in enumerate(places.numpy()):
        matrix[window][:, columns] = kernels
    return matrix[:, :, 1:].reshape(-1, n)  # column 0 took what stands on padding


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("kernels", "side", "padding"), [(6, 3, 1), (20, 2, 0), (5, 3, 0)])
def test_the_rank_is_that_of_the_matrix_written_out(
    stride: int, kernels: int, side: int, padding: int
) -> None:
    torch.manual_seed(stride)
    layer = nn.Conv2d(2, kernels, side, stride=stride, padding=padding)
    found = measured(layer, (2, 7, 7))
    matrix = _written_out(layer, (2, 7, 7))
    assert (found.m, found.n) == matrix.shape
    assert found.rank == np.linalg.matrix_rank(matrix)
    assert found.checked == found.rank
    assert bool(found.reasons) == (found.harmless != found.formula)


def test_padding_alone_makes_the_formula_wrong() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(1, 6, 3, stride=3, padding=1)
    found = measured(layer, (1, 5, 5))
    # The corner window reads 4 pixels for its 6 kernels; the three others read 6, 6 and 9.
    assert (found.formula, found.harmless) == (1, 25 - (4 + 6 + 6 + 6))
    assert found.reasons == ("padding: 1 border windows read fewer than 6 inputs",)


def test_pixels_that_no_window_reads_are_counted() -> None:
    torch.manual_seed(0)
    found = measured(nn.Conv2d(1, 8, 2, stride=4), (1, 8, 8))
    assert (found.formula, found.harmless) == (32, 64 - 4 * 4)
    assert found.reasons == (
        "stride exceeds kernel: 48 inputs are in no window",
        "8 kernels of 4 weights cannot be independent",
    )


def test_equal_kernels_are_dependent_rows() -> None:
    layer = nn.Conv2d(1, 2, 2, stride=2)
    nn.init.ones_(layer.weight)
    found = measured(layer, (1, 4, 4))
    assert (found.formula, found.harmless) == (8, 12)
    assert found.reasons == ("the rows of A are dependent",)


@pytest.mark.parametrize("width", [3, 10, 12])
def test_a_linear_layer_follows_the_formula(width: int) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(10, width)
    found = measured(layer, (10,))
    assert found.harmless == found.formula == max(0, 10 - width)
    assert numpy_rank(layer, (10,)) == min(10, width)


def _dimension(rank: int, checked: int | None = None) -> Dimension:
    return Dimension(n=9, m=4, rank=rank, checked=checked, reasons=("padding",) * (rank != 4))


def test_layers_with_equal_dimensions_share_a_table(tmp_path) -> None:
    one, other = [_dimension(4, 4)] * len(STRIDES), [_dimension(3)] * len(STRIDES)
    connected = {"MNIST size": [_dimension(4)] * len(WIDTHS)}
    convolved = {"A (7×7)": one, "B (7×7)": list(one), "C (3×3)": other}
    written = tables(convolved, connected, {"trained": _dimension(4)})
    assert [table.caption for table in written[:2]] == ["(a) A (7×7) and B (7×7)", "(a) C (3×3)"]
    assert written[0].rows[0] == ("1", "9", "4", "4", "5", "5", "4", "")
    assert written[1].rows[-1] == ("8", "9", "4", "3", "6", "5", "too large", "padding")
    draw(convolved, connected, tmp_path / "figure2.svg")
    assert (tmp_path / "figure2.svg").read_text().startswith("<?xml")
