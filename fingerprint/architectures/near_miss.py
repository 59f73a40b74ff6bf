"""Says which architecture some weights are nearest to, and what would make them fit.

    raise UnknownArchitecture(near_miss(tensors, nearest))

The nearest are found by sketches of names; only they are built, without memory for values, to
see what differs and which option of the constructor, if any, takes the difference away.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fingerprint.architectures.alignment import align
from fingerprint.architectures.architecture import KeyDifference, key_difference, shape_text
from fingerprint.errors import IncompatibleModel
from fingerprint.text import listed

__all__ = ["TRANSFORMERS_CLASSES", "describe_difference", "outline", "transformers_name"]

_POOLS = ("avg", "token", "max", "avgmax", "map", "")
_SIZES = (32, 64, 96, 112, 128, 160, 192, 224, 240, 256, 288, 320, 384, 448, 512, 28, 16)
_TRANSFORMERS = {
    "vit.embeddings": "ViTForImageClassification", "deit.embeddings": "DeiTForImageClassification",
    "beit.embeddings": "BeitForImageClassification", "swin.": "SwinForImageClassification",
    "swinv2.": "Swinv2ForImageClassification", "convnext.": "ConvNextForImageClassification",
    "convnextv2.": "ConvNextV2ForImageClassification",
    "resnet.embedder": "ResNetForImageClassification",
    "regnet.embedder": "RegNetForImageClassification", "bit.embedder": "BitForImageClassification",
    "mobilenet_v1.": "MobileNetV1ForImageClassification",
    "mobilenet_v2.": "MobileNetV2ForImageClassification",
    "mobilevit.": "MobileViTForImageClassification",
    "mobilevitv2.": "MobileViTV2ForImageClassification", "levit.": "LevitForImageClassification",
    "efficientnet.embeddings": "EfficientNetForImageClassification",
    "dinov2.embeddings": "Dinov2ForImageClassification", "cvt.": "CvtForImageClassification",
    "data2vec_vision.": "Data2VecVisionForImageClassification",
    "van.": "VanForImageClassification",
    "poolformer.": "PoolFormerForImageClassification",
    "focalnet.": "FocalNetForImageClassification",
    "pvt.": "PvtForImageClassification",
    "segformer.": "SegformerForImageClassification",
    "hiera.": "HieraForImageClassification",
    "vision_model.embeddings": "CLIPVisionModel",
}  # fmt: skip

TRANSFORMERS_CLASSES = frozenset(_TRANSFORMERS.values()) - {"CLIPVisionModel"} | {
    "DeiTForImageClassificationWithTeacher",
    "LevitForImageClassificationWithTeacher",
}
"""The image classifiers of transformers that are built: none of them wraps other libraries."""


def transformers_name(names: Sequence[str]) -> str | None:
    """Returns the class of transformers that gives its weights such names; None if none does."""
    for begin, name in _TRANSFORMERS.items():
        if any(text.startswith(begin) or f".{begin}" in text for text in names):
            return name
    return None


def outline(name: str, **options: Any) -> nn.Module:
    """Builds a timm architecture on the meta device: names and shapes, no values."""
    import timm

    with torch.device("meta"):
        module: nn.Module = timm.create_model(name, pretrained=False, **options)
    return module


def describe_difference(name: str, tensors: Mapping[str, Tensor]) -> str:
    """Says how weights differ from a timm architecture, and what to give so that they fit.

    Args:
        name: The architecture they are nearest to.
        tensors: The weights by name.
    """
    from fingerprint.architectures.timm_models import head_names, preprocessing

    settings = preprocessing(name)
    module = outline(name)
    try:
        own = align(module, tensors).tensors
    except IncompatibleModel as error:
        return f"the names are nearest to those of timm:{name}; {error}"
    heads = head_names(settings)
    difference = _without_classes(key_difference(module, own), heads)
    same_names = not difference.missing and not difference.unexpected
    begin = "the names are those of" if same_names else "the names are nearest to those of"
    told = f"{begin} timm:{name}; {_told(difference)}"
    for options in _variants(settings, own, heads):
        try:
            fitting = outline(name, **options)
        except Exception:
            # An option that this architecture does not have.
            continue
        if not _without_classes(key_difference(fitting, own), heads):
            return f"{told}: give {_way_out(name, settings, options)}"
    return (
        f"{told}: if that is what was built, name a function that builds it with "
        "--arch package.module:factory"
    )


def _without_classes(difference: KeyDifference, heads: Sequence[str]) -> KeyDifference:
    """Leaves out the head's first axis, which the class count decides."""
    shapes = tuple(
        (key, got, want)
        for key, got, want in difference.shapes
        if not (key.rpartition(".")[0] in heads and got[1:] == want[1:])
    )
    return KeyDifference(
        missing=difference.missing, unexpected=difference.unexpected, shapes=shapes
    )


def _told(difference: KeyDifference) -> str:
    if difference.missing or difference.unexpected:
        return str(difference)
    texts = (
        f"{key} has another size ({shape_text(got)} for {shape_text(want)})"
        for key, got, want in difference.shapes
    )
    return listed(texts)


def _variants(
    settings: Mapping[str, Any], own: Mapping[str, Tensor], heads: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yields options of timm's constructors by which networks commonly differ."""
    fixed: dict[str, Any] = {}
    if heads and not any(f"{head}.weight" in own for head in heads):
        fixed["num_classes"] = 0
    firsts = settings.get("first_conv")
    for first in (firsts,) if isinstance(firsts, str) else firsts or ():
        weight = own.get(f"{first}.weight")
        if weight is not None and weight.ndim == 4 and weight.shape[1] != 3:
            fixed["in_chans"] = int(weight.shape[1])
    sizes = (None, *_SIZES) if settings.get("fixed_input_size") else (None,)
    for pool, size in itertools.product((None, *_POOLS), sizes):
        chosen = dict(fixed)
        if pool is not None:
            chosen["global_pool"] = pool
        if size is not None:
            chosen["img_size"] = size
        yield chosen


def _way_out(name: str, settings: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Returns the options of the command line that stand for options of a constructor."""
    channels, size = options.get("in_chans"), options.get("img_size")
    arguments = "".join(
        f",{key}={value!r}" for key, value in options.items() if key not in ("in_chans", "img_size")
    )
    text = f"--arch timm:{name}{arguments}"
    if channels is None and size is None:
        return text
    default = settings.get("input_size") or (3, 224, 224)
    side = size or default[-1]
    return f"{text} and --input-size {channels or default[0]},{side},{side}" + (
        "" if size else " (or the size it was trained with)"
    )
