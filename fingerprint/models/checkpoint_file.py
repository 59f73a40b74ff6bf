"""Reads torch checkpoints as data: ``weights_only=True``, and nothing else.

content = read_checkpoint(data, path)      # a state_dict, or dictionaries around one
"""

from __future__ import annotations

import io
import pickle
import warnings
from typing import Any

import torch

from fingerprint.errors import MalformedFile, UnsafeFile
from fingerprint.models.text import first_line

__all__ = ["read_checkpoint"]


def read_checkpoint(data: bytes | bytearray, path: str) -> Any:
    """Returns what a torch checkpoint holds.

    Args:
        data: The whole file.
        path: Its name, for messages.

    Raises:
        UnsafeFile: Loading it would run code or exhaust memory.
        MalformedFile: It is truncated or corrupt.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeFile(f"{path}: refused: {first_line(error)}") from error
    except Exception as error:
        # The reader meets arbitrary bytes: whatever it raises means that they are no checkpoint.
        raise MalformedFile(f"{path}: not a valid torch checkpoint: {first_line(error)}") from error
