"""Is this transformer derived from ours? Asked at its embeddings, so that any text model will do.

    python examples/embeddings.py OURS SUSPECT [--tokens 32]

OURS and SUSPECT are folders of classifiers as ``transformers`` saves them; both must have
embeddings of one width. Probes are vectors in the range of our embedding table. They are not
text: whoever only offers a service that takes text cannot be asked them.

    pip install transformers
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from fingerprint import Verification, extract, load_model, verify


class AtEmbeddings(nn.Module):
    """Takes vectors ``(N, width, tokens)`` in place of tokens and answers with logits.

    The width comes first, as a channel does, so that a base is one vector over stretches of places.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Answers ``(N, width, tokens)`` with logits ``(N, classes)``."""
        logits: Tensor = self.network(inputs_embeds=x.transpose(1, 2)).logits
        return logits


def read(folder: Path) -> nn.Module:
    """Reads a classifier from a folder: no download, no code from the folder, no pickles."""
    from transformers import AutoModelForSequenceClassification

    network: nn.Module = AutoModelForSequenceClassification.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )
    return network.eval()


def compare(ours: nn.Module, suspect: nn.Module, *, tokens: int, seed: str) -> Verification:
    """Takes our fingerprint and verifies the suspect against it."""
    table = ours.get_input_embeddings().weight.detach()  # type: ignore[operator]
    largest = float(table.abs().max())
    size, bounds = (table.shape[1], tokens), (-largest, largest)
    source, other = (
        load_model(AtEmbeddings(network), input_size=size, bounds=bounds)
        for network in (ours, suspect)
    )
    return verify(other, extract(source, seed=seed))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the verdict; returns 1 where the suspect is ours."""
    parser = argparse.ArgumentParser(description="Is this transformer derived from ours?")
    parser.add_argument("ours", type=Path)
    parser.add_argument("suspect", type=Path)
    parser.add_argument("--tokens", type=int, default=32, help="places in a probe")
    parser.add_argument("--seed", default="embeddings")
    given = parser.parse_args(arguments)
    ours, suspect = read(given.ours), read(given.suspect)
    result = compare(ours, suspect, tokens=given.tokens, seed=given.seed)
    print(f"{result.verdict}: {result.reason}")
    return 1 if result.verdict in ("same", "derived") else 0


if __name__ == "__main__":
    sys.exit(main())
