"""What requests are answered with: registry, jobs and uploads, and the chain's word on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.service.jobs import Job, Jobs, Kind
from cli.service.settings import Settings
from cli.service.store import Store
from cli.service.tokens import Tokens
from cli.service.uploads import Upload, Uploads
from registry import RecordedVerification, Registry, UnknownVerification

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
        """Returns a recorded verdict.

        Raises:
            UnknownVerification: There is none of this number.
        """
        found = self.registry.verifications(before=number + 1, limit=1)
        if not found or found[0].number != number:
            raise UnknownVerification(number, found[0].number if found else 0)
        return found[0]

    def looked(self, number: int, by: str) -> None:
        """Says in the chain who was shown probes: they could train against them."""
        self.registry.note("look", {"number": number, "by": {"token": by}})
