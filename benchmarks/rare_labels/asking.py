"""What the networks of the zoo call pictures: each is asked a picture once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from benchmarks.detection.methods.base import answers
from benchmarks.detection.results import load
from benchmarks.detection.zoo import members, stem
from benchmarks.rare_labels.conferrable import STUDENTS, student, thief
from benchmarks.rare_labels.zoo import Labels, Places, Pool, Zoo, taught
from fingerprint.files import write_whole
from fingerprint.lab.data import Data

__all__ = ["Memory", "read_zoo"]


class Memory:
    """Names pictures as networks do, and keeps the names in a file for each network.

    Args:
        networks: What loads each, by name.
        images: Shape ``(N, C, H, W)``.
        folder: Where the files are; they say nothing of the networks, so it has to go with them.
    """

    def __init__(
        self,
        networks: Mapping[str, Callable[[], nn.Module]],
        images: NDArray[np.uint8],
        folder: Path,
    ) -> None:
        self.networks, self.images, self.folder = networks, images, folder
        self._known: dict[str, Labels] = {}

    def __call__(self, name: str, places: Places) -> Labels:
        """Returns what a network calls the pictures at these places, shape ``(n,)``."""
        path = self.folder / f"{stem(name)}.npy"
        if name not in self._known:
            nothing = np.full(len(self.images), -1, np.int64)
            self._known[name] = np.load(path) if path.exists() else nothing
        known = self._known[name]
        wanted = np.arange(len(known))[places]
        fresh = np.unique(wanted[known[wanted] < 0])
        if len(fresh):
            told = answers(self.networks[name](), self.images[fresh])
            known[fresh] = told.argmax(dim=1).numpy()
            write_whole(path, lambda stream: np.save(stream, known))
        return known[wanted]


def read_zoo(work: Path, data: Data, keep: Path, results: Path) -> Zoo:
    """Returns the networks of the data's label space.

    Args:
        work: Where the zoo is.
        data: The pictures.
        keep: Where answers and students are kept.
        results: Of the detection benchmark; has the scores of other methods.
    """
    classes = int(data.test_labels.max()) + 1
    networks = [one for one in members(work) if one.classes == classes and one.task == "classes"]
    networks += [thief(one, data, keep / "students") for one in networks if one.source]
    loading: dict[str, Callable[[], nn.Module]] = {one.name: one.network for one in networks}
    for source in (one for one in networks if one.source):
        for name, architecture in zip(taught(source.name), STUDENTS, strict=True):
            loading[name] = partial(student, source, architecture, data, keep / "students")
    keep.mkdir(parents=True, exist_ok=True)
    told = Memory(loading, Pool.of(data).images, keep)
    others = {(pair.source, pair.suspect): pair.scores for pair in load(results).pairs}
    return Zoo(networks, told, data, others)
