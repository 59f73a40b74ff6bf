"""How soon ``fp watch`` notices a change, and how often it is wrong.

    python -m benchmarks.watch --zoo DIR --data DIR [--watches 100] [--page docs/watch.md]

A ResNet-20 is watched behind services that answer in seven ways, and exchanged after 20 runs: for
another network, a fine-tune of one epoch, its 8-bit copy, or itself behind another preprocessing.
Then it is left as it is for a thousand runs, again and again. The numbers are kept in
``benchmarks/watch.json``; without ``--zoo`` they are only printed.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import watch_runs
from benchmarks.data import load_data
from benchmarks.markdown import table
from benchmarks.pages import write_filled
from benchmarks.report import machine, progress
from fingerprint import extract, load_model
from fingerprint.distances import answer_distance
from fingerprint.lab.cifar_resnet import CifarResNet, resnet20, resnet44
from fingerprint.lab.modifications import fine_tuned, quantised
from fingerprint.lab.training import Settings, one_thread
from fingerprint.network.spec import AnswerKind, InputSpec, OutputSpec
from fingerprint.questions import question_id
from fingerprint.suspects.base import Suspect
from fingerprint.watching import Baseline, Run, first_seen, judged, observe, rotation
from fingerprint.watching.choosing import questions_of_model, questions_of_panel
from fingerprint.watching.evidence import BETS, capital, gains

__all__ = ["SERVICES", "Served", "Service", "delay", "false_alarms", "main", "tables"]

_RESULTS = Path(__file__).with_suffix(".json")
_SEED = "watch"
_QUESTIONS, _ASK, _ALPHA = 48, 8, 0.001
_BEFORE, _AFTER = 20, 60
_RUNS, _LOOSE_ALPHA = 1000, 0.05
_ONE_EPOCH = Settings(epochs=1, lr=1e-3, optimizer="sgd", scheduled=False, shift=2, flip=True)


@dataclass(frozen=True)
class Service:
    """How a network is served.

    Attributes:
        name: In the tables.
        kind: What its answers are.
        decimals: They are rounded to so many.
        noise: Deviation that is added to logits, as a share of theirs.
        dropout: Share of the features before the last layer that is left out at random.
    """

    name: str
    kind: AnswerKind = "logits"
    decimals: int | None = None
    noise: float = 0.0
    dropout: float = 0.0


SERVICES = (
    Service("logits"),
    Service("probabilities, 4 decimals", "probabilities", decimals=4),
    Service("labels", "labels"),
    Service("logits, 5 % noise", noise=0.05),
    Service("logits, 10 % dropout", dropout=0.1),
    Service("probabilities, 10 % dropout", "probabilities", decimals=4, dropout=0.1),
    Service("labels, 10 % dropout", "labels", dropout=0.1),
)


class Served(Suspect):
    """A network behind a service: its features are looked up, its noise is drawn.

    Attributes:
        features: Of the network that is served now, by question, and its last layer.
    """

    def __init__(self, service: Service, features: Features, *, seed: int) -> None:
        spec = InputSpec(shape=features.shape)
        super().__init__(spec, OutputSpec(classes=features.classes, kind=service.kind))
        self.service, self.features = service, features
        self._random = np.random.default_rng(seed)

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See :meth:`Suspect.respond`."""
        return self.answers(np.stack([self.features.rows[question_id(one)] for one in inputs]))

    def answers(self, rows: NDArray[np.float64]) -> NDArray[np.float32]:
        """Answers features of shape ``(N, width)``."""
        known, service = self.features, self.service
        if service.dropout:
            kept = self._random.random(rows.shape) >= service.dropout
            rows = rows * kept / (1 - service.dropout)
        logits = rows @ known.weight.T + known.bias
        if service.noise:
            logits = logits + service.noise * known.spread * self._random.normal(size=logits.shape)
        if service.kind == "labels":
            answers = np.eye(logits.shape[1])[logits.argmax(1)]
        elif service.kind == "probabilities":
            raised = np.exp(logits - logits.max(1, keepdims=True))
            answers = raised / raised.sum(1, keepdims=True)
        else:
            answers = logits
        if service.decimals is not None:
            answers = answers.round(service.decimals)
        return np.asarray(answers, np.float32)


@dataclass(frozen=True, eq=False, kw_only=True)
class Features:
    """What a network makes of all questions, before its last layer.

    Attributes:
        shape: Of one question.
        rows: By question, shape ``(width,)``.
        weight: Of the last layer, shape ``(classes, width)``.
        bias: The same, shape ``(classes,)``.
    """

    shape: tuple[int, ...]
    rows: Mapping[str, NDArray[np.float64]]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    @property
    def classes(self) -> int:
        """How many answers there are."""
        return len(self.bias)

    @property
    def spread(self) -> float:
        """Deviation of the logits around their mean."""
        logits = np.stack([*self.rows.values()]) @ self.weight.T + self.bias
        return float((logits - logits.mean(1, keepdims=True)).std())


class Normalised(nn.Module):
    """A network behind its normalisation, so that it takes pixels in [0, 1]."""

    def __init__(
        self,
        network: CifarResNet,
        mean: tuple[float, ...] = (0.485, 0.456, 0.406),
        std: tuple[float, ...] = (0.229, 0.224, 0.225),
    ) -> None:
        super().__init__()
        self.network = network
        self.spec = InputSpec(shape=(3, 32, 32), mean=mean, std=std)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N, 3, 32, 32)`` to logits."""
        logits: Tensor = self.network(self.spec.normalise(x))
        return logits


def _features(network: CifarResNet, inputs: NDArray[np.uint8], change: Change) -> Features:
    """Asks a network all questions, as a service would that does something to them first."""
    seen: list[Tensor] = []
    handle = network.linear.register_forward_hook(lambda _, given, out: seen.append(given[0]))
    with torch.inference_mode():
        change.normalised(network.eval())(change.prepared(inputs))
    handle.remove()
    rows = seen[0].double().numpy()
    return Features(
        shape=inputs.shape[1:],
        rows={question_id(one): row for one, row in zip(inputs, rows, strict=True)},
        weight=network.linear.weight.detach().double().numpy(),
        bias=network.linear.bias.detach().double().numpy(),
    )


Preparing = Callable[[NDArray[np.uint8]], Tensor]


def _as_sent(inputs: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(inputs).float() / 255


def _resized_twice(inputs: NDArray[np.uint8]) -> Tensor:
    larger = functional.interpolate(_as_sent(inputs), size=(48, 48), mode="bilinear")
    return functional.interpolate(larger, size=(32, 32), mode="bilinear")


def _through_jpeg(inputs: NDArray[np.uint8]) -> Tensor:
    found = []
    for one in inputs:
        stream = io.BytesIO()
        Image.fromarray(one.transpose(1, 2, 0)).save(stream, "JPEG", quality=95)
        found.append(np.asarray(Image.open(stream)).transpose(2, 0, 1))
    return _as_sent(np.stack(found))


@dataclass(frozen=True, kw_only=True)
class Change:
    """What stands in the place of the watched network.

    Attributes:
        name: In the tables.
        network: Which network.
        prepared: What happens to questions before it.
        mean: Mean and deviation of the normalisation, where it is another one.
    """

    name: str
    network: CifarResNet
    prepared: Preparing = _as_sent
    mean: float | None = None

    def normalised(self, network: CifarResNet) -> nn.Module:
        """Returns the network behind its normalisation."""
        if self.mean is None:
            return Normalised(network)
        return Normalised(network, (self.mean,) * 3, (self.mean,) * 3)


def _loaded(path: Path, factory: Callable[[], CifarResNet] = resnet20) -> CifarResNet:
    network = factory()
    network.load_state_dict(load_file(path))
    return network.eval()


def _changes(zoo: Path, data: Path) -> Iterator[Change]:
    ours = _loaded(zoo / "resnet20.safetensors")
    yield Change(name="none", network=ours)
    other = _loaded(zoo / "resnet20_independent.safetensors")
    yield Change(name="swap: ResNet-20 trained apart", network=other)
    larger = _loaded(zoo / "resnet44.safetensors", resnet44)
    yield Change(name="swap: ResNet-44", network=larger)
    tuned = fine_tuned(Normalised(ours), load_data(data), _ONE_EPOCH, seed=0)
    yield Change(name="fine-tuned for one epoch", network=tuned.network)
    yield Change(name="int8 weights", network=quantised(ours))
    yield Change(name="mean and deviation 0.5", network=ours, mean=0.5)
    yield Change(name="resized to 48 pixels and back", network=ours, prepared=_resized_twice)
    yield Change(name="sent on as JPEG, quality 95", network=ours, prepared=_through_jpeg)


class Watched:
    """A target that is watched, run after run."""

    def __init__(self, suspect: Served, inputs: NDArray[Any], alpha: float, key: str) -> None:
        self.suspect, self.alpha, self.key = suspect, alpha, key
        self.baseline: Baseline = first_seen(suspect, inputs)
        self.runs: list[Run] = []

    def look(self) -> Run:
        """Makes one run."""
        turn = len(self.runs)
        last = self.runs[-1].repeatable if self.runs else self.baseline.repeatable
        places = rotation(self.baseline, self.key, turn=turn, count=_ASK)
        seen = observe(self.baseline, self.suspect, places, repeatable=last)
        now = str(turn + 1)
        run = judged(self.baseline, self.runs, seen, began="0", now=now, alpha=self.alpha)
        self.runs.append(run)
        return run


def delay(
    service: Service, before: Features, after: Features, inputs: NDArray[Any], *, seed: int
) -> int | None:
    """Returns how many questions were asked of a changed target until it was noticed, if it was.

    A target that was accused before it changed counts as not noticed.
    """
    watched = Watched(Served(service, before, seed=seed), inputs, _ALPHA, f"{_SEED}|{seed}")
    for _ in range(_BEFORE):
        if watched.look().state == "changed":
            return None
    watched.suspect.features = after
    for number in range(1, _AFTER + 1):
        if watched.look().state == "changed":
            return number * _ASK
    return None


def false_alarms(
    service: Service, features: Features, inputs: NDArray[Any], *, watches: int, runs: int
) -> dict[str, Any]:
    """Watches targets that do not change, and says how many were accused nevertheless.

    Without noise there is one, and each run is made as ``fp watch run`` makes it. With noise there
    are many, asked the same questions in each run, so that their bets can be computed together.
    """
    noisy = bool(service.noise or service.dropout)
    if noisy:
        highest = _highest(service, features, inputs, watches=watches, runs=runs)
        alarms = int((highest >= -np.log(_LOOSE_ALPHA)).sum())
    else:
        served = Served(service, features, seed=0)
        watched = Watched(served, inputs, _LOOSE_ALPHA, _SEED)
        alarms = int(any(watched.look().state == "changed" for _ in range(runs)))
    return {
        "service": service.name,
        "watches": watches if noisy else 1,
        "runs": runs,
        "alarms": alarms,
        "highest evidence": round(float(np.exp(highest.max())), 2) if noisy else None,
    }


def _highest(
    service: Service, features: Features, inputs: NDArray[Any], *, watches: int, runs: int
) -> NDArray[np.float64]:
    """Returns the highest capital that each of many watches ever had, as logarithms."""
    served = [Served(service, features, seed=seed) for seed in range(watches)]
    baselines = [first_seen(one, inputs) for one in served]
    reference = np.stack([one.reference for one in baselines], axis=1)
    bags = [np.array([one.scores[place] for one in baselines]) for place in range(len(inputs))]
    rows = [features.rows[question_id(one)] for one in inputs]
    paid = np.zeros((watches, runs, BETS))
    for turn in range(runs):
        for place in rotation(baselines[0], _SEED, turn=turn, count=_ASK):
            answers = served[0].answers(np.tile(rows[place], (watches, 1)))
            apart = answer_distance(
                reference[place], answers[:, None], service.kind, floor=baselines[0].floor
            )
            score = np.sqrt((apart**2).mean(1))
            paid[:, turn] += gains(score, bags[place])
            bags[place] = np.column_stack([bags[place], score])
    return np.array([max(capital(one[: turn + 1]) for turn in range(runs)) for one in paid])


def measured(zoo: Path, data: Path, *, watches: int, repeats: int) -> dict[str, Any]:
    """Measures everything; see the module.

    Args:
        zoo: Folder with the networks.
        data: Folder with the pictures for the fine-tune.
        watches: How many targets are left unchanged, of each service.
        repeats: How often each change is made behind each service.
    """
    path = zoo / "resnet20.safetensors"
    model = load_model(path, arch="fingerprint.lab.cifar_resnet:resnet20")
    probes, _ = questions_of_model("ours", extract(model, seed=_SEED), _QUESTIONS)
    sets = {
        "panel": questions_of_panel(model.input, _SEED, _QUESTIONS),
        "probes of the registered model": probes,
    }
    changes = list(_changes(zoo, data))
    delays = []
    for asked, inputs in sets.items():
        known = {one.name: _features(one.network, inputs, one) for one in changes}
        before = known.pop("none")
        for service in SERVICES:
            for name, after in known.items():
                seeds = range(repeats if service.noise or service.dropout else 1)
                found = [delay(service, before, after, inputs, seed=seed) for seed in seeds]
                delays.append(
                    {"questions": asked, "service": service.name, "change": name, "after": found}
                )
    inputs = sets["panel"]
    before = _features(changes[0].network, inputs, changes[0])
    alarms: list[dict[str, Any]] = []
    for service in SERVICES:
        progress(service.name, len(alarms), len(SERVICES))
        alarms.append(false_alarms(service, before, inputs, watches=watches, runs=_RUNS))
    return {"measured on": machine(), "delays": delays, "alarms": alarms}


def tables(results: Mapping[str, Any]) -> dict[str, Callable[[], str]]:
    """Returns the tables of a page, by their name."""
    return {
        "delays": lambda: _delays(results, "panel"),
        "delays with a registered model": lambda: _delays(
            results, "probes of the registered model"
        ),
        "false alarms": lambda: _alarms(results),
        **watch_runs.tables(json.loads(watch_runs.RESULTS.read_text(encoding="utf-8"))),
    }


def _delays(results: Mapping[str, Any], asked: str) -> str:
    rows = [row for row in results["delays"] if row["questions"] == asked]
    names = list(dict.fromkeys(row["service"] for row in rows))
    found = {(row["change"], row["service"]): _typical(row["after"]) for row in rows}
    changes = dict.fromkeys(row["change"] for row in rows)
    return table(
        ("changed", *names),
        [(change, *(found[change, name] for name in names)) for change in changes],
    )


def _typical(after: list[int | None]) -> str:
    """Writes the median, and how many were noticed where not all were."""
    noticed = [count for count in after if count is not None]
    if not noticed:
        return f"none of {len(after)}"
    most = "" if len(noticed) == len(after) else f" ({len(noticed)} of {len(after)})"
    return f"{median(noticed):g}{most}"


def _alarms(results: Mapping[str, Any]) -> str:
    return table(
        ("service", "targets", "runs each", "ever accused", "highest evidence"),
        [["-" if value is None else value for value in row.values()] for row in results["alarms"]],
    )


def main() -> None:
    """Measures, if networks are given, and prints and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--zoo", type=Path, help="folder with resnet20.safetensors and others")
    parser.add_argument("--data", type=Path, help="folder with cifar10_sample.npz")
    parser.add_argument("--watches", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path, default=_RESULTS)
    parser.add_argument("--page", type=Path, help="write the tables into this page")
    options = parser.parse_args()
    if options.zoo is not None and options.data is not None:
        with one_thread():
            found = measured(
                options.zoo, options.data, watches=options.watches, repeats=options.repeats
            )
        options.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    results = json.loads(options.results.read_text(encoding="utf-8"))
    print(f"measured on {results['measured on']}")
    for name, make in tables(results).items():
        print(f"\n{name}\n\n{make()}")
    if options.page is not None:
        write_filled(options.page, tables(results), title="Watching")


if __name__ == "__main__":
    main()
