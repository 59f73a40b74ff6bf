"""The pages for people: what there is, and each verdict's report. No page runs a script."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Request
from markupsafe import Markup
from starlette.responses import HTMLResponse

from cli.service.access import Visitor
from cli.service.problems import Forbidden
from cli.service.service import Service
from cli.service.tokens import Token
from fingerprint.canonical import utc_now
from fingerprint.readable import when
from fingerprint.text import clean
from fingerprint.verification import Verification
from registry import RecordedVerification
from registry.criteria import release
from registry.reports.page import page, policy, style_sheet, template
from registry.reports.view import view_of
from registry.reports.words import suspect_name

__all__ = ["Number", "report_page", "router"]

Number = Annotated[int, Path(ge=1, le=2**53)]
_SHOWN = 200
_drawing = threading.Lock()
"""What draws has settings that all threads share."""


@dataclass(frozen=True)
class _Row:
    """A verdict as the list shows it."""

    number: int
    suspect: str
    verdict: str
    best: str
    recorded: str


def overview(request: Request, token: Visitor) -> HTMLResponse:
    """Lists registered models and the newest verdicts."""
    service: Service = request.app.state.service
    models = service.registry.models()
    found = service.registry.verifications(limit=_SHOWN)
    style = style_sheet()
    body = template("cli.service", "overview.html").render(
        # Ours, and without a "<" that could end it.
        style=Markup(style),
        policy=policy(style),
        models=[
            (clean(one.name), one.role, clean(one.architecture), when(one.registered))
            for one in models[-_SHOWN:][::-1]
        ],
        more_models=max(0, len(models) - _SHOWN),
        verdicts=[_row(one) for one in found[::-1]],
        most=_SHOWN,
        probes=token.may("auditor"),
    )
    return _page(body)


def verdict(request: Request, number: Number, token: Visitor, probes: bool = False) -> HTMLResponse:
    """Shows one verdict; its probes, which the chain notes, on no other site's behalf."""
    # A browser sends its password with what other sites make it ask for, and says that they did.
    site = request.headers.get("sec-fetch-site", "none")
    if probes and site not in ("none", "same-origin"):
        raise Forbidden("probes: expected to be asked for on a page of this service")
    return report_page(request.app.state.service, number, token, probes=probes)


def report_page(service: Service, number: int, token: Token, *, probes: bool) -> HTMLResponse:
    """Returns the report of a verdict.

    Args:
        service: Where it is recorded.
        number: Its number.
        token: Who asks.
        probes: Whether some are to be shown, which only auditors may see.

    Raises:
        Forbidden: Probes are asked for by somebody else.
        UnknownVerification: There is no such verdict.
    """
    if probes and not token.may("auditor"):
        raise Forbidden("probes: expected a token that is auditor, this one is not")
    dossier = service.dossier(number)
    if probes:
        service.looked(number, token.name)
    view = view_of(dossier, made=utc_now(), release=release(), pictures=probes)
    with _drawing:
        return _page(page(view))


def _row(recorded: RecordedVerification) -> _Row:
    result = Verification.from_dict(recorded.evidence)
    return _Row(
        number=recorded.number,
        suspect=suspect_name(result),
        verdict=recorded.verdict,
        best=clean(recorded.best or "-"),
        recorded=when(recorded.recorded),
    )


def _page(body: str) -> HTMLResponse:
    """Returns a page whose policy is in its header as well; nobody may put it into a frame."""
    rules = f"{policy(style_sheet())}; frame-ancestors 'none'"
    return HTMLResponse(body, headers={"content-security-policy": rules})


def router() -> APIRouter:
    """Returns the pages, which the description for programs leaves out."""
    made = APIRouter(include_in_schema=False)
    made.add_api_route("/", overview, response_model=None)
    made.add_api_route("/verdicts/{number}", verdict, response_model=None)
    return made
