"""How two processes talk: a JSON header and bytes, each with its length in front.

Both sides read no more than they are ready for, and nothing of it is ever unpickled.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

__all__ = ["receive", "send"]

_LONGEST_HEADER = 2**24


def send(stream: BinaryIO, header: dict[str, Any], *payload: bytes | memoryview) -> None:
    """Writes one message."""
    text = json.dumps(header).encode()
    sizes = len(text).to_bytes(8, "little") + sum(map(len, payload)).to_bytes(8, "little")
    stream.write(sizes + text)
    for part in payload:
        stream.write(part)
    stream.flush()


def receive(stream: BinaryIO, *, most: int) -> tuple[dict[str, Any], bytes]:
    """Reads one message.

    Args:
        stream: Where from.
        most: Largest payload in bytes.

    Raises:
        EOFError: The other side is gone, or what it sent is no message.
    """
    sizes = _exactly(stream, 16)
    length, size = (int.from_bytes(part, "little") for part in (sizes[:8], sizes[8:]))
    if length > _LONGEST_HEADER or size > most:
        raise EOFError
    try:
        header = json.loads(_exactly(stream, length))
    except (ValueError, RecursionError) as error:
        raise EOFError from error
    if not isinstance(header, dict):
        raise EOFError
    return header, _exactly(stream, size)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data
