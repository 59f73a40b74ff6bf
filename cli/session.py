"""The doors to the library and the registry: opened late, as they take seconds to import."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli.options import GraphOptions, ModelOptions
from cli.output import Output
from fingerprint.mlflow.uris import is_model_uri
from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.mlflow import Fetched
    from fingerprint.network import Model
    from fingerprint.suspects import GraphSuspect
    from registry import Registry

__all__ = [
    "at_hand",
    "compared",
    "complete_name",
    "load",
    "load_answering",
    "load_source",
    "load_suspect",
]
__all__ += ["open_registry", "require"]


def open_registry(url: str | None, *, writing: bool = False) -> Registry:
    """Opens the registry, creating it where there is none.

    Args:
        url: Where it is; by default in the user's data folder.
        writing: Whether it is going to be changed: one that cannot be is refused at once.

    Raises:
        RegistryReadOnly: It is to be changed and cannot be.
    """
    from registry import Registry

    opened = Registry(url)
    if writing:
        opened.require_writable()
    return opened


@contextmanager
def at_hand(name: str, screen: Output, *, kept: bool = False) -> Iterator[Fetched | None]:
    """Fetches what a URI of MLflow names, for as long as it is needed; None for anything else.

    Args:
        name: A path, an address or a URI.
        screen: Told what was fetched.
        kept: Whether it is to be registered, which keeps its files where they are found again.

    Raises:
        FingerprintError: See :func:`fingerprint.mlflow.fetched`.
    """
    if not is_model_uri(name):
        yield None
        return
    # Its client says on stderr how far it is, and tells its makers what it was used for.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from fingerprint.mlflow import fetched
    from fingerprint.mlflow.fetching import kept_models

    with fetched(name, folder=kept_models() if kept else None) as found:
        screen.message(f"fetched {clean(found.uri)} from MLflow")
        yield found


def load_answering(path: Path, options: ModelOptions) -> Model:
    """Loads a model whose answers are to be compared: finite, and not the same to everything."""
    from fingerprint.network.checks import check_informative

    model = load(path, options)
    check_informative(model)
    return model


def load(path: Path, options: ModelOptions) -> Model:
    """Loads a model as the shared options say."""
    from fingerprint.network import load_model

    return load_model(path, **options.arguments)


def load_suspect(path: Path, options: ModelOptions, graph: GraphOptions) -> Model | GraphSuspect:
    """Loads a suspect: a model, or a file that is only asked: ONNX, code, or another library's.

    Raises:
        UsageError: An option is given that says nothing of such a file.
    """
    path = _network(path, options)
    code = _is_code(path)
    if not code and not _is_graph(path, graph):
        return load(path, options)
    from fingerprint.errors import UsageError
    from fingerprint.suspects import load_onnx, load_program

    stated = _of_graph(options)
    if stated.pop("device") != "cpu":
        raise UsageError(
            "--device: ONNX files are asked on the CPU, and files that are code; leave the option "
            "out"
        )
    if code:
        stated.pop("follow_symlinks")
        return load_program(path, **stated, **graph.arguments)
    return load_onnx(path, **stated, **graph.arguments)


def load_source(path: Path, options: ModelOptions, graph: GraphOptions) -> Model:
    """Loads a model that is to be registered, an ONNX file too.

    Raises:
        UsageError: An option is given that says nothing of such a file.
    """
    path = _network(path, options)
    if not _is_graph(path, graph):
        return load(path, options)
    from fingerprint.suspects import load_onnx_model

    return load_onnx_model(path, **_of_graph(options), **graph.arguments)


def _network(path: Path, options: ModelOptions) -> Path:
    """Returns the ONNX file, or the one that is code, that a folder of MLflow stands for."""
    from fingerprint.formats.folder import network_file

    follow = bool(options.arguments.get("follow_symlinks"))
    return Path(network_file(str(path), follow_symlinks=follow))


def _is_code(path: Path) -> bool:
    """Whether a file is run by others, in a sandbox: one that is code, or of another library."""
    from fingerprint.formats.program_file import program_kind

    return program_kind(str(path)) is not None


def _is_graph(path: Path, graph: GraphOptions) -> bool:
    """Whether a file is an ONNX network; options that are for those alone are for nothing else."""
    from fingerprint.errors import UsageError
    from fingerprint.formats.weights_file import is_onnx

    found = is_onnx(str(path))
    if graph.stated and not found:
        option = next(iter(graph.stated))
        raise UsageError(
            f"--{option} is for ONNX files, files that are code and addresses; expected "
            f"{clean(path)} to be one"
        )
    return found


def _of_graph(options: ModelOptions) -> dict[str, Any]:
    """Returns the options of a model that an ONNX file, or one that is code, can have."""
    from fingerprint.errors import UsageError

    stated = dict(options.arguments)
    for option in ("arch", "key"):
        if stated.pop(option) is not None:
            raise UsageError(
                f"--{option}: an ONNX file is a whole network, and so is one that is code; leave "
                "the option out"
            )
    return stated


def require(registry: Registry, names: Iterable[str]) -> list[str]:
    """Checks that models are registered, before any long work is begun.

    Returns:
        The names in the form the registry keeps them, in which they can be compared.

    Raises:
        UnknownModel: One of them is not.
    """
    return [registry.model(name).name for name in names]


def compared(
    registry: Registry, against: Sequence[str], expect: str | None, forbid: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """Checks whom to compare a suspect with, and whom policies name.

    Returns:
        Whom to compare with, all if there are none; who is expected; who is forbidden; in the form
        the registry keeps names in.

    Raises:
        UnknownModel: One of them is not registered.
    """
    limits = require(registry, against)
    forbidden = require(registry, forbid)
    expected = require(registry, [expect] if expect is not None else [])
    if limits:
        # A policy is about evidence, so the model it names is compared in any case.
        limits = list(dict.fromkeys([*limits, *forbidden, *expected]))
    return limits, expected, forbidden


def complete_name(context: typer.Context, incomplete: str) -> list[str]:
    """Completes the name of a registered model in the shell; no registry, no completions."""
    try:
        with open_registry(context.params.get("registry")) as registry:
            names = [name for one in registry.models() for name in (one.name, *one.aliases)]
    except Exception:
        # A shell waiting for completions has no place for an error.
        return []
    # A name the shell could act on is left to be typed by whoever means it.
    return [name for name in names if name.startswith(incomplete) and name == clean(name, 10_000)]
