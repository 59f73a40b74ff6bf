"""Text of unknown origin cannot act on a terminal."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingerprint.text import LIMIT, clean, first_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ResNet-20 (ours)", "ResNet-20 (ours)"),
        ("сеть 网络 réseau", "сеть 网络 réseau"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("exe\u202egpj", "exe\\u202egpj"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\x9b31m", "\\x9b31m"),
        ("nul\x00", "nul\\x00"),
        ("line\u2028sep", "line\\u2028sep"),
        ("half\udcff", "half\\udcff"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("no\u00a0break", "no\\xa0break"),
        ("[red]x[/red] :smile:", "[red]x[/red] :smile:"),
    ],
)
def test_only_what_could_act_is_escaped(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_an_accent_stays_but_a_tower_of_them_does_not() -> None:
    assert clean("e\u0301") == "e\u0301"
    assert "\\u0301" in clean("e" + "\u0301" * 50)


def test_long_text_is_cut_and_says_how_much_is_missing() -> None:
    assert clean("x" * LIMIT) == "x" * LIMIT
    assert clean("x" * 10_000, 10) == "x" * 10 + "...(9990 more)"


def test_escapes_count_towards_the_limit_and_are_never_cut_in_half() -> None:
    assert clean("\x1b" * 100, 10) == "\\x1b\\x1b...(98 more)"


@given(st.text(st.characters(max_codepoint=sys.maxunicode)))
def test_no_text_at_all_gets_a_control_or_format_character_through(text: str) -> None:
    for character in clean(text, 10_000):
        assert character == " " or unicodedata.category(character)[0] in "LMNPS"


def test_an_error_whose_message_fails_is_named_by_its_class() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    assert first_line(Broken()) == "Broken"
