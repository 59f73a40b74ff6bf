"""Asks copies and strangers through channels, with and without the twins.

Sources and suspects are members of the zoos of ``benchmarks.detection`` and
``benchmarks.detection.large``, with the fingerprints that were made there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.channel.channels import CHANNELS
from benchmarks.detection.zoo import Member, stem
from fingerprint import Fingerprint, Model, Suspect, load_model, verify
from fingerprint.network.run import run
from fingerprint.probes.codec import decode
from fingerprint.probes.twins import twin_inputs
from fingerprint.questions import question_id

__all__ = ["rows"]

_DOUBT = "so would the very model behind a service that changes what it is sent"


class _Behind(Suspect):
    """A network behind a channel, without weights or a name; each input is computed once."""

    def __init__(self, model: Model, channel: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]):
        super().__init__(model.input, model.output)
        self.model, self.channel, self.trusted = model, channel, False
        self.known: dict[str, NDArray[np.float32]] = {}

    @property
    def beyond(self) -> bool:
        """Whether it is asked for what reaches it."""
        return not self.trusted

    @property
    def doubt(self) -> str:
        """That of an endpoint that takes pictures."""
        return "" if self.trusted else _DOUBT

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Answers what the channel leaves of inputs."""
        ids = [question_id(one) for one in inputs]
        new = [place for place, asked in enumerate(ids) if asked not in self.known]
        if new:
            answers = run(self.model, self.channel(inputs[new]))
            self.known |= {ids[place]: row for place, row in zip(new, answers, strict=True)}
        return np.stack([self.known[asked] for asked in ids])


def _source(folder: Path, member: Member, model: Model) -> Fingerprint:
    """Reads a fingerprint; older ones are completed with their answers to the twins."""
    blob = (folder / "measured" / f"{stem(member.name)}__fingerprint.bin").read_bytes()
    found = decode(blob)
    if len(found.twin_answers):
        return found
    return replace(found, twin_answers=run(model, twin_inputs(found.input, found.seed)))


def rows(
    folder: Path,
    zoo: Mapping[str, Member],
    pairs: Mapping[str, Mapping[str, str]],
    side: int,
    channels: Mapping[str, tuple[str, ...]],
) -> Iterator[dict[str, Any]]:
    """Yields one row for each source, suspect and channel.

    Args:
        folder: Of the zoo.
        zoo: Its members by name.
        pairs: By source, suspects and what they are to it: ``copy``, ``derived`` or ``stranger``.
        side: Of the pictures.
        channels: What each of these three is asked through.
    """
    for source, suspects in pairs.items():
        model = _model(zoo[source], side)
        fingerprint = _source(folder, zoo[source], model)
        for name, what in suspects.items():
            asked = model if name == source else _model(zoo[name], side)
            for channel in channels[what]:
                behind = _Behind(asked, CHANNELS[channel])
                found = verify(behind, {source: fingerprint})
                behind.trusted = True
                plain = verify(behind, {source: fingerprint})
                yield {
                    "side": side,
                    "source": source,
                    "suspect": name,
                    "what": what,
                    "channel": channel,
                    "without": plain.verdict,
                    "with": found.verdict,
                    "ratio": plain.candidates[0].harm_ratio,
                    "twins": None if found.channel is None else found.channel.to_dict(),
                    "flipped": "BGR" in found.reason,
                }


def _model(member: Member, side: int) -> Model:
    return load_model(member.network(), input_size=(3, side, side))
