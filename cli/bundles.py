"""Several options as one parameter, so that commands share options without repeating them.

A bundle is a function: its keyword parameters are options, its result is what a command gets
in their place.

    Screen = Annotated[Output, Bundle(output_options)]

    @bundled
    def list_models(screen: Screen) -> None: ...      # fp list --json --quiet
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_origin

__all__ = ["Bundle", "bundled"]


@dataclass(frozen=True)
class Bundle:
    """Marks a parameter as made from several options.

    Attributes:
        make: Takes the options as keyword parameters, returns the parameter's value.
    """

    make: Callable[..., Any]

    @property
    def options(self) -> list[inspect.Parameter]:
        """The options, as the framework wants them declared."""
        return list(inspect.signature(self.make, eval_str=True).parameters.values())


def _bundle(annotation: Any) -> Bundle | None:
    if get_origin(annotation) is not Annotated:
        return None
    return next((extra for extra in get_args(annotation) if isinstance(extra, Bundle)), None)


def bundled(command: Callable[..., None]) -> Callable[..., None]:
    """Returns a command that declares the options of its bundles in place of the bundles."""
    bundles: dict[str, Bundle] = {}
    declared: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        bundle = _bundle(parameter.annotation)
        if bundle is None:
            declared.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        else:
            bundles[name] = bundle
    for bundle in bundles.values():
        declared.extend(bundle.options)

    @wraps(command)
    def run(**values: Any) -> None:
        made = {
            name: bundle.make(**{option.name: values.pop(option.name) for option in bundle.options})
            for name, bundle in bundles.items()
        }
        command(**values, **made)

    # The framework reads both, and `wraps` has copied the command's own.
    run.__signature__ = inspect.Signature(declared)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in declared}
    return run
