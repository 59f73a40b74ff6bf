"""This side of the process that reads and runs an ONNX graph.

::

    network = OnnxProcess("model.onnx", threads=1)
    network.facts["digest"], network.facts["inputs"]
    network.ask("pixels", values, "logits")         # (N, values)

The file is read here, and so are the files that it keeps numbers in, which must lie beside it;
everything else happens over there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint import errors
from fingerprint.errors import (
    EnvironmentFailure,
    IncompatibleModel,
    InputRefused,
    MalformedFile,
    UnsafeFile,
    UsageError,
)
from fingerprint.formats.file_bytes import FileBytes, FileFacts, read_file
from fingerprint.formats.folder import inside
from fingerprint.formats.naming import naming, shown_path
from fingerprint.graphs.reading import MAX_BYTES
from fingerprint.graphs.session import MAX_VALUES
from fingerprint.graphs.wire import receive, send
from fingerprint.text import clean

__all__ = ["OnnxProcess"]

_MEMORY = 16 * 2**30
"""Most memory the process may take; what the machine has, where that is less."""

_LEAST_MEMORY = 4 * 2**30
_SECONDS = 600.0
"""Longest time for one request; a large network answers 16 pictures in a few seconds."""

_SAID = 600
_REFUSALS = (MalformedFile, UnsafeFile, IncompatibleModel)


class OnnxProcess:
    """One ONNX file, opened by a process of its own.

    Args:
        path: The file.
        threads: How many may compute.
        follow_symlinks: Whether links may lead to external data outside of the file's folder.
        memory: How many bytes the process may take; by default 16 GiB, or what the machine has.
        keep: Whether :attr:`content` is going to be asked for.

    Attributes:
        file: The file that was read.
        seconds: How long it may take for one request before it is ended.
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
        keep: bool = False,
    ) -> None:
        content = read_file(path, max_bytes=MAX_BYTES)
        _require_runtime(content.path)
        self.file = FileFacts(
            path=content.path, sha256=content.sha256, size=len(content.data), format="onnx"
        )
        self.seconds, self._ended = _SECONDS, ""
        self._child = _started(memory or _memory(), threads)
        self._end = weakref.finalize(self, _close, self._child)
        with naming(content.path):
            try:
                self.facts = self._opened(content, follow_symlinks, keep)
            except BaseException:
                self._end()
                raise

    def _opened(self, content: FileBytes, follow_symlinks: bool, keep: bool) -> dict[str, Any]:
        """Has the graph parsed and made ready to run, and returns what it says of itself."""
        try:
            wanted, _ = self._request({"request": "read"}, content.data)
        except EnvironmentFailure as error:
            raise UnsafeFile(f"reading it failed: {error}") from error
        places = [str(place) for place in wanted.get("external", ())]
        files = _beside(content.path, places, len(content.data), follow_symlinks)
        sizes = [[place, len(data)] for place, data in files.items()]
        try:
            opening = {"request": "open", "files": sizes, "keep": keep}
            facts, _ = self._request(opening, *files.values())
        except EnvironmentFailure as error:
            raise UnsafeFile(f"making it ready to run failed: {error}") from error
        return facts

    @property
    def content(self) -> bytes:
        """The network in one piece: without local functions, nothing in other files."""
        return self._request({"request": "content"})[1]

    def ask(self, name: str, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """Answers a batch: ``(N, ...)`` as the input takes it -> ``(N, values)``.

        Args:
            name: The input; all others get zeros.
            values: What it gets.
            output: Which output to answer with.

        Raises:
            IncompatibleModel: It does not run on these inputs, or its answers are no numbers.
            EnvironmentFailure: Its process ended.
        """
        header = {
            "request": "ask",
            "input": name,
            "output": output,
            "dtype": values.dtype.str,
            "shape": values.shape,
        }
        reply, data = self._request(header, np.ascontiguousarray(values).data.cast("B"))
        rows = np.frombuffer(data, np.float32)
        try:
            return rows.reshape(reply["shape"]).copy()
        except (LookupError, TypeError, ValueError) as error:
            raise EnvironmentFailure("its process sent something else than answers") from error

    def _request(
        self, header: dict[str, Any], *payload: bytes | memoryview
    ) -> tuple[dict[str, Any], bytes]:
        if self._ended:
            raise EnvironmentFailure(self._ended)
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        watch = threading.Timer(self.seconds, child.kill)
        watch.start()
        try:
            send(child.stdin, header, *payload)  # type: ignore[arg-type]
            reply, data = receive(child.stdout, most=_most(header))  # type: ignore[arg-type]
        except (EOFError, OSError, ValueError) as error:
            late = not watch.is_alive()
            self._ended = _death(child, self.seconds if late else None)
            raise EnvironmentFailure(self._ended) from error
        finally:
            watch.cancel()
        if "error" in reply:
            kinds = {kind.__name__: kind for kind in _REFUSALS}
            refusal = kinds.get(str(reply["error"]), InputRefused)
            raise refusal(clean(reply.get("said", ""), _SAID))
        return reply, data


def _require_runtime(path: str) -> None:
    missing = [one for one in ("onnx", "onnxruntime") if importlib.util.find_spec(one) is None]
    if missing:
        raise EnvironmentFailure(
            f"{shown_path(path)}: an ONNX network, and {' and '.join(missing)} is not installed "
            "to run it; pip install 'nullprint[onnx]'"
        )


def _started(memory: int, threads: int) -> subprocess.Popen[bytes]:
    """Starts the process, which imports nothing from the folder it is started in."""
    root = str(Path(errors.__file__).parent.parent)
    known = os.environ.get("PYTHONPATH")
    try:
        return subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-B",
                "-m",
                "fingerprint.graphs.child",
                str(memory),
                str(threads),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, known] if known else [root])},
            start_new_session=True,  # Ctrl-C is for this process, which ends the other
        )
    except OSError as error:
        raise EnvironmentFailure(f"the process for ONNX Runtime: {error.strerror}") from error


def _memory() -> int:
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not known on this system
        return _MEMORY
    return max(_LEAST_MEMORY, min(_MEMORY, there))


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


def _most(header: dict[str, Any]) -> int:
    """Returns how many bytes may come back."""
    if header["request"] == "ask":
        return int(header["shape"][0]) * MAX_VALUES * 4
    return MAX_BYTES if header["request"] == "content" else 0


def _death(child: subprocess.Popen[bytes], seconds: float | None) -> str:
    """Says how the process ended, and sees to it that it did."""
    if seconds is not None:
        return f"ONNX Runtime took more than {seconds:g} s and was ended"
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(1.0)
    child.kill()
    code = child.wait()
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    return f"the process of ONNX Runtime ended {how} (too little memory, or a crash)"


def _close(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):  # what it did not read is lost
                stream.close()
