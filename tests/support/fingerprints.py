"""Small models and fingerprints, made in milliseconds, for whoever stores or shows them.

The values have the shapes, types and answers of real ones; the probes are random images that
nobody solved, so no statistics should be asked of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fingerprint.formats.file_bytes import FileFacts
from fingerprint.network.model import Model
from fingerprint.network.spec import InputSpec, OutputSpec
from fingerprint.probes.bases import GRAINED, grained_leaves
from fingerprint.probes.controls import symmetry_controls
from fingerprint.probes.panel import panel_inputs
from fingerprint.probes.probe import DepthFacts, Fingerprint, Probe, SpaceFacts, symmetry_of
from fingerprint.probes.turns import turned

__all__ = ["make_deep", "make_fingerprint", "make_model", "small"]

BASES = 2
DEPTHS = (
    DepthFacts(name="stage1", width=12, share=0.2, speaks_for="family", contrast=0.1),
    DepthFacts(
        name="individual features", width=6, share=1.8, speaks_for="individual", contrast=0.1
    ),
)


def small(inputs: int = 48, classes: int = 5) -> nn.Sequential:
    """Builds the network of :func:`make_model`; a factory for ``--arch``."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes))


def make_model(
    seed: int = 0,
    *,
    shape: tuple[int, ...] = (3, 4, 4),
    classes: int = 5,
    path: str | None = None,
) -> Model:
    """Returns a linear classifier; equal seeds give equal weights and digests.

    Args:
        seed: Of its weights.
        shape: Of one input, as 8-bit pixels.
        classes: Number of logits.
        path: Pretend it was read from this file.
    """
    generator = torch.Generator().manual_seed(seed)
    module = small(int(np.prod(shape)), classes)
    layer = module[1]
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
        layer.bias.zero_()
    layer.requires_grad_(False)
    weights = layer.weight.numpy().tobytes()
    digest = hashlib.sha256(b"weights" + weights).hexdigest()
    file = FileFacts(
        path=path or "",
        sha256=hashlib.sha256(b"file" + weights).hexdigest(),
        size=len(weights),
        format="safetensors",
    )
    return Model(
        module=module.eval(),
        input=InputSpec(shape=shape),
        output=OutputSpec(classes=classes),
        architecture="live:Sequential",
        digest=digest,
        file=file if path else None,
    )


def make_fingerprint(
    model: Model, *, seed: str = "5e" * 32, probes: int = 4, warnings: tuple[str, ...] = ()
) -> Fingerprint:
    """Returns a fingerprint of the model with random images as probes.

    Args:
        model: Whose answers are recorded.
        seed: Registry seed; a registry only stores its own.
        probes: How many.
        warnings: Lines of the extraction.
    """
    shape = model.input.shape
    noise = np.random.default_rng(int(model.digest[:8], 16))
    bases = noise.integers(0, 256, size=(BASES, *shape), dtype=np.uint8)
    harmless = noise.integers(0, 256, size=(probes, *shape), dtype=np.uint8)
    symmetries = [symmetry_of(index % BASES, index) for index in range(probes)]
    return Fingerprint(
        model_digest=model.digest,
        input=model.input,
        output=model.output,
        seed=seed,
        parameters={"probes": probes, "start": "binary"},
        start="binary",
        bases=bases,
        base_answers=_answers(model, bases),
        probes=tuple(
            Probe(
                kind="network",
                base=index % BASES,
                draw=index,
                harmless=image,
                answer=answer,
                control_answers=control[None],
                residual=1e-6,
                harm_ratio=0.01 * (index + 1),
                converged=True,
            )
            for index, (image, answer, control) in enumerate(
                zip(
                    harmless,
                    _answers(model, harmless),
                    _answers(model, symmetry_controls(harmless, symmetries)),
                    strict=True,
                )
            )
        ),
        spaces=(
            SpaceFacts(
                kind="linear",
                dimension=model.input.size - model.output.classes,
                input_dimension=model.input.size,
                rank=model.output.classes,
            ),
        ),
        tolerance=1e-6,
        device={"device": "cpu"},
        cost={"seconds": 0.5, "passes": 10.0},
        warnings=warnings,
    )


def make_deep(
    model: Model,
    *,
    seed: str = "5e" * 32,
    bases: int = 6,
    depths: tuple[DepthFacts, ...] = DEPTHS,
    turns: tuple[int, ...] = (0, 1, 2),
    panel: int = 4,
) -> Fingerprint:
    """Returns a fingerprint of depths and turns: a random δ on each base at each depth.

    Args:
        model: Whose answers are recorded.
        seed: Registry seed.
        bases: How many.
        depths: What the probes are said to be harmless at.
        turns: Which turns are controls.
        panel: How many inputs of the panel were asked.
    """
    one = make_fingerprint(model, seed=seed, probes=bases * len(depths))
    noise = np.random.default_rng(int(model.digest[:8], 16))
    leaves = grained_leaves(model.input, seed, bases)
    delta = noise.integers(-24, 25, size=(len(depths), *leaves.shape))
    harmless = (leaves + delta).astype(np.uint8).reshape(-1, *model.input.shape)
    rows = list(range(bases)) * len(depths)
    controls = turned(leaves[rows], harmless, turns)
    return replace(
        one,
        start="uniform",
        bases=leaves,
        base_answers=_answers(model, leaves),
        probes=tuple(
            replace(
                probe,
                kind=depths[place // bases].name,
                base=rows[place],
                draw=0,
                harmless=harmless[place],
                answer=_answers(model, harmless[place : place + 1])[0],
                control_answers=_answers(model, controls[place]),
            )
            for place, probe in enumerate(one.probes)
        ),
        parameters={**one.parameters, "bases": GRAINED},
        depths=depths,
        turns=turns,
        relatives=("ab" * 32,),
        panel_answers=_answers(model, panel_inputs(model.input, seed, panel)),
    )


def _answers(model: Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.no_grad():
        answers: NDArray[np.float32] = model(torch.from_numpy(images).float() / 255).numpy()
    return answers
