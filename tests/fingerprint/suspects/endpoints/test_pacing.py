"""Requests go out at their rate, and not before they are wanted again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import pytest

from fingerprint.suspects.endpoints.pacing import Pacer, retry_after


class Clock:
    """A clock that runs only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def paced(clock: Clock, rate: float | None = None, pause: float = 1.0) -> Pacer:
    return Pacer(rate, pause, clock=clock.time, sleep=clock.sleep)


def test_a_rate_spaces_requests_evenly() -> None:
    clock = Clock()
    pacer = paced(clock, rate=4)
    for _ in range(3):
        anyio.run(pacer.turn)
    assert clock.slept == [0.25, 0.25]


def test_without_a_rate_nothing_waits() -> None:
    clock = Clock()
    pacer = paced(clock)
    for _ in range(3):
        anyio.run(pacer.turn)
    assert clock.slept == []


def test_who_is_asked_to_wait_waits_for_all() -> None:
    clock = Clock()
    pacer = paced(clock)
    pacer.hold(7)
    pacer.hold(3)
    anyio.run(pacer.turn)
    anyio.run(pacer.turn)
    assert clock.slept == [7]


def test_backing_off_doubles_with_jitter_up_to_a_minute() -> None:
    for trial, longest in ((1, 1.0), (2, 2.0), (3, 4.0), (50, 60.0)):
        clock = Clock()
        anyio.run(paced(clock).back_off, trial)
        assert longest / 2 <= clock.slept[0] <= longest
    clock = Clock()
    anyio.run(paced(clock, pause=0).back_off, 3)
    assert clock.slept == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("17", 17),
        (" 17 ", 17),
        ("0", 0),
        ("9" * 400, 999999999),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 99 Oct 99999 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(
    text: str | None, seconds: float | None
) -> None:
    assert retry_after(text) == seconds


def test_a_date_ahead_is_the_time_until_then() -> None:
    ahead = datetime.now(UTC) + timedelta(days=1)
    found = retry_after(format_datetime(ahead, usegmt=True))
    assert found is not None
    assert 80_000 < found <= 86_400
