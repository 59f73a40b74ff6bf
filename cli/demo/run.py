"""The demo from end to end: train, register, change copies, and ask whose they are.

Everything goes the way a user's models go: weights files, a registry in a folder of its own,
and models loaded from the files by architecture.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from cli.demo.result import DemoResult, DemoRow
from fingerprint.errors import EnvironmentFailure, UsageError
from fingerprint.lab import networks
from fingerprint.lab.data import Data, digits
from fingerprint.lab.modifications import fine_tuned, folded, pruned, quantised
from fingerprint.lab.symmetries import equivalent
from fingerprint.lab.training import Network, Settings, one_thread, trained
from fingerprint.network import Model, load_model
from fingerprint.progress import Progress, silent
from fingerprint.verification import Verification
from registry import Registry

__all__ = ["Subject", "run_demo"]

_SOURCE = "cnn"
_OTHER = "slim_cnn"
_CHILD = "tuned"
_FINE_TUNING_SEED = 11
_CHILD_SEED = 13
_PERMUTATION_SEED = 12
_LEARNED = Settings(epochs=8, lr=2e-3)
"""How the registered fine-tune learns: who learns less can hardly be told from its siblings."""
_PROBES = 48
"""What was pruned or tuned at this size is so near to others that 24 leave it to luck."""
_SOURCE_SEED, _INDEPENDENT_SEED, _OTHER_SEED = 0, 1, 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A suspect of the demo.

    Attributes:
        key: Name of its weights file.
        what: What it is, for people.
        network: Its weights.
        factory: Which function of :mod:`fingerprint.lab.networks` builds it.
        expected: The verdict the method owes.
        owner: The registered model it must be traced to; None for an independent one.
    """

    key: str
    what: str
    network: nn.Module
    factory: str
    expected: str
    owner: str | None


def _subjects(
    source: networks.Cnn, child: nn.Module, independent: nn.Module, data: Data
) -> Iterator[Subject]:
    """Yields the suspects, each made only when its turn comes."""

    def subject(
        key: str, what: str, network: nn.Module, expected: str, owner: str | None = _SOURCE
    ) -> Subject:
        return Subject(
            key=key,
            what=what,
            network=network,
            factory="folded_cnn" if key == "folded" else "cnn",
            expected=expected,
            owner=owner,
        )

    yield subject("copy", "exact copy", source, "same")
    yield subject(
        "permuted",
        "hidden channels reordered",
        equivalent(source, seed=_PERMUTATION_SEED, reordered=True),
        "same",
    )
    yield subject("folded", "batch norm folded", folded(source), "same")
    yield subject("int8", "weights rounded to int8", quantised(source), "derived")
    yield subject("pruned", "30 % of weights pruned", pruned(source), "derived")
    tuned = fine_tuned(source, data, seed=_FINE_TUNING_SEED)
    yield subject("fine_tuned", "trained on: tuned's sibling", tuned, "derived")
    yield subject("child", "tuned, rounded to int8", quantised(child), "derived", _CHILD)
    yield subject("independent", "same network, other seed", independent, "independent", None)


_SUBJECTS = 8


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Yields a folder for the demo's files: a new one to keep, or a temporary one."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="fp-demo-") as name:
            yield Path(name)
        return
    try:
        keep.mkdir(parents=True)
    except FileExistsError as error:
        raise UsageError(f"--keep: expected a new folder, {keep} exists; name another") from error
    except OSError as error:
        raise EnvironmentFailure(f"--keep: cannot make {keep}: {error.strerror}") from error
    yield keep


class _Workshop:
    """Writes networks as weights files and loads them again, as a user would."""

    def __init__(self, folder: Path, data: Data, device: str) -> None:
        self.folder, self.data, self.device = folder, data, device

    def model(self, network: nn.Module, *, key: str, factory: str) -> Model:
        """Saves a network and loads it as a model from its file."""
        path = self.folder / f"{key}.safetensors"
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
        return load_model(
            path,
            arch=f"fingerprint.lab.networks:{factory}",
            input_size=self.data.input_size,
            device=self.device,
        )

    def train(
        self, what: str, factory: Callable[[], Network], seed: int, tell: Progress
    ) -> Network:
        """Trains one network, reporting under its own name."""
        return trained(
            factory,
            self.data,
            seed=seed,
            progress=lambda stage, done, total: tell(f"{stage} {what}", done, total),
        )


def _row(subject: Subject, result: Verification) -> DemoRow:
    first = result.candidates[0] if result.candidates else None
    return DemoRow(
        what=subject.what,
        expected=subject.expected,
        verdict=result.verdict,
        best=result.best,
        harm_ratio=first.harm_ratio if first else None,
        harm_ratio_ci=first.harm_ratio_ci if first else None,
        p_value=first.p_value if first else None,
        queries=result.queries,
        as_expected=(result.verdict, result.best) == (subject.expected, subject.owner)
        and not _laid_at_the_childs_door(subject, result),
    )


def _laid_at_the_childs_door(subject: Subject, result: Verification) -> bool:
    """Whether a suspect that has nothing from the child is claimed for it: its siblings' fate."""
    claimed = {one.name for one in result.candidates if one.verdict in ("same", "derived")}
    return subject.owner != _CHILD and _CHILD in claimed


def run_demo(
    *,
    keep: Path | None = None,
    device: str = "cpu",
    progress: Progress = silent,
) -> DemoResult:
    """Trains, registers, changes and recognises; deterministic but for the registry's seed.

    Args:
        keep: New folder for weights files and registry; by default they are thrown away.
        device: Where to compute.
        progress: Called with each stage.

    Raises:
        UsageError: ``keep`` exists.
        EnvironmentFailure: The folder or the registry cannot be written.
    """
    began = time.perf_counter()
    with one_thread(), _folder(keep) as folder, Registry(str(folder / "demo.db")) as registry:
        workshop = _Workshop(folder, digits(), device)
        source = workshop.train("the source", networks.cnn, _SOURCE_SEED, progress)
        other = workshop.train("another model", networks.slim_cnn, _OTHER_SEED, progress)
        independent = workshop.train(
            "an independent model", networks.cnn, _INDEPENDENT_SEED, progress
        )
        for name, network in ((_SOURCE, source), (_OTHER, other)):
            model = workshop.model(network, key=name, factory=name)
            registry.register(
                model, name=name, from_scratch=True, probes=_PROBES, progress=progress
            )
        child = fine_tuned(source, workshop.data, _LEARNED, seed=_CHILD_SEED)
        model = workshop.model(child, key=_CHILD, factory=_SOURCE)
        registry.register(model, name=_CHILD, parent=_SOURCE, probes=_PROBES, progress=progress)
        rows = []
        for subject in _subjects(source, child, independent, workshop.data):
            suspect = workshop.model(subject.network, key=subject.key, factory=subject.factory)
            rows.append(_row(subject, registry.verify(suspect)))
            progress("verifying", len(rows), _SUBJECTS)
    return DemoResult(
        registered=(_SOURCE, _OTHER, _CHILD),
        rows=tuple(rows),
        seconds=time.perf_counter() - began,
        folder=str(keep.absolute()) if keep is not None else None,
    )
