"""Surrogates: networks that learned to answer noise like the source, with weights of their own.

    surrogates = train_surrogates(model, seed=seed, count=2)

Which perturbations a network ignores is partly its weights and partly its function: two small
perceptrons trained on the same digits ignore much the same. How much of a fingerprint is mere
function is found out at registration, without data: copies of the architecture with new random
weights learn for a moment to give the source's answers to noise, and are then asked its probes.
A deep network is not imitated that quickly and its surrogates react like strangers; a shallow
one is, and its surrogates come close. Independent models of the same data lie above their
surrogates or somewhat below, so a surrogate's harm ratio, less a safety factor, bounds the margin
of its source.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm, remove_spectral_norm
from torch.nn.utils.weight_norm import WeightNorm, remove_weight_norm

from fingerprint.network.logits import logits_of
from fingerprint.network.model import Model
from fingerprint.network.run import full_precision
from fingerprint.network.spec import InputSpec
from fingerprint.progress import Progress, silent
from fingerprint.solvers.objective import centred

__all__ = ["train_surrogates"]

STEPS = 400
BATCH = 16
"""Together: how long a surrogate learns. The longer, the closer it comes, without end; this much
puts the surrogates of small transformers and convolutional networks below independent models of
the same data and those of perceptrons within 0.7 of them."""

_RATE = 3e-3
_BLOCKS = (1, 2, 4, 8)
_LEAST_POWER = torch.finfo(torch.float32).tiny
"""Keeps a quotient finite where the answers tell nothing apart, whatever their size else."""


def train_surrogates(
    model: Model, *, seed: str, count: int, progress: Progress = silent
) -> tuple[Model, ...]:
    """Trains networks of the source's architecture to imitate it on noise.

    Each costs ``STEPS * BATCH`` forward-and-backward passes and as many forward passes of the
    source.

    Args:
        model: The source; left alone, as is the global random state.
        seed: Registry seed; new weights and noise derive from it and the source's digest.
        count: How many surrogates.
        progress: Called after each step.

    Returns:
        The surrogates, in evaluation mode and float32. Networks that cannot be trained (operations
        without a derivative, answers that turn infinite) give fewer, or none.
    """
    surrogates = []
    for place in range(count):
        # The word is older than the name, and decides the numbers that follow.
        label = f"nullprint|{seed}|{model.digest}|decoy|{place}"
        number = int.from_bytes(hashlib.sha256(label.encode()).digest()[:6], "big")
        apprentice: _Apprentice | None = None
        for step in range(STEPS):
            # The network is somebody's own code: what cannot be copied, has no derivative or
            # fails in its own way has no surrogate. Interrupts and the caller's errors go through.
            try:
                apprentice = apprentice or _Apprentice(model, number)
                apprentice.learn()
            except Exception:
                break
            progress("training surrogates", place * STEPS + step + 1, count * STEPS)
        else:
            surrogates.append(apprentice)
    finished = [apprentice.finished() for apprentice in surrogates if apprentice is not None]
    return tuple(surrogate for surrogate in finished if surrogate is not None)


class _Apprentice:
    """A network with weights of its own that learns, step by step, to answer like the source.

    It stays in evaluation mode but for its batch normalisations: some networks answer in
    another form in training mode, and what drops units at random imitates worse.
    """

    def __init__(self, source: Model, number: int) -> None:
        self.source = source.to(dtype=torch.float32)
        module = _forgetful(self.source.module, number)
        self.student = replace(self.source, module=module.eval())
        for part in module.modules():
            part.training = isinstance(part, _NormBase)
        weights = [weight for weight in module.parameters() if weight.is_floating_point()]
        for weight in weights:
            weight.requires_grad_(True)
        self._generator = torch.Generator().manual_seed(number)
        self._optimizer = torch.optim.AdamW(weights, lr=_RATE, weight_decay=1e-2)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, _RATE, total_steps=STEPS
        )

    def learn(self) -> None:
        """Takes one step on fresh noise."""
        noise = _noise(self.source.input, BATCH, self._generator).to(self.source.device)
        with full_precision(), torch.no_grad():
            target = _finite_answers(self.source, noise)
        with full_precision(), torch.enable_grad():
            error = _finite_answers(self.student, noise) - target
            loss = error.square().mean() / target.square().mean().clamp_min(_LEAST_POWER)
            self._optimizer.zero_grad()
            torch.autograd.backward(loss)
        self._optimizer.step()
        self._schedule.step()

    def finished(self) -> Model | None:
        """Returns the surrogate, or None if it does not answer once its statistics are fixed."""
        self.student.module.eval().requires_grad_(False)
        noise = _noise(self.source.input, BATCH, self._generator).to(self.source.device)
        try:
            with torch.no_grad():
                _finite_answers(self.student, noise)
        except Exception:
            return None
        return self.student


def _finite_answers(model: Model, inputs: Tensor) -> Tensor:
    answers = centred(logits_of(model)(inputs))
    if not bool(torch.isfinite(answers).all()):
        raise ValueError("expected finite answers while training a surrogate")
    return answers


def _forgetful(module: nn.Module, number: int) -> nn.Module:
    """Returns a copy with fresh weights; parameters nobody knows how to draw are shuffled.

    Buffers stay, apart from running statistics: they hold masks, indices and fixed filters,
    without which an architecture is not itself.
    """
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    fresh = _unparametrised(copy.deepcopy(module).cpu())
    before = {name: weight.detach().clone() for name, weight in fresh.named_parameters()}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        # Not torch.manual_seed: it would seed all accelerators as well, for good.
        torch.default_generator.manual_seed(number)
        for part in fresh.modules():
            _reset(part)
        for name, weight in fresh.named_parameters():
            known = before.get(name)
            if known is not None and torch.equal(weight, known) and weight.is_floating_point():
                order = torch.randperm(weight.numel())
                weight.data = weight.data.flatten()[order].reshape(weight.shape)
    return fresh.to(device)


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


def _noise(spec: InputSpec, count: int, generator: torch.Generator) -> Tensor:
    """Draws what the source is imitated on: noise of all scales, full contrast or over a colour.

    Returns:
        Shape ``(count, *spec.shape)``, float32 in ``spec.bounds``.
    """
    spatial = range(1, len(spec.shape)) if len(spec.shape) > 1 else range(0)
    block = _BLOCKS[int(torch.randint(len(_BLOCKS), (1,), generator=generator))]
    grid = [-(-size // block) if axis in spatial else size for axis, size in enumerate(spec.shape)]
    ones = (1,) * len(spec.shape)
    noise = torch.rand((count, *grid), generator=generator)
    binary = torch.rand((count, *ones), generator=generator) < 0.5
    noise = torch.where(binary, noise.round(), noise)
    for axis in spatial:
        noise = noise.repeat_interleave(block, dim=axis + 1).narrow(axis + 1, 0, spec.shape[axis])
    colour = torch.rand((count, *spec.shape[:1], *ones[1:]), generator=generator)
    contrast = torch.rand((count, *ones), generator=generator)
    full = torch.rand((count, *ones), generator=generator) < 0.5
    contrast = torch.where(full, 1.0, contrast)
    low, high = spec.bounds
    unit: Tensor = colour * (1 - contrast) + noise * contrast
    return low + unit * (high - low)
