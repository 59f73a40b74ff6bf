"""This side of the process that reads and runs an ONNX graph.

::

    network = OnnxProcess("model.onnx", threads=1)
    network.facts["digest"], network.facts["inputs"]
    network.ask("pixels", values, "logits")         # (N, values)

The file is read here, and so are the files that it keeps numbers in, which must lie beside it;
everything else happens over there.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.errors import EnvironmentFailure, InputRefused, UnsafeFile, UsageError
from fingerprint.formats.file_bytes import FileBytes, FileFacts, read_file
from fingerprint.formats.folder import inside
from fingerprint.formats.naming import naming, shown_path
from fingerprint.graphs.reading import MAX_BYTES
from fingerprint.sandbox.backends import chosen
from fingerprint.sandbox.process import Confined
from fingerprint.text import clean

__all__ = ["OnnxProcess"]


class OnnxProcess:
    """One ONNX file, opened by a process of its own.

    Args:
        path: The file.
        threads: How many may compute.
        follow_symlinks: Whether links may lead to external data outside of the file's folder.
        memory: How many bytes the process may take; see :class:`Confined`.
        sandbox: Whether it runs in a sandbox, where there is one on this machine.
        time_limit: How many seconds it may take for all it is asked; None for no limit.
        keep: Whether :attr:`content` is going to be asked for.

    Attributes:
        file: The file that was read.
        process: What runs it.
        facts: What the graph says of itself; see :func:`fingerprint.graphs.session.facts_of`, with
            its ``digest``, ``inputs`` and ``outputs``. Text in it may be anything.

    Raises:
        UsageError: There is no such file.
        InputRefused: It is no network, an unsafe one, or one that ONNX Runtime does not take.
        EnvironmentFailure: It may not be read, or ONNX Runtime is not installed.
    """

    def __init__(
        self,
        path: str,
        *,
        threads: int = 1,
        follow_symlinks: bool = False,
        memory: int | None = None,
        sandbox: bool = True,
        time_limit: float | None = None,
        keep: bool = False,
    ) -> None:
        content = read_file(path, max_bytes=MAX_BYTES)
        _require_runtime(content.path)
        self.file = FileFacts(
            path=content.path, sha256=content.sha256, size=len(content.data), format="onnx"
        )
        self.process = Confined(
            "fingerprint.graphs.child",
            runs="ONNX Runtime",
            backend=chosen(required=False, wanted=sandbox),
            threads=threads,
            memory=memory,
            time_limit=time_limit,
        )
        with naming(content.path):
            try:
                self.facts = self._opened(content, follow_symlinks, keep)
            except BaseException:
                self.process.close()
                raise

    def _opened(self, content: FileBytes, follow_symlinks: bool, keep: bool) -> dict[str, Any]:
        """Has the graph parsed and made ready to run, and returns what it says of itself."""
        try:
            wanted, _ = self.process.request({"request": "read"}, content.data)
        except EnvironmentFailure as error:
            raise UnsafeFile(f"reading it failed: {error}") from error
        places = [str(place) for place in wanted.get("external", ())]
        files = _beside(content.path, places, len(content.data), follow_symlinks)
        sizes = [[place, len(data)] for place, data in files.items()]
        try:
            opening = {"request": "open", "files": sizes, "keep": keep}
            facts, _ = self.process.request(opening, *files.values())
        except EnvironmentFailure as error:
            raise UnsafeFile(f"making it ready to run failed: {error}") from error
        return facts

    @property
    def content(self) -> bytes:
        """The network in one piece: without local functions, nothing in other files."""
        return self.process.request({"request": "content"}, most=MAX_BYTES)[1]

    def outputs(self, values: NDArray[Any]) -> list[dict[str, Any]]:
        """What it gives, which the graph says whatever it gets."""
        del values
        outputs: list[dict[str, Any]] = self.facts["outputs"]
        return outputs

    def ask(
        self, name: str, values: NDArray[Any], output: str, *, pool: bool = False
    ) -> NDArray[np.float32]:
        """Answers a batch: ``(N, ...)`` as the input takes it -> ``(N, values)``.

        Args:
            name: The input; all others get zeros.
            values: What it gets.
            output: Which output to answer with.
            pool: Whether that has another size for each input; see
                :func:`fingerprint.sandbox.rows.pooled`.

        Raises:
            IncompatibleModel: It does not run on these inputs, or its answers are no numbers.
            EnvironmentFailure: Its process ended.
        """
        return self.process.ask({"input": name, "output": output, "pool": pool}, values)


def _require_runtime(path: str) -> None:
    missing = [one for one in ("onnx", "onnxruntime") if importlib.util.find_spec(one) is None]
    if missing:
        raise EnvironmentFailure(
            f"{shown_path(path)}: an ONNX network, and {' and '.join(missing)} is not installed "
            "to run it; pip install 'nullprint[onnx]'"
        )


def _beside(path: str, places: list[str], size: int, follow_symlinks: bool) -> dict[str, bytes]:
    """Reads the files that a network keeps numbers in, none of which lies outside its folder."""
    files: dict[str, bytes] = {}
    for place in places:
        pure = PurePosixPath(place), PureWindowsPath(place)
        if not place or any(one.is_absolute() or one.drive or ".." in one.parts for one in pure):
            raise UnsafeFile(
                f"its external data '{clean(place)}' lies outside of its folder; expected a file "
                "beside it"
            )
        target = inside(os.path.dirname(path), place, follow_symlinks, [])
        try:
            content = read_file(target, max_bytes=MAX_BYTES - size, follow_symlink=False)
        except UsageError as error:
            raise InputRefused(
                f"its external data '{clean(place)}' is missing; put it into the same folder"
            ) from error
        size += len(content.data)
        files[place] = content.data
    return files
