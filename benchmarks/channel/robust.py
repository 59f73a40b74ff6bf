"""Do probes survive JPEG and resizing if they are solved over them?

    python -m benchmarks.channel.robust                     # prints robust.json
    python -m benchmarks.channel.robust --zoo DIR           # measures anew; DIR: data/zoo

Probes of a ResNet-20 of CIFAR-10 are solved at an early depth and at the features: as they are at
registration; with JPEG of quality 75 and a resize to three quarters and back in front of the same
network beside it, so that the perturbation shall be harmless behind each; and with the perturbation
held to the low frequencies, a quarter of all. Then the model itself, fine-tunes of it and strangers
are asked them through the real channels, and the same turned, which makes a harm ratio of logits.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from benchmarks.channel.channels import CHANNELS
from benchmarks.markdown import table
from fingerprint import Model, load_model
from fingerprint.distances import answer_distance
from fingerprint.files import write_whole
from fingerprint.network.depths import Depth, depths_of
from fingerprint.network.run import run, to_inputs, to_tensor
from fingerprint.probes.bases import dead_leaves, start_delta
from fingerprint.probes.turns import turned
from fingerprint.solvers.lbfgs import projected_lbfgs
from fingerprint.solvers.objective import Objective

__all__ = ["RESULTS", "SIMULATED", "main", "page"]

RESULTS = Path(__file__).parent / "robust.json"
_BASES, _PASSES, _TURNS = 12, 90, (0, 3, 4, 6)
_ASKED = ("none", "JPEG 90", "JPEG 75", "resized to 3/4 and back")
_SOURCE = "resnet20"
_ASKED_OF = {
    _SOURCE: "model",
    **{f"resnet20_finetuned_lr{rate}": "fine-tune" for rate in ("1e-3", "1e-2", "5e-2")},
    "resnet20_independent": "stranger",
    "resnet44": "stranger",
}
_STARTS = {"layer1.0": (16, 48), "features": (16,)}
"""Depths, and the largest values that solves start from, of 255."""
_QUALITY, _SHARE = 75, 0.75

Change = Callable[[Tensor], Tensor]


def _tables() -> tuple[Tensor, Tensor]:
    """Returns the quantisation of luma and of chroma, of values in 0..1, each ``(8, 8)``."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG", quality=_QUALITY)
    known = Image.open(stream).quantization  # type: ignore[attr-defined]
    luma, chroma = (torch.tensor(known[which]).float().reshape(8, 8) / 255 for which in (0, 1))
    return luma, chroma


def _cosines() -> Tensor:
    """Returns the orthonormal discrete cosine transform of eight values."""
    place, order = torch.arange(8.0), torch.arange(8.0)[:, None]
    rows = torch.cos(math.pi * (place + 0.5) * order / 8) / 2
    rows[0] /= math.sqrt(2)
    return rows


_YCC = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
_DCT, _STEPS = _cosines(), _tables()


def _softly(values: Tensor) -> Tensor:
    """Rounds, with a slope that leads there."""
    near = torch.round(values)
    return near + (values - near) ** 3


def _coarsened(plane: Tensor, steps: Tensor) -> Tensor:
    """Quantises planes ``(N, 1, H, W)`` block by block."""
    count, _, high, wide = plane.shape
    blocks = plane.reshape(count, high // 8, 8, wide // 8, 8).transpose(2, 3)
    waves = _DCT @ blocks @ _DCT.T
    kept = _DCT.T @ (_softly(waves / steps) * steps) @ _DCT
    return kept.transpose(2, 3).reshape(plane.shape)


def _jpeg(x: Tensor) -> Tensor:
    """JPEG of pictures ``(N, 3, H, W)`` in 0..1, with chroma of half the size."""
    luma, *chroma = torch.einsum("ij,njhw->nihw", _YCC, x).split(1, dim=1)
    back = [_coarsened(luma - 0.5, _STEPS[0]) + 0.5]
    for plane in chroma:
        half = _coarsened(functional.avg_pool2d(plane, 2), _STEPS[1])
        back.append(functional.interpolate(half, scale_factor=2, mode="bilinear"))
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(_YCC), torch.cat(back, 1)).clamp(0, 1)


def _resized(x: Tensor) -> Tensor:
    """Resizes pictures to a share of their side and back."""
    size = x.shape[-2:]
    small = [round(side * _SHARE) for side in size]
    less = functional.interpolate(x, small, mode="bilinear", antialias=True)
    return functional.interpolate(less, size, mode="bilinear")


SIMULATED: tuple[tuple[Change, str], ...] = (
    (_jpeg, "JPEG 75"),
    (_resized, "resized to 3/4 and back"),
)
"""What probes are solved over, and the channel that it stands for."""


class _Smooth(Objective):
    """Solves for a perturbation of half the resolution, enlarged to the whole.

    Args:
        depth: Where it is to be harmless.
        base: Bases in 0..1, shape ``(B, 3, H, W)``.
        room: Its largest value.
    """

    def __init__(self, depth: Depth, base: Tensor, room: float) -> None:
        self._whole, self._rows = base, torch.arange(len(base))
        super().__init__(
            lambda small: depth(self.enlarged(small)), base, (-room, room), aim=depth(base)
        )
        self.base = torch.zeros_like(functional.avg_pool2d(base, 2))

    def enlarged(self, small: Tensor) -> Tensor:
        """Returns bases with their perturbations."""
        delta = functional.interpolate(small, scale_factor=2, mode="bilinear")
        return (self._whole[self._rows] + delta).clamp(0, 1)

    def value_and_gradient(self, point: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Objective.value_and_gradient`."""
        self._rows = rows
        return super().value_and_gradient(point, rows)


def _solved(depth: Depth, how: str, contrast: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns bases and probes as pixels."""
    spec = depth.input
    bases = dead_leaves(spec, "robust", _BASES)
    base = to_tensor(bases, spec, torch.float32)
    noise = np.stack([start_delta(spec, contrast, f"robust {place}") for place in range(_BASES)])
    start = torch.from_numpy(noise).float()
    with torch.no_grad():
        if how == "low frequencies":
            smooth = _Smooth(depth, base, contrast)
            small = functional.avg_pool2d(start, 2)
            small = small * contrast / small.abs().amax(dim=(1, 2, 3), keepdim=True)
            found = projected_lbfgs(smooth, small, tolerance=1e-2, max_passes=_PASSES)
            smooth._rows = torch.arange(_BASES)
            return bases, to_inputs(smooth.enlarged(found.point), spec)
        before: tuple[Change, ...] = (lambda x: x,)
        if how == "over the channel":
            before = (*before, *(change for change, _ in SIMULATED))
        objective = Objective(
            lambda x: torch.cat([depth(change(x)) for change in before], 1), base, (0.0, 1.0)
        )
        found = projected_lbfgs(
            objective, objective.clip(base + start), tolerance=1e-2, max_passes=_PASSES
        )
    return bases, to_inputs(found.point, spec)


def _ratio(
    suspect: Model, bases: NDArray[Any], probes: NDArray[Any], channel: str
) -> tuple[float, float]:
    """Returns the harm ratio behind a channel, and the standard error of its logarithm."""
    through = CHANNELS[channel]
    controls = turned(bases, probes, _TURNS).reshape(-1, *bases.shape[1:])
    at, by, to = (run(suspect, through(one)) for one in (bases, probes, controls))
    harm = answer_distance(by, at, "logits")
    control = answer_distance(to.reshape(len(at), len(_TURNS), -1), at[:, None], "logits")
    logs = np.log(np.maximum(harm, 1e-9)) - np.log(np.maximum(control, 1e-9)).mean(axis=1)
    return float(np.exp(logs.mean())), float(logs.std(ddof=1) / math.sqrt(len(logs)))


def _rows(zoo: Path) -> Iterator[dict[str, Any]]:
    models = {name: _model(zoo, name) for name in _ASKED_OF}
    depths = {one.name: one for one in depths_of(models[_SOURCE])}
    for place, contrasts in _STARTS.items():
        for how in ("as now", "over the channel", "low frequencies"):
            for contrast in contrasts:
                bases, probes = _solved(depths[place], how, contrast / 255)
                size = float(np.abs(probes.astype(int) - bases).mean())
                about = {"depth": place, "how": how, "contrast": contrast, "size": size}
                for name, channel in itertools.product(_ASKED_OF, _ASKED):
                    ratio, error = _ratio(models[name], bases, probes, channel)
                    found = {"suspect": name, "what": _ASKED_OF[name], "channel": channel}
                    yield {**about, **found, "ratio": ratio, "error": error}


def _model(zoo: Path, name: str) -> Model:
    kind = "resnet44" if "44" in name else "resnet20"
    return load_model(zoo / f"{name}.safetensors", arch=f"fingerprint.lab.cifar_resnet:{kind}")


def page(document: Mapping[str, Any]) -> str:
    """Returns the table of what was measured: the range of harm ratios, as Markdown."""
    rows = document["rows"]
    keys = dict.fromkeys((row["depth"], row["contrast"], row["how"]) for row in rows)
    lines = []
    for depth, contrast, how in keys:
        of = [
            row
            for row in rows
            if (row["depth"], row["contrast"], row["how"]) == (depth, contrast, how)
        ]
        for what in ("model", "fine-tune", "stranger"):
            cells = []
            for channel in _ASKED:
                ratios = sorted(
                    row["ratio"] for row in of if (row["what"], row["channel"]) == (what, channel)
                )
                ends = dict.fromkeys(f"{one:.2f}" for one in (ratios[:1] + ratios[-1:]))
                cells.append(" to ".join(ends) or "-")
            lines.append((f"{depth}, ±{contrast}", how, what, *cells))
    return table(("depth, start", "solved", "asked", *_ASKED), lines)


def _keep(found: Sequence[Mapping[str, Any]], path: Path) -> None:
    text = json.dumps({"rows": found}, indent=1) + "\n"
    write_whole(path, lambda stream: stream.write(text.encode()))


def main() -> None:
    """Measures if told so, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", type=Path, help="folder with the CIFAR-10 ResNets")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.zoo is not None:
        found = []
        for row in _rows(options.zoo):
            found.append(row)
            print(
                row["depth"],
                row["how"],
                row["suspect"],
                row["channel"],
                f"{row['ratio']:.2f}",
                flush=True,
            )
            _keep(found, options.out)
    print(page(json.loads(options.out.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
