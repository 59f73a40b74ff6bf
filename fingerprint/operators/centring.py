"""What a layer normalisation reads of its input: the input less its mean.

Layer normalisation subtracts the mean of each token before anything nonlinear happens, and the
deviation it divides by is that of the difference. A transformer that normalises its embeddings
at once, as BERT does, is therefore blind to one direction in each token: the constant one.
"""

from __future__ import annotations

import math

import torch
from torch import fx

from fingerprint.operators.base import LinearOperator
from fingerprint.operators.composed import Repeated
from fingerprint.operators.dense import Dense
from fingerprint.operators.trace import Trace, named_arguments, operation

__all__ = ["centring", "normalised_entries"]

_LAYER_NORM = "aten.native_layer_norm"

_WIDEST = 4096
"""Entries of one token up to which the centring matrix is written out."""


def normalised_entries(node: fx.Node, trace: Trace) -> int | None:
    """Returns how many trailing entries are centred together before anybody reads a value.

    Args:
        node: A value of the trace, shape ``(1, ...)``.
        trace: Where it is.

    Returns:
        Entries of one token; None unless the value's readers are all layer normalisations of
        the same axes, of which only the normalised result is used.
    """
    sizes = set()
    for reader in node.users:
        if reader not in trace.dependent:
            continue  # takes the shape only
        if operation(reader) != _LAYER_NORM or not _only_normalises(reader, trace):
            return None
        sizes.add(math.prod(named_arguments(reader)["normalized_shape"]))
    return sizes.pop() if len(sizes) == 1 and max(sizes) <= _WIDEST else None


def _only_normalises(reader: fx.Node, trace: Trace) -> bool:
    """Whether scale and shift are constant, and neither mean nor deviation is used."""
    arguments = named_arguments(reader)
    constant = all(arguments[name] not in trace.dependent for name in ("weight", "bias"))
    return constant and all(pick.args[1] == 0 for pick in reader.users)


def centring(shape: tuple[int, ...], entries: int, *, device: torch.device) -> LinearOperator:
    """Subtracts from each run of trailing entries its mean.

    Args:
        shape: Of the input, whose last axes together have ``entries`` entries.
        entries: How many share a mean.
        device: Where it shall be.

    Returns:
        The orthogonal projection ``I − 11ᵀ/entries`` of each run, rank ``entries − 1``.
    """
    eye = torch.eye(entries, dtype=torch.float64, device=device)
    lead = len(shape)
    while math.prod(shape[lead:]) < entries:
        lead -= 1
    matrix = Dense(eye - 1.0 / entries, shape[lead:], shape[lead:])
    return Repeated(matrix, shape[:lead]) if lead else matrix
