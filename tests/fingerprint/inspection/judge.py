"""A plain computation of what an inspection claims: every module's matrix, written out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fingerprint.inspection import LayerFacts
from fingerprint.network.loading import load_model
from fingerprint.network.model import Model

__all__ = ["check_against", "matrices", "model_of", "written_out"]

Matrix = NDArray[Any]

AFFINE_MODULES = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.BatchNorm2d, nn.AdaptiveAvgPool2d)


def model_of(module: nn.Module, *size: int, bounds: tuple[float, float] | None = None) -> Model:
    """Returns a module as a model in float64, so that exactness can be asked for."""
    return load_model(module.eval(), input_size=size, bounds=bounds).to(dtype=torch.float64)


def modules_inputs(model: Model, x: Tensor) -> dict[str, tuple[nn.Module, Tensor]]:
    """Runs the network with hooks: every leaf module that was used, with its last input."""
    found: dict[str, tuple[nn.Module, Tensor]] = {}
    handles = []
    for name, module in model.module.named_modules():
        if next(module.children(), None) is None:
            note = lambda m, args, out, name=name: found.update(  # noqa: E731
                {name: (m, args[0].clone())}
            )
            handles.append(module.register_forward_hook(note))
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return found


def written_out(function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Matrix:
    """Returns the matrix of an affine function of a batch: its answers to the unit vectors."""
    with torch.no_grad():
        unit = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
        answers = function(unit) - function(torch.zeros(1, *shape, dtype=torch.float64))
    return answers.flatten(1).T.numpy()


def matrices(model: Model, x: Tensor) -> dict[str, Matrix]:
    """Returns the matrix of every affine module that the network uses."""
    return {
        name: written_out(module, tuple(given.shape[1:]))
        for name, (module, given) in modules_inputs(model, x).items()
        if isinstance(module, AFFINE_MODULES)
    }


def check_against(matrix: Matrix, layer: LayerFacts) -> None:
    """Compares what is said of an affine layer with NumPy's decomposition of its matrix."""
    diagonal = matrix.shape[0] == matrix.shape[1] and not (matrix - np.diag(np.diag(matrix))).any()
    # Batch norms are diagonal; decomposing them would only take long.
    singular = np.abs(np.diag(matrix)) if diagonal else np.linalg.svd(matrix, compute_uv=False)
    cutoff = singular.max() * max(matrix.shape) * np.finfo(np.float64).eps  # as matrix_rank does
    rank = int((singular > cutoff).sum())
    assert (layer.m, layer.n) == matrix.shape
    assert layer.rank == rank
    assert layer.dimension == layer.at_least == matrix.shape[1] - rank
    ours = np.repeat(layer.singular_values, layer.multiplicities)
    theirs = np.sort(singular[:rank])[: len(ours)]
    np.testing.assert_allclose(np.sort(ours), theirs, rtol=1e-8, atol=1e-14 * singular.max())
