"""Fetches weights from an address, with the guards that endpoints are asked with.

The name is looked up once and only public addresses are connected to, TLS is verified, no redirect
is followed, no proxy used, nothing unpacked, and size and time are bounded.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

from cli.service.uploads import file_name
from fingerprint.errors import EnvironmentFailure
from fingerprint.progress import Progress
from fingerprint.suspects.endpoints import Limits, Transport, parse_address, reachable_at
from fingerprint.suspects.endpoints.transport import Call, NoAnswer, Reply

__all__ = ["fetched"]


def fetched(
    uri: str, folder: Path, *, most: int, seconds: float, allow_private: bool, progress: Progress
) -> Path:
    """Fetches a file, unless it is there from an earlier try.

    Args:
        uri: Where it is; without credentials and query, which would be kept and shown.
        folder: Where to; it holds nothing else.
        most: Bytes.
        seconds: For one try.
        allow_private: Whether the address may be one of a private network.
        progress: Told that it is fetched.

    Raises:
        UsageError: It is no such address.
        InputRefused: The address may not be asked.
        EnvironmentFailure: It does not answer, or with more than may come.
    """
    address = parse_address(uri)
    path = folder / file_name(unquote(address.path))
    if path.is_file():
        return path
    progress("fetching", 0, 1)
    reachable = reachable_at(address, allow_private=allow_private)
    transport = Transport(address, reachable, Limits(timeout=seconds, max_answer=most))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = folder / ".part"
    with part.open("w+b") as file:
        call = Call(path=address.path, method="GET", into=file)
        answer = transport.fetch(call, lambda _, reply: reply)
        if isinstance(answer, Reply):
            file.flush()
            os.fsync(file.fileno())
    if isinstance(answer, NoAnswer):
        part.unlink()
        raise EnvironmentFailure(f"{address}: {answer}")
    part.rename(path)
    return path
