"""The MLflow server: which version a URI means, its files, its tags and its aliases.

What a server says in words is not shown: it could repeat the token that it was asked with.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fingerprint.errors import EnvironmentFailure, FingerprintError, UnsafeFile, UsageError
from fingerprint.mlflow.uris import ModelUri
from fingerprint.text import clean

__all__ = ["Server"]

_MAX_FILES = 10_000
_MAX_BYTES = 64 * 2**30
_TAG = 500
_CALLERS = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "BAD_REQUEST")
"""Error codes that say the call was wrong, not the server."""


class Server:
    """The server that ``MLFLOW_TRACKING_URI`` names, or ``mlflow.set_tracking_uri``.

    Raises:
        EnvironmentFailure: MLflow is not installed.
        UsageError: No server is named: MLflow would make a database here instead.
    """

    def __init__(self) -> None:
        try:
            from mlflow import MlflowClient
            from mlflow.tracking import is_tracking_uri_set
        except ImportError as error:
            raise EnvironmentFailure(
                "models of MLflow need its client; pip install 'nullprint[mlflow]'"
            ) from error
        if not is_tracking_uri_set():
            raise UsageError(
                "expected the address of an MLflow server, none is set; set MLFLOW_TRACKING_URI"
            )
        self._client: Any = MlflowClient()

    def pinned(self, uri: ModelUri) -> ModelUri:
        """Returns what a URI means now: an alias becomes a version.

        Raises:
            UsageError: There is no such model.
            EnvironmentFailure: The server does not answer.
        """
        with _answering(uri):
            if uri.alias:
                found = self._client.get_model_version_by_alias(uri.name, uri.alias)
                return replace(uri, version=str(found.version), alias="")
            if uri.name:
                self._client.get_model_version(uri.name, uri.version)
            elif uri.model_id:
                self._client.get_logged_model(uri.model_id)
            else:
                self._client.get_run(uri.run_id)
        return uri

    def download(self, uri: ModelUri, folder: Path) -> Path:
        """Writes the files of a model into a folder that is there and empty.

        Returns:
            The folder or file that the model is.

        Raises:
            UsageError: It has no files.
            UnsafeFile: They are too many, or too large, as the server lists them.
            EnvironmentFailure: The server does not answer, or the folder cannot be written.
        """
        from mlflow.artifacts import download_artifacts

        with _answering(uri):
            sizes = _sizes(uri)
        free = shutil.disk_usage(folder).free
        if sum(sizes) > _MAX_BYTES:
            raise UnsafeFile(f"{_shown(uri)}: expected at most 64 GiB, it has {sum(sizes)} bytes")
        if sum(sizes) > free:
            raise EnvironmentFailure(
                f"{_shown(uri)}: its {sum(sizes)} bytes do not fit into {clean(folder)}, where "
                f"{free} are free; set TMPDIR"
            )
        with _answering(uri):
            return Path(download_artifacts(artifact_uri=str(uri), dst_path=str(folder)))

    def tag(self, uri: ModelUri, values: Mapping[str, str]) -> None:
        """Writes tags ``nullprint.KEY``, of what a run left ``nullprint.PATH.KEY``.

        Raises:
            UsageError: There is no such model.
            EnvironmentFailure: The server does not answer, or does not permit it.
        """
        tags = {key: clean(value, _TAG) for key, value in values.items()}
        with _answering(uri):
            if uri.model_id:
                named = {f"nullprint.{key}": value for key, value in tags.items()}
                self._client.set_logged_model_tags(uri.model_id, named)
                return
            for key, value in tags.items():
                if uri.name:
                    self._client.set_model_version_tag(
                        uri.name, uri.version, f"nullprint.{key}", value
                    )
                else:
                    self._client.set_tag(uri.run_id, f"nullprint.{uri.path}.{key}", value)

    def move(self, uri: ModelUri, *, alias: str = "", stage: str = "") -> None:
        """Gives a version an alias, or a stage.

        Raises:
            UsageError: It cannot have it.
            EnvironmentFailure: The server does not answer, or does not permit it.
        """
        with _answering(uri), warnings.catch_warnings():
            # Stages are deprecated, and there are pipelines that move them.
            warnings.simplefilter("ignore", FutureWarning)
            if alias:
                self._client.set_registered_model_alias(uri.name, alias, uri.version)
            else:
                self._client.transition_model_version_stage(uri.name, uri.version, stage)


def _sizes(uri: ModelUri) -> list[int]:
    """Returns the sizes of a model's files in bytes, as the server lists them."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    store: Any = get_artifact_repository(str(uri))
    sizes: list[int] = []
    seen: set[str] = set()
    waiting = [""]
    while waiting:
        for one in store.list_artifacts(waiting.pop()):
            if one.path in seen:
                continue
            seen.add(one.path)
            if one.is_dir:
                waiting.append(one.path)
            else:
                sizes.append(int(one.file_size or 0))
        if len(seen) > _MAX_FILES:
            raise UnsafeFile(f"{_shown(uri)}: expected at most {_MAX_FILES} files, got more")
    return sizes or _size_of_one(uri)


def _size_of_one(uri: ModelUri) -> list[int]:
    """Returns the size of what a run left, if that is one file: only its folder lists it."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if not uri.run_id:
        return []
    above, _, name = uri.path.rpartition("/")
    store: Any = get_artifact_repository(f"runs:/{uri.run_id}/{above}".rstrip("/"))
    return [int(one.file_size or 0) for one in store.list_artifacts("") if one.path == name]


@contextmanager
def _answering(uri: ModelUri) -> Iterator[None]:
    """Turns what MLflow raises into an error of ours."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (FingerprintError, MemoryError):
        raise
    except MlflowException as error:
        code = clean(error.error_code, 40)
        if code in _CALLERS:
            raise UsageError(
                f"{_shown(uri)}: the MLflow server knows nothing like that ({code})"
            ) from error
        raise EnvironmentFailure(
            f"{_shown(uri)}: the MLflow server did not do what it was asked ({code}); check "
            "MLFLOW_TRACKING_URI and its token"
        ) from error
    except OSError as error:
        # Those of requests are of this kind, and have words of the server in them.
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        raise EnvironmentFailure(f"{_shown(uri)}: cannot be fetched from MLflow: {why}") from error
    except ImportError as error:
        raise EnvironmentFailure(
            f"{_shown(uri)}: its files are in a store whose client is not installed; pip install "
            f"{clean(error.name, 40)}"
        ) from error
    except Exception as error:
        # Stores are plugins, and each has errors of its own.
        raise EnvironmentFailure(
            f"{_shown(uri)}: cannot be fetched from MLflow: {type(error).__name__}"
        ) from error


def _shown(uri: ModelUri) -> str:
    return clean(uri, 200)
