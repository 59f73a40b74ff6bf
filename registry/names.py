"""What a registered model may be called.

Names are for people, in any script, and are stored as given (composed to Unicode's NFC, so that
one name is one name). Whoever shows them escapes them; here only those are refused that no
terminal, table or file could carry.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

from fingerprint.errors import UsageError
from fingerprint.formats.default_name import default_name as by_path
from registry.errors import UnknownModel

if TYPE_CHECKING:
    from fingerprint.network.model import Model

__all__ = ["LONGEST_NAME", "checked_name", "default_name", "unknown"]

LONGEST_NAME = 100
# Control characters, halves of surrogate pairs, line and paragraph separators.
_FORBIDDEN = {"Cc", "Cs", "Zl", "Zp"}


def checked_name(name: str) -> str:
    """Returns the name in the form it is stored and looked up in.

    Raises:
        UsageError: It is empty, too long, has control characters or blanks at its ends.
    """
    if not isinstance(name, str):
        raise UsageError(f"name: expected a text, got {type(name).__name__}")
    composed = unicodedata.normalize("NFC", name)
    if not composed or composed != composed.strip():
        raise UsageError(f"name: expected a text without blanks at its ends, got {name[:120]!r}")
    if len(composed) > LONGEST_NAME:
        raise UsageError(
            f"name: expected at most {LONGEST_NAME} characters, got {len(composed)}; "
            "choose another with --name"
        )
    if any(unicodedata.category(character) in _FORBIDDEN for character in composed):
        raise UsageError(
            f"name: expected no control characters, got {name!r}; choose another with --name"
        )
    return composed


def default_name(model: Model) -> str:
    """Returns the name a model gets when none is given: its file's, or its repository's.

    Raises:
        UsageError: The model did not come from a file, or the file's name cannot be one.
    """
    if model.file is None:
        raise UsageError("name: a model that is not read from a file needs one; pass name=...")
    return checked_name(by_path(model.file.path))


def unknown(name: str, names: Iterable[str], error: type[UnknownModel] = UnknownModel) -> NoReturn:
    """Raises ``error`` for a name that nothing has, with those that resemble it, ignoring case."""
    wanted = checked_name(name)
    by_folded = {other.casefold(): other for other in names}
    found = difflib.get_close_matches(wanted.casefold(), by_folded, n=3, cutoff=0.6)
    raise error(wanted, tuple(by_folded[folded] for folded in found))
