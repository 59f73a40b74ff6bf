"""Questions handed out as pictures, for somebody who can run them through a model by hand.

::

    handout = Handout(questions, secrets.token_hex(32))
    handout.write(Path("pictures"))      # files in an order that says nothing
    handout.pictures["bcdfghjklmnp"]     # the id of the input behind a name

Names are drawn with a key, and the order is that of the names: nothing about a file but what it
shows says whether it is a base, a probe, a turned control or of the panel. A few pictures are there
twice, under two names, so that answers show whether they repeat.
"""

from __future__ import annotations

import hmac
import io
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint.canonical import canonical, sha256_of
from fingerprint.errors import UsageError
from fingerprint.files import whole_folder
from fingerprint.questions import Questions
from fingerprint.text import clean

__all__ = ["ANSWERS", "MANIFEST", "PICTURES", "Handout", "commitment_of"]

MANIFEST, ANSWERS, PICTURES = "manifest.json", "answers.csv", "pictures"
_TWICE = 4
"""Pictures that are there twice: one that was lost on the way does not cost the verdict."""
_LETTERS = "bcdfghjklmnpqrstvwxz"
_LENGTH = 12
"""Letters of a name: no digits, which a spreadsheet takes for numbers or dates, and no vowels,
which make words of them. So many that no two pictures of a million share one."""
_BANDS = {1: "L", 3: "RGB"}
_HOW = (
    "Show each file of the folder pictures to the model, unchanged, and write down what it answers "
    "in a table of any kind: the file and a label; or the file, a label and its score; or the file "
    "and one column for each class, with as many decimals as there are. 'fp verify' reads it."
)


def commitment_of(id: str, pictures: Mapping[str, str]) -> str:
    """SHA-256 over what a handout is called and the inputs behind its names, in hex."""
    return sha256_of(canonical({"handout": id, "pictures": pictures}))


class Handout:
    """Questions under names that tell nothing.

    Args:
        questions: What is asked.
        key: Secret text that names are drawn with.
    """

    def __init__(self, questions: Questions, key: str) -> None:
        self.questions, self._key = questions, key

    @property
    def id(self) -> str:
        """What it is called: 12 hex digits that give nothing of the key away."""
        return sha256_of(f"nullprint handout {self._key}")[:12]

    @cached_property
    def pictures(self) -> dict[str, str]:
        """The id of the input behind each name, names in order."""
        ids = sorted(self.questions.ids, key=self._name)
        found = {self._name(asked): asked for asked in ids}
        found |= {self._name(f"{asked} again"): asked for asked in ids[:_TWICE]}
        return dict(sorted(found.items()))

    @property
    def commitment(self) -> str:
        """What the manifest shows of the names and the inputs behind them."""
        return commitment_of(self.id, self.pictures)

    def _name(self, what: str) -> str:
        digest = hmac.digest(self._key.encode(), what.encode(), "sha256")
        number = int.from_bytes(digest)
        letters = []
        for _ in range(_LENGTH):
            number, place = divmod(number, len(_LETTERS))
            letters.append(_LETTERS[place])
        return "".join(letters)

    def write(self, folder: Path) -> None:
        """Writes a new folder of pictures, a manifest and a table to fill in, whole or not at all.

        8-bit pictures are PNG files, other inputs ``.npy`` arrays.

        Raises:
            UsageError: The folder exists.
            EnvironmentFailure: It cannot be written.
        """
        if folder.exists() or folder.is_symlink():
            raise UsageError(f"{clean(folder)}: expected a folder that is not there yet")
        with whole_folder(folder) as draft:
            (draft / PICTURES).mkdir()
            at = {asked: place for place, asked in enumerate(self.questions.ids)}
            # In the order of names, so that times of writing say no more than these.
            for name, asked in self.pictures.items():
                file = draft / PICTURES / f"{name}.{self.format}"
                file.write_bytes(self._encoded(self.questions.inputs[at[asked]]))
            lines = [f"{name}.{self.format}," for name in self.pictures]
            (draft / ANSWERS).write_text("\n".join(["file,label", *lines, ""]), encoding="utf-8")
            manifest = json.dumps(self._manifest(), indent=2) + "\n"
            (draft / MANIFEST).write_text(manifest, encoding="utf-8")

    @property
    def format(self) -> str:
        """Suffix of the files."""
        spec = self.questions.input
        seen = spec.kind == "pixels" and len(spec.shape) == 3 and spec.shape[0] in _BANDS
        return "png" if seen else "npy"

    def _encoded(self, one: NDArray[Any]) -> bytes:
        stream = io.BytesIO()
        if self.format == "png":
            from PIL import Image

            rows = one.transpose(1, 2, 0)
            Image.fromarray(rows[:, :, 0] if len(one) == 1 else rows).save(stream, format="PNG")
        else:
            np.save(stream, one)
        return stream.getvalue()

    def _manifest(self) -> dict[str, Any]:
        """What whoever is handed the pictures may know."""
        spec = self.questions.input
        return {
            "schema": 1,
            "export": self.id,
            "commitment": self.commitment,
            "pictures": len(self.pictures),
            "format": self.format,
            "shape": list(spec.shape),
            "bounds": [0, 255] if spec.kind == "pixels" else list(spec.bounds),
            "how": _HOW,
        }
