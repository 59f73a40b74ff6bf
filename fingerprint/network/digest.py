"""One digest for one set of weights, whatever file format, prefix or precision held them.

weights_digest(module.state_dict())
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor

from fingerprint.formats.unwrap import strip_prefixes

__all__ = ["has_weights", "weights_digest"]

_VERSION = b"nullprint weights 1\n"


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """Computes the content digest of a state_dict.

    Names (without wrapper prefixes), shapes and values enter, in the order of the names.
    Floating-point values enter as float32, so a lossless copy in another precision or format
    has the same digest. Counters of seen batches do not enter: they change no answer.

    Args:
        state: Tensors by name.

    Returns:
        SHA-256 in hex.
    """
    named = strip_prefixes(state)
    digest = hashlib.sha256(_VERSION)
    for name in sorted(named):
        if name.rpartition(".")[2] == "num_batches_tracked":
            continue
        tensor = _canonical(named[name])
        header = [name, list(tensor.shape), str(tensor.dtype)]
        digest.update(json.dumps(header).encode() + b"\n")
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def has_weights(state: Mapping[str, Tensor]) -> bool:
    """Whether a state_dict holds a floating-point number, so that its digest names a network.

    Without any, all networks of one kind have the same digest, however they answer.
    """
    return any(tensor.is_floating_point() and tensor.numel() > 0 for tensor in state.values())


def _canonical(tensor: Tensor) -> Tensor:
    plain = tensor.detach().cpu()
    if plain.is_floating_point():
        plain = plain.to(torch.float32)
    elif plain.dtype != torch.bool:
        plain = plain.to(torch.int64)
    return plain.contiguous()
