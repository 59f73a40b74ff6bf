"""Which functions of torch are layers, and of what kind.

The functional call is what counts, whether a module, a method or a plain line of a forward pass
makes it: ``nn.ReLU()(x)``, ``F.relu(x)``, ``torch.relu(x)`` and ``x.relu_()`` are one thing.
Functions are told by their names, so that all of these forms fit one entry. Affine ones are those
of :mod:`fingerprint.operators.affine`, activations those of :mod:`fingerprint.theory.activations`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fingerprint.operators.affine import AFFINE_FUNCTIONS
from fingerprint.theory.activations import ACTIVATIONS

__all__ = ["PRODUCTS", "Kind", "kind_of", "name_of"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a function is as a layer.

    Attributes:
        label: What to call it, such as ``convolution``.
        affine: Whether it is an affine function of its input.
    """

    label: str
    affine: bool


def _table(label: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), label)


PRODUCTS = frozenset(("matmul", "bmm", "mm", "einsum", "tensordot", "baddbmm"))
"""Linear layers where one factor is constant, products of features where none is."""

_NONLINEAR = {
    **dict.fromkeys((*ACTIVATIONS, "glu"), "activation"),
    **_table("softmax", "softmax log_softmax softmin logsumexp"),
    **_table("max pooling", "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices"),
    **_table("max pooling", "max_pool2d_with_indices max_pool3d_with_indices"),
    **_table("max pooling", "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d"),
    **_table("max pooling", "amax"),
    **_table("power pooling", "lp_pool1d lp_pool2d lp_pool3d"),
    **_table("layer norm", "layer_norm"),
    **_table("rms norm", "rms_norm"),
    **_table("group norm", "group_norm"),
    **_table("instance norm", "instance_norm"),
    **_table("local response norm", "local_response_norm"),
    **_table("normalisation", "normalize"),
    **_table("attention", "scaled_dot_product_attention"),
    **_table("product of features", "bilinear"),
}


def name_of(function: Callable[..., Any]) -> str:
    """Returns the name of a torch function; in-place and private forms have that of the plain."""
    name: str = getattr(function, "__name__", "")
    if name in ("__matmul__", "__rmatmul__"):
        return "matmul"
    return name if name.startswith("__") else name.strip("_")


def kind_of(name: str, *, variables: int, own_statistics: bool) -> Kind | None:
    """Returns what a function is as a layer; None for glue.

    Args:
        name: Of the function, from :func:`name_of`.
        variables: How many of its tensors depend on the network's input.
        own_statistics: Whether it is a batch norm that takes the batch's own statistics.
    """
    if name in PRODUCTS:
        one = variables == 1
        return Kind(label="linear" if one else "product of features", affine=one)
    if name in AFFINE_FUNCTIONS:
        return Kind(label=AFFINE_FUNCTIONS[name], affine=variables == 1 and not own_statistics)
    if name in _NONLINEAR:
        return Kind(label=_NONLINEAR[name], affine=False)
    return None
