"""The addresses for programs: ``/v1/...``, JSON both ways, described at ``/openapi.json``."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import HTMLResponse, Response

from cli.output import json_text
from cli.service.access import Admin, Auditor, Reader, Registrar, Writer
from cli.service.jobs import Job
from cli.service.pages import Number, report_page
from cli.service.problems import CONTENT_TYPE, UnknownJob
from cli.service.service import Service
from cli.service.tokens import Token
from cli.service.wishes import RegisterWish, VerifyWish, plain
from fingerprint.text import clean
from registry import Entry, RegisteredModel

__all__ = ["router"]

JobId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
Name = Annotated[str, Path(min_length=1, max_length=300)]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many, the newest.")]
Before = Annotated[int | None, Query(ge=1, le=2**53, description="Only those before this one.")]
Filename = Annotated[str, Query(min_length=1, max_length=300)]

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "kind"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "kind": {"type": "string"},
    },
}
_DESCRIPTIONS = {
    400: "Not HTTP or JSON as it should be.",
    401: "No token that holds.",
    403: "The token does not allow it.",
    404: "There is no such thing.",
    405: "Not this method.",
    413: "More bytes than may come.",
    422: "Not what was expected.",
    429: "Too often, or too much at a time.",
    503: "The registry or the disk cannot be used now.",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": said, "content": {CONTENT_TYPE: {"schema": _PROBLEM}}}
    for status, said in _DESCRIPTIONS.items()
}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_BODY = {"requestBody": {"required": True, "content": {"application/octet-stream": _BYTES}}}


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _document(values: dict[str, Any], status: int = 200, **headers: str) -> Response:
    return Response(json_text(values), status, media_type="application/json", headers=headers)


def list_models(request: Request, _: Reader) -> Response:
    """Every registered model, in the order of registration."""
    models = _service(request).registry.models()
    return _document({"models": [_model(one) for one in models]})


def show_model(request: Request, name: Name, _: Reader) -> Response:
    """One model, and the independent models that were asked its probes."""
    registry = _service(request).registry
    pairs = [pair.to_dict() for pair in registry.pairs(name)]
    return _document({**_model(registry.model(name)), "pairs": pairs})


def list_verifications(
    request: Request, _: Reader, before: Before = None, limit: Limit = 100
) -> Response:
    """Recorded verdicts, the newest first, without their evidence."""
    found = _service(request).registry.verifications(before=before, limit=limit)
    keys = ("suspect_digest", "verdict", "best", "queries", "recorded", "number")
    rows = [{key: getattr(one, key) for key in keys} for one in found[::-1]]
    return _document({"verifications": rows})


def show_verification(request: Request, number: Number, _: Reader) -> Response:
    """One verdict with all its evidence."""
    return _document(_service(request).verdict(number).to_dict())


def show_report(
    request: Request, number: Number, token: Reader, probes: bool = False
) -> HTMLResponse:
    """One verdict as a page. With ``probes`` it shows some, to auditors; the chain says to whom."""
    return report_page(_service(request), number, token, probes=probes)


async def upload(request: Request, token: Writer, filename: Filename) -> Response:
    """Sends a file: the body of the request. Its name's suffix says what kind it is."""
    kept = await _service(request).uploads.receive(token.name, filename, request.stream())
    return _document(dict(vars(kept)), 201)


def register(request: Request, wish: RegisterWish, token: Registrar) -> Response:
    """Registers a model: an upload, or a file that is fetched. Returns the job."""
    service, values = _service(request), plain(wish)
    job = service.ask("register", token.name, values, upload=wish.upload)
    return _asked(job)


def verify(request: Request, wish: VerifyWish, token: Auditor) -> Response:
    """Asks whose a suspect is: an upload, answers, or an address. Returns the job."""
    service, values = _service(request), plain(wish)
    private = {}
    if wish.asking is not None:
        if wish.asking.token is not None:
            private["token"] = wish.asking.token
        if wish.asking.labels is not None:
            private["labels"] = "\n".join(wish.asking.labels)
        values["asking"] |= {"token": None, "labels": None}
    job = service.ask(
        "verify", token.name, values, upload=wish.upload or wish.answers, private=private
    )
    return _asked(job)


def list_jobs(request: Request, token: Reader, limit: Limit = 100) -> Response:
    """Your jobs, the newest first; an admin's are everybody's."""
    owner = None if token.may("admin") else token.name
    jobs = _service(request).jobs.latest(owner, limit)
    return _document({"jobs": [job.to_dict() for job in jobs]})


def show_job(request: Request, job: JobId, token: Reader) -> Response:
    """One job: how far it is, and what came of it."""
    return _document(_own(request, job, token).to_dict())


def cancel_job(request: Request, job: JobId, token: Reader) -> Response:
    """Stops a job, unless it has ended. What it has written into the registry stays."""
    wanted = _own(request, job, token)
    return _document(_service(request).cancel(wanted, token.name).to_dict(), 202)


def audit(request: Request, _: Admin, before: Before = None, limit: Limit = 100) -> Response:
    """Entries of the registry's chain, the newest first: who did what, and when."""
    entries = _service(request).registry.entries()[::-1]
    wanted = [one for one in entries if before is None or one.seq < before][:limit]
    return _document({"entries": [_entry(one) for one in wanted]})


def health(request: Request) -> Response:
    """Whether the service answers. Wants no token."""
    del request
    return _document({"status": "ok"})


def _model(model: RegisteredModel) -> dict[str, Any]:
    """Returns a model without the folders of this machine."""
    file = None if model.file_path is None else PurePath(model.file_path).name
    return {**model.to_dict(), "file": file}


def _entry(entry: Entry) -> dict[str, Any]:
    """Returns an entry without tables: one of them says which exported picture is which probe."""
    facts = {key: one for key, one in entry.payload.items() if not isinstance(one, dict | list)}
    keys = ("seq", "created", "action", "digest")
    said = {key: getattr(entry, key) for key in keys}
    return {**said, "by": entry.payload.get("by"), "payload": facts}


def _asked(job: Job) -> Response:
    return _document(job.to_dict(), 202, location=f"/v1/jobs/{job.id}")


def _own(request: Request, identifier: str, token: Token) -> Job:
    """Returns a job of a token; whose it is not must not learn that there is one."""
    job = _service(request).jobs.get(identifier)
    if job.owner != token.name and not token.may("admin"):
        raise UnknownJob(f"job: none is called {clean(identifier)}; see GET /v1/jobs")
    return job


def router() -> APIRouter:
    """Returns the addresses."""
    made = APIRouter(prefix="/v1", responses=_PROBLEMS)
    routes: tuple[tuple[str, str, Any, int, dict[str, Any] | None], ...] = (
        ("GET", "/models", list_models, 200, None),
        ("POST", "/models", register, 202, None),
        ("GET", "/models/{name:path}", show_model, 200, None),
        ("POST", "/uploads", upload, 201, _BODY),
        ("GET", "/verifications", list_verifications, 200, None),
        ("POST", "/verifications", verify, 202, None),
        ("GET", "/verifications/{number}", show_verification, 200, None),
        ("GET", "/jobs", list_jobs, 200, None),
        ("GET", "/jobs/{job}", show_job, 200, None),
        ("POST", "/jobs/{job}/cancel", cancel_job, 202, None),
        ("GET", "/audit", audit, 200, None),
        ("GET", "/health", health, 200, None),
    )
    for method, path, answer, status, extra in routes:
        made.add_api_route(
            path,
            answer,
            methods=[method],
            status_code=status,
            openapi_extra=extra,
            response_model=None,
        )
    made.add_api_route(
        "/verifications/{number}/report",
        show_report,
        response_class=HTMLResponse,
        response_model=None,
    )
    return made
