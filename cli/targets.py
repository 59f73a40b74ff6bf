"""What a command asks: a file or an address, with the options that say how, to be reached again.

::

    target = Target("https://models.example/v2/models/m", how, graph, asking)
    reached = target.reach(registry, names, max_queries)
    Target.from_dict(target.to_dict())          # tomorrow, by cron
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import session
from cli.endpoints import Asking, is_address
from cli.options import GraphOptions, ModelOptions, model_options
from fingerprint.mlflow.uris import is_model_uri
from fingerprint.text import first_line

if TYPE_CHECKING:
    from fingerprint.network import InputSpec, Model
    from fingerprint.suspects import GraphSuspect, Suspect
    from fingerprint.suspects.endpoints import Endpoint
    from registry import Registry

__all__ = ["Reached", "Target", "is_answers"]

_FILE = "generic:"
_ANSWERS = frozenset(
    (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".xlsx", ".xls", ".ods")
)
"""Suffixes of files that hold answers; a workbook is told to be saved as one."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """Who answers.

    Attributes:
        here: What runs here; None for an address.
        endpoint: What is behind an address; None for a file.
        warnings: One line each.
        code: The module that it was built by, if by one.
    """

    here: Model | GraphSuspect | None = None
    endpoint: Endpoint | None = None
    warnings: tuple[str, ...]
    code: tuple[str, ...] = ()

    @property
    def suspect(self) -> Suspect:
        """Whom to ask."""
        from fingerprint.suspects import ModelSuspect, Suspect

        if self.endpoint is not None:
            return self.endpoint
        assert self.here is not None
        return self.here if isinstance(self.here, Suspect) else ModelSuspect(self.here)


@dataclass(frozen=True)
class Target:
    """A file or an address, and how it is asked.

    Attributes:
        name: A path, or an address.
        how: How a file is read, and how inputs are prepared.
        graph: What an ONNX file or an address has beyond that.
        asking: How an address is asked.
    """

    name: str
    how: ModelOptions
    graph: GraphOptions
    asking: Asking

    def reach(
        self, registry: Registry, names: Sequence[str], max_queries: int | None = None
    ) -> Reached:
        """Loads the file, or connects to the address.

        Args:
            registry: Its models say what inputs look like where an address does not.
            names: Models it is compared with; all if there are none.
            max_queries: Inputs that an address is sent at most.

        Raises:
            UsageError: The call is wrong.
            InputRefused: It may not be read or asked, or is not what can be compared.
            EnvironmentFailure: It cannot be read, or does not answer.
        """
        self.asking.require_use(self.name)
        if is_address(self.name):
            endpoint = self.asking.connect(
                self.name, self.how, self.graph, registry, names, max_queries
            )
            return Reached(endpoint=endpoint, warnings=endpoint.warnings)
        loaded = session.load_suspect(Path(self.name), self.how, self.graph)
        return Reached(here=loaded, warnings=loaded.warnings, code=_code_of(loaded))

    def anchored(self, folder: Path) -> Target:
        """Returns the same target with absolute paths; relative ones begin in the folder."""
        asking = self.asking
        if asking.labels is not None:
            asking = replace(asking, labels=Path(_within(folder, str(asking.labels))))
        if asking.adapter is not None and asking.adapter.startswith(_FILE):
            file = _within(folder, asking.adapter.removeprefix(_FILE))
            asking = replace(asking, adapter=_FILE + file)
        name = self.name if is_address(self.name) else _within(folder, self.name)
        return replace(self, name=name, asking=asking)

    def standing(self, spec: InputSpec) -> Target:
        """Returns the same target, to be reached from anywhere and at any time.

        Paths become absolute, and what an address takes is stated: what it was found by, the
        registered models, may be others tomorrow.
        """
        target = self.anchored(Path.cwd())
        if not is_address(self.name):
            return target
        arguments = dict(self.how.arguments)
        arguments["input_size"] = spec.shape
        if spec.kind == "float":
            arguments["bounds"] = spec.bounds
        return replace(target, how=ModelOptions(arguments=arguments))

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values; no secret is among them, only the names of variables."""
        labels = self.asking.labels
        return {
            "target": self.name,
            "how": dict(self.how.arguments),
            "graph": self.graph.stated,
            "asking": {**vars(self.asking), "labels": None if labels is None else str(labels)},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Target:
        """Builds a target from :meth:`to_dict`'s values.

        Raises:
            InputRefused: They are others. What an option is not called would pass by whoever looks
                at options, and be believed by what takes them.
        """
        from fingerprint.errors import InputRefused

        try:
            return cls._from_dict(values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputRefused(
                "expected a target as 'fp watch init' keeps it, got something else "
                f"({first_line(error)}); remove the watch and begin it anew"
            ) from error

    @classmethod
    def _from_dict(cls, values: Mapping[str, Any]) -> Target:
        how = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values["how"].items()
        }
        asking = dict(values["asking"])
        texts = (values["target"], how.get("arch") or "", asking["adapter"] or "")
        if not all(isinstance(one, str) for one in (*texts, asking["token_env"] or "")):
            raise TypeError("a text")
        strange = how.keys() - model_options().arguments.keys()
        if strange:
            raise KeyError(*strange)
        graph = {name.replace("-", "_"): value for name, value in values["graph"].items()}
        if asking["labels"] is not None:
            asking["labels"] = Path(asking["labels"])
        return cls(
            name=values["target"],
            how=ModelOptions(arguments=how),
            graph=GraphOptions(**graph),
            asking=Asking(**asking),
        )


def _within(folder: Path, name: str) -> str:
    return os.path.abspath(folder / name)


def _code_of(loaded: Model | GraphSuspect) -> tuple[str, ...]:
    """Returns the module that a file was built by; what runs elsewhere needs none."""
    architecture = getattr(loaded, "architecture", "")
    return (architecture.partition(":")[0],) if architecture else ()


def is_answers(name: str) -> bool:
    """Whether a suspect is a file of answers, which cannot be asked anything else."""
    elsewhere = is_address(name) or is_model_uri(name)
    return not elsewhere and Path(name).suffix.lower() in _ANSWERS
