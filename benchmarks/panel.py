"""Measures how well resemblance on the public panel tells kin from strangers, and how it grows.

    python -m benchmarks.panel --data FOLDER --lite0 ftA.pt ftB.pt --lite1 ftC.pt

Three sets of networks: the zoo of ``FOLDER`` (omitted without one), digits networks trained here
in a minute or two, some with two and four classes, and the EfficientNet-Lites where their packages
are installed (``benchmarks.efficientnet_lite`` says how); ``--lite0`` and ``--lite1`` are
state_dicts of their fine-tunes with a new head of ten classes. Every network is compared with
every source; kin are what was made of it, strangers all others.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import nn

from benchmarks.data import load_data
from benchmarks.markdown import table
from benchmarks.report import machine
from fingerprint.distances import top_k
from fingerprint.evidence.resemblance import Panel, compare, rank, resemblance_margin
from fingerprint.lab import architectures, data, modifications, networks, training
from fingerprint.network.spec import AnswerKind, InputSpec
from fingerprint.probes.bases import dead_leaves
from fingerprint.probes.panel import NEGATIVE, PANEL, panel_kinds, panel_label
from fingerprint.solvers.noise import start_noise

Answers = dict[str, NDArray[np.float32]]  # by kind of input, (pool, classes)
ANSWER_KINDS: tuple[AnswerKind, ...] = ("logits", "probabilities", "top-k", "labels")
KINDS = ("binary", "blocks", "uniform", "leaves")
GRID = 8
"""Blocks to the shorter side of an input: 4x4 pixels each at 32 pixels."""
PAIRED = panel_kinds(4)
MIXTURES = (*((kind,) for kind in KINDS), ("binary", "uniform"), ("binary", "blocks"))
MIXTURES += (("binary", "uniform", "leaves"), KINDS, PAIRED)
COUNTS = (32, 48, 64, 96, 128)
POOL = 64


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of a set: what it is called, what was done, and what it was made of."""

    name: str
    change: str
    root: str
    module: Callable[[], nn.Module]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A network compared with a source."""

    network: Network
    source: str
    classes: int
    value: float
    margin: float

    @property
    def kin(self) -> bool:
        """Whether one was made of the other."""
        return self.network.root == self.source


# Networks


def changed(name: str, source: nn.Module) -> Iterator[Network]:
    """A source and what needs no training."""
    yield Network(name=name, change="", root=name, module=lambda: source)
    for bits in (8, 4):
        module = partial(modifications.quantised, source, bits=bits)
        yield Network(name=f"{name}, int{bits}", change=f"int{bits}", root=name, module=module)
    for share in (0.3, 0.5, 0.8):
        change = f"pruned {share:.0%}"
        module = partial(modifications.pruned, source, share=share)
        yield Network(name=f"{name}, {change}", change=change, root=name, module=module)


def zoo(folder: Path) -> Iterator[Network]:
    """The CIFAR-10 ResNets, and a new head trained here."""
    from safetensors.torch import load_file

    def loaded(name: str) -> nn.Module:
        state = load_file(folder / "zoo" / f"{name}.safetensors")
        classes = state["linear.bias"].shape[0]
        architecture = "resnet44" if name == "resnet44" else "resnet20"
        network = architectures.build(architecture, classes=classes)
        architectures.body(network).load_state_dict(state)
        return network

    turned = data.TASKS["rotation"].of(load_data(folder))
    for name in ("resnet20", "resnet20_independent", "resnet44"):
        source = loaded(name)
        yield from changed(name, source)
        settings = training.Settings(epochs=1, lr=1e-2, optimizer="sgd", scheduled=False)
        module = partial(modifications.fine_tuned, source, turned, settings, seed=1)
        yield Network(name=f"{name}, new task", change="new task", root=name, module=module)
    for change in ("finetuned_lr1e-3", "finetuned_lr1e-2", "finetuned_lr5e-2", "transfer_5classes"):
        name = f"resnet20_{change}"
        yield Network(name=name, change=change, root="resnet20", module=partial(loaded, name))


def parity(images: data.Data) -> data.Data:
    """Two classes: even and odd."""
    from dataclasses import replace

    return replace(images, train_labels=images.train_labels % 2, test_labels=images.test_labels % 2)


def small() -> Iterator[Network]:
    """Digits networks with ten, four and two classes; fine-tunes with the same and a new head."""
    images = data.digits()
    tasks = {10: images, 4: data.TASKS["rotation"].of(images), 2: parity(images)}
    for kind in (networks.cnn, networks.vit, networks.mlp):
        for classes, task in tasks.items():
            for seed in range(2):
                name = f"{kind.__name__} {classes} {seed}"
                untrained = training.untrained(kind, seed)
                if classes != images.train_labels.max() + 1:
                    networks.replace_head(untrained, classes)
                source = training.train(untrained, task, seed=seed)
                yield from changed(name, source)
                for change, new in (
                    ("fine-tuned", task),
                    ("new head", tasks[4 + 6 * (classes < 10)]),
                ):
                    module = partial(modifications.fine_tuned, source, new, seed=seed + 9)
                    yield Network(name=f"{name}, {change}", change=change, root=name, module=module)


def lites(tuned: dict[int, list[Path]]) -> Iterator[Network]:
    """EfficientNet-Lite0 and -Lite1, normalised inside."""
    from benchmarks import efficientnet_lite as lite

    def normalised(network: nn.Module) -> nn.Module:
        mean, std = lite.CFG["mean"][0], lite.CFG["std"][0]
        return nn.Sequential(_Scaled(mean, std), network).eval()

    def loaded(version: int, path: Path) -> nn.Module:
        network = lite.lite0() if version == 0 else lite.lite1()
        networks.replace_head(network, 10)
        network.load_state_dict(torch.load(path, weights_only=True))
        return normalised(network)

    for version, build in enumerate((lite.lite0, lite.lite1)):
        network = build()
        network.load_state_dict(torch.load(lite.weights(version), weights_only=True))
        yield from changed(f"Lite{version}", normalised(network))
        for path in tuned[version]:
            name = f"Lite{version}, {path.stem}"
            module = partial(loaded, version, path)
            yield Network(name=name, change=path.stem, root=f"Lite{version}", module=module)


class _Scaled(nn.Module):
    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std


# Asking and comparing


def inputs(spec: InputSpec, kind: str, count: int) -> NDArray[np.uint8]:
    """Inputs of one kind: noise as the panel's, blocks an eighth of the shorter side, or bases."""
    if kind == "leaves":
        leaves: NDArray[np.uint8] = dead_leaves(spec, "benchmark", count)
        return leaves
    coarse, side = spec, 1
    if kind == "blocks":
        side = max(1, min(spec.shape[1:]) // GRID)
        cells = (-(-size // side) for size in spec.shape[1:])
        coarse = InputSpec(shape=(spec.shape[0], *cells))
    start = "uniform" if kind == "uniform" else "binary"
    labels = (panel_label(spec, "benchmark", place) for place in range(count))
    drawn = np.stack([start_noise(coarse, start, label) for label in labels])
    height, width = spec.shape[1:]
    cut: NDArray[np.uint8] = drawn.repeat(side, axis=2).repeat(side, axis=3)[..., :height, :width]
    return cut


def ask(
    members: Iterable[Network], shape: tuple[int, ...], each: int = POOL
) -> dict[str, tuple[Network, Answers]]:
    """Answers of every network to a pool of every kind of input."""
    spec, asked = InputSpec(shape=shape), {}
    pool = {kind: inputs(spec, kind, each) for kind in KINDS}
    pool.update({kind + NEGATIVE: 255 - pool[kind] for kind in ("binary", "uniform")})
    for member in members:
        module = member.module().eval()
        asked[member.name] = (
            member,
            {
                kind: np.concatenate([_run(module, some) for some in np.array_split(every, 8)])
                for kind, every in pool.items()
            },
        )
    return asked


def _run(module: nn.Module, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.inference_mode():
        rows: NDArray[np.float32] = module(training.pixels(inputs)).numpy()
    return rows


def panel_of(answers: Answers, mixture: tuple[str, ...], count: int, kind: AnswerKind) -> Panel:
    """A panel of some mixture, its answers cut down to a kind: rounded, the five likeliest."""
    places = [(mixture[place % len(mixture)], place // len(mixture)) for place in range(count)]
    rows = np.stack([answers[of][place] for of, place in places])
    return Panel.of(shown(rows, kind), kind, kinds=tuple(of for of, _ in places))


def shown(logits: NDArray[np.float32], kind: AnswerKind) -> NDArray[np.floating]:
    """Cuts logits down to a kind of answers: rounded to thousandths, the five likeliest."""
    if kind == "probabilities":
        rounded: NDArray[np.floating] = np.round(softmax(logits, axis=1), 3)
        return rounded
    if kind == "top-k":
        return top_k(softmax(logits, axis=1), min(5, max(1, logits.shape[1] // 2)))
    return logits


def pairs(
    asked: dict[str, tuple[Network, Answers]],
    mixture: tuple[str, ...],
    count: int,
    kind: AnswerKind = "logits",
) -> list[Pair]:
    """Every network against every source but itself; NaN where the panel says nothing."""
    sources = {
        name: panel_of(answers, mixture, count, "logits")
        for name, (member, answers) in asked.items()
        if name == member.root
    }
    linearity = {name: panel.linearity for name, panel in sources.items()}
    found = []
    for name, (member, answers) in asked.items():
        suspect = panel_of(answers, mixture, count, kind)
        for source, value in rank(suspect, {of: panel.features for of, panel in sources.items()}):
            if source == name:
                continue
            classes = min(suspect.features.shape[1], sources[source].features.shape[1])
            margin = resemblance_margin(kind, classes, linearity=linearity[source]).value
            found.append(
                Pair(network=member, source=source, classes=classes, value=value, margin=margin)
            )
    return found


def summary(found: list[Pair]) -> list[str]:
    """AUC, kin above the largest stranger, nearest source right, and the values behind them."""
    values = np.nan_to_num([pair.value for pair in found])
    kin = np.array([pair.kin for pair in found])
    inside, outside = values[kin], values[~kin]
    above = (inside[:, None] > outside).mean() + 0.5 * (inside[:, None] == outside).mean()
    nearest: dict[str, Pair] = {}
    for pair, value in zip(found, values, strict=True):
        best = nearest.get(pair.network.name)
        if pair.network.change and (best is None or value > np.nan_to_num(best.value)):
            nearest[pair.network.name] = pair
    right = np.mean([pair.kin for pair in nearest.values()])
    lacking = np.isnan([pair.value for pair in found]).mean()
    above_margin = np.array([pair.value > pair.margin for pair in found])
    shown = [above, (inside > outside.max()).mean(), right, np.quantile(inside, 0.05)]
    shown += [np.median(outside), np.quantile(outside, 0.99), outside.max(), lacking]
    shown += [above_margin[kin].mean(), above_margin[~kin].mean()]
    return [f"{number:.3f}" for number in shown]


HEAD = [
    *("AUC", "kin above every stranger", "nearest right", "kin, 5 %", "strangers, median"),
    *("99 %", "largest", "nothing said", "kin above margin", "strangers"),
]


def by_change(found: list[Pair]) -> Iterator[list[str]]:
    """The resemblance of kin to its source, for each thing that was done."""
    for change in dict.fromkeys(pair.network.change for pair in found if pair.kin):
        values = [pair.value for pair in found if pair.kin and pair.network.change == change]
        yield [change, " ".join(f"{value:.2f}" for value in sorted(values))]


def by_classes(asked: dict[str, tuple[Network, Answers]]) -> Iterator[list[str]]:
    """What strangers reach, and what kin falls to, by kind of answer and number of classes."""
    for kind in ANSWER_KINDS:
        found = pairs(asked, PAIRED, PANEL, kind)
        for low, high in ((2, 2), (3, 20), (21, 10**6)):
            some = [pair for pair in found if low <= pair.classes <= high]
            if {pair.kin for pair in some} == {True, False}:
                label = f"{low} to {high}" if high < 10**6 else f"{low} and more"
                yield [kind, label, *summary(some)]


# Growth


def simulated(count: int, generator: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Answers of ten classes: what all share, what those of a task share, and a model's own."""
    shared = generator.normal(size=(PANEL, 10))
    tasks = generator.normal(size=(20, PANEL, 10))
    for place in range(count):
        parts = (shared, tasks[place % 20], generator.normal(size=(PANEL, 10)))
        weights = generator.dirichlet((0.5, 1.0, 3.0)) ** 0.5
        mixed = sum(
            weight * part @ generator.normal(size=(10, 10))
            for weight, part in zip(weights, parts, strict=True)
        )
        yield np.asarray(mixed, dtype=np.float32)


def growth() -> Iterator[list[str]]:
    """Ranking one suspect, a noisy copy of a registered model, among more and more."""
    generator = np.random.default_rng(0)
    models = {str(place): rows for place, rows in enumerate(simulated(10_000, generator))}
    copies = {}
    for place in range(10):
        rows = models[str(place)]
        copies[str(place)] = Panel.of(rows + rows.std() * generator.normal(size=rows.shape))
    for count in (100, 1000, 10_000):
        registered = {name: models[name] for name in list(models)[:count]}
        own, largest, right = [], [], 0
        begin = time.perf_counter()
        for name, copy in copies.items():
            ranked = rank(copy, registered)
            right += ranked[0][0] == name
            own.append(dict(ranked)[name])
            largest.append(max(value for other, value in ranked if other != name))
        seconds = (time.perf_counter() - begin) / len(copies)
        tracemalloc.start()
        rank(copies["0"], registered)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        stored = sum(rows.nbytes for rows in registered.values()) / 2**20
        shown = (f"{seconds:.2f}", f"{stored:.0f}", f"{peak:.0f}", f"{right} of {len(copies)}")
        yield [str(count), *shown, f"{min(own):.2f}", f"{max(largest):.2f}"]


def error_rates() -> list[str]:
    """How often the 95 % interval of two unrelated models' alignment lies above 0, or below."""
    generator = np.random.default_rng(1)
    found = []
    for _ in range(200):
        rows = [generator.normal(size=(PANEL, 10)) @ generator.normal(size=(10, 10)) for _ in "ab"]
        alignment = compare(*map(Panel.of, rows))
        assert alignment is not None
        found.append((alignment.low > 0, alignment.high < 0))
    return [f"{rate:.3f}" for rate in np.mean(found, axis=0)]


def report(title: str, asked: dict[str, tuple[Network, Answers]]) -> None:
    sources = sum(member.name == member.root for member, _ in asked.values())
    print(f"\n## {title}: {len(asked)} networks, {sources} sources\n", flush=True)
    each = len(next(iter(asked.values()))[1]["binary"])
    rows = []
    for mixture in MIXTURES:
        for count in COUNTS:
            if -(-count // len(mixture)) <= each:
                label = " + ".join(mixture)
                rows.append([label, count, *summary(pairs(asked, mixture, count))])
    print(table(("inputs", "count", *HEAD), rows), "\n")
    print(table(("answers", "smaller number of classes", *HEAD), by_classes(asked)), "\n")
    print(table(("done", "resemblance"), by_change(pairs(asked, PAIRED, PANEL))), flush=True)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with cifar10_sample.npz and zoo")
    parser.add_argument("--lite0", type=Path, nargs="*", default=[])
    parser.add_argument("--lite1", type=Path, nargs="*", default=[])
    parser.add_argument("--sets", nargs="*", default=["growth", "digits", "zoo", "lite"])
    options = parser.parse_args()
    print(f"measured on {machine()}")
    with training.one_thread():
        if "growth" in options.sets:
            head = ("models", "seconds", "stored MiB", "ranking MiB", "own model first")
            print(table((*head, "own, least", "another, most"), growth()))
            print("unrelated, interval above and below 0:", *error_rates())
        if "digits" in options.sets:
            report("digits, 16 px", ask(small(), (1, data.DEFAULT_SIZE, data.DEFAULT_SIZE)))
        if "zoo" in options.sets and options.data:
            report("CIFAR-10 ResNets, 32 px", ask(zoo(options.data), (3, 32, 32)))
        if "lite" in options.sets:
            tuned = {0: options.lite0, 1: options.lite1}
            report("EfficientNet-Lite, 224 px", ask(lites(tuned), (3, 224, 224), 32))


if __name__ == "__main__":
    main()
