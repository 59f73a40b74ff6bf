"""A transformer to take fingerprints of at its embeddings: which package is a docstring from?

    texts = docstrings()
    network = trained_reader(texts, seed=0)
    model = load_model(AtEmbeddings(network), **input_of(network))

Token numbers cannot be changed a little, so a transformer is probed one step later, at the
vectors that its first table gives for them: ``inputs_embeds`` takes any. **These probes are
vectors, not text**: no token has them, so a service that takes text cannot be asked them; they
serve whoever holds the weights, or a copy of them.

The text is real and needs no download: docstrings of packages that are installed anyway, split
by file into training and test. The network is BERT's (Devlin et al. 2019) as ``transformers``
builds it from a configuration, with 2 layers of width 64 for 32 tokens, trained here.
"""

from __future__ import annotations

import ast
import collections
import copy
import hashlib
import importlib.util
import re
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "AtEmbeddings",
    "Texts",
    "accuracy",
    "digest",
    "docstrings",
    "embedded",
    "input_of",
    "reader",
    "trained_reader",
    "tuned",
]

PACKAGES = ("python", "numpy", "scipy", "sklearn", "torch", "sqlalchemy")
"""Classes; ``python`` is the standard library."""

TOKENS = 32
WIDTH = 64
VOCABULARY = 2000

_UNKNOWN = 0
_WORD = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]")
_MOST_WINDOWS = {False: 800, True: 200}  # of a package, in training and in the test
_TEST_SHARE = 0.2
_BATCH = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Texts:
    """Windows of 32 tokens with the package they are from; no file is in both parts.

    Attributes:
        train: int64 token numbers, shape ``(N, 32)``.
        train_labels: int64 places in ``PACKAGES``, shape ``(N,)``.
        test: As ``train``, shape ``(M, 32)``.
        test_labels: As ``train_labels``, shape ``(M,)``.
        words: The words in the order of their numbers, commonest first, after the unknown one.
    """

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    words: tuple[str, ...]


def docstrings() -> Texts:
    """Reads the docstrings of the installed packages as windows of 32 tokens."""
    windows: dict[bool, list[tuple[list[str], int]]] = {True: [], False: []}
    for label, package in enumerate(PACKAGES):
        for is_test, lines in _drawn(package).items():
            windows[is_test] += [(line, label) for line in lines]
    counted = collections.Counter(word for line, _ in windows[False] for word in line)
    words = ("", *(word for word, _ in counted.most_common(VOCABULARY - 1)))
    train, train_labels = _numbered(windows[False], words)
    test, test_labels = _numbered(windows[True], words)
    return Texts(
        train=train, train_labels=train_labels, test=test, test_labels=test_labels, words=words
    )


def _drawn(package: str) -> dict[bool, list[list[str]]]:
    """Draws windows of a package for the test (True) and for training, no window twice."""
    found: dict[bool, dict[str, list[str]]] = {True: {}, False: {}}
    for path in sorted(_files(package), key=lambda path: digest(f"{package}/{path.name}")):
        is_test = int(digest(f"part of {path.name}")[:8], 16) < _TEST_SHARE * 2**32
        if len(found[is_test]) < _MOST_WINDOWS[is_test]:
            found[is_test] |= {" ".join(line): line for line in _windows(path, package)}
        elif len(found[not is_test]) >= _MOST_WINDOWS[not is_test]:
            break
    return {
        is_test: list(lines.values())[: _MOST_WINDOWS[is_test]] for is_test, lines in found.items()
    }


def _files(package: str) -> Iterator[Path]:
    """Yields the Python files of a package, without importing it; tests are left out."""
    if package == "python":
        folder = Path(sysconfig.get_path("stdlib"))
    else:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f"expected the package {package}, found none; install it")
        folder = Path(next(iter(spec.submodule_search_locations)))
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder).parts
        if not {"site-packages", "tests", "test", "_vendor", "testing"} & set(inside):
            yield path


def _windows(path: Path, package: str) -> Iterator[list[str]]:
    """Yields the docstrings of a file in windows of tokens; the package's own name is hidden."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strings that are no good style today
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        text = ast.get_docstring(node) if isinstance(node, kinds) else None
        words = [word for word in _WORD.findall((text or "").lower()) if word != package]
        for start in range(0, len(words) - TOKENS + 1, TOKENS):
            yield words[start : start + TOKENS]


def digest(text: str) -> str:
    """Returns a text's SHA-256 in hex."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _numbered(
    windows: Sequence[tuple[list[str], int]], words: Sequence[str]
) -> tuple[Tensor, Tensor]:
    number = {word: place for place, word in enumerate(words)}
    lines = [[number.get(word, _UNKNOWN) for word in line] for line, _ in windows]
    return torch.tensor(lines), torch.tensor([label for _, label in windows])


def reader() -> nn.Module:
    """Returns an untrained BERT classifier."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * WIDTH,
        max_position_embeddings=TOKENS,
        num_labels=len(PACKAGES),
        # Written out, so that every derivative of it exists.
        attn_implementation="eager",
    )
    network: nn.Module = BertForSequenceClassification(config)
    return network


class AtEmbeddings(nn.Module):
    """A transformer that takes vectors in place of tokens.

    Inputs have the shape ``(WIDTH, TOKENS)``, the embedding first, as a channel is: a plain
    base is then one vector at every place, as if one word were repeated.

    Args:
        network: Takes ``inputs_embeds`` of shape ``(N, TOKENS, WIDTH)``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Answers ``(N, WIDTH, TOKENS)`` with logits ``(N, classes)``."""
        logits: Tensor = self.network(inputs_embeds=x.transpose(1, 2)).logits
        return logits


def input_of(network: nn.Module) -> dict[str, Any]:
    """Returns how ``load_model`` is told the inputs: within the range of the embedding table."""
    largest = float(_table(network).abs().max())
    return {"input_size": (WIDTH, TOKENS), "bounds": (-largest, largest)}


def embedded(network: nn.Module, tokens: Tensor) -> Tensor:
    """Returns the vectors of tokens ``(N, TOKENS)``, shape ``(N, WIDTH, TOKENS)``."""
    return functional.embedding(tokens, _table(network)).transpose(1, 2)


def _table(network: nn.Module) -> Tensor:
    table: Tensor = network.get_input_embeddings().weight.detach()  # type: ignore[operator]
    return table


def trained_reader(texts: Texts, *, seed: int, epochs: int = 4) -> nn.Module:
    """Builds a classifier from a seed and trains it, leaving the global random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = reader()
    return tuned(network, texts, seed=seed, epochs=epochs, lr=2e-3)


def tuned(
    network: nn.Module, texts: Texts, *, seed: int, epochs: int = 1, lr: float = 2e-4
) -> nn.Module:
    """Trains a copy further.

    Args:
        network: Left alone.
        texts: What to train on.
        seed: Decides the order of the batches, and dropout.
        epochs: Passes over the training windows.
        lr: Largest learning rate.

    Returns:
        The copy, in evaluation mode.
    """
    network = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=1e-2)
    batches = -(-len(texts.train) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * batches)
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(epochs):
            for batch in torch.randperm(len(texts.train)).split(_BATCH):
                logits = network(input_ids=texts.train[batch]).logits
                loss = functional.cross_entropy(logits, texts.train_labels[batch])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
    return network.eval()


def accuracy(network: nn.Module, texts: Texts) -> float:
    """Returns the share of test windows a network names correctly."""
    with torch.inference_mode():
        named = [network(input_ids=part).logits.argmax(dim=1) for part in texts.test.split(250)]
    return float((torch.cat(named) == texts.test_labels).double().mean())
