"""What a job does, in a process of its own: registers a model, or verifies a suspect.

Whatever it writes into the registry's chain says whose job it was. That is also how a job that was
killed after it wrote and before it said so is known to be done: see :func:`found`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import session
from cli.endpoints import Asking, silences
from cli.policy import judge
from cli.service.fetching import fetched
from cli.service.jobs import Job
from cli.service.settings import Settings
from cli.service.store import Store
from cli.service.wishes import RegisterWish, VerifyWish, wish_from
from cli.targets import Target
from fingerprint.errors import InputRefused
from fingerprint.formats.default_name import default_name
from fingerprint.progress import Progress
from fingerprint.verification import Verification
from registry import Registry, UnknownModel

if TYPE_CHECKING:
    from fingerprint.suspects import Suspect

__all__ = ["acting", "found", "work"]

_TOKEN = "FP_JOB_TOKEN"
"""Environment variable of a job's process with the token of the address that it asks."""


@dataclass(frozen=True, kw_only=True)
class _Site:
    """Where a job is done."""

    job: Job
    settings: Settings
    registry: Registry
    files: Path
    private: Path
    progress: Progress


def acting(job: Job) -> dict[str, str]:
    """Returns who acts where a job writes into the chain."""
    return {"token": job.owner, "job": job.id}


def work(job: Job, settings: Settings, store: Store, progress: Progress) -> dict[str, Any]:
    """Does a job, unless the chain says that it is done, and returns what came of it.

    Raises:
        FingerprintError: It cannot be done.
    """
    with Registry(settings.registry, by=acting(job)) as registry:
        known = found(registry, job)
        if known is not None:
            return known
        files, private = store.files(job.files), store.private(job.id)
        private.mkdir(parents=True, exist_ok=True, mode=0o700)
        site = _Site(
            job=job,
            settings=settings,
            registry=registry,
            files=files,
            private=private,
            progress=progress,
        )
        if job.kind == "register":
            return _register(site, wish_from(RegisterWish, job.wish))
        return _verify(site, wish_from(VerifyWish, job.wish))


def found(registry: Registry, job: Job) -> dict[str, Any] | None:
    """Returns what a job has written into the registry already; None if it has not."""
    actions = {
        entry.action: entry.payload
        for entry in registry.entries()
        if dict(entry.payload.get("by") or {}).get("job") == job.id
    }
    if "register" in actions:
        return {"model": actions["register"]["name"], "notes": []}
    if "verify" in actions:
        wish = wish_from(VerifyWish, job.wish)
        return _verdict(registry, int(actions["verify"]["number"]), wish, ())
    return None


def _register(site: _Site, wish: RegisterWish) -> dict[str, Any]:
    how = wish.loading.how(device=site.settings.device, code=site.settings.code)
    session.require(site.registry, [wish.parent] if wish.parent is not None else [])
    path = _file(site) if wish.uri is None else _fetched(site, wish.uri)
    model = session.load_source(path, how, wish.loading.graph)
    registered = site.registry.register(
        model,
        # Not by its folders, which are ours.
        name=wish.name or default_name(path.name),
        parent=wish.parent,
        from_scratch=wish.from_scratch,
        reference=wish.reference,
        probes=wish.probes,
        answers_only=wish.answers_only or bool(model.asked_only),
        progress=site.progress,
    )
    return {"model": registered.name, "notes": list(registered.warnings)}


def _verify(site: _Site, wish: VerifyWish) -> dict[str, Any]:
    from fingerprint.suspects import Journal

    registry = site.registry
    limits, expected, forbidden = session.compared(registry, wish.against, wish.expect, wish.forbid)
    notes: tuple[str, ...]
    code: tuple[str, ...] = ()
    suspect: Suspect
    endpoint = None
    if wish.answers is not None:
        recorded = registry.read_answers(_file(site))
        suspect, notes = recorded, tuple(recorded.facts()["notes"])
    else:
        asking = wish.asking
        most = None if asking is None else asking.max_queries
        reached = _target(site, wish).reach(registry, limits, most)
        endpoint, notes, code = reached.endpoint, reached.warnings, reached.code
        # What an interrupted job was told, it does not ask again. An address does its own retrying.
        journal = site.private / "journal"
        retries = 0 if endpoint is not None else 2
        suspect = Journal(reached.suspect, journal, retries=retries)
    result = registry.verify(
        suspect,
        against=limits,
        expect=expected,
        forbid=forbidden,
        alpha=wish.alpha,
        weights=not wish.black_box,
        code=code,
        device=site.settings.device,
        progress=site.progress,
    )
    assert result.verification is not None
    notes = (*notes, *result.warnings, *silences(endpoint))
    return _verdict(registry, result.verification, wish, tuple(dict.fromkeys(notes)))


def _verdict(
    registry: Registry, number: int, wish: VerifyWish, notes: Sequence[str]
) -> dict[str, Any]:
    """Returns what came of a verification, from what was recorded of it."""
    (recorded,) = registry.verifications(before=number + 1, limit=1)
    result = Verification.from_dict(recorded.evidence)
    forbidden = [_called(registry, name) for name in wish.forbid]
    expected = [_called(registry, name) for name in (wish.expect,) if name is not None]
    judgement = judge(result, expect=expected, forbid=forbidden)
    return {
        "verification": number,
        "verdict": result.verdict,
        "best": result.best,
        "reason": result.reason,
        "exit_code": int(judgement.code),
        "reasons": list(judgement.reasons),
        "notes": list(notes),
    }


def _called(registry: Registry, name: str) -> str:
    """Returns what the registry calls a model; its name as given, where it was removed since."""
    try:
        return registry.model(name).name
    except UnknownModel:
        return name


def _target(site: _Site, wish: VerifyWish) -> Target:
    """Returns what is asked: a file that is loaded here, or an address."""
    how = wish.loading.how(device=site.settings.device, code=site.settings.code)
    name = str(_file(site)) if wish.address is None else wish.address
    return Target(name, how, wish.loading.graph, _asking(site, wish))


def _asking(site: _Site, wish: VerifyWish) -> Asking:
    from cli.endpoints import asking_options

    if wish.asking is None:
        return asking_options()
    token, labels = site.private / "token", site.private / "labels"
    if token.is_file():
        os.environ[_TOKEN] = token.read_text("utf-8")
    asked = wish.asking
    return asking_options(
        adapter=asked.adapter,
        token_env=_TOKEN if token.is_file() else None,
        labels=labels if labels.is_file() else None,
        dtype=asked.dtype,
        timeout=asked.timeout,
        tries=asked.tries,
        rate=asked.rate,
        concurrency=asked.concurrency,
        per_request=asked.per_request,
        allow_private=site.settings.allow_private,
        as_sent=asked.as_sent,
    )


def _file(site: _Site) -> Path:
    """Returns the file that was uploaded for a job.

    Raises:
        InputRefused: It is gone.
    """
    there = list(site.files.iterdir()) if site.files.is_dir() else []
    if len(there) != 1:
        raise InputRefused("upload: it is no longer there; send it again")
    return there[0]


def _fetched(site: _Site, uri: str) -> Path:
    return fetched(
        uri,
        site.files,
        most=site.settings.max_upload,
        seconds=site.settings.hours * 3600,
        allow_private=site.settings.allow_private,
        progress=site.progress,
    )
