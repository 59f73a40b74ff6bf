"""The application: addresses and pages behind limits, and every error as a problem document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from cli.service import api, pages
from cli.service.access import Access, Unknown
from cli.service.problems import CONTENT_TYPE, Problem, problem_of
from cli.service.service import Service
from cli.service.supervisor import Supervisor
from fingerprint.errors import FingerprintError
from fingerprint.text import clean
from registry.criteria import release

__all__ = ["application"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MOST_BODY = 2**20
"""Bytes of a request that sends no file."""
_UPLOADS = "/v1/uploads"
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


def application(service: Service) -> FastAPI:
    """Returns the application; jobs are done in its lifespan, once ``state.supervisor`` may."""
    supervisor = Supervisor(service.settings, service.store, service.registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        supervisor.start()
        try:
            yield
        finally:
            supervisor.stop()

    app = FastAPI(
        title="nullprint",
        version=release(),
        lifespan=lifespan,
        # Pages for trying it out would load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            FingerprintError: _refused,
            RequestValidationError: _invalid,
            HTTPException: _http,
            Exception: _refused,
        },
    )
    app.state.service, app.state.supervisor = service, supervisor
    app.state.access = Access(service.tokens, service.settings.rate)
    app.include_router(api.router())
    app.include_router(pages.router())
    app.add_middleware(_Bounds)
    return app


class _Bounds:
    """Counts the bytes of what comes, and says of what goes how browsers are to treat it."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            # Of a file, whoever writes it counts.
            if came > _MOST_BODY and scope["path"] != _UPLOADS:
                raise HTTPException(413, f"expected a body of at most {_MOST_BODY} bytes, got more")
            return message

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = {name.lower() for name, _ in message["headers"]}
                more = [one for one in _HEADERS if one[0] not in said]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self._app(scope, counted, guarded)


def _refused(request: Request, error: Exception) -> Response:
    """Answers for whatever was raised on purpose, and for what was not."""
    if isinstance(error, Unknown):
        challenge = 'Basic realm="nullprint", charset="UTF-8"' if error.page else "Bearer"
        problem = Problem(status=401, kind="Unknown", detail=str(error))
        return _answer(problem, {"www-authenticate": challenge})
    service: Service = request.app.state.service
    problem = problem_of(error, folder=service.settings.folder)
    return _answer(problem, {"retry-after": "10"} if problem.status in (429, 503) else {})


def _invalid(request: Request, error: Any) -> Response:
    """Answers where a request's fields are not what they must be: the first, in one line."""
    del request
    first = error.errors()[0]
    where = ".".join(clean(part, 60) for part in first["loc"])
    detail = f"{where}: {clean(first['msg'], 300)}"
    return _answer(Problem(status=422, kind="Invalid", detail=detail))


def _http(request: Request, error: Any) -> Response:
    """Answers for what the framework refuses: unknown addresses and methods, broken bodies."""
    del request
    kind = {404: "UnknownAddress", 413: "TooLarge"}.get(error.status_code, "Refused")
    problem = Problem(status=error.status_code, kind=kind, detail=clean(error.detail, 300))
    return _answer(problem, dict(error.headers or {}))


def _answer(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(problem.to_dict(), problem.status, headers=headers, media_type=CONTENT_TYPE)
