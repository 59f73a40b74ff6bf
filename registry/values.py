"""What callers get to see of a registry: frozen values, never rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["RecordedVerification", "RegisteredModel"]


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """A model the registry holds, with the facts of its fingerprint.

    Attributes:
        name: Its name, unique in the registry.
        model_digest: Content digest of its weights.
        file_path: Where its file was; None for a live module.
        file_sha256: SHA-256 of that file.
        architecture: How to build it again.
        input: What it takes, as ``InputSpec.to_dict()``.
        output: What it gives, as ``OutputSpec.to_dict()``.
        domain: Canonical text of the inputs it can be asked; models of one domain compare.
        load_options: Keyword arguments of ``load_model`` that load it again.
        parent: Name of its declared parent; None if it has none.
        registered: When, ISO 8601 in UTC.
        commitment: Hash that binds model, seed, parameters, probes and time.
        spaces: Its harmless spaces: kind, dimension, input dimension, rank.
        probes: How many probes it has.
        source_harm_ratio: Median and maximum harm ratio of its probes on itself.
        screened_against: The models its probes were screened against.
        redrawn: How many candidate probes the screening threw away.
        seconds: Wall-clock time of the extraction; None if it was not measured.
        warnings: One line each.
    """

    name: str
    model_digest: str
    file_path: str | None
    file_sha256: str | None
    architecture: str
    input: dict[str, Any]
    output: dict[str, Any]
    domain: str
    load_options: dict[str, Any]
    parent: str | None
    registered: str
    commitment: str
    spaces: tuple[dict[str, Any], ...]
    probes: int
    source_harm_ratio: dict[str, Any]
    screened_against: tuple[str, ...]
    redrawn: int
    seconds: float | None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values, with the keys of the documented contract."""
        return {
            "name": self.name,
            "model_digest": self.model_digest,
            "file_sha256": self.file_sha256,
            "architecture": self.architecture,
            "input": self.input,
            "output": self.output,
            "spaces": list(self.spaces),
            "probes": self.probes,
            "source_harm_ratio": self.source_harm_ratio,
            "screened_against": list(self.screened_against),
            "redrawn": self.redrawn,
            "seconds": self.seconds,
            "file": self.file_path,
            "parent": self.parent,
            "registered": self.registered,
            "commitment": self.commitment,
            "warnings": list(self.warnings),
        }


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
    evidence: dict[str, Any]

    @property
    def candidates(self) -> tuple[str, ...]:
        """The names the suspect was compared with, best first."""
        return tuple(str(candidate["name"]) for candidate in self.evidence["candidates"])

    def to_dict(self) -> dict[str, Any]:
        """Returns the evidence with its number and time, plain JSON values."""
        return {"number": self.number, "recorded": self.recorded, **self.evidence}
