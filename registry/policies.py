"""What is demanded of a suspect, as it is committed to before anything is asked.

So nobody can demand afterwards what is known by then to hold. What a policy comes to is judged in
:mod:`fingerprint.policy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Policies"]


@dataclass(frozen=True, kw_only=True)
class Policies:
    """Names of registered models.

    Attributes:
        expect: The suspect must be each of these or derived from it.
        forbid: It must be none of these, nor derived from one.
    """

    expect: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every model that is named, once."""
        return tuple(dict.fromkeys((*self.forbid, *self.expect)))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {"expect": list(self.expect), "forbid": list(self.forbid)}

    @classmethod
    def of_criteria(cls, document: Mapping[str, Any]) -> Policies | None:
        """Reads those that were committed to; None in criteria of releases that left them out."""
        stated = document.get("policies")
        if stated is None:
            return None
        return cls(expect=tuple(stated["expect"]), forbid=tuple(stated["forbid"]))
