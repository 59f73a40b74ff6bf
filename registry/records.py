"""Between values and rows: how a fingerprint is written, and what is checked on reading it.

Rows may come from a file somebody else wrote, so nothing in them is believed: a value of the
wrong type, a blob that does not hash to its digest or a fingerprint that does not fit its model
is named as a damaged row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fingerprint.canonical import plain, sha256_of
from fingerprint.errors import FingerprintError, UsageError
from registry.engine import LARGEST_VALUE
from registry.errors import RegistryCorrupt
from registry.tables import FingerprintRow, ModelRow, ProbeSetRow, VerificationRow
from registry.values import RecordedVerification, RegisteredModel

if TYPE_CHECKING:
    from fingerprint.network.model import Model
    from fingerprint.probes.probe import Fingerprint

__all__ = ["Packed", "fingerprint_of", "load_options_of", "pack", "registered", "verified"]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A fingerprint made ready to be written, before any lock is taken.

    Attributes:
        blob: The probes, encoded.
        sha256: The blob's hash.
        commitment: Hash that binds model, seed, parameters, blob and time.
        created: The time in it.
    """

    blob: bytes
    sha256: str
    commitment: str
    created: str

    def rows(
        self,
        fingerprint: Fingerprint,
        model: Model,
        *,
        name: str,
        parent_id: int | None,
        warnings: tuple[str, ...],
    ) -> ModelRow:
        """Returns the model's row with its fingerprint and probes hanging on it."""
        file = model.file
        return ModelRow(
            name=name,
            parent_id=parent_id,
            digest=model.digest,
            file_path=file.path if file else None,
            file_sha256=file.sha256 if file else None,
            file_size=file.size if file else None,
            file_format=file.format if file else None,
            architecture=model.architecture,
            domain=model.input.domain,
            input=model.input.to_dict(),
            output=model.output.to_dict(),
            load_options=load_options_of(model),
            warnings=list(dict.fromkeys((*model.warnings, *fingerprint.warnings, *warnings))),
            created=self.created,
            fingerprint=self._fingerprint_row(fingerprint),
            probe_set=ProbeSetRow(sha256=self.sha256, blob=self.blob),
        )

    def _fingerprint_row(self, fingerprint: Fingerprint) -> FingerprintRow:
        return FingerprintRow(
            method="+".join(sorted({probe.kind for probe in fingerprint.probes})),
            parameters=fingerprint.parameters,
            seed=fingerprint.seed,
            probes=len(fingerprint.probes),
            source_harm_ratio=fingerprint.source_harm_ratio,
            spaces=[space.to_dict() for space in fingerprint.spaces],
            screened_against=list(fingerprint.screened_against),
            redrawn=fingerprint.redrawn,
            cost=dict(fingerprint.cost),
            tolerance=float(fingerprint.tolerance),
            device=fingerprint.device,
            commitment=self.commitment,
        )


def pack(fingerprint: Fingerprint, model: Model, *, created: str) -> Packed:
    """Encodes a fingerprint and commits to it.

    Raises:
        UsageError: The fingerprint is not this model's, has no probe, or is too large.
    """
    from fingerprint.probes.codec import encode

    if fingerprint.model_digest != model.digest or fingerprint.input.domain != model.input.domain:
        raise UsageError(
            f"fingerprint: expected one of the model {model.digest[:12]} taking "
            f"{model.input.domain}, got one of {fingerprint.model_digest[:12]} taking "
            f"{fingerprint.input.domain}"
        )
    if not fingerprint.probes:
        raise UsageError("fingerprint: expected at least one probe, got none")
    blob = encode(fingerprint)
    if len(blob) > LARGEST_VALUE:
        raise UsageError(
            f"probes: expected at most {LARGEST_VALUE} bytes of them, got {len(blob)}; "
            "make fewer with --probes"
        )
    digest = sha256_of(blob)
    return Packed(
        blob=blob,
        sha256=digest,
        commitment=fingerprint.commitment(digest, created),
        created=created,
    )


def load_options_of(model: Model) -> dict[str, Any]:
    """Returns what ``load_model`` needs to load the model again, as JSON values."""
    given = model.input
    return {
        "arch": model.architecture,
        "input_size": list(given.shape),
        "mean": list(given.mean),
        "std": list(given.std),
        # Pixels have their bounds by nature; stating them would make the input a float one.
        "bounds": None if given.kind == "pixels" else list(given.bounds),
        "output": model.pick,
    }


def registered(row: ModelRow, where: str) -> RegisteredModel:
    """Returns a row as the value callers see.

    Raises:
        RegistryCorrupt: The row has no fingerprint, or a value of the wrong type.
    """
    facts = row.fingerprint
    if facts is None:
        raise RegistryCorrupt(where, (f"fingerprints {row.id} ({row.name!r}): missing",))
    try:
        seconds = facts.cost.get("seconds")
        return RegisteredModel(
            name=row.name,
            model_digest=row.digest,
            file_path=row.file_path,
            file_sha256=row.file_sha256,
            architecture=row.architecture,
            input=dict(row.input),
            output=dict(row.output),
            domain=row.domain,
            load_options=dict(row.load_options),
            parent=row.parent.name if row.parent else None,
            registered=row.created,
            commitment=facts.commitment,
            spaces=tuple(dict(space) for space in facts.spaces),
            probes=int(facts.probes),
            source_harm_ratio=dict(facts.source_harm_ratio),
            screened_against=tuple(str(name) for name in facts.screened_against),
            redrawn=int(facts.redrawn),
            seconds=None if seconds is None else float(seconds),
            warnings=tuple(str(warning) for warning in row.warnings),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise RegistryCorrupt(where, (f"models {row.id}: {error}",)) from error


def fingerprint_of(row: ModelRow, where: str) -> Fingerprint:
    """Reads a model's probes, checking them against their hash and their commitment.

    Raises:
        RegistryCorrupt: Naming the row that is not what was written.
    """
    from fingerprint.probes.codec import decode

    at = f"{row.id} ({row.name!r})"
    if row.probe_set is None or row.fingerprint is None:
        raise RegistryCorrupt(where, (f"probe_sets {at}: missing",))
    blob = row.probe_set.blob
    if not isinstance(blob, bytes) or sha256_of(blob) != row.probe_set.sha256:
        raise RegistryCorrupt(where, (f"probe_sets {at}: does not hash to what was recorded",))
    try:
        fingerprint = decode(blob)
    except (FingerprintError, RecursionError) as error:
        raise RegistryCorrupt(where, (f"probe_sets {at}: {error}",)) from error
    commitment = fingerprint.commitment(row.probe_set.sha256, row.created)
    fits = fingerprint.model_digest == row.digest and fingerprint.input.domain == row.domain
    if commitment != row.fingerprint.commitment or not fits:
        raise RegistryCorrupt(where, (f"fingerprints {at}: is not what was committed to",))
    return fingerprint


def verified(row: VerificationRow) -> RecordedVerification:
    """Returns a recorded verdict as the value callers see."""
    return RecordedVerification(
        number=row.id,
        recorded=row.created,
        suspect_digest=row.suspect_digest,
        verdict=row.verdict,
        best=row.best,
        queries=row.queries,
        evidence=plain(row.evidence),
    )
