"""Builds an architecture around the weights of a file, whatever stands around their names.

built = build(parse_architecture("timm:resnet18"), entry.tensors)
built.module, built.notes
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from fingerprint.architectures.alignment import align
from fingerprint.architectures.architecture import Architecture, fit, key_difference
from fingerprint.architectures.factory import build_with_factory

__all__ = ["Built", "build", "fits"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Built:
    """A network with its weights.

    Attributes:
        module: The network.
        notes: One line for each thing that was done to the weights' names or values.
    """

    module: nn.Module
    notes: tuple[str, ...] = ()


def build(
    architecture: Architecture,
    tensors: Mapping[str, Tensor],
    *,
    input_size: tuple[int, ...] | None = None,
) -> Built:
    """Builds a network and puts weights into it.

    Args:
        architecture: What to build.
        tensors: Tensors of a file by name.
        input_size: Shape of one input, for architectures that fix it when built.

    Raises:
        UsageError: The architecture does not exist, or cannot be built as asked.
        IncompatibleModel: The weights do not fit it.
    """
    if architecture.source == "transformers":
        from fingerprint.architectures.transformers_models import build_transformers

        module, tensors = build_transformers(architecture, tensors)
        aligned = align(module, tensors)
    else:
        module = _construct(architecture, tensors, input_size)
        aligned = align(module, tensors)
        if (aligned.prefix or aligned.notes) and key_difference(module, aligned.tensors):
            # The number of classes is read from the weights, whose names are known only now.
            module = _construct(architecture, aligned.tensors, input_size)
    fit(module, aligned.tensors, architecture.text)
    return Built(module=module, notes=aligned.notes)


def fits(module: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    """Whether tensors hold weights for a network, classes and all."""
    return not key_difference(module, align(module, tensors).tensors)


def _construct(
    architecture: Architecture, tensors: Mapping[str, Tensor], input_size: tuple[int, ...] | None
) -> nn.Module:
    if architecture.source != "timm":
        return build_with_factory(architecture, tensors)
    # timm takes seconds to import, and most who bring their own network do not need it.
    from fingerprint.architectures.timm_models import build_timm

    return build_timm(architecture, tensors, input_size=input_size)
