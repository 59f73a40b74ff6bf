"""What has to be asked: inputs, their ids, and which fingerprint wants which.

::

    questions = questions_for({"resnet": fingerprint})
    questions.write(Path("questions"))              # for whoever can get them answered
    Questions.read(Path("questions")).inputs        # (Q, *shape)

An input is named by the hash of its bytes, so inputs that fingerprints share are asked once, an
answer can be told from any other, and a file that was changed is noticed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fingerprint.canonical import canonical, sha256_of
from fingerprint.errors import (
    FingerprintError,
    IncompatibleModel,
    MalformedFile,
    UsageError,
)
from fingerprint.files import whole_folder
from fingerprint.formats.file_bytes import read_file
from fingerprint.network.spec import InputSpec
from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.probes.probe import Fingerprint, Outline

__all__ = [
    "Questions",
    "joined",
    "panel_questions",
    "picture_questions",
    "question_id",
    "questions_for",
]

_DOCUMENT, _INPUTS = "questions.json", "inputs.safetensors"
_MAX_DOCUMENT = 2**28
_MAX_INPUTS = 2**32
_DAMAGE = (SafetensorError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError)


def question_id(one: NDArray[Any]) -> str:
    """Names an input: the first 32 hex digits of the SHA-256 of its bytes."""
    return sha256_of(one.tobytes())[:32]


@dataclass(frozen=True, eq=False, kw_only=True)
class Questions:
    """Everything a verification has to ask.

    Attributes:
        input: The domain asked: shape, kind and bounds; means and deviations are the models' own.
        inputs: Shape ``(Q, *shape)``, no two equal; uint8 for pixels, else float32.
        ids: The id of each input, in the same order.
        wanted: By candidate, the ids of the inputs it wants.
        repeated: Ids of the inputs to be asked once more, to see whether answers repeat.
        open: Whether their answers decide what else is asked.
    """

    input: InputSpec
    inputs: NDArray[Any]
    ids: tuple[str, ...]
    wanted: Mapping[str, tuple[str, ...]]
    repeated: tuple[str, ...]
    open: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 over the domain, the ids and the repeats, in hex: what is asked, of anybody."""
        asked = {"domain": self.input.domain, "ids": self.ids, "repeated": self.repeated}
        return sha256_of(canonical(asked))

    def write(self, folder: Path) -> None:
        """Writes a new folder with the inputs and what is known of them, whole or not at all.

        Raises:
            UsageError: The folder exists.
            EnvironmentFailure: It cannot be written.
        """
        if folder.exists():
            raise UsageError(f"{clean(folder)}: expected a folder that is not there yet")
        document = {
            "schema": 1,
            "digest": self.digest,
            "input": self.input.to_dict(),
            "ids": self.ids,
            "wanted": self.wanted,
            "repeated": self.repeated,
        }
        with whole_folder(folder) as draft:
            (draft / _DOCUMENT).write_text(canonical(document) + "\n", encoding="utf-8")
            (draft / _INPUTS).write_bytes(save({"inputs": np.ascontiguousarray(self.inputs)}))

    @classmethod
    def read(cls, folder: Path) -> Questions:
        """Reads what :meth:`write` wrote, believing nothing of it.

        Raises:
            UsageError: There is no such folder.
            MalformedFile: It holds something else, or was changed.
            UnsafeFile: It is too large, or holds something other than files.
        """
        try:
            document = json.loads(
                read_file(str(folder / _DOCUMENT), max_bytes=_MAX_DOCUMENT).data.decode("utf-8")
            )
            tensors = load(read_file(str(folder / _INPUTS), max_bytes=_MAX_INPUTS).data)
            questions = cls(
                input=InputSpec.from_dict(document["input"]),
                inputs=tensors["inputs"],
                ids=tuple(map(str, document["ids"])),
                wanted={
                    str(name): tuple(map(str, ids)) for name, ids in document["wanted"].items()
                },
                repeated=tuple(map(str, document["repeated"])),
            )
            problem = next(_problems(questions, str(document["digest"])), None)
        except (UsageError, *_DAMAGE, AttributeError) as error:
            if isinstance(error, FingerprintError) and "no such file" in str(error):
                raise
            raise MalformedFile(
                f"{clean(folder)}: expected questions, got damaged data ({clean(error)})"
            ) from error
        if problem is not None:
            raise MalformedFile(f"{clean(folder)}: {problem}")
        return questions


def questions_for(fingerprints: Mapping[str, Fingerprint]) -> Questions:
    """Joins what fingerprints want to ask: bases, harmless inputs, their turned controls.

    Bases are asked upside down as well, where controls are. One input of the panel, or a harmless
    one of the first fingerprint, is asked a second time.

    Args:
        fingerprints: By name, at least one, all of one input domain.

    Raises:
        UsageError: There is no fingerprint.
        IncompatibleModel: They take different inputs.
    """
    if not fingerprints:
        raise UsageError("fingerprints: expected at least one to make questions of, got none")
    first = next(iter(fingerprints.values()))
    spec = InputSpec(shape=first.input.shape, kind=first.input.kind, bounds=first.input.bounds)
    inputs: dict[str, NDArray[Any]] = {}
    wanted: dict[str, tuple[str, ...]] = {}
    for name, fingerprint in fingerprints.items():
        if fingerprint.input.domain != spec.domain:
            raise IncompatibleModel(
                f"{name!r} takes inputs {fingerprint.input.domain}, others take {spec.domain}; "
                "ask about models of one kind of input at a time"
            )
        ids: list[str] = []
        for group in (
            fingerprint.bases,
            fingerprint.control_bases,
            fingerprint.harmless,
            fingerprint.controls,
            fingerprint.flipped_bases,
            fingerprint.panel,
        ):
            for one in group:
                ids.append(question_id(one))
                inputs.setdefault(ids[-1], one)
        wanted[name] = tuple(dict.fromkeys(ids))
    return Questions(
        input=spec,
        inputs=np.stack(list(inputs.values())),
        ids=tuple(inputs),
        wanted=wanted,
        repeated=(question_id(next(iter((*first.panel[:1], *first.harmless[:1])))),),
    )


def joined(first: Questions, second: Questions) -> Questions:
    """Returns what two ask of one domain, each input once; what is repeated is the first's."""
    known = set(first.ids)
    new = [place for place, asked in enumerate(second.ids) if asked not in known]
    return replace(
        first,
        inputs=np.concatenate([first.inputs, second.inputs[new]]),
        ids=(*first.ids, *(second.ids[place] for place in new)),
        wanted={**first.wanted, **second.wanted},
    )


def panel_questions(outline: Outline) -> Questions:
    """Returns the panel alone, the same for all models of a registry: it decides what follows."""
    given, inputs = outline.input, outline.panel
    ids = tuple(map(question_id, inputs))
    return Questions(
        input=InputSpec(shape=given.shape, kind=given.kind, bounds=given.bounds),
        inputs=inputs,
        ids=ids,
        wanted={},
        repeated=ids[:1],
        open=True,
    )


def picture_questions(spec: InputSpec, wanted: Mapping[str, NDArray[Any]]) -> Questions:
    """Returns somebody's pictures as questions, each once however many candidates want it.

    Args:
        spec: The input domain.
        wanted: By candidate, its pictures, shape ``(n, *shape)``; at least one in all.
    """
    ids = {name: tuple(map(question_id, inputs)) for name, inputs in wanted.items()}
    inputs = {
        asked: one for name in wanted for asked, one in zip(ids[name], wanted[name], strict=True)
    }
    return Questions(
        input=spec,
        inputs=np.stack(list(inputs.values())),
        ids=tuple(inputs),
        wanted=ids,
        repeated=(),
    )


def _problems(questions: Questions, digest: str) -> Iterator[str]:
    """Yields what does not fit, first things first."""
    spec, inputs, ids = questions.input, questions.inputs, questions.ids
    dtype = np.uint8 if spec.kind == "pixels" else np.float32
    if inputs.dtype != dtype or inputs.shape != (len(ids), *spec.shape) or not ids:
        yield (
            f"expected inputs of shape {(len(ids), *spec.shape)} and type {np.dtype(dtype)}, "
            f"got {inputs.shape} and {inputs.dtype}"
        )
        return
    low, high = spec.bounds
    if spec.kind == "float" and not ((inputs >= low) & (inputs <= high)).all():
        yield f"expected inputs from {low} to {high}, got others"
    if tuple(question_id(one) for one in inputs) != ids or len(set(ids)) != len(ids):
        yield "expected distinct inputs that hash to their ids, got others"
    if not set(ids).issuperset([*questions.repeated, *chain(*questions.wanted.values())]):
        yield "expected only ids of its own inputs, got others"
    if questions.digest != digest:
        yield "expected questions of the digest it states, got others"
