"""Fetches a model of an MLflow server into a folder, for as long as it is needed.

::

    with fetched("models:/cats@champion") as found:
        print(found.uri)                        # models:/cats/3
        model = load_source(found.path, arch="timm:resnet18")
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fingerprint.errors import EnvironmentFailure
from fingerprint.mlflow.server import Server
from fingerprint.mlflow.uris import ModelUri
from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.network.model import Model
    from fingerprint.suspects import GraphSuspect

__all__ = ["Fetched", "fetched", "kept_models", "load_source", "load_suspect"]


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A model that was fetched.

    Attributes:
        uri: What was fetched, with the version that an alias stood for.
        path: The folder or file it is in.
        keep: Called, the folder stays.
    """

    uri: ModelUri
    path: str
    keep: Callable[[], object]


def kept_models() -> Path:
    """Returns the folder of models that were registered, which a registry loads again from it."""
    from platformdirs import user_data_path

    return user_data_path("nullprint", appauthor=False) / "mlflow"


@contextmanager
def fetched(uri: str, *, folder: Path | None = None) -> Iterator[Fetched]:
    """Fetches a model; its files are removed at the end, unless they are to be kept.

    Args:
        uri: ``models:/NAME/VERSION``, ``models:/NAME@ALIAS``, ``models:/m-ID`` or
            ``runs:/RUN/PATH``.
        folder: Where to make the folder of it; by default among temporary files.

    Raises:
        UsageError: There is no such model, or no server is named.
        UnsafeFile: It is too large.
        EnvironmentFailure: MLflow is not installed, the server does not answer, or the folder
            cannot be written.
    """
    wanted = ModelUri.parse(uri)
    server = Server()
    pinned = server.pinned(wanted)
    with ExitStack() as cleaning:
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix="mlflow-", dir=folder))
            cleaning.callback(shutil.rmtree, made, ignore_errors=True)
            # Verdicts keep the path of what was asked: it ends in the URI.
            there = made.joinpath(*str(pinned).split("/"))
            there = there.parent if pinned.run_id else there
            there.mkdir(parents=True)
        except OSError as error:
            where = clean(folder or tempfile.gettempdir())
            raise EnvironmentFailure(f"{where}: {error.strerror}") from error
        path = server.download(pinned, there)
        yield Fetched(uri=pinned, path=str(path), keep=cleaning.pop_all)


def load_source(path: str, **options: Any) -> Model:
    """Loads what is to be registered: weights, or an ONNX file.

    Args:
        path: A folder or file that was fetched.
        **options: Of :func:`fingerprint.load_model`, or :func:`fingerprint.load_onnx_model`.
    """
    from fingerprint import load_model, load_onnx_model
    from fingerprint.formats.folder import network_file
    from fingerprint.formats.weights_file import is_onnx

    file = network_file(path)
    return load_onnx_model(file, **options) if is_onnx(file) else load_model(file, **options)


def load_suspect(path: str, **options: Any) -> Model | GraphSuspect:
    """Loads what is only asked: also files that are code, which run in a sandbox.

    Args:
        path: A folder or file that was fetched.
        **options: Of what loads such a file: also :func:`fingerprint.load_program` and
            :func:`fingerprint.load_onnx`.
    """
    from fingerprint import load_model, load_onnx, load_program
    from fingerprint.formats.folder import network_file
    from fingerprint.formats.program_file import program_kind
    from fingerprint.formats.weights_file import is_onnx

    file = network_file(path)
    if program_kind(file) is not None:
        return load_program(file, **options)
    return load_onnx(file, **options) if is_onnx(file) else load_model(file, **options)
