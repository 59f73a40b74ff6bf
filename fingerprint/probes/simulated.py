"""Simulated kin and strangers of a model, in milliseconds.

They stand in for copies that somebody trained further, by which a pilot judges depths, or pruned,
for which individual probes are solved as well, and for networks that share nothing but the
architecture. No suspect is compared with them.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import nn
from torch.nn.functional import cosine_similarity
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm, remove_spectral_norm
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm

from fingerprint.errors import FingerprintError
from fingerprint.lab.modifications import matrices, pruned
from fingerprint.network.depths import Depth
from fingerprint.network.features import penultimate
from fingerprint.network.model import Model

__all__ = [
    "ROUGH",
    "drifted",
    "pruned_copies_of",
    "stranger",
    "with_head",
    "with_statistics",
    "without_smallest",
]

ROUGH = 0.45
"""Share of the weights that a rough copy lacks: more than a copy can spare that is to be of use."""
_PRUNED = 0.35
"""Share of the weights that the copy lacks which individual probes are solved for as well. A
transformer's copies without 20 to 40 % come to a third less on such probes, its siblings to as much
as before (``benchmarks.individual_probes``)."""

_DRIFT = 0.05
"""Noise on weights, relative to their spread: about what an epoch of fine-tuning moves them by."""
_LEARNED_ON = 0.5
"""Cosine between the weights of a layer and those that it learned on from: 0.99 and more of all
matrices of the benchmark's fine-tunes. Those of a layer that was drawn anew have one near 0."""
_SHIFT = 0.1
"""Shift of running statistics, in standard deviations of what they describe."""


def drifted(model: Model, seed: str) -> Model:
    """Returns a copy as fine-tuning leaves one: all weights and statistics moved a little.

    Args:
        model: The source.
        seed: Says which draw.
    """
    generator = torch.Generator().manual_seed(_number(f"{seed}|{model.digest}|drift"))

    def noise(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator).to(like)

    module = copy.deepcopy(model.module)
    with torch.no_grad():
        for weight in module.parameters():
            if weight.is_floating_point() and weight.numel() > 1:
                weight.data = weight + _DRIFT * weight.std() * noise(weight)
        for part in module.modules():
            if isinstance(part, _NormBase) and part.running_var is not None:
                assert part.running_mean is not None
                spread = part.running_var.sqrt()
                part.running_mean += _SHIFT * spread * noise(spread)
                part.running_var *= (_SHIFT * noise(spread)).exp()
    return replace(model, module=module)


def pruned_copies_of(depth: Depth) -> tuple[Depth, ...]:
    """Returns a depth in a copy of its model without the smallest weights.

    None of them where the model has no weights, or the copy gives no finite answers.
    """
    copy = without_smallest(depth.model, _PRUNED)
    if copy is None:
        return ()
    there = depth.of(copy)
    return (there,) if _is_finite(there) else ()


def without_smallest(model: Model, share: float) -> Model | None:
    """Returns a copy that lacks a share of its weights that are not zero.

    None where there is nothing to take away: a model has no weights, or all are equally large.
    """
    weights = [weight.data for weight in matrices(model.module)]
    total = sum(weight.numel() for weight in weights)
    if not total:
        return None
    left = sum(int(weight.count_nonzero()) for weight in weights)
    module = pruned(model.module, share=1 - (1 - share) * left / total)
    if sum(int(weight.data.count_nonzero()) for weight in matrices(module)) == left:
        return None
    return replace(model, module=module)


def with_statistics(relative: Model, model: Model) -> Model | None:
    """Returns a relative with a model's running statistics: a sibling that learned hardly anything.

    Whoever learns from the same kind of pictures comes to the same statistics, before weights move.
    None where nothing of them differs, or they describe other things.
    """
    module = copy.deepcopy(relative.module)
    taken = _take(module, model.module, _describes)
    return replace(relative, module=module) if any(taken) else None


def with_head(relative: Model, model: Model) -> Model | None:
    """Returns a relative's layers under a model's last: a sibling that began with the same head.

    Whoever runs the same script draws the same head, and gentle learning hardly moves it. The same
    holds of further layers that were drawn anew. None where the last layer is not linear, or fewer
    than half of the parameters and buffers are to be found in the relative, by name and shape.
    """
    features = penultimate(model)
    if features is None:
        return None
    layer = {id(weight) for weight in features.layer.parameters()}
    head = {_layer(name) for name, value in _values(model.module) if id(value) in layer}
    own = head | _drawn_anew(model.module, relative.module)
    module = copy.deepcopy(model.module)
    taken = _take(module, relative.module, lambda name: _layer(name) not in own)
    enough = 2 * len(taken) >= len(dict(_values(module)))
    return replace(model, module=module) if enough else None


def _drawn_anew(module: nn.Module, parent: nn.Module) -> set[str]:
    """Returns the layers whose weights did not learn on from a parent's of the same shape."""
    return {
        _layer(name)
        for name, value, theirs in _in_both(module, parent)
        if value.ndim > 1 and value.is_floating_point() and _cosine(value, theirs) < _LEARNED_ON
    }


def _cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    one, other = (value.detach().flatten().to("cpu", torch.float64) for value in (first, second))
    return float(cosine_similarity(one, other, dim=0))


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _take(module: nn.Module, source: nn.Module, wanted: Callable[[str], bool]) -> list[bool]:
    """Takes wanted values of a source into a module, where name and shape are the same.

    Returns:
        For each value that was taken, whether it is another than it was.
    """
    changed = []
    for name, value, theirs in _in_both(module, source):
        if wanted(name):
            new = theirs.to(value)
            changed.append(not torch.equal(new, value))
            value.data.copy_(new)
    return changed


def _in_both(
    module: nn.Module, other: nn.Module
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Yields what two networks have under one name and in one shape, with either's values."""
    theirs = dict(_values(other))
    for name, value in _values(module):
        if name in theirs and theirs[name].shape == value.shape:
            yield name, value, theirs[name]


def _values(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields parameters and buffers; what is shared, under all of its names."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _describes(name: str) -> bool:
    return name.rpartition(".")[2] in ("running_mean", "running_var")


def _is_finite(place: Depth) -> bool:
    """Whether it answers a grey picture, and with what is finite."""
    model = place.model
    x = torch.full((1, *model.input.shape), sum(model.input.bounds) / 2, dtype=model.dtype)
    try:
        with torch.no_grad():
            return bool(torch.isfinite(place(x.to(model.device))).all())
    except FingerprintError:
        return False


def stranger(model: Model, seed: str) -> Model:
    """Returns a network of the same architecture with fresh random weights.

    Parameters nobody knows how to draw are shuffled. Buffers stay, apart from running statistics:
    they hold masks, indices and fixed filters, without which an architecture is not itself.
    """
    device = model.device
    fresh = _unparametrised(copy.deepcopy(model.module).cpu())
    before = {name: weight.detach().clone() for name, weight in fresh.named_parameters()}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        # Not torch.manual_seed: it would seed all accelerators as well, for good.
        torch.default_generator.manual_seed(_number(f"{seed}|{model.digest}|stranger"))
        for part in fresh.modules():
            _reset(part)
        for name, weight in fresh.named_parameters():
            known = before.get(name)
            if known is not None and torch.equal(weight, known) and weight.is_floating_point():
                order = torch.randperm(weight.numel())
                weight.data = weight.data.flatten()[order].reshape(weight.shape)
    for weight in fresh.parameters():  # scripted modules have no requires_grad_ of their own
        weight.requires_grad_(False)
    return replace(model, module=fresh.to(device).eval())


def _number(label: str) -> int:
    return int.from_bytes(hashlib.sha256(label.encode()).digest()[:6], "big")


def _reset(part: nn.Module) -> None:
    """Draws a part's weights anew where it knows how; by convention that takes no arguments."""
    reset = getattr(part, "reset_parameters", None)
    if not callable(reset):
        return
    try:
        reset()
    except Exception:
        # Somebody's own method, with arguments or conditions of its own.
        return


def _unparametrised(module: nn.Module) -> nn.Module:
    """Turns weights computed from others (norms, orthogonality) into plain ones, in place.

    The others would keep the source's directions, or norms that fit its weights only.
    """
    for part in list(module.modules()):
        if parametrize.is_parametrized(part):
            _settle(part)
        for hook in list(part._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                remove_weight_norm(part, hook.name)
            elif isinstance(hook, SpectralNorm):
                remove_spectral_norm(part, hook.name)
    return module


def _settle(part: nn.Module) -> None:
    """Gives a parametrised part its weights' values as plain parameters.

    torch's own way deletes them from the class, which a copy shares with its original.
    """
    names = list(part._modules["parametrizations"]._modules)  # type: ignore[union-attr]
    values = {name: getattr(part, name).detach().clone() for name in names}
    del part._modules["parametrizations"]
    part.__class__ = type(part).__bases__[0]
    for name, value in values.items():
        part.register_parameter(name, nn.Parameter(value, requires_grad=False))
