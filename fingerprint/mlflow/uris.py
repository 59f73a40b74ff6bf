"""What an MLflow URI names: a registered version, a logged model, or what a run left.

ModelUri.parse("models:/cats/3").label      # cats-3
ModelUri.parse("models:/cats@champion")     # whatever version that is today
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from fingerprint.errors import UsageError
from fingerprint.text import clean

__all__ = ["ModelUri", "is_model_uri"]

_SCHEMES = ("models:", "runs:")
_NAME = r"[^/@:?#\x00-\x1f\x7f]{1,256}"
_FORMS = (
    re.compile(rf"models:/(?P<name>{_NAME})/(?P<version>[0-9]{{1,18}})"),
    re.compile(rf"models:/(?P<name>{_NAME})@(?P<alias>[\w-]{{1,255}})"),
    re.compile(r"models:/(?P<model_id>m-[0-9a-f]{32})"),
    re.compile(r"runs:/(?P<run_id>[\w-]{1,64})/(?P<path>[^?#\x00-\x1f\x7f]{1,500})"),
)


def is_model_uri(text: str) -> bool:
    """Whether a text is meant as a URI of MLflow, and not as a path or an address."""
    return text.startswith(_SCHEMES)


@dataclass(frozen=True, kw_only=True)
class ModelUri:
    """What a URI names.

    Attributes:
        name: Of a registered model.
        version: Of that.
        alias: In place of a version.
        model_id: Of a logged model.
        run_id: Of a run.
        path: Of what it left, with ``/`` between its parts.
    """

    name: str = ""
    version: str = ""
    alias: str = ""
    model_id: str = ""
    run_id: str = ""
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a URI.

        Raises:
            UsageError: It is none, or of a kind that changes what it means by itself, as stages do.
        """
        found = next((form.fullmatch(text) for form in _FORMS if form.fullmatch(text)), None)
        if found is None or {"", ".", ".."} & set(text.partition(":/")[2].split("/")):
            raise UsageError(
                f"{clean(text)}: expected models:/NAME/VERSION, models:/NAME@ALIAS, models:/m-ID "
                "or runs:/RUN/PATH"
            )
        return cls(**found.groupdict())

    def __str__(self) -> str:
        if self.run_id:
            return f"runs:/{self.run_id}/{self.path}"
        if self.model_id:
            return f"models:/{self.model_id}"
        return f"models:/{self.name}" + (f"@{self.alias}" if self.alias else f"/{self.version}")

    @property
    def label(self) -> str:
        """What a model is called that nobody gives a name."""
        if self.run_id:
            return f"{self.path.rpartition('/')[2][:80]}-{self.run_id[:8]}"
        return self.model_id or f"{self.name[:80]}-{self.alias or self.version}"
