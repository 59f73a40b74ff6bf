"""Sends requests to one endpoint and bounds whatever may come back.

::

    transport = Transport(address, ("203.0.113.7",), Limits(tries=4), secrets={...})
    transport.send(calls, read)          # one value of read(reply) a call, None for no answer
    transport.failure                    # why nothing more is asked, empty while it is

The endpoint may be hostile or merely broken. Connections go to addresses that were checked, TLS is
verified against the name, no redirect is followed, no proxy is used, answers are not unpacked, and
time and size are bounded over the whole of a request. Nothing the other side says in words is ever
shown: it could repeat the token, or write to a terminal.
"""

from __future__ import annotations

import io
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import IO, Generic, TypeVar

import anyio
import httpx2
from anyio.from_thread import start_blocking_portal

from fingerprint.errors import UsageError
from fingerprint.suspects.endpoints.address import Address
from fingerprint.suspects.endpoints.pacing import Pacer, retry_after

__all__ = ["Call", "Limits", "NoAnswer", "Reply", "Sign", "Transport"]

T = TypeVar("T")

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_FATAL = frozenset({401, 402, 403, 404, 405, 410})
_IN_A_ROW = 3
"""Calls one after another without an answer, after which an endpoint counts as gone."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may take, and how many there may be.

    Attributes:
        timeout: Seconds for one try, from connecting to the last byte.
        tries: How often a request is sent at most.
        rate: Requests a second; None for no limit.
        concurrency: Requests on their way at a time.
        max_answer: Bytes of one answer.
        max_wait: Longest ``Retry-After`` that is waited for, in seconds; a longer one ends the
            asking.
        max_queries: Inputs that are sent at most, other tries included; None for no limit.

    Raises:
        UsageError: One of them is impossible.
    """

    timeout: float = 30.0
    tries: int = 4
    rate: float | None = None
    concurrency: int = 4
    max_answer: int = 2**24
    max_wait: float = 300.0
    max_queries: int | None = None

    def __post_init__(self) -> None:
        for name in ("tries", "concurrency", "max_answer", "max_queries"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name.replace('_', ' ')}: expected at least 1, got {value}")
        for name in ("timeout", "rate", "max_wait"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"{name.replace('_', ' ')}: expected more than 0, got {value}")


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request.

    Attributes:
        path: Where, on the endpoint's host; a query may follow.
        method: HTTP method.
        headers: Beside those of every request.
        body: What is sent.
        inputs: How many inputs it asks; 0 if it asks about the model.
        into: A file that the answer's body goes to, instead of into the reply.
    """

    path: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    inputs: int = 0
    into: IO[bytes] | None = None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer of success.

    Attributes:
        headers: Names in lower case.
        body: At most ``max_answer`` bytes.
    """

    headers: Mapping[str, str]
    body: bytes


Sign = Callable[[Call], Mapping[str, str]]
"""Returns the headers that sign a call, made anew for each try."""


class NoAnswer(Exception):
    """A request that brought no answer: one line, in our own words.

    Args:
        reason: Why.
        again: Whether another try may bring one.
        fatal: Whether nothing more is worth asking.
        after: Seconds the endpoint wants to be left alone.
        sent: Whether the request went out, so that it may be counted and charged there.
        status: The HTTP status, where one came.
    """

    def __init__(
        self,
        reason: str,
        *,
        again: bool = True,
        fatal: bool = False,
        after: float | None = None,
        sent: bool = True,
        status: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.again, self.fatal, self.after = again and not fatal, fatal, after
        self.sent, self.status = sent, status


class _BudgetSpent(NoAnswer):
    """A try that the budget did not allow."""


class Transport:
    """Sends calls to one endpoint.

    Args:
        address: Whom to ask.
        reachable: IP addresses to connect to, already checked.
        limits: What bounds it.
        secrets: Headers of every request, such as the one with the token; never shown.
        sign: Makes further headers for each request; never shown either.
        pacer: Decides when; by default made from the limits.

    Attributes:
        sent: How many inputs went out, each other try counted.
        unanswered: How many inputs of :meth:`send` were tried and got no answer.
        failure: Why nothing more is asked, one line; empty while it is.
    """

    def __init__(
        self,
        address: Address,
        reachable: Sequence[str],
        limits: Limits,
        *,
        secrets: Mapping[str, str] | None = None,
        sign: Sign | None = None,
        pacer: Pacer | None = None,
    ) -> None:
        self.address, self.limits = address, limits
        self._reachable = list(reachable)
        self._secrets, self._sign = dict(secrets or {}), sign
        self._pacer = pacer or Pacer(limits.rate)
        self._in_a_row = 0
        self.sent = self.unanswered = 0
        self.failure = ""

    def left(self, wanted: int) -> int:
        """How many of so many inputs the budget allows to send."""
        most = self.limits.max_queries
        return wanted if most is None else max(min(wanted, most - self.sent), 0)

    def give_up_for_budget(self) -> None:
        """Asks nothing more, because the budget is spent, unless that has another reason."""
        self.failure = self.failure or self._spent()

    def _spent(self) -> str:
        return f"the budget of {self.limits.max_queries} queries is spent"

    def send(self, calls: Sequence[Call], read: Callable[[Call, Reply], T]) -> list[T | None]:
        """Sends calls, several at a time, each again if need be.

        Args:
            calls: What to send.
            read: Makes the answer of a reply; what it raises as :class:`NoAnswer` counts as a try.

        Returns:
            What ``read`` returned for each call; None where there was no answer.
        """
        nothing: list[T | None] = [None] * len(calls)
        job = _Job(read, nothing, anyio.CapacityLimiter(self.limits.concurrency))
        # A loop in a thread of its own, so that a caller may have one running, as notebooks do.
        with start_blocking_portal() as portal:
            portal.call(self._send_all, calls, job)
        return job.answers

    def fetch(self, call: Call, read: Callable[[Call, Reply], T]) -> T | NoAnswer:
        """Sends one call that asks about the model; why there is no answer is a value."""
        refused: list[NoAnswer] = []
        with start_blocking_portal() as portal:
            answer = portal.call(self._fetch, call, read, refused)
        return refused[-1] if answer is None else answer

    async def _fetch(
        self, call: Call, read: Callable[[Call, Reply], T], refused: list[NoAnswer]
    ) -> T | None:
        async with self._client() as client:
            return await self._tried(client, call, read, refused)

    async def _send_all(self, calls: Sequence[Call], job: _Job[T]) -> None:
        async with self._client() as client, anyio.create_task_group() as group:
            for place, call in enumerate(calls):
                group.start_soon(self._send_one, client, place, call, job)

    async def _send_one(
        self, client: httpx2.AsyncClient, place: int, call: Call, job: _Job[T]
    ) -> None:
        async with job.limiter:
            if self.failure:
                return
            refused: list[NoAnswer] = []
            answer = await self._tried(client, call, job.read, refused)
        job.answers[place] = answer
        if answer is not None:
            self._in_a_row = 0
            return
        if not isinstance(refused[0], _BudgetSpent):
            self.unanswered += call.inputs
        self._in_a_row += 1
        if not self.failure and refused[-1].fatal:
            self.failure = str(refused[-1])
        elif not self.failure and self._in_a_row >= _IN_A_ROW:
            self.failure = f"{_IN_A_ROW} requests in a row got no answer: {refused[-1]}"

    async def _tried(
        self,
        client: httpx2.AsyncClient,
        call: Call,
        read: Callable[[Call, Reply], T],
        refused: list[NoAnswer],
    ) -> T | None:
        """Sends a call until it is answered or that is of no use; says why in ``refused``."""
        for trial in range(1, self.limits.tries + 1):
            try:
                self._count(call)
                await self._pacer.turn()
                return read(call, await self._within_time(client, call))
            except NoAnswer as error:
                refused.append(error)
                if not error.sent:
                    self.sent -= call.inputs
                if not error.again or self.failure or trial == self.limits.tries:
                    break
                if error.after is not None:
                    self._pacer.hold(error.after)
                else:
                    await self._pacer.back_off(trial)
        return None

    def _count(self, call: Call) -> None:
        """Counts what is about to be sent, or ends the asking where the budget does not allow."""
        fits = self.left(call.inputs) == call.inputs
        self.sent += call.inputs
        if not fits:
            raise _BudgetSpent(self._spent(), fatal=True, sent=False)

    async def _within_time(self, client: httpx2.AsyncClient, call: Call) -> Reply:
        seconds = self.limits.timeout
        try:
            with anyio.fail_after(seconds):
                return await self._attempt(client, call)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise NoAnswer(f"no answer within {seconds:g} s") from error
        except httpx2.ConnectError as error:
            raise self._unconnected(error) from error
        except httpx2.HTTPError as error:
            # Its message may quote what came.
            raise NoAnswer("the connection broke, or what came is not HTTP") from error

    async def _attempt(self, client: httpx2.AsyncClient, call: Call) -> Reply:
        host = self._reachable[0]
        url = httpx2.URL(
            scheme=self.address.scheme, host=host, port=self.address.port, raw_path=b"/"
        ).copy_with(raw_path=call.path.encode("ascii"))
        headers = {
            "User-Agent": "nullprint",
            "Accept-Encoding": "identity",
            **call.headers,
            **self._secrets,
            **(self._sign(call) if self._sign else {}),
            "Host": self.address.authority,
        }
        async with client.stream(
            call.method,
            url,
            headers=headers,
            content=call.body,
            extensions={"sni_hostname": self.address.host},
        ) as response:
            self._check(response)
            return Reply(
                headers={name.lower(): value for name, value in response.headers.items()},
                body=await self._body(response, call.into),
            )

    def _check(self, response: httpx2.Response) -> None:
        """Raises unless a response is one of success, whose body may be read."""
        status = response.status_code
        if status != HTTPStatus.OK:
            after = retry_after(response.headers.get("retry-after"))
            if status in _AGAIN and after is not None and after > self.limits.max_wait:
                raise NoAnswer(
                    f"{_named(status)}, and it wants to be left alone for {after:.0f} s; go on "
                    "later, with --journal",
                    fatal=True,
                )
            if 300 <= status < 400:
                raise NoAnswer(
                    f"{_named(status)}: it sends its callers elsewhere, which is not followed; "
                    "give the address that answers",
                    fatal=True,
                )
            raise NoAnswer(
                _named(status),
                again=status in _AGAIN,
                fatal=status in _FATAL,
                after=after,
                status=status,
            )
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise NoAnswer("expected an answer as it is, got a compressed one", again=False)

    async def _body(self, response: httpx2.Response, into: IO[bytes] | None) -> bytes:
        most, size, body = self.limits.max_answer, 0, io.BytesIO()
        target = body if into is None else into
        target.seek(0)  # over what an earlier try left
        target.truncate()
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > most:
                raise NoAnswer(f"expected an answer of at most {most} bytes, got more", again=False)
            target.write(chunk)
        return body.getvalue()

    def _unconnected(self, error: Exception) -> NoAnswer:
        """Says why there is no connection; the next try goes to the host's next address."""
        self._reachable.append(self._reachable.pop(0))
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                reason = f"its TLS certificate does not hold: {cause.verify_message}"
                return NoAnswer(reason, fatal=True, sent=False)
            if isinstance(cause, ssl.SSLError):
                return NoAnswer("TLS failed", sent=False)
            if isinstance(cause, OSError) and cause.errno:
                return NoAnswer(f"cannot connect: {os.strerror(cause.errno)}", sent=False)
            cause = cause.__cause__ or cause.__context__
        return NoAnswer("cannot connect", sent=False)

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            verify=self._tls,
            trust_env=False,  # a proxy would look the name up again, for itself
            follow_redirects=False,
            timeout=self.limits.timeout,
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        if self.address.scheme == "http":
            # Of no use, and it trusts nobody: reading all certificates would take a while.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx2.create_ssl_context()


@dataclass
class _Job(Generic[T]):
    """Calls that are on their way together."""

    read: Callable[[Call, Reply], T]
    answers: list[T | None]
    limiter: anyio.CapacityLimiter


_WAYS_OUT = {
    401: "; it wants a token: --token-env NAME",
    403: "; whoever asks has no right to: give another token, or get the right",
    404: "; compare the address, and the model's name in it",
    405: "; compare the address with those of the adapter",
}
"""What may be done about a refusal that asking again does not mend."""


def _named(status: int) -> str:
    """``HTTP 503 Service Unavailable``, in the standard's words and not in the server's."""
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}{_WAYS_OUT.get(status, '')}"
    except ValueError:
        return f"HTTP {status}"
