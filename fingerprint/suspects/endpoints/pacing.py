"""How fast an endpoint is asked: at a rate, and not before it says it may be asked again."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import anyio

__all__ = ["Pacer", "retry_after"]

_LONGEST_PAUSE = 60.0


class Pacer:
    """Decides when the next request may go out, for all that are on their way together.

    Args:
        rate: Requests a second; None for no limit.
        pause: Seconds before the first other try; each further one waits up to twice as long.
        clock: Seconds that never run backwards.
        sleep: Waits some seconds.
    """

    def __init__(
        self,
        rate: float | None = None,
        pause: float = 1.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._between = 1 / rate if rate else 0.0
        self._pause, self._clock, self._sleep = pause, clock, sleep
        self._next = 0.0

    async def turn(self) -> None:
        """Waits until one more request may go out."""
        now = self._clock()
        begin = max(now, self._next)
        self._next = begin + self._between
        if begin > now:
            await self._sleep(begin - now)

    def hold(self, seconds: float) -> None:
        """Lets nothing more go out for some seconds."""
        self._next = max(self._next, self._clock() + seconds)

    async def back_off(self, trial: int) -> None:
        """Waits before another try: half of a time that doubles, and a random part of the rest.

        Args:
            trial: How many tries there were; at least 1.
        """
        longest = min(self._pause * 2.0 ** (trial - 1), _LONGEST_PAUSE)
        if longest > 0:
            # No secret depends on it: it only keeps clients from coming back together.
            await self._sleep(longest * random.uniform(0.5, 1.0))


def retry_after(text: str | None) -> float | None:
    """Reads a ``Retry-After`` header: seconds, or a date; None where it says neither."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text.strip()[:9])
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)
