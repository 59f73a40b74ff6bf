"""A bundle of options stands for its parts: declared together, handed over as one value."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

from cli.bundles import Bundle, bundled


def _pair(*, left: int = 1, right: int = 2) -> tuple[int, int]:
    return (left, right)


def _shout(*, name: str = "n") -> str:
    return name.upper()


Shouted = Annotated[str, Bundle(_shout)]
Pair = Annotated[tuple[int, int], Bundle(_pair)]


def test_a_command_declares_the_options_and_receives_the_value() -> None:
    seen: dict[str, Any] = {}

    def command(name: str, pair: Pair, *, flag: bool = False) -> None:
        seen.update(name=name, pair=pair, flag=flag)

    expanded = bundled(command)
    assert list(inspect.signature(expanded).parameters) == ["name", "flag", "left", "right"]
    expanded(name="x", flag=True, left=5, right=6)
    assert seen == {"name": "x", "pair": (5, 6), "flag": True}


def test_a_bundle_sees_its_own_options_only() -> None:
    def command(pair: Pair, text: Shouted) -> None:
        assert (pair, text) == ((1, 2), "ABC")

    bundled(command)(left=1, right=2, name="abc")


def test_the_help_text_stays() -> None:
    def command(pair: Pair) -> None:
        """Does it."""

    assert bundled(command).__doc__ == "Does it."
