"""How alike are two images to people, as far as a formula can say?

    found = similarities(model.input, originals, hidden)
    found[0].ssim, found[0].ssim_inverted, found[0].haarpsi

SSIM (Wang et al. 2004) and HaarPSI (Reisenhofer et al. 2018) are the `piq` package's. The
paper's other measure, LPIPS, is a trained network whose weights every package downloads when it
is first used, so it is not offered. An image and its negative have a low SSIM and show the same
thing, which is why the negative is compared as well.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.network.run import to_tensor
from fingerprint.network.spec import InputSpec

__all__ = ["Similarity", "similarities"]

_SSIM_SIDE = 11
_HAARPSI_SIDE = 16
_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """How alike two images are.

    Attributes:
        mse: Mean squared difference, the bounds being 0 and 1.
        ssim: 1 for equal images, about 0 for unrelated ones; None where it is not defined.
        ssim_inverted: The same with the negative of the first image.
        haarpsi: 1 for equal images; unrelated noise has about 0.4. None where not defined.
        note: Why something is None; empty otherwise.
    """

    mse: float
    ssim: float | None
    ssim_inverted: float | None
    haarpsi: float | None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return asdict(self)


def similarities(
    spec: InputSpec, first: NDArray[Any], second: NDArray[Any] | Tensor
) -> list[Similarity]:
    """Compares images pair by pair.

    Args:
        spec: What the images are.
        first: As they are sent, shape ``(N, *spec.shape)``.
        second: The same, or a tensor in ``spec.bounds``, which is not rounded first.

    Raises:
        UsageError: The shapes differ.
    """
    other = second.double().cpu() if isinstance(second, Tensor) else _double(second, spec)
    if first.shape != tuple(other.shape) or tuple(other.shape[1:]) != spec.shape:
        raise UsageError(
            f"similarity: expected two batches of inputs {spec.shape}, "
            f"got {first.shape} and {tuple(other.shape)}"
        )
    low, high = spec.bounds
    one = (_double(first, spec) - low) / (high - low)
    other = ((other - low) / (high - low)).clamp(0.0, 1.0)
    mse = (one - other).flatten(1).square().mean(dim=1)
    side = min(spec.shape[1:]) if len(spec.shape) == 3 and spec.shape[0] in (1, 3) else 0
    ssim = _measured("ssim", one, other) if side >= _SSIM_SIDE else None
    inverted = _measured("ssim", 1.0 - one, other) if side >= _SSIM_SIDE else None
    haarpsi = _measured("haarpsi", one, other) if side >= _HAARPSI_SIDE else None
    note = _note(side)
    return [
        Similarity(
            mse=float(mse[row]),
            ssim=None if ssim is None else float(ssim[row]),
            ssim_inverted=None if inverted is None else float(inverted[row]),
            haarpsi=None if haarpsi is None else float(haarpsi[row]),
            note=note,
        )
        for row in range(len(one))
    ]


def _double(images: NDArray[Any], spec: InputSpec) -> Tensor:
    return to_tensor(images, spec, torch.float64)


def _measured(name: str, first: Tensor, second: Tensor) -> NDArray[np.float64]:
    """Asks piq, imported here alone: it takes a second."""
    import piq

    measure = getattr(piq, name)
    parts = [
        measure(one, other, data_range=1.0, reduction="none")
        for one, other in zip(torch.split(first, _BATCH), torch.split(second, _BATCH), strict=True)
    ]
    values: NDArray[np.float64] = torch.cat(parts).reshape(len(first)).numpy()
    return values


def _note(side: int) -> str:
    if side == 0:
        return "SSIM and HaarPSI are for images with 1 or 3 channels"
    if side < _SSIM_SIDE:
        return f"SSIM needs a side of {_SSIM_SIDE} pixels, HaarPSI {_HAARPSI_SIDE}, got {side}"
    return f"HaarPSI needs a side of {_HAARPSI_SIDE} pixels, got {side}" * (side < _HAARPSI_SIDE)
