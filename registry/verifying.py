"""Reads what a verdict rests on: the candidates, who is kin, and what calibrates margins.

Everything comes from one moment of the registry and was compared with its chain, so that no
verdict rests on a row that was changed from outside. Asking the suspect comes after, without
the registry; of many models only the few that the panel leaves are then read again, and refused
if they are no longer what they were.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fingerprint.errors import IncompatibleModel
from fingerprint.progress import Progress
from registry import pairs
from registry.catalogue import Catalogue
from registry.policies import Policies
from registry.tables import ModelRow

if TYPE_CHECKING:
    from torch import nn

    from fingerprint.evidence.calibration import Calibration
    from fingerprint.evidence.rare_labels import Pictures
    from fingerprint.kinship import Kinship
    from fingerprint.network.model import Model
    from fingerprint.probes.probe import Fingerprint
    from fingerprint.suspects.base import Suspect
    from fingerprint.verification import Verification
    from fingerprint.verifying import Witness

__all__ = ["Grounds", "grounds"]


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What a verdict on one suspect rests on.

    Attributes:
        suspect: Whom to ask.
        fingerprints: Of the models it is compared with, by name.
        commitments: By name, what binds these fingerprints to their models and their seed.
        compatible: Every model it could be, compared with or not.
        kinship: What is declared of all models.
        calibration: What independent models did to the candidates' probes.
        always: Candidates that are asked whatever the panel says.
        policies: What is demanded of the suspect.
        imported: Which candidates come of another registry, and of which.
        warnings: One line each.
    """

    suspect: Suspect
    fingerprints: Mapping[str, Fingerprint]
    commitments: Mapping[str, str]
    compatible: tuple[str, ...]
    kinship: Kinship
    calibration: Calibration
    imported: dict[str, str]
    always: tuple[str, ...]
    policies: Policies
    warnings: tuple[str, ...]

    def verification(
        self,
        *,
        alpha: float,
        progress: Progress,
        pictures: Pictures | None = None,
        witness: Witness | None = None,
    ) -> Verification:
        """Asks the suspect and judges its answers; see :meth:`Catalogue.shelf` for what is read."""
        import fingerprint as library

        found = library.verify(
            self.suspect,
            self.fingerprints,
            alpha=alpha,
            kinship=self.kinship,
            calibration=self.calibration,
            compatible=self.compatible,
            always=self.always,
            pictures=pictures,
            progress=progress,
            witness=witness,
        )
        if not self.fingerprints:
            domain = self.suspect.input.domain
            reason = f"no registered model takes inputs {domain}; register one first"
            found = replace(found, reason=reason)
        claimed = [one.name for one in found.candidates if one.verdict in ("same", "derived")]
        lines = [
            f"{name!r} was imported: its probes derive from the seed of another registry "
            f"({self.imported[name][:16]}), for which this one cannot vouch"
            for name in claimed
            if name in self.imported
        ]
        return replace(found, warnings=(*found.warnings, *lines, *self.warnings))


def grounds(
    catalogue: Catalogue,
    suspect: Model | nn.Module | Suspect,
    against: Sequence[str],
    policies: Policies,
    *,
    read: Callable[[Collection[int]], Mapping[int, bytes]] | None = None,
) -> Grounds:
    """Returns what a verdict on a suspect rests on.

    Args:
        catalogue: The registered models.
        suspect: A loaded model, a module, or anything that answers batches of inputs.
        against: Names to compare with; by default every model of the same inputs, and of a suspect
            that was asked elsewhere those it was asked about.
        policies: What is demanded of the suspect; the models they name are asked their probes
            whatever the panel says of them.
        read: Reads encoded probes by model later, those of the few that the panel leaves of many;
            without it all are read now.

    Raises:
        UnknownModel: A name in ``against`` is not registered.
        IncompatibleModel: A model in ``against`` takes other inputs than the suspect.
        RegistryCorrupt: A row is not what was registered.
    """
    from fingerprint.evidence.calibration import Calibration
    from fingerprint.narrowing import can_narrow

    # A policy is about evidence, so the model it names is compared in any case.
    named = catalogue.named(
        (*against, *policies.names) if against else _only(suspect, policies.names)
    )
    asked = _opened(suspect, named)
    domain = asked.input.domain
    compatible = catalogue.of_domain(domain)
    for row in named:
        if row.domain != domain:
            raise IncompatibleModel(
                f"{row.name!r} takes inputs {row.domain}, the suspect takes {domain}; "
                "give the suspect's --input-size, or compare with models of the same inputs"
            )
    chosen = named or compatible
    measured = catalogue.pairs(chosen)
    if read is not None and not named and can_narrow(asked.input, len(chosen)):
        fingerprints: Mapping[str, Fingerprint] = catalogue.shelf(chosen, read)
    else:
        fingerprints = catalogue.fingerprints(chosen)
    return Grounds(
        suspect=asked,
        fingerprints=fingerprints,
        commitments=catalogue.commitments(chosen),
        compatible=tuple(row.name for row in compatible),
        kinship=catalogue.kinship,
        calibration=Calibration(ratios=pairs.calibrating(measured, catalogue.kinship.families())),
        always=tuple(row.name for row in (*named, *catalogue.named(policies.names))),
        policies=Policies(
            expect=_names(catalogue, policies.expect), forbid=_names(catalogue, policies.forbid)
        ),
        imported={row.name: str(row.origin["registry"]) for row in chosen if row.origin},
        warnings=(
            *pairs.related_warnings(measured),
            *pairs.missing_warning(len(catalogue.missing())),
        ),
    )


def _names(catalogue: Catalogue, names: Sequence[str]) -> tuple[str, ...]:
    """Returns what models are called that may have been named by an alias."""
    return tuple(row.name for row in catalogue.named(names))


def _only(suspect: Model | nn.Module | Suspect, always: Sequence[str]) -> Sequence[str]:
    """Returns whom alone a suspect can be compared with; nobody where it can be asked anything."""
    from fingerprint.suspects import Recorded

    return (*suspect.models, *always) if isinstance(suspect, Recorded) else ()


def _opened(suspect: Model | nn.Module | Suspect, named: Sequence[ModelRow]) -> Suspect:
    """Returns whom to ask; a bare module takes what the first named model takes."""
    from torch import nn

    import fingerprint as library
    from fingerprint.network.spec import InputSpec

    if isinstance(suspect, library.Suspect):
        return suspect
    if isinstance(suspect, nn.Module):
        options = InputSpec.from_dict(named[0].input).load_options if named else {}
        suspect = library.load_model(suspect, **options)
    return library.ModelSuspect(suspect)
