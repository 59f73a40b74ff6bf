"""What a page of the site shows to be typed, and what it says comes of it.

A block of ``console`` holds lines that begin with ``$`` and, after a backslash, with ``>``; what
stands below each is its output. A block of ``python`` is followed by a block of ``text`` where it
prints. A line of three dots stands for any lines, three dots in a line for anything.

Words are compared and numbers are not: those depend on the seed of a registry and on the machine.
Exit codes, shown by ``echo $?``, are numbers that do not, and are compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Block", "Step", "agrees", "blocks", "steps"]

_FENCED = re.compile(r"^```(?P<kind>console|python|text)\n(?P<body>.*?)^```$", re.M | re.DOTALL)
_NUMBER = re.compile(r"\b(?:\d+:)?[0-9a-f]{16,}\b|(?<![A-Za-z])[+-]?\d[\d.:]*(?:e[+-]?\d+)?")
_RULE = re.compile("[─━]+")


@dataclass(frozen=True)
class Block:
    """A fenced block: what kind of one, and its lines."""

    kind: str
    body: str


@dataclass(frozen=True)
class Step:
    """A command as one types it, and what it is said to print."""

    command: str
    said: str


def blocks(page: str) -> list[Block]:
    """Returns the blocks of a page that are run or compared, in order."""
    return [Block(found["kind"], found["body"]) for found in _FENCED.finditer(page)]


def steps(body: str) -> list[Step]:
    """Takes a console block apart."""
    found: list[Step] = []
    command: list[str] = []
    said: list[str] = []
    for line in [*body.splitlines(), "$ "]:
        if line.startswith("> ") and command and not said:
            command.append(line[2:])
        elif line.startswith("$ "):
            if command:
                found.append(Step("\n".join(command), "\n".join(said)))
            command, said = [line[2:]], []
        else:
            said.append(line)
    return found


def agrees(said: str, printed: str, *, exactly: bool = False) -> bool:
    """Whether a page says what was printed, however it is wrapped and whatever the numbers."""
    if exactly:
        return said.strip() == printed.strip()
    parts = [re.escape(_words(part)) for part in said.split("...")]
    return re.fullmatch(r"\s*.*?\s*".join(parts), _words(printed)) is not None


def _words(text: str) -> str:
    return " ".join(_NUMBER.sub("#", _RULE.sub("-", text)).split())
