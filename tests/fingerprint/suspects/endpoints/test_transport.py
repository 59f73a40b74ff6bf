"""Whatever an endpoint does, asking it ends, stays small, goes nowhere else and tells nothing."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from fingerprint.suspects.endpoints.address import parse_address, reachable_at
from fingerprint.suspects.endpoints.pacing import Pacer
from fingerprint.suspects.endpoints.transport import Call, Limits, NoAnswer, Reply, Transport
from tests.support.servers import Said, Server, each

GOOD = Said(body=b"good")
TOKEN = "s3cr3t-t0ken"


class Waits:
    """Stands in for time: notes what would be slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def pacer(self) -> Pacer:
        return Pacer(clock=lambda: 0.0, sleep=self.sleep)


def transport(
    server: Server, *, waits: Waits | None = None, url: str = "", **limits: Any
) -> Transport:
    address = parse_address((url or server.url) + "/ask")
    found = reachable_at(address, allow_private=True)
    return Transport(
        address,
        found,
        Limits(**{"timeout": 20, "concurrency": 1, **limits}),
        secrets={"Authorization": f"Bearer {TOKEN}"},
        pacer=(waits or Waits()).pacer(),
    )


def calls(count: int = 1) -> list[Call]:
    return [Call(path="/ask", body=b"x", inputs=1)] * count


def body(call: Call, reply: Reply) -> bytes:
    return reply.body


def test_an_answer_comes_back_and_the_token_goes_along() -> None:
    with Server(lambda seen: GOOD) as server:
        asked = transport(server)
        assert asked.send(calls(2), body) == [b"good", b"good"]
        assert (asked.sent, asked.failure) == (2, "")
    seen = server.seen[0]
    assert (seen.method, seen.path, seen.body) == ("POST", "/ask", b"x")
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["host"] == f"127.0.0.1:{server.port}"
    assert seen.headers["accept-encoding"] == "identity"


def test_several_calls_are_on_their_way_at_a_time_but_no_more_than_allowed() -> None:
    with Server(lambda seen: GOOD) as server:
        asked = transport(server, concurrency=3)
        assert asked.send(calls(20), body) == [b"good"] * 20


def test_it_works_where_a_loop_runs_already_as_in_a_notebook() -> None:
    async def cell(server: Server) -> list[bytes | None]:
        return transport(server).send(calls(), body)

    with Server(lambda seen: GOOD) as server:
        assert asyncio.run(cell(server)) == [b"good"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int) -> None:
    waits = Waits()
    with Server(each(Said(status=status), Said(status=status), GOOD)) as server:
        asked = transport(server, waits=waits)
        assert asked.send(calls(), body) == [b"good"]
    assert (asked.sent, asked.failure, len(waits.slept)) == (3, "", 2)
    assert 0.5 <= waits.slept[0] <= 1 <= waits.slept[1] <= 2


@pytest.mark.parametrize("status", [400, 409, 413, 415, 418, 422, 501, 204, 206, 299, 999])
def test_what_will_not_pass_is_not(status: int) -> None:
    with Server(each(Said(status=status, body=b""), GOOD)) as server:
        asked = transport(server)
        assert asked.send(calls(2), body) == [None, b"good"]
    assert (asked.sent, asked.failure) == (2, "")


@pytest.mark.parametrize(
    ("status", "way_out"),
    [(401, "--token-env"), (403, "another token"), (404, "model's name"), (405, "adapter")],
)
def test_a_refusal_says_the_way_out(status: int, way_out: str) -> None:
    with Server(lambda seen: Said(status=status)) as server:
        asked = transport(server)
        asked.send(calls(), body)
    assert way_out in asked.failure


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 410])
def test_a_door_that_is_shut_ends_the_asking(status: int) -> None:
    with Server(each(GOOD, Said(status=status), GOOD)) as server:
        asked = transport(server)
        assert asked.send(calls(4), body) == [b"good", None, None, None]
        assert asked.send(calls(4), body) == [None] * 4
    assert len(server.seen) == asked.sent == 2
    assert f"HTTP {status}" in asked.failure


def test_who_says_when_is_left_alone_until_then() -> None:
    waits = Waits()
    busy = Said(status=429, headers={"Retry-After": "17"})
    with Server(each(busy, GOOD)) as server:
        assert transport(server, waits=waits).send(calls(), body) == [b"good"]
    assert waits.slept == [17.0]


def test_who_wants_to_be_left_alone_for_long_is_asked_no_more() -> None:
    waits = Waits()
    with Server(lambda seen: Said(status=503, headers={"Retry-After": "86400"})) as server:
        asked = transport(server, waits=waits)
        assert asked.send(calls(3), body) == [None] * 3
    assert (len(server.seen), waits.slept) == (1, [])
    assert "86400 s" in asked.failure
    assert "--journal" in asked.failure


def test_a_storm_of_failures_ends_the_asking() -> None:
    with Server(lambda seen: Said(status=503)) as server:
        asked = transport(server, tries=2)
        assert asked.send(calls(9), body) == [None] * 9
    assert len(server.seen) == asked.sent == 6
    assert asked.failure == "3 requests in a row got no answer: HTTP 503 Service Unavailable"


def test_one_answer_in_between_ends_no_asking() -> None:
    bad = Said(status=400)
    with Server(each(bad, bad, GOOD, bad, bad, GOOD)) as server:
        asked = transport(server)
        assert asked.send(calls(6), body).count(b"good") == 2
    assert asked.failure == ""


@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_no_more_inputs_are_sent_than_the_budget_allows_other_tries_included(most: int) -> None:
    with Server(lambda seen: Said(status=500)) as server:
        asked = transport(server, tries=4, max_queries=most, concurrency=4)
        assert asked.send(calls(5), body) == [None] * 5
    assert len(server.seen) == asked.sent == most
    assert f"budget of {most} queries" in asked.failure


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300, 304])
def test_no_redirect_is_followed_and_no_other_host_is_told_anything(status: int) -> None:
    with Server(lambda seen: GOOD) as other:
        away = Said(status=status, headers={"Location": f"{other.url}/?t={TOKEN}"}, body=b"")
        with Server(lambda seen: away) as server:
            asked = transport(server)
            assert asked.send(calls(2), body) == [None, None]
    assert other.seen == []
    assert len(server.seen) == 1
    assert "not followed" in asked.failure
    assert TOKEN not in asked.failure


@pytest.mark.parametrize(
    "said",
    [
        Said(endless=b"x" * 65536),
        Said(headers={"Content-Length": str(10**10)}, endless=b"x" * 65536),
        Said(body=b"x" * 1001),
    ],
)
def test_a_large_answer_is_cut_off(said: Said) -> None:
    with Server(lambda seen: said) as server:
        asked = transport(server, max_answer=1000)
        found = asked.fetch(calls()[0], body)
    assert isinstance(found, NoAnswer)
    assert str(found) == "expected an answer of at most 1000 bytes, got more"
    assert asked.sent == 1


def test_an_answer_as_large_as_allowed_is_read() -> None:
    with Server(lambda seen: Said(body=b"x" * 1000)) as server:
        assert transport(server, max_answer=1000).send(calls(), body) == [b"x" * 1000]


def test_a_compressed_answer_is_not_unpacked() -> None:
    bomb = Said(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"0" * 10**7))
    with Server(lambda seen: bomb) as server:
        found = transport(server).fetch(calls()[0], body)
    assert "compressed" in str(found)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01 not http " + TOKEN.encode() + b"\x1b[31m\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    ],
)
def test_what_is_no_http_or_breaks_off_is_tried_again_and_not_quoted(raw: bytes) -> None:
    with Server(each(Said(raw=raw), GOOD)) as server:
        assert transport(server).send(calls(), body) == [b"good"]
    with Server(lambda seen: Said(raw=raw)) as server:
        asked = transport(server, tries=1)
        assert asked.send(calls(3), body) == [None] * 3
    assert "not HTTP" in asked.failure
    assert TOKEN not in asked.failure


@pytest.mark.parametrize(
    "said", [Said(silent=True), Said(headers={"Content-Length": "9"}, body=b"slow")]
)
def test_a_silence_is_ended_by_the_timeout(said: Said) -> None:
    with Server(lambda seen: said) as server:
        found = transport(server, timeout=0.1, tries=2).fetch(calls()[0], body)
    assert str(found) == "no answer within 0.1 s"


def test_an_answer_that_drips_for_ever_is_ended_by_the_timeout_of_the_whole() -> None:
    with Server(lambda seen: Said(endless=b"x")) as server:
        found = transport(server, timeout=0.3, max_answer=2**40).fetch(calls()[0], body)
        assert "0.3 s" in str(found)


def test_nobody_there_is_said_and_counts_no_query() -> None:
    with Server(lambda seen: GOOD) as server:
        pass
    asked = transport(server, tries=2)
    assert asked.send(calls(3), body) == [None] * 3
    assert asked.sent == 0
    assert "cannot connect" in asked.failure


def test_what_cannot_be_read_is_asked_again() -> None:
    def strict(call: Call, reply: Reply) -> bytes:
        if reply.body != b"good":
            raise NoAnswer("expected good, got something else")
        return reply.body

    with Server(each(Said(body=b"<html>"), GOOD)) as server:
        assert transport(server).send(calls(), strict) == [b"good"]
    with Server(lambda seen: Said(body=b"<html>")) as server:
        asked = transport(server, tries=2)
        assert asked.send(calls(3), strict) == [None] * 3
    assert "expected good" in asked.failure


def test_a_name_is_looked_up_once_and_its_checked_address_is_what_is_connected_to() -> None:
    looked_up: list[str] = []

    def rebinding(host: str, port: int) -> tuple[str, ...]:
        looked_up.append(host)
        return ("127.0.0.1",) if len(looked_up) == 1 else ("169.254.169.254",)

    with Server(lambda seen: GOOD) as server:
        address = parse_address(f"http://model.example:{server.port}/ask")
        found = reachable_at(address, allow_private=True, resolve=rebinding)
        asked = Transport(address, found, Limits(timeout=20), pacer=Waits().pacer())
        assert asked.send(calls(3), body) == [b"good"] * 3
        assert asked.send(calls(1), body) == [b"good"]
    assert looked_up == ["model.example"]
    assert {seen.headers["host"] for seen in server.seen} == {f"model.example:{server.port}"}


def test_an_address_that_does_not_answer_is_followed_by_the_next_one_of_the_name() -> None:
    with Server(lambda seen: GOOD) as server:
        address = parse_address(f"http://model.example:{server.port}/ask")
        # Nothing of ours listens on the second address of this machine's loopback network.
        asked = Transport(
            address, ("127.0.0.2", "127.0.0.1"), Limits(timeout=20), pacer=Waits().pacer()
        )
        assert asked.send(calls(2), body) == [b"good"] * 2
    assert asked.sent == 2


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Server(lambda seen: GOOD) as server:
        assert transport(server).send(calls(), body) == [b"good"]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that this machine trusts, as SSL_CERT_FILE has it."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


def serving(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.mark.parametrize("name", ["model.example", "127.0.0.1"])
def test_a_certificate_is_checked_against_the_name_and_not_the_address(
    authority: trustme.CA, name: str
) -> None:
    with Server(lambda seen: GOOD, tls=serving(authority, name)) as server:
        address = parse_address(f"https://{name}:{server.port}/ask")
        asked = Transport(address, ("127.0.0.1",), Limits(timeout=20), pacer=Waits().pacer())
        assert asked.send(calls(), body) == [b"good"]


def test_a_certificate_for_another_name_or_of_nobody_ends_the_asking(
    authority: trustme.CA,
) -> None:
    for signed in (serving(authority, "other.example"), serving(trustme.CA(), "model.example")):
        with Server(lambda seen: GOOD, tls=signed) as server:
            address = parse_address(f"https://model.example:{server.port}/ask")
            asked = Transport(address, ("127.0.0.1",), Limits(timeout=20), pacer=Waits().pacer())
            assert asked.send(calls(2), body) == [None, None]
        assert server.seen == []
        assert "TLS certificate does not hold" in asked.failure
        assert asked.sent == 0


@pytest.mark.parametrize(
    "limits",
    [{"tries": 0}, {"concurrency": 0}, {"max_queries": 0}, {"timeout": 0}, {"rate": -1}],
)
def test_impossible_limits_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Limits(**limits)


def test_a_body_may_go_into_a_file_and_another_try_begins_it_anew(tmp_path: Path) -> None:
    # The first answer breaks off after half of what it announces.
    broken = Said(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
    with Server(each(broken, GOOD)) as server, (tmp_path / "file").open("w+b") as file:
        asked = transport(server)
        reply = asked.fetch(Call(path="/ask", method="GET", into=file), lambda _, reply: reply)
    assert isinstance(reply, Reply)
    assert reply.body == b""
    assert (tmp_path / "file").read_bytes() == b"good"


def test_a_file_gets_no_more_than_the_limit(tmp_path: Path) -> None:
    with (
        Server(lambda seen: Said(endless=b"x" * 1000)) as server,
        (tmp_path / "file").open("w+b") as file,
    ):
        asked = transport(server, max_answer=4096)
        refused = asked.fetch(Call(path="/ask", method="GET", into=file), body)
    assert isinstance(refused, NoAnswer)
    assert "at most 4096 bytes" in str(refused)
    assert (tmp_path / "file").stat().st_size <= 4096
