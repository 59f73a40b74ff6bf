"""Several watches in one TOML file, a table each, in the words of ``fp watch init``.

::

    [prod]
    target = "https://models.example/v2/models/m"
    adapter = "oip"
    token-env = "TOKEN"
    input-size = [3, 224, 224]

    [app]
    target = "release/classifier.onnx"
    mean = [127.5]
    std = [127.5]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli import options, session
from cli.bundles import bundled
from cli.endpoints import AskingOptions
from cli.output import Output
from cli.targets import Target
from cli.watching import Settings, TargetName, begin
from fingerprint.text import clean, first_line

if TYPE_CHECKING:
    from registry import Registry, Watch, WatchSettings

__all__ = ["begun"]

_MAX_FILE = 2**20


def begun(
    registry: Registry, path: Path, screen: Output
) -> tuple[list[Watch], list[tuple[str, str]]]:
    """Begins the watches of a file that are new.

    Returns:
        Those that were there before, whose targets are what the file says, and of each that could
        not be begun why.

    Raises:
        UsageError: The file is none, says other than what is watched already by one of its
            names, or an option is wrong; nothing was begun then.
    """
    from cli import watch_view
    from fingerprint.errors import EnvironmentFailure, InputRefused, NoEvidence, UsageError
    from registry import RegistryError

    watched = {watch.name: watch for watch in registry.watches.all()}
    wanted = {name: _parsed(path, name, table) for name, table in _tables(path).items()}
    for name in wanted.keys() & watched.keys():
        if not _as_begun(registry, watched[name], *wanted[name]):
            raise UsageError(
                f"{clean(path)}: {clean(name)} is watched already, otherwise than it says; 'fp "
                "watch remove' with its name, and the next run begins anew"
            )
    failed = []
    for name in [name for name in wanted if name not in watched]:
        try:
            watch, said = begin(registry, name, *wanted[name], screen)
        except RegistryError:
            raise
        except (EnvironmentFailure, InputRefused, NoEvidence) as error:
            failed.append((name, first_line(error)))
        else:
            if not screen.json:
                screen.data({}, watch_view.begun(watch, said))
    return [watched[name] for name in wanted if name in watched], failed


def _as_begun(registry: Registry, watch: Watch, target: Target, settings: WatchSettings) -> bool:
    """Whether a file says what a watch was begun with."""
    from dataclasses import replace

    from fingerprint.canonical import plain

    if settings.model is not None:
        (model,) = session.require(registry, [settings.model])
        settings = replace(settings, model=model)
    standing = target.standing(registry.watches.baseline(watch.name).input)
    return settings == watch.settings and plain(standing.to_dict()) == watch.target


def _tables(path: Path) -> dict[str, dict[str, Any]]:
    """Reads the file.

    Raises:
        UsageError: It is none, or holds something else.
        UnsafeFile: It is too large, or no file.
    """
    from fingerprint.errors import UsageError
    from fingerprint.formats.file_bytes import read_file

    try:
        given = tomllib.loads(read_file(str(path), max_bytes=_MAX_FILE).data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{clean(path)}: expected TOML: {first_line(error)}") from error
    if not given or not all(
        isinstance(one, dict) and isinstance(one.get("target"), str) for one in given.values()
    ):
        raise UsageError(f"{clean(path)}: expected a table for each watch, with a text 'target'")
    return given


def _parsed(path: Path, name: str, table: Mapping[str, Any]) -> tuple[Target, WatchSettings]:
    """Reads one table by the options of ``fp watch init`` themselves.

    Raises:
        UsageError: One of them is none, or does not parse.
    """
    from fingerprint.errors import UsageError
    from registry import WatchSettings

    found: list[tuple[Target, WatchSettings]] = []

    @bundled
    def collect(
        target: TargetName,
        how: options.How,
        graph: options.Graph,
        asking: AskingOptions,
        settings: Settings,
    ) -> None:
        if asking.dry_run:
            raise typer.BadParameter("--dry-run is for 'fp watch init'")
        # Cron starts elsewhere than people do.
        wanted = Target(target, how, graph, asking).anchored(path.absolute().parent)
        found.append((wanted, WatchSettings(**settings)))

    parser = typer.Typer(add_completion=False, context_settings={"help_option_names": []})
    parser.command()(collect)
    words = [word for key, value in table.items() if key != "target" for word in _word(key, value)]
    try:
        typer.main.get_command(parser).main([*words, "--", table["target"]], standalone_mode=False)
    except typer.TyperException as error:
        said = error.format_message()
        raise UsageError(f"{clean(path)}: {clean(name)}: {clean(said, 300)}") from error
    return found[0]


def _word(key: str, value: Any) -> list[str]:
    """Returns an option as it is typed."""
    option = f"--{key.replace('_', '-')}"
    if isinstance(value, bool):
        return [option] if value else []
    if isinstance(value, list):
        value = ",".join(map(str, value))
    return [f"{option}={value}"]
