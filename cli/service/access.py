"""Who is asking, whether they may, and how often: what every request passes first."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from cli.service.problems import Forbidden, TooMany
from cli.service.tokens import Token, Tokens
from fingerprint.errors import InputRefused

__all__ = ["Access", "Admin", "Auditor", "Reader", "Registrar", "Unknown", "Visitor"]
__all__ += ["Writer"]

_GUESSES = 30
"""Wrong tokens a minute of one address."""


class Unknown(InputRefused):
    """No token that holds came with the request.

    Attributes:
        page: Whether a page was asked, for which a browser asks its user.
    """

    def __init__(self, *, page: bool) -> None:
        super().__init__("expected a token that holds: Authorization: Bearer TOKEN")
        self.page = page


class Access:
    """Decides who may pass.

    Args:
        tokens: Who there is.
        rate: Requests a minute of one token.
    """

    def __init__(self, tokens: Tokens, rate: int) -> None:
        self._tokens = tokens
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._rate, self._guesses = RateLimitItemPerMinute(rate), RateLimitItemPerMinute(_GUESSES)

    def holder(self, request: Request, *, page: bool = False) -> Token:
        """Returns whose request it is.

        Args:
            request: What came.
            page: Whether a password of a browser counts as well. It comes without being asked for,
                with requests that other sites make too, so only what changes nothing takes it.

        Raises:
            Unknown: Nobody's.
            TooMany: Theirs came too often.
        """
        secret = _secret(request.headers.get("authorization", ""), page=page)
        token = self._tokens.holder(secret) if secret else None
        if token is None:
            if secret:
                where = request.client.host if request.client is not None else "nowhere"
                self._count(self._guesses, "guess", where)
            raise Unknown(page=page)
        self._count(self._rate, "token", token.name)
        return token

    def _count(self, most: Any, kind: str, who: str) -> None:
        if not self._limiter.hit(most, kind, who):
            raise TooMany(f"expected at most {most.amount} requests a minute, got more; wait")


def _secret(header: str, *, page: bool) -> str:
    """Returns the token in a request's header; nothing if there is none."""
    scheme, _, value = header.partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() != "basic" or not page:
        return ""
    try:
        return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


_BEARER = HTTPBearer(auto_error=False, description="A token of 'fp token add'.")


def _known(request: Request, _: Annotated[Any, Security(_BEARER)]) -> Token:
    holder: Token = request.app.state.access.holder(request)
    return holder


def _visitor(request: Request) -> Token:
    holder: Token = request.app.state.access.holder(request, page=True)
    return holder


class _May:
    """Refuses whoever has none of some roles."""

    def __init__(self, *roles: str) -> None:
        self._roles = roles

    def __call__(self, token: Annotated[Token, Depends(_known)]) -> Token:
        if not token.may(*self._roles):
            raise Forbidden(f"expected a token that is {' or '.join(self._roles)}, this one is not")
        return token


Reader = Annotated[Token, Depends(_known)]
Visitor = Annotated[Token, Depends(_visitor)]
Registrar = Annotated[Token, Depends(_May("registrar"))]
Auditor = Annotated[Token, Depends(_May("auditor"))]
Writer = Annotated[Token, Depends(_May("registrar", "auditor"))]
Admin = Annotated[Token, Depends(_May("admin"))]
