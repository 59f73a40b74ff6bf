"""What kinds of answers decide that the zoos of ``benchmarks.detection`` were not asked for.

    python -m benchmarks.answer_kinds [--measure]

Rounded probabilities, several labels at once (a sigmoid of each logit), an embedding (the features
before the head), one number (a single logit): networks of digits answer in each of these ways, and
in those that are measured on the zoos too, so that the table can be held against theirs. The
numbers are kept in ``benchmarks/answer_kinds.json``, and the table is one of ``docs/power.md``;
without ``--measure`` it is only printed.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmarks.detection.results import VERDICTS
from benchmarks.markdown import table
from benchmarks.report import machine, progress
from fingerprint import Model, ModelSuspect, extract, load_model, verify
from fingerprint.lab import data, modifications, networks, training
from fingerprint.network.spec import AnswerKind, OutputSpec
from fingerprint.suspects.base import Identity, PassedOn

__all__ = ["KINDS", "RESULTS", "Answering", "Kind", "decided", "headless", "main", "measured"]

RESULTS = Path(__file__).with_suffix(".json")
_SEED = "answer kinds"
_FACTORIES: Mapping[str, Callable[[], nn.Module]] = {"cnn": networks.cnn, "vit": networks.vit}
_NETWORKS = 3
_GENTLE = training.Settings(epochs=3, lr=1e-4)
Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """A way to answer.

    Attributes:
        name: In the table.
        kind: What the answers are.
        made: Makes them of logits ``(N, classes)``.
        width: How many values an answer has; None for as many as there are logits.
    """

    name: str
    kind: AnswerKind
    made: Callable[[Rows], Rows]
    width: int | None = None


def _shares(logits: Rows) -> Rows:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Rows = raised / raised.sum(axis=1, keepdims=True)
    return shares


def _likeliest(logits: Rows, count: int) -> Rows:
    shares = _shares(logits)
    least = np.sort(shares, axis=1)[:, -count][:, None]
    return np.where(shares >= least, shares, 0.0).round(4)


def _rounded(logits: Rows, decimals: int) -> Rows:
    return _shares(logits).round(decimals)


KINDS = (
    Kind("logits", "logits", lambda logits: logits),
    Kind("probabilities", "probabilities", _shares),
    Kind("3 decimals", "probabilities", partial(_rounded, decimals=3)),
    Kind("2 decimals", "probabilities", partial(_rounded, decimals=2)),
    Kind("top-3", "top-k", partial(_likeliest, count=3)),
    Kind("labels", "labels", lambda logits: np.eye(logits.shape[1])[logits.argmax(axis=1)]),
    Kind("several labels", "logits", lambda logits: 1 / (1 + np.exp(-logits))),
    Kind("embedding", "logits", lambda features: features),
    Kind("one number", "logits", lambda logits: logits[:, :1] * [0.0, 1.0], width=2),
)
_EMBEDDING = "embedding"


class Answering(PassedOn):
    """A network that answers in one of these ways, and like a service does not say whose it is."""

    def __init__(self, model: Model, kind: Kind) -> None:
        classes = kind.width or model.output.classes
        super().__init__(ModelSuspect(model), OutputSpec(classes=classes, kind=kind.kind))
        self.way, self.identity = kind, Identity()

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See :meth:`Suspect.respond`."""
        rows = self.suspect.respond(inputs).astype(np.float64)
        return self.way.made(rows).astype(np.float32)


def headless(network: nn.Module) -> nn.Module:
    """Returns a copy of a network that answers with what its head would be given."""
    copied = copy.deepcopy(network)
    copied.head = nn.Identity()
    return copied


def _suspects(
    source: nn.Module, others: list[nn.Module], digits: data.Data
) -> Iterator[tuple[str, nn.Module]]:
    """Yields what a suspect is to the source, and the suspect."""
    yield "the source itself", source
    yield "weights rounded", modifications.quantised(source, bits=8)
    yield "weights rounded", modifications.quantised(source, bits=4)
    for share in (0.2, 0.4):
        yield "pruned", modifications.pruned(source, share=share)
    yield "all layers trained", modifications.fine_tuned(source, digits, _GENTLE, seed=5)
    yield "all layers trained", modifications.fine_tuned(source, digits, seed=7)
    for other in others:
        yield "independent", other


def measured() -> dict[str, Any]:
    """Asks every suspect in every way."""
    digits = data.digits()
    size = digits.input_size
    trained = {
        kind: [training.trained(factory, digits, seed=seed) for seed in range(_NETWORKS)]
        for kind, factory in _FACTORIES.items()
    }
    rows: list[dict[str, Any]] = []
    for kind, (source, *same) in trained.items():
        others = [*same, *(one for name, them in trained.items() if name != kind for one in them)]
        fingerprint = extract(load_model(source, input_size=size), seed=_SEED)
        for what, network in _suspects(source, others, digits):
            progress(kind, len(rows), 0)
            plain = load_model(network, input_size=size)
            features = load_model(headless(network), input_size=size)
            for way in KINDS:
                model = features if way.name == _EMBEDDING else plain
                found = verify(Answering(model, way), fingerprint)
                rows.append(
                    {
                        "source": kind,
                        "suspect": what,
                        "answers": way.name,
                        "verdict": found.verdict,
                        "harm_ratio": found.candidates[0].harm_ratio,
                    }
                )
    return {"measured on": machine(), "rows": rows}


def decided(results: Mapping[str, Any]) -> str:
    """Counts verdicts by kind of suspect, for each kind of answer."""
    kinds = [kind.name for kind in KINDS]
    rows = results["rows"]
    cells = []
    for suspect in dict.fromkeys(row["suspect"] for row in rows):
        counts = {
            kind: Counter(
                row["verdict"]
                for row in rows
                if (row["suspect"], row["answers"]) == (suspect, kind)
            )
            for kind in kinds
        }
        said = [
            ", ".join(f"{counts[kind][one]} {one}" for one in VERDICTS if counts[kind][one])
            for kind in kinds
        ]
        cells.append((suspect, sum(counts[kinds[0]].values()), *said))
    return table(("suspect", "pairs", *kinds), cells)


def main() -> None:
    """Measures, if it is wanted, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measure", action="store_true", help="ask again; else what is kept")
    options = parser.parse_args()
    if options.measure:
        with training.one_thread():
            found = measured()
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    print(f"measured on {results['measured on']}\n\n{decided(results)}")


if __name__ == "__main__":
    main()
