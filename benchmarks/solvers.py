"""Which solver brings a probe furthest for its passes, at the depths that registering uses.

    python -m benchmarks.solvers --zoo DIR [--large] [--device cuda] [--results FILE]

For each network the early depth that a pilot chooses, at its contrast, and what the last layer
reads. A pass is one forward and backward through the network up to the depth; what a solver does
otherwise (forward alone, backward alone, a product with the Jacobian) counts by its measured share
of a pass's processor seconds. Four numbers for each budget: the median relative residual, the
geometric mean harm ratio on the source and on a copy of it whose weights drifted, and the size of
δ in steps of 8-bit pixels: a δ that shrinks is rounded away, and a small residual is no merit.
Bases have no grain here and the network is solved for alone: solvers are compared, not probes.

- ``L-BFGS``: what registering runs, :func:`fingerprint.solvers.lbfgs.projected_lbfgs`.
- ``channels last``: the same, the network's weights in that order of memory.
- ``Gauss-Newton``: each step the linearised problem by conjugate gradients (CGLS) with Levenberg's
  damping, on the coordinates that the box does not hold.
- ``coarse to fine``: L-BFGS for δ of half the resolution, 25 passes, then for all of δ.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from benchmarks import efficientnet_lite
from benchmarks.data import load_data
from benchmarks.report import clock, machine
from fingerprint import Model, load_model
from fingerprint.lab.architectures import build
from fingerprint.lab.training import Settings, trained
from fingerprint.network.depths import FEATURES, Depth, depths_of
from fingerprint.network.run import to_inputs, to_tensor
from fingerprint.probes.bases import dead_leaves, room_of, start_delta
from fingerprint.probes.kinds import FeatureProbes
from fingerprint.probes.pilot import early_kinds, judged, pilot
from fingerprint.probes.screening import measure
from fingerprint.probes.simulated import drifted
from fingerprint.progress import silent
from fingerprint.solvers.lbfgs import projected_lbfgs
from fingerprint.solvers.objective import Objective

__all__ = ["MARKS", "SOLVERS", "Metered", "Spent", "main", "prices_of"]

MARKS = (12, 25, 50, 100, 150, 200)
"""Budgets in passes."""
_LARGE_MARKS = MARKS[:4]
"""At 224 pixels, where a pass takes long."""
_SEED = "solvers"
_TURNS = (0, 1, 2)
_COARSE_PASSES = 25
_INNER = 6
"""Products with the Jacobian, and with its transpose, for one Gauss-Newton step. With 3 it does
better for the first 50 passes and worse behind (.21 after 25 at ResNet-20's features, .06 after
200), with 12 hardly anywhere; L-BFGS has .07 after 25."""
_REPEATS = 3


class Spent(Exception):
    """The largest budget is used up."""


@dataclass(frozen=True)
class Prices:
    """What parts of a pass cost, as shares of one."""

    forward: float
    backward: float
    forth: float


class Metered(Objective):
    """Counts what is asked, and notes the best inputs so far whenever a budget is used up.

    It raises :class:`Spent` when the last is.

    Attributes:
        noted: For each budget, the best input of each probe and the seconds it took.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        base: Tensor,
        bounds: tuple[Tensor, Tensor],
        prices: Prices,
        marks: Sequence[int] = MARKS,
    ) -> None:
        super().__init__(network, base, bounds)
        self.marks = marks
        self.noted: dict[int, tuple[Tensor, float]] = {}
        self.prices = prices
        self._spent, self._began = 0.0, clock()
        self._point = base.clone()
        self._value = base.new_full((len(base),), torch.inf)

    def value_and_gradient(self, point: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Objective.value_and_gradient`; one pass."""
        value, gradient = super().value_and_gradient(point, rows)
        self._pay(1.0)
        self._note(point, value)
        return value, gradient

    def residual(self, point: Tensor, rows: Tensor | None = None) -> Tensor:
        """See :meth:`Objective.residual`; a forward pass."""
        residual = super().residual(point, rows)
        self._pay(self.prices.forward)
        self._note(point, 0.5 * residual.square().sum(1))
        return residual

    def linearised(
        self, point: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """Returns residuals ``(B, m)``, and products with their Jacobian and its transpose."""
        leaf = point.detach().requires_grad_(True)
        with torch.enable_grad():
            residual = self._relative(self.network(leaf), None)
            forth = _forth(residual, leaf)
        self._pay(1.0)
        self._note(point, 0.5 * residual.detach().square().sum(1))

        def push(direction: Tensor) -> Tensor:
            found = forth(direction.reshape(point.shape))
            self._pay(self.prices.forth)
            return found

        def pull(weights: Tensor) -> Tensor:
            (found,) = torch.autograd.grad(residual, leaf, weights, retain_graph=True)
            self._pay(self.prices.backward)
            return found.flatten(1)

        return residual.detach(), push, pull

    def _pay(self, price: float) -> None:
        self._spent += price
        for mark in self.marks:
            if self._spent > mark and mark not in self.noted:
                self.noted[mark] = self._point.clone(), clock() - self._began
        if self._spent > self.marks[-1]:
            raise Spent

    def _note(self, point: Tensor, value: Tensor) -> None:
        better = value < self._value
        self._value[better] = value[better]
        self._point[better] = point[better]


def _forth(answers: Tensor, leaf: Tensor) -> Callable[[Tensor], Tensor]:
    """Returns the product with the Jacobian, by a backward pass through a backward pass.

    It costs less than forward-mode differentiation, which runs the network once more.
    """
    weights = torch.zeros_like(answers, requires_grad=True)
    (pulled,) = torch.autograd.grad(answers, leaf, weights, create_graph=True)

    def forth(direction: Tensor) -> Tensor:
        return torch.autograd.grad(pulled, weights, direction, retain_graph=True)[0]

    return forth


# ---- solvers ----


def lbfgs(objective: Metered, start: Tensor) -> None:
    """Runs the library's solver."""
    projected_lbfgs(objective, start, tolerance=0.0, max_passes=10 * MARKS[-1])


def gauss_newton(objective: Metered, start: Tensor) -> None:
    """Solves the linearised problem again and again, each probe with its own damping."""
    point = start.clone()
    damping = start.new_full((len(start), 1), 1e-2)
    while True:
        residual, push, pull = objective.linearised(point)
        gradient = pull(residual)
        down, up = objective.room(point)
        free = ~(((down <= 0) & (gradient > 0)) | ((up <= 0) & (gradient < 0)))
        step = _conjugate_gradients(residual, push, pull, -gradient * free, free, damping)
        trial = objective.clip(point + step.reshape(point.shape))
        reached = objective.residual(trial)
        better = reached.norm(dim=1, keepdim=True) < residual.norm(dim=1, keepdim=True)
        point = torch.where(better.reshape(-1, *[1] * (point.ndim - 1)), trial, point)
        damping = torch.where(better, damping / 4, damping * 8)


def _conjugate_gradients(
    residual: Tensor,
    push: Callable[[Tensor], Tensor],
    pull: Callable[[Tensor], Tensor],
    downhill: Tensor,
    free: Tensor,
    damping: Tensor,
) -> Tensor:
    """Returns d of little ``‖J d + r‖² + λ‖d‖²``; λ in units of the first curvature."""
    step, rest = torch.zeros_like(downhill), -residual
    direction, size = downhill, downhill.square().sum(1, keepdim=True)
    weight = torch.zeros_like(size)
    tiny = torch.finfo(size.dtype).tiny
    for place in range(_INNER):
        image = push(direction)
        bend = image.square().sum(1, keepdim=True)
        length = direction.square().sum(1, keepdim=True)
        if place == 0:
            weight = damping * bend / length.clamp_min(tiny)
        along = size / (bend + weight * length).clamp_min(tiny)
        step = step + along * direction
        rest = rest - along * image
        downhill = pull(rest) * free - weight * step
        before, size = size, downhill.square().sum(1, keepdim=True)
        direction = downhill + size / before.clamp_min(tiny) * direction
    return step


class _Coarse(Objective):
    """The same problem for δ that is constant on 2x2 pixels."""

    def __init__(self, fine: Metered) -> None:
        self.fine = fine
        self.low = max_pool2d(fine.low - fine.base, 2)
        self.high = -max_pool2d(fine.base - fine.high, 2)
        self.base = torch.zeros_like(self.low)

    def value_and_gradient(self, point: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = self.fine.value_and_gradient(self.enlarged(point), rows)
        return value, 4 * avg_pool2d(gradient, 2)

    def enlarged(self, delta: Tensor) -> Tensor:
        """Returns inputs of full resolution."""
        return self.fine.clip(self.fine.base + interpolate(delta, scale_factor=2))


def coarse_to_fine(objective: Metered, start: Tensor) -> None:
    """Begins with half the resolution; block means of noise are half as large as the noise."""
    coarse = _Coarse(objective)
    delta = coarse.clip(2 * avg_pool2d(start - objective.base, 2))
    near = projected_lbfgs(coarse, delta, tolerance=0.0, max_passes=_COARSE_PASSES)
    lbfgs(objective, coarse.enlarged(near.point))


def _channels_last(model: Model) -> Model:
    module = copy.deepcopy(model.module).to(memory_format=torch.channels_last)
    return replace(model, module=module)


Solve = Callable[[Metered, Tensor], None]
SOLVERS: dict[str, tuple[Callable[[Model], Model], Solve]] = {
    "L-BFGS": (lambda model: model, lbfgs),
    "channels last": (_channels_last, lbfgs),
    "Gauss-Newton": (lambda model: model, gauss_newton),
    "coarse to fine": (lambda model: model, coarse_to_fine),
}
"""What is done to the network, and the solver."""


# ---- measuring ----


def prices_of(network: Callable[[Tensor], Tensor], x: Tensor) -> Prices:
    """Measures what parts of a pass cost."""
    leaf = x.clone().requires_grad_(True)
    with torch.enable_grad():
        forth = _forth(network(leaf), leaf)

    def whole() -> None:
        with torch.enable_grad():
            torch.autograd.grad(network(leaf).square().sum(), leaf)

    jobs = whole, lambda: network(x), lambda: forth(x)
    with torch.no_grad():
        seconds = [min(_seconds(job) for _ in range(_REPEATS)) for job in jobs]
    forward = min(seconds[1] / seconds[0], 1.0)
    return Prices(forward=forward, backward=1.0 - forward, forth=seconds[2] / seconds[0])


def _seconds(job: Callable[[], object]) -> float:
    began = clock()
    job()
    return clock() - began


def _rows(name: str, model: Model, probes: int, marks: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Runs every solver at both depths of a network."""
    bases = dead_leaves(model.input, _SEED, probes)
    kin = drifted(model, _SEED)
    for depth, contrast in _depths(model, bases):
        base = to_tensor(bases, model.input).to(model.device)
        noise = [start_delta(model.input, contrast, f"{_SEED}|{place}") for place in range(probes)]
        room, (low, high) = room_of(model.input), model.input.bounds
        box = (base - room).clamp(low, high), (base + room).clamp(low, high)
        start = torch.clamp(base + torch.from_numpy(np.stack(noise)).to(base), *box)
        prices = prices_of(depth, base)
        measures: dict[str, Callable[[Tensor], float]] = {
            "residual": partial(_residual, depth, base),
            "source": partial(_harm, model, bases),
            "drifted": partial(_harm, kin, bases),
            "size": partial(_size, base),
        }
        for solver, (prepared, solve) in SOLVERS.items():
            network = depth.of(prepared(model))
            objective = Metered(network, base, box, prices, marks)
            with suppress(Spent), torch.no_grad():
                solve(objective, start)
            yield {
                "network": name,
                "depth": depth.name,
                "width": depth.width,
                "contrast": round(255 * contrast),
                "solver": solver,
                "probes": probes,
                "forth": round(prices.forth, 2),
                "seconds": {mark: round(took, 1) for mark, (_, took) in objective.noted.items()},
                **{
                    what: {mark: round(of(x), 4) for mark, (x, _) in objective.noted.items()}
                    for what, of in measures.items()
                },
            }


def _depths(model: Model, bases: Any) -> Iterator[tuple[Depth, float]]:
    """Yields the early depth that a pilot chooses, and what the last layer reads."""
    depths = depths_of(model)
    kinds = early_kinds(model, depths, None)
    best = pilot(judged(depths), kinds, seed=_SEED, bases=bases, progress=silent).best
    contrast = 16 / 255
    if isinstance(best, FeatureProbes):
        contrast = best.contrast
        yield best.depth, contrast
    yield next(depth for depth in depths if depth.name == FEATURES), contrast


def _residual(depth: Depth, base: Tensor, point: Tensor) -> float:
    objective = Objective(depth, base, (0.0, 1.0))
    return float(objective.residual(point).norm(dim=1).median())


def _size(base: Tensor, point: Tensor) -> float:
    """Root mean square of δ, in steps of 8-bit pixels."""
    return 255 * float((point - base).square().mean().sqrt())


def _harm(model: Model, bases: Any, point: Tensor) -> float:
    """Geometric mean harm ratio of inputs as they are sent; 1 where nothing moves."""
    harmless = to_inputs(point, model.input)
    orbits = measure(model, bases, harmless, range(len(bases)), _TURNS).orbits
    ratios = orbits.ratios[orbits.moved]
    return float(np.exp(np.log(ratios).mean())) if len(ratios) else 1.0


def _models(
    zoo: Path, *, large: bool, device: str
) -> Iterator[tuple[str, Model, int, Sequence[int]]]:
    """Yields name, model, number of probes and budgets."""
    arch = "fingerprint.lab.cifar_resnet:resnet20"
    yield (
        "ResNet-20, 32 px",
        load_model(zoo / "resnet20.safetensors", arch=arch, device=device),
        12,
        MARKS,
    )
    data = load_data(zoo.parent)
    for name in ("plain cnn", "vit"):
        network = trained(partial(build, name), data, Settings(epochs=4), seed=0)
        yield (
            f"{name}, 32 px",
            load_model(network, input_size=data.input_size, device=device),
            12,
            MARKS,
        )
    if large:
        arch = "benchmarks.efficientnet_lite:lite0"
        model = load_model(efficientnet_lite.weights(0), arch=arch, device=device)
        yield "EfficientNet-Lite0, 224 px", model, 4, _LARGE_MARKS


_SHOWN = {"residual": 3, "source": 2, "drifted": 2, "size": 0}
"""What a cell of a table holds, with how many digits."""


def _print(row: dict[str, Any], *, first: bool) -> None:
    """Prints a row of the table of one network and depth, and before the first the head."""
    marks = list(row["seconds"])
    if first:
        print(
            f"\n{row['network']}, {row['depth']} ({row['width']} values), start "
            f"±{row['contrast']}; {row['probes']} probes, a product with the Jacobian costs "
            f"{row['forth']} passes\n\n| solver | "
            + " | ".join(f"{mark} passes" for mark in marks)
            + " | s |\n"
            + "| --- " * (len(marks) + 2)
            + "|"
        )
    cells = [
        " / ".join(f"{row[what][mark]:.{digits}f}" for what, digits in _SHOWN.items())
        for mark in marks
    ]
    last = row["seconds"][marks[-1]]
    print(f"| {row['solver']} | " + " | ".join(cells) + f" | {last:.0f} |", flush=True)


def main() -> None:
    """Prints a table for each network and depth, and writes what they hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--zoo",
        type=Path,
        required=True,
        help="folder with resnet20.safetensors; cifar10_sample.npz lies beside it",
    )
    parser.add_argument(
        "--large", action="store_true", help="also EfficientNet-Lite0 at 224 pixels"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"measured on {machine()}; {' / '.join(_SHOWN)}")
    found: list[dict[str, Any]] = []
    for network in _models(options.zoo, large=options.large, device=options.device):
        for row in _rows(*network):
            _print(row, first=row["solver"] == next(iter(SOLVERS)))
            found.append(row)
            if options.results is not None:
                document = {"measured on": machine(), "rows": found}
                text = json.dumps(document, indent=1) + "\n"
                options.results.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
