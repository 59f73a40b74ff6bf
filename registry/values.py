"""What callers get to see of a registry: frozen values, never rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Export", "Mended", "MissingPair", "Pair", "RecordedVerification", "RegisteredModel"]
__all__ += ["Relocated"]


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """A model the registry holds.

    Attributes:
        name: Its name, unique in the registry.
        aliases: Its other names.
        role: ``model``, or ``reference`` for a public checkpoint that only explains others.
        parent: Name of its declared parent; None if it has none.
        from_scratch: Whether its owner states that it has no parent.
        registered: When, ISO 8601 in UTC.
        model_digest: Content digest of its weights.
        architecture: How to build it again.
        file_path: Where its file was; None for a live module and an imported model.
        file_sha256: SHA-256 of that file.
        input: What it takes, as ``InputSpec.to_dict()``.
        output: What it gives, as ``OutputSpec.to_dict()``.
        domain: Canonical text of the inputs it can be asked; models of one domain compare.
        load_options: Keyword arguments of ``load_model`` that load it again.
        origin: Of which registry an imported model comes; None for one registered here.
        commitment: Hash that binds model, seed, parameters, probes and time.
        current: Whether its probes were made the way this release makes them.
        renew: Why ``fp register --again`` would make them better, such as that its parent was
            registered after it; empty where there is no reason.
        facts: What is known of its probes, as ``Fingerprint.to_dict()`` tells it.
        warnings: One line each.
    """

    name: str
    aliases: tuple[str, ...] = ()
    role: Literal["model", "reference"] = "model"
    parent: str | None = None
    from_scratch: bool = False
    registered: str
    model_digest: str
    architecture: str
    file_path: str | None = None
    file_sha256: str | None = None
    input: Mapping[str, Any]
    output: Mapping[str, Any]
    domain: str
    load_options: Mapping[str, Any]
    origin: Mapping[str, Any] | None = None
    commitment: str
    current: bool = True
    renew: str = ""
    facts: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def probes(self) -> int:
        """How many probes it has."""
        return int(self.facts["probes"])

    @property
    def renewed(self) -> str | None:
        """When its probes were made anew, ISO 8601 in UTC; None if they are its first."""
        when = self.facts.get("renewed")
        return None if when is None else str(when)

    @property
    def seconds(self) -> float | None:
        """Wall-clock time of the extraction; None if it was not measured."""
        seconds = self.facts["cost"].get("seconds")
        return None if seconds is None else float(seconds)

    @property
    def passes(self) -> float | None:
        """Forward-and-backward passes through the whole network; None if nobody counted."""
        cost = self.facts["cost"]
        if "passes" in cost:
            return float(cost["passes"])
        passes = cost.get("passes_per_probe")
        return None if passes is None else float(passes) * self.probes

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values, with the keys of the documented contract (schema 2)."""
        return {
            "name": self.name,
            "aliases": list(self.aliases),
            "role": self.role,
            "model_digest": self.model_digest,
            "file_sha256": self.file_sha256,
            "architecture": self.architecture,
            "input": dict(self.input),
            "output": dict(self.output),
            "spaces": list(self.facts["spaces"]),
            "depths": list(self.facts["depths"]),
            "panel": int(self.facts.get("panel", 0)),
            "probes": self.probes,
            "source_harm_ratio": self.facts["source_harm_ratio"],
            "screened_against": list(self.facts["screened_against"]),
            "redrawn": self.facts["redrawn"],
            "passes": self.passes,
            "seconds": self.seconds,
            "fingerprint": "current" if self.current else "old",
            "renew": self.renew,
            "file": self.file_path,
            "parent": self.parent,
            "from_scratch": self.from_scratch,
            "origin": dict(self.origin) if self.origin is not None else None,
            "registered": self.registered,
            "renewed": self.renewed,
            "commitment": self.commitment,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two registered models that count as independent, and what one's probes did to the other.

    Attributes:
        source: Whose probes they were.
        other: Who was asked; the probes were not screened against it.
        ratios: What each test found: test, depth, kind of answer and ratio, one document each.
        verdict: What the answers alone said of the pair, before any pair lowered the margin.
    """

    source: str
    other: str
    ratios: tuple[Mapping[str, Any], ...]
    verdict: str

    @property
    def harm_ratio(self) -> float:
        """The least of its ratios, which a margin has to stay below."""
        return min(float(one["ratio"]) for one in self.ratios)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "source": self.source,
            "other": self.other,
            "harm_ratio": self.harm_ratio,
            "verdict": self.verdict,
            "ratios": [dict(one) for one in self.ratios],
        }


@dataclass(frozen=True, kw_only=True)
class MissingPair:
    """Two registered models of which one should have been asked the other's probes.

    Attributes:
        source: Whose probes.
        other: Who is to be asked; it was registered later.
    """

    source: str
    other: str


@dataclass(frozen=True, kw_only=True)
class Mended:
    """What measuring missing pairs came to.

    Attributes:
        measured: The pairs that are there now.
        left: How many still miss.
        reasons: Why some could not be measured, a line for each model that was not at hand.
    """

    measured: tuple[MissingPair, ...] = ()
    left: int = 0
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "measured": [{"source": pair.source, "other": pair.other} for pair in self.measured],
            "left": self.left,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, kw_only=True)
class Relocated:
    """What a search for files came to.

    Attributes:
        moved: By the name of the model, where its file lies now.
        there: Models whose file is where it was.
        missing: Models whose file was not found.
    """

    moved: dict[str, str] = field(default_factory=dict)
    there: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {"moved": self.moved, "there": list(self.there), "missing": list(self.missing)}


@dataclass(frozen=True, kw_only=True)
class RecordedVerification:
    """A verdict the registry remembers.

    Attributes:
        number: Its place among all verdicts of this registry; never used twice.
        recorded: When, ISO 8601 in UTC.
        suspect_digest: Content digest of the suspect's weights; None where it is not known.
        verdict: same, derived, independent or inconclusive.
        best: The best candidate's name; None unless the verdict is same or derived.
        queries: How many inputs the suspect was asked.
        evidence: Everything ``Verification.to_dict()`` held.
    """

    number: int
    recorded: str
    suspect_digest: str | None
    verdict: str
    best: str | None
    queries: int
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def candidates(self) -> tuple[str, ...]:
        """The names the suspect was compared with, best first."""
        return tuple(str(candidate["name"]) for candidate in self.evidence["candidates"])

    def to_dict(self) -> dict[str, Any]:
        """Returns the evidence with its number and time, plain JSON values."""
        return {"number": self.number, "recorded": self.recorded, **self.evidence}


@dataclass(frozen=True, kw_only=True)
class Export:
    """Probes that were handed out as pictures.

    Attributes:
        id: What it is called; its manifest says so.
        models: Names of the models whose probes they are.
        pictures: How many files.
        commitment: SHA-256 over the names and what lies behind them, in hex.
    """

    id: str
    models: tuple[str, ...]
    pictures: int
    commitment: str

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {
            "export": self.id,
            "models": list(self.models),
            "pictures": self.pictures,
            "commitment": self.commitment,
        }
