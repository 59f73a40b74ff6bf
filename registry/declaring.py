"""How kinship is declared later: the command that says which of two models comes of the other."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fingerprint.kinship import Kinship
    from registry.tables import ModelRow
    from registry.values import RegisteredModel

__all__ = ["loading", "way_out"]

_NO_CODE = ("timm", "transformers", "onnx")
"""Where architectures come from that are no code of the caller's."""


def loading(model: ModelRow | RegisteredModel) -> str:
    """Returns what ``fp register --again`` takes beside a model's name to load it."""
    if model.file_path is None:
        return "FILE"
    code = model.architecture.partition(":")[0] not in _NO_CODE
    return f"--arch {shlex.quote(model.architecture)}" if code else ""


def way_out(
    ends: tuple[str, str], kinship: Kinship, loaded: Mapping[str, str] | None = None
) -> str:
    """Says how to declare which of two models descends from the other, as far as it is open.

    Args:
        ends: The two models.
        kinship: What is declared by now.
        loaded: By name, what :func:`loading` says of a model.
    """
    stated = kinship.from_scratch | kinship.parents.keys()
    first, second = (name in kinship.references for name in ends)
    commands = [
        _command(child, parent, (loaded or {}).get(child, ""))
        for child, parent, open_ in (
            (ends[1], ends[0], first or not second),
            (ends[0], ends[1], second or not first),
        )
        if open_ and child not in stated
    ]
    if not commands:
        return "remove the one whose origin is declared wrongly, and register it again"
    text = f"declare it: {' or '.join(commands)}"
    wrong = [name for name in ends if kinship.has_no_parent(name)]
    if wrong:
        return f"{text}; or, if that is wrong, remove {wrong[0]!r} and register it again"
    known = next((kinship.parents[name] for name in ends if name in kinship.parents), None)
    if known is not None:
        return f"{text}; or, if both come from it, with --parent {shlex.quote(known)}"
    if not (first or second):
        text += "; or, if both come from a third model, declare that one as the parent of both"
    return text


def _command(child: str, parent: str, loaded: str) -> str:
    words = ["fp register --again", shlex.quote(child), loaded, "--parent", shlex.quote(parent)]
    return " ".join(word for word in words if word)
