"""The digest a file of weights is registered with, without loading the weights.

file_digest("model.safetensors") == model.file.sha256
"""

from __future__ import annotations

import hashlib
import os

from fingerprint.errors import EnvironmentFailure
from fingerprint.formats.file_bytes import open_regular
from fingerprint.formats.naming import shown_path
from fingerprint.formats.shards import INDEX, line_of, read_index

__all__ = ["file_digest"]


def file_digest(path: str) -> str:
    """Returns what ``FileFacts.sha256`` would be of a file, or of the shards of an index.

    Raises:
        UsageError: There is no such file.
        EnvironmentFailure: It may not be read.
        InputRefused: It is no regular file, or an index that does not hold together.
    """
    if not path.endswith(INDEX):
        return _sha256(path)
    folder, digest = os.path.dirname(path), hashlib.sha256()
    for name in read_index(path):
        digest.update(line_of(_sha256(os.path.join(folder, name)), name))
    return digest.hexdigest()


def _sha256(path: str) -> str:
    try:
        with os.fdopen(open_regular(path), "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise EnvironmentFailure(f"{shown_path(path)}: cannot be read: {error.strerror}") from error
