"""What requests are answered with: registry, jobs and uploads, and the chain's word on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from cli.service.jobs import Job, Jobs, Kind
from cli.service.settings import Settings
from cli.service.store import Store
from cli.service.tokens import Tokens
from cli.service.uploads import Upload, Uploads
from registry import RecordedVerification, Registry, UnknownVerification

if TYPE_CHECKING:
    from registry.reports.dossier import Dossier

__all__ = ["Service"]


@dataclass(frozen=True, kw_only=True)
class Service:
    """Everything that a server holds.

    Attributes:
        settings: How it behaves.
        registry: Opened for as long as the server runs.
        store: Its own file.
    """

    settings: Settings
    registry: Registry
    store: Store

    @property
    def jobs(self) -> Jobs:
        """What was asked for."""
        return Jobs(self.store)

    @property
    def tokens(self) -> Tokens:
        """Who may ask."""
        return Tokens(self.store)

    @property
    def uploads(self) -> Uploads:
        """Files that were sent."""
        return Uploads(self.store, self.settings.max_upload)

    def ask(
        self,
        kind: Kind,
        owner: str,
        wish: Mapping[str, Any],
        *,
        upload: str | None = None,
        private: Mapping[str, str] | None = None,
    ) -> Job:
        """Puts a job into the queue, and says in the chain who asked for what."""
        where = wish.get("uri") or wish.get("address")

        def note(job: str, given: Upload | None) -> None:
            file = None if given is None else given.sha256
            payload = {"kind": kind, "file_sha256": file, "address": where}
            self.registry.note("ask", {**payload, "by": {"token": owner, "job": job}})

        return self.jobs.add(
            kind, owner=owner, wish=wish, upload=upload, private=private, note=note
        )

    def cancel(self, job: Job, by: str) -> Job:
        """Stops a job that has not ended, and says in the chain who did."""
        if job.ended_already:
            return job
        self.registry.note("cancel", {"by": {"token": by, "job": job.id}})
        return self.jobs.cancel(job.id)

    def verdict(self, number: int) -> RecordedVerification:
        """Returns a recorded verdict, without the folders of this machine.

        Raises:
            UnknownVerification: There is none of this number.
        """
        found = self.registry.verifications(before=number + 1, limit=1)
        if not found or found[0].number != number:
            raise UnknownVerification(number, found[0].number if found else 0)
        evidence = found[0].evidence
        suspect = _without_folders(evidence.get("suspect") or {})
        return replace(found[0], evidence={**evidence, "suspect": suspect})

    def dossier(self, number: int) -> Dossier:
        """Returns all that is known of a verdict, without the folders of this machine."""
        found = self.registry.dossier(self.verdict(number).number)
        verification = found.verification
        verification = replace(verification, suspect=_without_folders(verification.suspect))
        return replace(found, where=PurePath(found.where).name, verification=verification)

    def looked(self, number: int, by: str) -> None:
        """Says in the chain who was shown probes: they could train against them."""
        self.registry.note("look", {"number": number, "by": {"token": by}})


def _without_folders(suspect: Mapping[str, Any]) -> dict[str, Any]:
    """Returns facts about a suspect; of its file only the name, wherever it was verified."""
    file = suspect.get("file")
    return {**suspect, "file": PurePath(file).name} if isinstance(file, str) else dict(suspect)
