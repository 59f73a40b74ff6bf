"""Keeps solved probes until a fingerprint is whole, so that an interruption costs no more.

One file for each extraction, named by everything that decides its probes. It is data of this
machine's own user: sizes and names are checked when it is read, and what does not fit is solved
again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fingerprint.canonical import canonical, sha256_of
from fingerprint.errors import EnvironmentFailure, FingerprintError
from fingerprint.files import write_whole
from fingerprint.formats.file_bytes import read_file
from fingerprint.network.model import Model
from fingerprint.probes.bases import room_of
from fingerprint.probes.probe import ProbeRequest
from fingerprint.probes.solving import Solved, Solver
from fingerprint.progress import Progress
from fingerprint.text import clean

__all__ = ["Keeper"]

_MAX_FILE = 2**30
_DAMAGE = (
    FingerprintError,
    SafetensorError,
    ArithmeticError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class Keeper:
    """Solved probes of one extraction.

    Args:
        folder: Where; None to keep nothing.
        model: The source.
        bases: The bases it is solved on.
        decides: What else decides the probes: depths with their contrast, relatives, and others
            that starts are moved away from.
        seed: Registry seed.
    """

    def __init__(
        self,
        folder: Path | None,
        model: Model,
        bases: NDArray[Any],
        decides: Sequence[str],
        seed: str,
    ) -> None:
        name = sha256_of(
            canonical(
                [
                    seed,
                    model.digest,
                    model.load_options,
                    model.output.to_dict(),
                    sha256_of(bases.tobytes()),
                    *decides,
                ]
            )
        )
        self._path = None if folder is None else folder / f"{name[:32]}.solved"
        self._bases, self._room = bases, room_of(model.input)
        if model.input.kind == "pixels":
            self._room *= 255
        self._found = self._read()

    def solved(
        self, solver: Solver, requests: Sequence[ProbeRequest], progress: Progress
    ) -> list[Solved]:
        """Returns what is kept, and solves and keeps the rest, one depth after the other."""
        for kind in solver.kinds:
            missing = [one for one in requests if one.kind == kind and one not in self._found]
            if missing:
                self._found |= {one.request: one for one in solver.solve(missing, progress)}
                self._write()
        return [self._found[request] for request in requests]

    def forget(self) -> None:
        """Removes the file: what it held is in the fingerprint now."""
        if self._path is not None:
            # What was solved is at hand: no reason to lose it now.
            with suppress(OSError):
                self._path.unlink()

    def _write(self) -> None:
        if self._path is None:
            return
        rows = [
            [
                one.request.kind,
                one.request.base,
                one.request.draw,
                one.residual,
                one.converged,
                one.passes,
            ]
            for one in self._found.values()
        ]
        tensors = {"harmless": np.stack([one.harmless for one in self._found.values()])}
        body = save(tensors, metadata={"solved": canonical(rows)})
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFailure(f"{clean(self._path.parent)}: {error.strerror}") from error
        write_whole(self._path, lambda stream: stream.write(body))

    def _read(self) -> dict[ProbeRequest, Solved]:
        if self._path is None:
            return {}
        try:
            data = read_file(str(self._path), max_bytes=_MAX_FILE).data
            images = load(data)["harmless"]
            length = int.from_bytes(data[:8], "little")
            rows = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["solved"])
            if images.shape != (len(rows), *self._bases.shape[1:]):
                return {}
            if images.dtype != self._bases.dtype:
                return {}
            found = {}
            for image, (kind, base, draw, residual, converged, passes) in zip(
                images, rows, strict=True
            ):
                request = ProbeRequest(str(kind), int(base), int(draw))
                if request.base < 0 or not self._fits(image, self._bases[request.base]):
                    return {}
                if not 0 <= float(passes) < math.inf:
                    return {}
                found[request] = Solved(
                    request, image, float(residual), bool(converged), float(passes)
                )
        except _DAMAGE:
            return {}
        return found

    def _fits(self, image: NDArray[Any], base: NDArray[Any]) -> bool:
        """Whether an image can be turned around its base and still be sent; NaN can not."""
        size = np.abs(image.astype(np.float64) - base.astype(np.float64)).max()
        return bool(0 < size <= self._room * (1 + 1e-6))
