"""A registry and a model loader that answer at once, so that only the command line is tested.

``install`` puts them where the commands look for the real ones.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Unpack

from numpy.typing import NDArray
from torch import nn

from fingerprint.evidence.calibration import Margin
from fingerprint.evidence.finding import Finding
from fingerprint.network import load_model
from fingerprint.network.model import Model
from fingerprint.network.spec import InputSpec, OutputSpec
from fingerprint.probes.probe import Fingerprint
from fingerprint.progress import Progress, silent
from fingerprint.suspects import Recorded, Suspect
from fingerprint.verification import Candidate, Verdict, Verification
from registry import (
    Export,
    Lineage,
    Pair,
    RecordedVerification,
    RegisteredModel,
    Registry,
    UnknownModel,
)
from registry.ledger import Head
from registry.registration import Options
from registry.reports.dossier import Dossier, Standing
from tests.support.fingerprints import make_fingerprint, make_model

__all__ = ["HOSTILE", "FakeRegistry", "candidate", "facts", "install", "registered", "verification"]

HOSTILE = "\x1b[31mred\x1b[0m</script>\u202egpj.exe\nsecond line[bold]x[/bold]:smile:"


def registered(name: str = "ours", **changes: Any) -> RegisteredModel:
    """Returns a registered model with plausible facts."""
    model = RegisteredModel(
        name=name,
        registered="2026-01-02T03:04:05+00:00",
        model_digest="ab" * 32,
        architecture="my_networks:small",
        file_path="/models/ours.safetensors",
        file_sha256="cd" * 32,
        input=InputSpec(shape=(3, 32, 32)).to_dict(),
        output={"classes": 10, "kind": "logits"},
        domain="pixels:3x32x32:0.0,1.0",
        load_options={},
        commitment="ef" * 32,
        facts=facts(),
    )
    return replace(model, **changes)


def facts(**changes: Any) -> dict[str, Any]:
    """Returns what is known of a fingerprint, as a registry keeps it."""
    space = {
        "kind": "network",
        "dimension": 3062,
        "input_dimension": 3072,
        "rank": 10,
        "note": "at one base",
    }
    depth = {
        "layer": "network",
        "width": 10,
        "probes": 24,
        "residual": 1e-6,
        "source_harm_ratio": 0.001,
    }
    known = {
        "method": "probes=24 start=auto bases=colours",
        "spaces": [space],
        "depths": [depth],
        "probes": 24,
        "source_harm_ratio": {"median": 0.001, "max": 0.0034},
        "screened_against": ["other"],
        "redrawn": 2,
        "cost": {"seconds": 7.25, "passes_per_probe": 40.0},
    }
    return known | changes


def finding(**changes: Any) -> Finding:
    """Returns what one test says of one model."""
    result = Finding(
        test="harm_ratio",
        depth="network",
        statistic=0.327,
        interval=(0.271, 0.394),
        p_value=1.25e-7,
        least_p=1e-9,
        margin=Margin(),
        decides="kin",
        used=24,
        detail={"per_probe": [{"base": 0, "harm": 0.1, "harm_ratio": 0.3}]},
    )
    return replace(result, **changes)


def candidate(name: str = "ours", verdict: Verdict = "derived", **changes: Any) -> Candidate:
    """Returns what the answers say about one model."""
    result = Candidate(
        name=name,
        verdict=verdict,
        relation="descends" if verdict == "derived" else None,
        reason="a reason",
        harm_ratio=0.327,
        harm_ratio_ci=(0.271, 0.394),
        p_value=1.25e-7,
        margin=0.7,
        margin_source="default",
        answer_kind="logits",
        label_agreement=0.79,
        findings=(finding(),),
    )
    return replace(result, **changes)


def verification(*candidates: Candidate, **changes: Any) -> Verification:
    """Returns the verification that ranks these candidates as given."""
    first = candidates[0] if candidates else None
    result = Verification(
        suspect={"file": "suspect.safetensors"},
        verdict=first.verdict if first else "inconclusive",
        reason="the answers say so",
        best=first.name if first and first.verdict in ("same", "derived") else None,
        queries=54,
        candidates=candidates,
        seconds=1.5,
    )
    return replace(result, **changes)


@dataclass
class Script:
    """What the fakes are to do, and what they were asked.

    Attributes:
        models: Names of the registered models.
        changes: What else is so of each of them.
        result: What ``verify`` returns.
        lineage: What ``lineage`` returns.
        recorded: What ``verifications`` returns.
        error: Raised by whatever does the work, in place of a result.
        calls: The calls that arrived, with their arguments.
    """

    models: Sequence[str] = ("ours", "theirs")
    changes: dict[str, Any] = field(default_factory=dict)
    result: Verification = field(default_factory=lambda: verification(candidate()))
    lineage: Lineage = field(default_factory=lambda: Lineage(nodes=()))
    recorded: list[RecordedVerification] = field(default_factory=list)
    error: BaseException | None = None
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def work(self, call: str, **arguments: Any) -> None:
        """Notes a call and raises what is to be raised."""
        self.calls.append((call, arguments))
        progress = arguments.get("progress")
        if progress is not None:
            progress("solving", 1, 2)
        if self.error is not None:
            raise self.error

    def named(self, call: str) -> list[dict[str, Any]]:
        """Returns the arguments of all calls of one name."""
        return [arguments for name, arguments in self.calls if name == call]


class FakeRegistry(Registry):
    """Answers as the script says; its methods are typed as the real ones."""

    script: ClassVar[Script] = Script()

    def __init__(
        self, url: str | os.PathLike[str] | None = None, *, by: Mapping[str, Any] | None = None
    ) -> None:
        del by
        self.script.calls.append(("open", {"url": url}))

    def close(self) -> None:
        self.script.calls.append(("close", {}))

    def require_writable(self) -> None:
        pass

    def models(self) -> list[RegisteredModel]:
        return [registered(name, **self.script.changes) for name in self.script.models]

    def model(self, name: str) -> RegisteredModel:
        if name not in self.script.models:
            raise UnknownModel(name)
        return registered(name)

    def fingerprint(self, name: str) -> Fingerprint:
        return make_fingerprint(make_model())

    def verifications(
        self, name: str | None = None, *, before: int | None = None, limit: int | None = None
    ) -> list[RecordedVerification]:
        del before, limit
        return self.script.recorded

    def pairs(self, name: str) -> tuple[Pair, ...]:
        ratio = {"test": "harm_ratio", "depth": "network", "answer_kind": "logits", "ratio": 0.93}
        pair = Pair(source="ours", other="theirs", ratios=(ratio,), verdict="independent")
        return (pair,) if name == "ours" else ()

    def load_again(self, name: str, *, code: Sequence[str] = (), device: str = "cpu") -> Model:
        self.script.work("load_again", name=name, code=list(code), device=device)
        return make_model(shape=(3, 32, 32))

    def lineage(self, name: str | None = None) -> Lineage:
        if name is not None and name not in self.script.models:
            raise UnknownModel(name)
        self.script.work("lineage", name=name)
        return self.script.lineage

    def register(
        self, model: Model, *, progress: Progress = silent, **options: Unpack[Options]
    ) -> RegisteredModel:
        self.script.work("register", progress=progress, **options)
        return registered(options.get("name") or "ours", warnings=("no lower bound is known",))

    def verify(
        self,
        suspect: Model | nn.Module | Suspect,
        *,
        against: Sequence[str] = (),
        expect: Sequence[str] = (),
        forbid: Sequence[str] = (),
        alpha: float = 0.001,
        weights: bool = True,
        data: NDArray[Any] | None = None,
        pictures: int = 24,
        code: Sequence[str] = (),
        device: str = "cpu",
        progress: Progress = silent,
    ) -> Verification:
        del pictures, code, device
        self.script.work(
            "verify",
            suspect=suspect,
            against=against,
            expect=expect,
            forbid=forbid,
            alpha=alpha,
            weights=weights,
            data=data,
            progress=progress,
        )
        return self.script.result

    def dossier(self, verdict: int | Verification) -> Dossier:
        self.script.work("dossier", verdict=verdict)
        return Dossier(
            verification=self.script.result,
            where="fake",
            start="aa" * 32,
            head=Head(2, "bb" * 32),
            standings={one.name: Standing() for one in self.script.result.candidates},
        )

    def remove(self, name: str) -> None:
        self.script.work("remove", name=name)

    def export_probes(self, names: Sequence[str], target: str | os.PathLike[str]) -> Export:
        self.script.work("export", names=names, target=target)
        return Export(id="ab" * 6, models=tuple(names), pictures=212, commitment="cd" * 32)

    def read_answers(self, source: str | os.PathLike[str]) -> Recorded:
        self.script.work("answers", source=source)
        spec, output = InputSpec(shape=(3, 32, 32)), OutputSpec(classes=10)
        facts = {"said": "labels", "answered": 7, "pictures": 212, "notes": ["3 are missing"]}
        return Recorded(spec, output, {}, models=("theirs",), facts=facts)


_LOADING = inspect.signature(load_model)


def _load_model(source: str | os.PathLike[str] | nn.Module, **arguments: Any) -> Model:
    """Takes what the real one takes, by its signature, and loads nothing."""
    _LOADING.bind(source, **arguments)
    FakeRegistry.script.calls.append(("load", {"source": source, **arguments}))
    return make_model(shape=(3, 32, 32))


def install(script: Script, patch: Any = setattr) -> Script:
    """Puts the fakes in place of the registry and of the model loader.

    Args:
        script: What they are to do.
        patch: Called as ``setattr``; a test passes ``monkeypatch.setattr``.
    """
    import fingerprint.network
    import registry

    # What is replaced decides the type, so that a stand-in which no longer fits is an error.
    opened, loading = Registry, load_model
    opened, loading = FakeRegistry, _load_model
    patch(FakeRegistry, "script", script)
    patch(registry, "Registry", opened)
    patch(fingerprint.network, "load_model", loading)
    return script
